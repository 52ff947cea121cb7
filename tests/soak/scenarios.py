"""What is played: a request is a ``Scenario``, drawn from a seed and its index alone.

So one request of a long run can be drawn again by itself, and a list of them can be made smaller. What an app and a
client may do are two enumerations; ``draw()`` puts them together in ways that mean something.
"""

import enum
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qsl, urlencode

__all__ = [
    "BEHIND",
    "STUCK",
    "App",
    "Client",
    "Direction",
    "Place",
    "Scenario",
    "Work",
    "content",
    "draw",
    "pieces",
]

#: Faults of ``tests.support.faults``: with them, what fails beside a large body, or before other requests on its
#: connection, is not drawn.
STUCK, BEHIND = "app that ends before it has read its body", "requests behind one that fails"

#: What is served through the adapter. A WSGI app is on an ASGI server, an ASGI app on a WSGI server.
Direction = Literal["wsgi", "asgi"]


class App(enum.Enum):
    """What the app does. Each is there as a WSGI app and as an ASGI app, unless it says otherwise."""

    PLAIN = "plain"  # one piece, with its length; does not look at the body
    CHUNKS = "chunks"  # pieces without a length
    SIZED = "sized"  # pieces with one
    EMPTY = "empty"  # 204
    SLOW = "slow"  # sleeps between pieces
    GATHER = "gather"  # waits for others, until as many are there as a piece has bytes; not drawn
    ENDLESS = "endless"  # pieces until the client leaves
    WRITE = "write"  # WSGI: by write()
    REPLACE = "replace"  # WSGI: start_response() again, with exc_info
    ECHO = "echo"  # the body as it came
    DIGEST = "digest"  # its digest
    READ_TWICE = "read-twice"  # reads on behind the end
    READ_HALF = "read-half"  # answers in the middle of it
    CONTEXT = "context"  # context variables last as long as the request
    FAIL_BEFORE = "fail-before"  # an error before the head
    FAIL_ODD = "fail-odd"  # SystemExit, or its own task cancelled
    FAIL_STARTED = "fail-started"  # the head is given, and not out
    FAIL_MIDDLE = "fail-middle"  # some of the body is out
    FAIL_AFTER = "fail-after"  # all of it is: close() raises, or the app after its last message
    SHORT = "short"  # less than its Content-Length
    WRONG_TYPE = "wrong-type"  # text as a body
    NO_ANSWER = "no-answer"  # it returns without one
    WORK_AFTER = "work-after"  # a slow close(), or work after the last message
    LEFT_BEHIND = "left-behind"  # a thread, or a task, that outlives the call
    FORGOTTEN = "forgotten"  # ASGI: a middleware drops the response without close()
    SOCKET_ECHO = "socket-echo"  # a WebSocket that sends back what it gets
    SOCKET_FAIL = "socket-fail"  # one whose app fails when it is open
    SOCKET_REFUSE = "socket-refuse"  # one that is answered with a response


class Client(enum.Enum):
    """What the client does. Without a word of it: HTTP/1.1 and HTTP/2."""

    KEEP = "keep"  # uses one connection for many requests
    CLOSE = "close"  # a connection of its own
    STALL = "stall"  # stops somewhere in the request for a while
    SLOW_READER = "slow-reader"
    LEAVE_IN_REQUEST = "leave-in-request"
    LEAVE_BEFORE_ANSWER = "leave-before-answer"
    LEAVE_IN_ANSWER = "leave-in-answer"
    RESET_IN_ANSWER = "reset-in-answer"
    PIPELINE = "pipeline"  # several at once on a connection
    HALF_CLOSE = "half-close"  # HTTP/1.1: ends its sending side before it reads
    GARBAGE = "garbage"  # HTTP/1.1: no request at all
    GARBAGE_CHUNK = "garbage-chunk"  # HTTP/1.1: in place of a chunk's size
    ODD_CHUNKS = "odd-chunks"  # HTTP/1.1: of any size, with extensions and trailers
    EXPECT = "expect"  # HTTP/1.1: 100-continue


@dataclass(frozen=True, slots=True)
class Place:
    """Where scenarios are played: it decides which are possible."""

    direction: Direction
    http2: bool = False
    websockets: bool = False
    """Whether the adapter has them. A WSGI server has none, and an ASGI app on it answers 501."""
    faults: frozenset[str] = frozenset()
    """Those of the server that decide what may happen here: names of ``tests.support.faults``."""


@dataclass(frozen=True, slots=True)
class Work:
    """The app's part of a scenario, which it gets as the query of its URL."""

    app: App
    index: int
    up: int
    """Bytes of the request's body."""
    down: int
    """Bytes of the response's body, of those who don't make it of the request's."""
    piece: int
    """Bytes of a piece of it."""

    @property
    def target(self) -> str:
        return "/work?" + urlencode(
            {"app": self.app.value, "i": self.index, "up": self.up, "down": self.down, "piece": self.piece}
        )

    @classmethod
    def parse(cls, query: str) -> "Work":
        words = dict(parse_qsl(query))
        sizes = {name: int(words[name]) for name in ("up", "down", "piece")}
        return cls(App(words["app"]), int(words["i"]), **sizes)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One request, or for ``PIPELINE`` three of them: all that decides what happens, but for the clock."""

    work: Work
    client: Client
    chunked: bool
    """The request's body has no Content-Length."""
    at: float
    """Where in the request, or in the response, the client does it: 0 to 1."""

    @property
    def index(self) -> int:
        return self.work.index

    def __str__(self) -> str:
        work = self.work
        return (
            f"#{work.index}: app {work.app.value}, client {self.client.value} at {self.at:.3f}, "
            f"{work.up} bytes up{' in chunks' if self.chunked else ''}, {work.down} down by {work.piece}"
        )


def content(index: int, size: int) -> bytes:
    """Bytes that say whose they are, so that another request's are seen to be wrong."""
    return (b"%07d." % index * (size // 8 + 1))[:size]


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    for offset in range(0, len(data), size):
        yield data[offset : offset + size]


_SOCKETS = (App.SOCKET_ECHO, App.SOCKET_FAIL, App.SOCKET_REFUSE)
_OF_WSGI = {App.WRITE, App.REPLACE}
_OF_ASGI = {App.FORGOTTEN}
_FAILING = {
    App.FAIL_BEFORE, App.FAIL_ODD, App.FAIL_STARTED, App.FAIL_MIDDLE, App.SHORT, App.WRONG_TYPE, App.NO_ANSWER,
}  # fmt: skip
_READERS = {App.ECHO, App.DIGEST, App.READ_TWICE, App.READ_HALF}
_OF_HTTP_1 = {Client.HALF_CLOSE, Client.GARBAGE, Client.GARBAGE_CHUNK, Client.ODD_CHUNKS, Client.EXPECT}
_CHUNKED = {Client.GARBAGE_CHUNK, Client.ODD_CHUNKS}
#: A WebSocket's client: to the end, or it vanishes.
_SOCKET_CLIENTS = (Client.CLOSE, Client.STALL, Client.LEAVE_IN_ANSWER, Client.RESET_IN_ANSWER)
#: Those who are there at the end, and see what came.
_STAYING = (Client.KEEP, Client.KEEP, Client.CLOSE)
#: Around the sizes at which the adapters and the servers change their ways; the small ones more often.
_SIZES = (0, 1, 100, 1000, 1000, 5000, 16_384, 65_535, 65_536, 70_000, 300_000)
_PIECES = (1, 100, 1000, 16_384, 100_000)


def draw(seed: int, indices: Sequence[int], place: Place) -> list[Scenario]:
    """The scenarios of these indices. Each depends on the seed, its index and the place, and on nothing else."""
    return [_draw(random.Random(f"{seed}/{index}"), index, place) for index in indices]


def _draw(chance: random.Random, index: int, place: Place) -> Scenario:
    left_out = _OF_ASGI if place.direction == "wsgi" else _OF_WSGI
    apps = [
        app for app in App if app not in {*left_out, App.GATHER} and (place.websockets or app not in _SOCKETS)
    ]
    clients = [client for client in Client if not (place.http2 and client in _OF_HTTP_1)]
    app = chance.choice(apps)
    # Half of the clients have no mischief in mind, so that what the app does is what counts.
    client = chance.choice(clients if chance.random() < 0.5 else _STAYING)
    up = chance.choice(_SIZES) if app in _READERS or chance.random() < 0.2 else 0
    down = chance.choice(_SIZES)
    piece = chance.choice(_PIECES)
    chunked = chance.random() < 0.4
    if client in _CHUNKED or client is Client.EXPECT:
        up = up or 1000
    if client in _CHUNKED:
        chunked = True
    if app in _SOCKETS:
        several = (Client.PIPELINE,) if place.http2 else ()
        client, up, down = chance.choice((*_SOCKET_CLIENTS, *several)), 0, min(down, 70_000)
    elif app is App.ENDLESS:
        client, piece = chance.choice((Client.LEAVE_IN_ANSWER, Client.RESET_IN_ANSWER)), 16_384
    if client is Client.PIPELINE:
        up = 0
    if client is Client.PIPELINE and app in _FAILING and BEHIND in place.faults:
        client = Client.KEEP
    if app in _FAILING and STUCK in place.faults:
        up = min(up, 1000)
    # A piece of one byte is a message of the server's, and a sleep of the slow app's: a few hundred, and twenty.
    piece = max(piece, down // (20 if app is App.SLOW else 300) or 1)
    return Scenario(Work(app, index, up, down, piece), client, chunked and up > 0, chance.random())
