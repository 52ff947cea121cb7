"""What a request costs against one size of it: chunks, header fields, bytes of its body, connections beside it.

A ``Curve`` is measured like a ``Group``: at each size, each subject has its turn in each round.
"""

import http.client
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from . import load
from .measure import Sample, Settings
from .processes import HOST, PeakMemory, Server, start
from .servers import measured

__all__ = ["CURVES", "Curve", "Points", "measure", "print_points"]

#: Measures a server at one size: microseconds of processor time per request, or MiB of memory.
_Run = Callable[[Server, int, Settings], float]


@dataclass(frozen=True)
class Curve:
    name: str
    title: str
    #: What ``sizes`` counts.
    axis: str
    sizes: tuple[int, ...]
    #: Subject, server, name in ``apps.SERVED``.
    rows: tuple[tuple[str, str, str], ...]
    run: _Run
    figure: str = "CPU us per request"


@dataclass
class Points:
    """What was measured: subject -> size -> a figure per round."""

    curve: Curve
    figures: dict[str, dict[int, list[float]]] = field(default_factory=dict)

    def median(self, subject: str, size: int) -> float:
        return statistics.median(self.figures[subject][size])


def _cpu(sample: Sample) -> float:
    return sample.cpu / sample.count * 1e6


def _requests(
    server: Server, request: Callable[[http.client.HTTPConnection], int], settings: Settings
) -> float:
    """Requests one after another, on one connection as long as it is kept."""

    def run() -> load.Load:
        connection = http.client.HTTPConnection(HOST, server.port, timeout=60)
        begun = time.perf_counter()
        count = 0
        while count < 3 or time.perf_counter() - begun < settings.seconds:
            if request(connection) != 200:
                raise RuntimeError(f"{server!r} did not answer with 200; it logged:\n{server.log()}")
            count += 1
        seconds = time.perf_counter() - begun
        connection.close()
        return load.Load(count, seconds)

    return _cpu(measured(server, run))


def _get(connection: http.client.HTTPConnection, path: str, headers: dict[str, str] | None = None) -> int:
    connection.request("GET", path, headers=headers or {})
    response = connection.getresponse()
    while response.read(1 << 20):
        pass
    return response.status


def _chunks(server: Server, size: int, settings: Settings) -> float:
    return _requests(server, lambda connection: _get(connection, f"/chunks/{size}"), settings)


def _fields(server: Server, size: int, settings: Settings) -> float:
    headers = {f"X-Field-{number}": f"the value of field {number}" for number in range(size)}
    return _requests(server, lambda connection: _get(connection, "/", headers), settings)


def _download(server: Server, size: int, settings: Settings) -> float:
    return _requests(server, lambda connection: _get(connection, f"/download/{size}"), settings)


def _upload(server: Server, size: int, settings: Settings) -> float:
    body = bytes(size)

    def post(connection: http.client.HTTPConnection) -> int:
        connection.request("POST", "/upload", body)
        response = connection.getresponse()
        response.read()
        return response.status

    return _requests(server, post, settings)


def _connections(server: Server, size: int, settings: Settings) -> float:
    return _cpu(measured(server, lambda: load.hello(server, size, settings.server_seconds)))


def _memory(server: Server, size: int, settings: Settings) -> float:
    with PeakMemory(server) as memory:
        load.download(server, f"/download/{size}", size)
        load.upload(server, "/upload", size)
    return memory.growth / 2**20


_UVICORN = (
    ("bridge", "uvicorn", "wsgi_bridge"),
    ("a2wsgi", "uvicorn", "wsgi_a2wsgi"),
    ("native ASGI", "uvicorn", "asgi"),
)
_GTHREAD = (
    ("bridge", "gunicorn gthread(8)", "asgi_bridge"),
    ("bridge, shared loop", "gunicorn gthread(8)", "asgi_bridge_shared"),
    ("a2wsgi", "gunicorn gthread(8)", "asgi_a2wsgi"),
    ("native WSGI", "gunicorn gthread(8)", "wsgi"),
)
_NUMBERS = (1, 10, 100, 1_000, 10_000)
_FIELDS = (0, 20, 40, 60, 80)  # gunicorn refuses more than 100
_BYTES = (65_536, 1 << 20, 8 << 20, 64 << 20)
_CONNECTIONS = (1, 8, 32, 100, 1_000)
_MEMORY = "growth of resident memory, MiB"
_PLACES = (
    ("uvicorn", "a WSGI app on uvicorn", _UVICORN),
    ("gthread", "an ASGI app on gunicorn gthread", _GTHREAD),
)

CURVES = tuple(
    curve
    for place, app, rows in _PLACES
    for curve in (
        Curve(f"curves.{place}.chunks", f"{app}: chunks of 100 bytes", "chunks", _NUMBERS, rows, _chunks),
        Curve(f"curves.{place}.fields", f"{app}: header fields", "header fields", _FIELDS, rows, _fields),
        Curve(f"curves.{place}.download", f"{app}: bytes down", "bytes", _BYTES, rows, _download),
        Curve(f"curves.{place}.upload", f"{app}: bytes up", "bytes", _BYTES, rows, _upload),
        Curve(f"curves.{place}.memory", f"{app}: memory", "bytes", _BYTES, rows, _memory, _MEMORY),
        Curve(
            f"curves.{place}.connections",
            f"{app}: connections beside each other",
            "connections",
            _CONNECTIONS,
            rows,
            _connections,
        ),
    )
)


def measure(curve: Curve, settings: Settings, progress: Progress) -> Points:
    points = Points(curve)
    with ExitStack() as stack:
        bar = progress.add_task(curve.title, total=len(curve.rows) * len(curve.sizes) * (settings.rounds + 1))
        stack.callback(progress.remove_task, bar)
        servers = {name: start(stack, kind, app) for name, kind, app in curve.rows}
        # Round 0 warms up.
        for round_number in range(settings.rounds + 1):
            for size in curve.sizes:
                for name, server in servers.items():
                    figure = curve.run(server, size, settings)
                    if round_number:
                        points.figures.setdefault(name, {}).setdefault(size, []).append(figure)
                    progress.advance(bar)
    return points


def print_points(console: Console, points: Points) -> None:
    curve = points.curve
    table = Table(title=f"{curve.name}: {curve.title}, {curve.figure}", title_justify="left", min_width=100)
    table.add_column(curve.axis)
    for name in points.figures:
        table.add_column(name, justify="right")
    for size in curve.sizes:
        row = (points.median(name, size) for name in points.figures)
        table.add_row(f"{size:,}", *(f"{figure:,.1f}" for figure in row))
    console.print(table)
    console.print()
