"""The servers of the soak: rows, and how one is started."""

import math
from dataclasses import dataclass, replace
from pathlib import Path

from tests.support import servers
from tests.support.faults import known
from tests.support.servers import RunningServer

from .adapters import SOCKETS, THREADS
from .chaos import Chaos
from .model import ACCEPT, DENIAL, ENDING, HEAD, UNREAD, UTF_8, WORKER
from .scenarios import BEHIND, STUCK, Direction, Place

__all__ = ["SERVERS", "SoakServer", "start", "temporary"]


@dataclass(frozen=True, slots=True)
class SoakServer:
    """A row: which server of ``tests.support.server_kinds``, with what, and what can be done to it."""

    name: str
    """As it is asked for."""
    kind: str
    place: Place
    arguments: tuple[str, ...] = ()
    reloads: bool = False
    """Whether SIGHUP has it load the app anew."""
    adapters: tuple[str, ...] = ("bridge",)
    at_once: int = SOCKETS
    """How many requests at a time are as many as it can ever serve at once, or more."""
    idle: float = math.inf
    """Seconds after which it ends a connection that has nothing under way, where that is soon."""
    threads: int | None = None
    """Its own. ``None``: it has none, or one."""

    @property
    def direction(self) -> Direction:
        return self.place.direction

    @property
    def keeps(self) -> float:
        """Seconds for which it keeps a connection that its client has ended, with all that belongs to it."""
        return 1.2 if self._has("connection that its client has ended") else 0.0

    def place_of(self, adapter: str) -> Place:
        """The place, with the server's faults that count with that adapter: who buffers a body has read it."""
        names = [
            ACCEPT,
            DENIAL,
            HEAD,
            BEHIND,
            WORKER,
            ENDING,
            UTF_8,
            *((UNREAD, STUCK) if adapter == "bridge-stream" else ()),
        ]
        return replace(self.place, faults=frozenset(name for name in names if self._has(name)))

    def _has(self, fault: str) -> bool:
        return known(fault, self.kind) is not None

    def serves(self, adapter: str) -> int:
        """How many requests it serves at once with that adapter."""
        if self.direction == "asgi":
            return self.threads or self.at_once
        return 1 if adapter == "asgiref" else THREADS

    def chaos(self) -> list[Chaos]:
        return [chaos for chaos in Chaos if chaos is not Chaos.RELOAD or self.reloads]


_QUIET_GUNICORN = ("--access-logfile", "/dev/null")
#: See ``keeps``: for one second, instead of five.
_IDLE = 1.0
_QUIET_HYPERCORN = ("--access-logfile", "/dev/null", "--keep-alive", f"{_IDLE:.0f}")
_ON_ASGI = Place("wsgi", websockets=True)
_ON_WSGI = Place("asgi", websockets=True)

#: In the order in which they are played.
_ROWS = (
    SoakServer(
        "uvicorn", "uvicorn-httptools", _ON_ASGI, ("--no-access-log",), adapters=("bridge", "bridge-stream")
    ),
    SoakServer(
        "uvicorn-h11", "uvicorn-h11", _ON_ASGI, ("--no-access-log",), adapters=("bridge", "bridge-stream")
    ),
    SoakServer(
        "hypercorn",
        "hypercorn",
        _ON_ASGI,
        _QUIET_HYPERCORN,
        adapters=("bridge", "bridge-stream"),
        idle=_IDLE,
    ),
    SoakServer(
        "hypercorn-h2",
        "hypercorn-h2c",
        Place("wsgi", http2=True, websockets=True),
        _QUIET_HYPERCORN,
        idle=_IDLE,
    ),
    SoakServer(
        "granian", "granian-ws", _ON_ASGI, ("--no-access-log", "--respawn-failed-workers"), reloads=True
    ),
    SoakServer("gunicorn-sync", "gunicorn-sync", _ON_WSGI, _QUIET_GUNICORN, reloads=True, at_once=1),
    SoakServer(
        "gunicorn-gthread",
        "gunicorn-gthread",
        _ON_WSGI,
        _QUIET_GUNICORN,
        reloads=True,
        adapters=("bridge", "bridge-shared"),
        threads=8,
    ),
    SoakServer("gunicorn-gevent", "gunicorn-gevent", _ON_WSGI, _QUIET_GUNICORN, reloads=True),
    # Without looking ahead it hears of a client's leaving by a failed write alone, and some apps only listen.
    SoakServer(
        "waitress",
        "waitress",
        _ON_WSGI,
        ("--channel-request-lookahead", "1"),
        adapters=("bridge", "bridge-shared"),
        threads=8,
    ),
)
SERVERS = {row.name: row for row in _ROWS}


def temporary(directory: Path) -> Path:
    """``TMPDIR`` of a server in ``directory``."""
    return directory / "tmp"


def start(server: SoakServer, adapter: str, directory: Path) -> RunningServer:
    """Start it; ``directory`` takes its log, and its temporary files."""
    temporary(directory).mkdir(exist_ok=True)
    return servers.start(
        server.kind,
        "tests.soak.served:app",
        directory,
        arguments=server.arguments,
        environ={
            "SOAK_DIRECTION": server.direction,
            "SOAK_ADAPTER": adapter,
            "TMPDIR": str(temporary(directory)),
            # One heap, which gives large blocks back: what is measured is what is in use.
            "MALLOC_ARENA_MAX": "1",
            "MALLOC_MMAP_THRESHOLD_": "32768",
        },
    )
