"""What WebSockets have left behind in a server's process: asked by a test, told by the app."""

import threading
from pathlib import Path

from bridge import WsgiToAsgi

__all__ = ["leftovers"]

FILES = Path("/proc/self/fd")


def leftovers(adapter: WsgiToAsgi) -> dict[str, int]:
    """Return how many there are: sockets of the process, sessions, running calls, threads of libraries."""
    websockets = adapter._websockets
    return {
        "sockets": sum(_is_socket(file) for file in FILES.iterdir()),
        "sessions": sum(len(wires.sessions) for wires in adapter._loops.wires.values()),
        "calls": websockets.pool.unfinished() if websockets is not None else 0,
        # Those of simple-websocket, one for each of its sockets, and those that an app has made.
        "threads": sum(
            "_thread)" in thread.name or "broadcast" in thread.name for thread in threading.enumerate()
        ),
    }


def _is_socket(file: Path) -> bool:
    try:
        return str(file.readlink()).startswith("socket:")
    except FileNotFoundError:  # the one that lists them
        return False
