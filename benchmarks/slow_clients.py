"""What 200 clients that stop in the middle of their body do to all others, with 10 worker threads."""

import socket
import statistics
import time
from contextlib import ExitStack

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from . import apps, load
from .measure import Settings
from .processes import Server, start

__all__ = ["latency", "run"]

#: Seconds without an answer after which a server counts as stopped.
_STOPPED = 2.0
_ROUNDS = 3
#: How many times the latency may grow.
_WANTED = 2.0

#: Subject, server, name in ``apps.SERVED``.
_ROWS = (
    ("bridge", "uvicorn", "wsgi_bridge"),
    ("a2wsgi", "uvicorn", "wsgi_a2wsgi"),
    ("uvicorn's old", "uvicorn", "wsgi_uvicorn"),
    ("gunicorn gthread", "gunicorn gthread", "wsgi"),
    ("waitress", "waitress", "wsgi"),
    ("granian WSGI", "granian WSGI", "wsgi"),
)


def run(console: Console, progress: Progress, settings: Settings) -> None:
    title = f"slow-clients: {settings.stalled_clients} clients stalled in mid-body, {apps.THREADS} threads"
    table = Table(title=title, title_justify="left", min_width=100)
    for heading in ("subject", "others' median latency, us", "with the stalled clients, us", "ratio", ""):
        table.add_column(heading, justify="left" if heading in {"subject", ""} else "right")
    bar = progress.add_task("slow-clients", total=len(_ROWS))
    for name, kind, app in _ROWS:
        with ExitStack() as stack:
            server = start(stack, kind, app)
            before, during, ratio = _measure(server, settings)
        if during is None or ratio is None:
            verdict = f"no answer within {_STOPPED:g} s"
        else:
            verdict = f"at most {_WANTED:g}x wanted: {'met' if ratio <= _WANTED else 'missed'}"
        table.add_row(
            name,
            f"{before * 1e6:,.0f}",
            "-" if during is None else f"{during * 1e6:,.0f}",
            "-" if ratio is None else f"{ratio:.2f}",
            verdict if name == "bridge" or during is None else "",
        )
        progress.advance(bar)
    progress.remove_task(bar)
    console.print(table)
    console.print()


def _measure(server: Server, settings: Settings) -> tuple[float, float | None, float | None]:
    """Medians over rounds: the latency without and with stalled clients (seconds), and their ratio."""
    latency(server, settings.latencies)  # warms up
    without: list[float] = []
    beside: list[float] = []
    ratios: list[float] = []
    for _ in range(_ROUNDS):
        without.append(latency(server, settings.latencies))
        with ExitStack() as clients:
            for _ in range(settings.stalled_clients):
                _stall(server, clients)
            time.sleep(0.3)  # the server takes what has come
            try:
                beside.append(latency(server, settings.latencies))
            except TimeoutError:
                return statistics.median(without), None, None
            ratios.append(beside[-1] / without[-1])
        time.sleep(0.3)  # it sees them leave
    return statistics.median(without), statistics.median(beside), statistics.median(ratios)


def _stall(server: Server, clients: ExitStack) -> None:
    client = clients.enter_context(server.connect())
    client.sendall(b"POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n0123456789")


def latency(server: Server, count: int) -> float:
    """The median time of a GET, each on a connection of its own; raises ``TimeoutError``."""
    times: list[float] = []
    for _ in range(count):
        start = time.perf_counter()
        with server.connect(timeout=_STOPPED) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            _read_all(connection)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def _read_all(connection: socket.socket) -> None:
    _, body = load.read_head(connection)
    while block := connection.recv(65536):
        body += block
    if body != apps.HELLO:
        raise RuntimeError(f"the answer is {body!r}")
