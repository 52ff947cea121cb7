"""WebSockets of a WSGI app on uvicorn: messages echoed, and what 200 open ones do to the requests beside them."""

import base64
import os
import socket
import statistics
import time
from contextlib import ExitStack
from typing import NamedTuple

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from .measure import Settings
from .processes import Server, start
from .slow_clients import latency

__all__ = ["run"]

_ROUNDS = 3
#: Sockets that echo in turn while their rate is taken, and bytes of a message.
_ECHOING = 10
_SIZE = 100
#: How many times the latency of requests may grow.
_WANTED = 2.0

#: Subject, name in ``apps.SERVED``, path.
_ROWS = (
    ("bridge, wsgi.websocket", "wsgi_bridge", "/echo"),
    ("bridge, simple-websocket", "wsgi_bridge", "/library-echo"),
    ("native ASGI", "asgi_websocket", "/echo"),
)


class _Figures(NamedTuple):
    rate: float  # messages echoed in a second
    cpu: float  # seconds of the server's processor time for one
    before: float  # seconds, the median latency of a request
    beside: float


def run(console: Console, progress: Progress, settings: Settings) -> None:
    count = settings.open_websockets
    table = Table(
        title=f"websockets: {_ECHOING} that echo, and requests beside {count} that do", title_justify="left"
    )
    headings = ("subject", "echoes/s", "CPU us each", "GET alone, us", f"beside {count}, us", "ratio", "")
    for heading in headings:
        table.add_column(heading, justify="left" if heading in {"subject", ""} else "right")
    bar = progress.add_task("websockets", total=_ROUNDS + 1)
    with ExitStack() as stack:
        servers = [start(stack, "uvicorn", app) for _, app, _ in _ROWS]
        rounds: list[list[_Figures]] = [[] for _ in _ROWS]
        for number in range(_ROUNDS + 1):  # the first warms up
            for (_, _, path), server, figures in zip(_ROWS, servers, rounds, strict=True):
                figures.append(_measure(server, path, settings))
                if number == 0:
                    figures.clear()
            progress.advance(bar)
    progress.remove_task(bar)
    for (name, _, _), figures in zip(_ROWS, rounds, strict=True):
        ratio = statistics.median(figure.beside / figure.before for figure in figures)
        wanted = f"at most {_WANTED:g}x wanted: {'met' if ratio <= _WANTED else 'missed'}"
        table.add_row(
            name,
            f"{statistics.median(figure.rate for figure in figures):,.0f}",
            f"{statistics.median(figure.cpu for figure in figures) * 1e6:,.0f}",
            f"{statistics.median(figure.before for figure in figures) * 1e6:,.0f}",
            f"{statistics.median(figure.beside for figure in figures) * 1e6:,.0f}",
            f"{ratio:.2f}",
            wanted if name == _ROWS[0][0] else "",
        )
    console.print(table)
    console.print()


def _measure(server: Server, path: str, settings: Settings) -> _Figures:
    with ExitStack() as clients:
        echoing = [_connect(server, path, clients) for _ in range(_ECHOING)]
        cpu, begin = server.cpu_seconds(), time.perf_counter()
        for _ in range(settings.echoes):
            for client in echoing:
                client.sendall(_MASKED)
            for client in echoing:
                _expect_echo(client)
        seconds, cpu = time.perf_counter() - begin, server.cpu_seconds() - cpu
    before = latency(server, settings.latencies)
    beside: list[float] = []
    with ExitStack() as clients:
        opened = [_connect(server, path, clients) for _ in range(settings.open_websockets)]
        for number in range(settings.latencies):
            client = opened[number % len(opened)]
            client.sendall(_MASKED)
            beside.append(latency(server, 1))
            _expect_echo(client)
    total = settings.echoes * _ECHOING
    return _Figures(total / seconds, cpu / total, before, statistics.median(beside))


# RFC 6455, section 5.2: a final text frame, masked by zeros, and the same as a server sends it, unmasked.
_MASKED = bytes([0x81, 0x80 | _SIZE, 0, 0, 0, 0]) + b"x" * _SIZE
_ECHO = bytes([0x81, _SIZE]) + b"x" * _SIZE


def _connect(server: Server, path: str, clients: ExitStack) -> socket.socket:
    client = clients.enter_context(server.connect())
    key = base64.b64encode(os.urandom(16)).decode()
    client.sendall(
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
    )
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += client.recv(4096)
    if not answer.startswith(b"HTTP/1.1 101"):
        raise RuntimeError(f"{server!r} answered {answer!r}; it logged:\n{server.log()}")
    # That the app has it, and not the server alone.
    client.sendall(_MASKED)
    _expect_echo(client)
    return client


def _expect_echo(client: socket.socket) -> None:
    answer = b""
    while len(answer) < len(_ECHO):
        block = client.recv(len(_ECHO) - len(answer))
        if not block:
            raise RuntimeError(f"the WebSocket was closed after {answer!r}")
        answer += block
    if answer != _ECHO:
        raise RuntimeError(f"the echo is {answer!r}")
