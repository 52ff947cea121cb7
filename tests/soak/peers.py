"""The peers: the same scenarios through other adapters, and by an app of the server's own kind without any.

No WebSocket is among them, which the peers don't have, and nothing is done to the server: each loses by itself.
"""

from dataclasses import replace

from .adapters import ADAPTERS
from .scenarios import Direction, Place
from .servers import SERVERS

__all__ = ["PEERS"]

#: One server for each direction: the one that the README begins with.
_ON: dict[Direction, str] = {"wsgi": "uvicorn", "asgi": "gunicorn-gthread"}
PEERS = [
    (replace(SERVERS[name], place=Place(direction)), adapter)
    for direction, name in _ON.items()
    for adapter in ADAPTERS[direction]
    if adapter != "faulty"
]
