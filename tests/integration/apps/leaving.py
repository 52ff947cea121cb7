"""A WSGI app whose clients leave, behind bridge (``app``), which tells how many of its calls have not ended.

``/running/NAME``, answered without the bridge: how many calls of ``/NAME`` the server has under way.
``/ended/NAME``: which of the WSGI app's calls have ended, and how.
"""

import asyncio
import json
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from bridge import AsgiToWsgi, WsgiToAsgi
from bridge.to_asgi import body as request_bodies
from bridge.types import Environ, Receive, Scope, Send, StartResponse
from tests.support.gate import pass_gate

__all__ = ["app"]

WAIT = 20.0  # seconds, against hanging only
TEXT = [("Content-Type", "text/plain")]
BIG = b"x" * 2_000_000

_lock = threading.Lock()
_ended: dict[str, list[str]] = defaultdict(list)
_running: Counter[str] = Counter()


def _end(name: str, how: str) -> None:
    with _lock:
        _ended[name].append(how)


class Gated:
    """A body whose ``close()`` waits at the gate of the test."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._chunks = iter([b"whole"])

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks

    def close(self) -> None:
        pass_gate(self._port)
        _end("gated", "closed")


def polling() -> Iterator[bytes]:
    """Nothing but empty chunks, after a first one."""
    pause = threading.Event()
    try:
        yield b"first"
        for _ in range(10_000):
            pause.wait(0.01)
            yield b""
        _end("polling", "never left")
    except GeneratorExit:
        _end("polling", "closed")
        raise


def unread() -> Iterator[bytes]:
    """A response without end, beside a request body that the app doesn't look at."""
    pause = threading.Event()
    while True:
        yield b"x" * 1000
        pause.wait(0.01)


def asking(environ: Environ) -> Iterator[bytes]:
    """A chunk, and then no other one until the client has left."""
    yield b"first"
    left, pause = environ["waitress.client_disconnected"], threading.Event()
    for _ in range(2_000):
        if left():
            _end("asking", "left")
            return
        pause.wait(0.01)
    _end("asking", "never left")


async def idle(scope: Scope, receive: Receive, send: Send) -> None:
    """An ASGI app that sends a chunk and then waits for its client to leave."""
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"first", "more_body": True})
    async with asyncio.timeout(WAIT):
        message = await receive()
    _end("idle" + scope["path"].rpartition("/")[2], message["type"])


idle_by_request = AsgiToWsgi(idle, lifespan="off")
idle_shared = AsgiToWsgi(idle, lifespan="off", loop="shared")


def wsgi_app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    _, name, *rest = environ["PATH_INFO"].split("/")
    if name == "idle":
        return (idle_shared if rest == ["shared"] else idle_by_request)(environ, start_response)
    if name == "narrow":
        start_response("200 OK", [*TEXT, ("Content-Length", "5")])
        pass_gate(int(rest[0]))
        return [b"whole"]
    if name == "gated":
        start_response("200 OK", [*TEXT, ("Content-Length", "5")])
        return Gated(int(rest[0]))
    start_response("200 OK", TEXT)
    if name == "ended":
        with _lock:
            return [json.dumps(_ended["".join(rest)]).encode()]
    if name == "list":
        return [BIG]
    if name == "polling":
        return polling()
    if name == "asking":
        return asking(environ)
    if name == "unread":
        return unread()
    if name == "stream":
        return (b"x" * 100_000 for _ in range(20))
    return [b"short"]


adapted = WsgiToAsgi(wsgi_app, max_body_size=10)
streamed = WsgiToAsgi(wsgi_app, request_body="stream")
narrow = WsgiToAsgi(wsgi_app, threads=1, backlog=2)
# So that the tests need not wait for seconds.
request_bodies.PATIENCE = 0.05


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Count the calls of the bridge."""
    path: Any = scope.get("path", "")
    if path.startswith("/running/"):
        body = json.dumps(_running[path.removeprefix("/running")]).encode()
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})
        return
    _running[path] += 1
    try:
        adapter = {"unread": streamed, "narrow": narrow}.get(path[1:].partition("/")[0], adapted)
        await adapter(scope, receive, send)
    finally:
        _running[path] -= 1
