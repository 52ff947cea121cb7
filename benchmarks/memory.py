"""How much a server's memory grows over a body of 1 GiB that nobody hurries to take."""

import socket
import time
from contextlib import ExitStack
from dataclasses import dataclass

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from . import load
from .measure import Settings
from .processes import PeakMemory, Server, start

__all__ = ["run"]

_MIB = 2**20
#: Growth wanted of WsgiToAsgi, in bytes. AsgiToWsgi stands beside a native app: gunicorn's own memory grows by more.
_WANTED = 2 * _MIB
#: A body before the one that is measured, in bytes: what is made once is not growth.
_WARM_UP = 8 * _MIB


@dataclass(frozen=True)
class _Case:
    subject: str
    server: str
    app: str
    upload: bool


_CASES = (
    _Case("WsgiToAsgi", "uvicorn", "wsgi_bridge", upload=False),
    _Case("native ASGI", "uvicorn", "asgi", upload=False),
    _Case("WsgiToAsgi, streamed", "uvicorn", "wsgi_bridge_stream", upload=True),
    _Case("WsgiToAsgi, buffered", "uvicorn", "wsgi_bridge", upload=True),
    _Case("native ASGI", "uvicorn", "asgi", upload=True),
    _Case("AsgiToWsgi", "gunicorn gthread", "asgi_bridge", upload=False),
    _Case("AsgiToWsgi", "gunicorn gthread", "asgi_bridge", upload=True),
    _Case("native WSGI", "gunicorn gthread", "wsgi", upload=True),
    _Case("AsgiToWsgi, shared loop", "gunicorn gthread", "asgi_bridge_shared", upload=False),
    _Case("AsgiToWsgi, shared loop", "gunicorn gthread", "asgi_bridge_shared", upload=True),
)


def run(console: Console, progress: Progress, settings: Settings) -> None:
    size = settings.memory
    table = Table(title=f"memory: bodies of {size // _MIB} MiB", title_justify="left", min_width=100)
    for heading in ("subject", "body", "RSS before, MiB", "peak growth, MiB", "", "s"):
        table.add_column(heading, justify="right" if "MiB" in heading or heading == "s" else "left")
    bar = progress.add_task("memory", total=len(_CASES))
    for case in _CASES:
        begun = time.perf_counter()
        with ExitStack() as stack:
            server = start(stack, case.server, case.app)
            _move(server, case, _WARM_UP, 0.2)
            with PeakMemory(server) as memory:
                _move(server, case, size, settings.stall)
        verdict = ""
        if case.subject.startswith("WsgiToAsgi"):
            verdict = f"under 2 wanted: {'met' if memory.growth < _WANTED else 'missed'}"
        table.add_row(
            f"{case.subject} on {case.server}",
            "up, into an app that reads slowly" if case.upload else "down, to a client that stops reading",
            f"{memory.start / _MIB:.1f}",
            f"{memory.growth / _MIB:.2f}",
            verdict,
            f"{time.perf_counter() - begun:.0f}",
        )
        progress.advance(bar)
    progress.remove_task(bar)
    console.print(table)
    console.print()


def _move(server: Server, case: _Case, size: int, stall: float) -> None:
    if case.upload:
        load.upload(server, "/slow-upload", size)
    else:
        _stalled_download(server, size, stall)


def _stalled_download(server: Server, size: int, stall: float) -> None:
    """Read the head, nothing for ``stall`` seconds, and then all the rest."""
    with server.connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        request = b"GET /download/%d HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        connection.sendall(request % size)
        _, rest = load.read_head(connection)
        time.sleep(stall)
        received = len(rest)
        while block := connection.recv(_MIB):
            received += len(block)
    if received != size:
        raise RuntimeError(f"{server!r} sent {received} bytes of {size}; it logged:\n{server.log()}")
