"""What clients cost that leave a download, and whole downloads, by how far the app may be ahead of its client."""

import statistics
import time
from contextlib import ExitStack

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from . import apps, load
from .measure import Settings
from .processes import Server, start

__all__ = ["run"]

#: Rows of the download that is left: more than anybody gets to make.
_ENDLESS = 10_000_000
#: Seconds without a tick of processor time after which a server is done with those that left.
_QUIET = 0.2


def run(console: Console, progress: Progress, settings: Settings) -> None:
    title = f"leaving: {settings.leaving_clients} clients leave a CSV stream, and whole downloads"
    table = Table(title=title, title_justify="left", min_width=100)
    for heading in (
        "ahead at most",
        "left: CPU ms each",
        f"{settings.rows:,} rows, ms",
        "64 KiB chunks, MiB/s",
    ):
        table.add_column(heading, justify="left" if heading == "ahead at most" else "right")
    with ExitStack() as stack:
        servers = {
            f"{_number(chunks)} chunks, {size // 1024} KiB": start(
                stack, "uvicorn", f"wsgi_ahead_{chunks}_{size}"
            )
            for chunks, size in apps.AHEAD
        }
        servers["native WSGI on gunicorn gthread"] = start(stack, "gunicorn gthread", "wsgi")
        figures: dict[str, list[tuple[float, float, float]]] = {name: [] for name in servers}
        bar = progress.add_task("leaving", total=len(servers) * (settings.rounds + 1))
        # In turn; round 0 warms up.
        for round_number in range(settings.rounds + 1):
            for name, server in servers.items():
                measured = _measure(server, settings)
                if round_number:
                    figures[name].append(measured)
                progress.advance(bar)
        progress.remove_task(bar)
    for name, rounds in figures.items():
        left, rows, large = (statistics.median(column) for column in zip(*rounds, strict=True))
        table.add_row(name, f"{left * 1e3:.2f}", f"{rows * 1e3:,.0f}", f"{large / 2**20:,.0f}")
    console.print(table)
    console.print()


def _number(chunks: int) -> str:
    return "any" if chunks == 10**9 else str(chunks)


def _measure(server: Server, settings: Settings) -> tuple[float, float, float]:
    """Processor time of each client that leaves; seconds for the rows; bytes a second in large chunks."""
    before = server.cpu_seconds()
    for _ in range(settings.leaving_clients):
        _leave(server)
    left = (_settled(server) - before) / settings.leaving_clients
    rows = load.download(server, f"/rows/{settings.rows}", settings.rows)
    large = settings.download / load.download(server, f"/download/{settings.download}", settings.download)
    return left, rows, large


def _leave(server: Server) -> None:
    """Read the first rows, and close the connection."""
    with server.connect() as connection:
        connection.sendall(b"GET /rows/%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % _ENDLESS)
        load.read_head(connection)


def _settled(server: Server) -> float:
    """The server's processor time, once it does no more for those that left."""
    while True:
        before = server.cpu_seconds()
        time.sleep(_QUIET)
        if server.cpu_seconds() - before < 0.02:
            return before
