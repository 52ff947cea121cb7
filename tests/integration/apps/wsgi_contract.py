"""An ASGI app whose behaviour tests steer, behind ``AsgiToWsgi`` (``app``). Nothing here sleeps.

The environment: ``BRIDGE_OPTIONS`` has the keyword arguments of ``AsgiToWsgi`` as JSON, but for ``UVLOOP``, which asks
for it as the ``loop_factory``; ``REPORTS`` has the port that the lifespan reports to, if anyone wants to know;
``STARTUP`` has it fail, raise, or wait for ever. A request names its own port in the query.
"""

import asyncio
import contextlib
import hashlib
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from starlette.responses import StreamingResponse

from bridge import AsgiToWsgi
from bridge.types import Receive, Scope, Send
from tests.integration.apps.wsgi_reports import ask, tell

__all__ = ["app", "asgi_app"]

BLOCK = b"x" * 65_536


class MeantError(Exception):
    """What this app raises on purpose."""


async def asgi_app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer what ``_ANSWERS`` has for the path."""
    if scope["type"] == "lifespan":
        await _lifespan(scope, receive, send)
    else:
        await _ANSWERS[scope["path"].removeprefix("/")](scope, receive, send)


async def _lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    port = int(os.environ.get("REPORTS", "0"))
    await receive()
    if os.environ.get("STARTUP") == "raises":
        raise MeantError("in the startup")
    if os.environ.get("STARTUP") == "fails":
        await send({"type": "lifespan.startup.failed", "message": "MeantError: in the startup"})
        return
    if os.environ.get("STARTUP") == "waits":
        tell(port, "waiting")
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            tell(port, "cancelled")
    scope["state"]["process"] = os.getpid()
    if port:
        tell(port, f"startup {os.getpid()}")
    await send({"type": "lifespan.startup.complete"})
    await receive()
    if port:
        tell(port, f"shutdown {os.getpid()}")
    await send({"type": "lifespan.shutdown.complete"})


def _port(scope: Scope) -> int:
    return int(scope["query_string"].partition(b"=")[2])


async def _start(send: Send, status: int = 200, *headers: tuple[bytes, bytes]) -> None:
    head = [(b"content-type", b"text/plain"), *headers]
    await send({"type": "http.response.start", "status": status, "headers": head})


async def _whole(send: Send, body: bytes, *headers: tuple[bytes, bytes]) -> None:
    await _start(send, 200, (b"content-length", b"%d" % len(body)), *headers)
    await send({"type": "http.response.body", "body": body})


async def _part(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    await _whole(send, b"hello")


async def loop(scope: Scope, receive: Receive, send: Send) -> None:
    await _whole(send, type(asyncio.get_running_loop()).__module__.encode())


async def request(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with what the scope says, a header that is not ASCII, and two cookies."""
    seen: dict[str, Any] = {
        key: scope[key] for key in ("method", "scheme", "path", "root_path", "http_version", "type")
    }
    seen["query"] = scope["query_string"].decode("latin-1")
    seen["raw_path"] = raw.decode("latin-1") if (raw := scope.get("raw_path")) is not None else None
    seen["server"], seen["client"] = scope["server"], scope["client"]
    seen["headers"] = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]]
    cookies = [(b"set-cookie", b"a=1; Path=/"), (b"set-cookie", b"b=2; HttpOnly")]
    await _whole(send, json.dumps(seen).encode(), (b"x-latin", b"caf\xe9"), *cookies)


async def state(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the lifespan's state, and change it: no other request may see that."""
    body = json.dumps([scope["state"], os.getpid()]).encode()
    scope["state"]["process"] = "changed"
    await _whole(send, body)


async def upload(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the body's size and sum; report what came, where a port is given."""
    digest, size, largest = hashlib.sha256(), 0, 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            tell(_port(scope), "disconnect")
            return
        digest.update(message.get("body", b""))
        size += len(message.get("body", b""))
        largest = max(largest, len(message.get("body", b"")))
        more = message.get("more_body", False)
    if scope["query_string"]:
        tell(_port(scope), "whole")
    await _whole(send, json.dumps([size, digest.hexdigest(), largest]).encode())


async def slow_upload(scope: Scope, receive: Receive, send: Send) -> None:
    """Report each message of the body as it comes, or that there is none to come."""
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            tell(_port(scope), "disconnect")
            return
        size += len(message["body"])
        more = message["more_body"]
        tell(_port(scope), f"read {size}")
    await _whole(send, b"%d" % size)


async def unread(scope: Scope, receive: Receive, send: Send) -> None:
    await _whole(send, b"unread")


async def stream(scope: Scope, receive: Receive, send: Send) -> None:
    await _start(send)
    await _part(send, b"first")
    await ask(_port(scope), "between")
    await send({"type": "http.response.body", "body": b"second"})


async def file(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the file ``path``, by the server's own means where it has any; report afterwards if told to."""
    query = parse_qs(scope["query_string"].decode())
    (path,), (port,) = query["path"], query.get("port", ["0"])
    content = _content(path)
    length = (b"content-length", b"%d" % len(content))
    if "http.response.pathsend" in scope["extensions"]:
        await _start(send, 200, length, (b"x-sent-as", b"path"))
        await send({"type": "http.response.pathsend", "path": path})
    else:
        await _start(send, 200, length, (b"x-sent-as", b"bytes"))
        await send({"type": "http.response.body", "body": content})
    if int(port):
        await ask(int(port), "after the file")


def _content(path: str) -> bytes:
    return Path(path).read_bytes()


async def hints(scope: Scope, receive: Receive, send: Send) -> None:
    """Send early hints, where the server can."""
    if "http.response.early_hint" in scope["extensions"]:
        await send({"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload"]})
    await _whole(send, b"hinted")


async def connection(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with fields that are the server's affair."""
    fields = [
        (b"connection", b"keep-alive"),
        (b"keep-alive", b"timeout=77"),
        (b"transfer-encoding", b"chunked"),
    ]
    await _start(send, 200, *fields)
    await send({"type": "http.response.body", "body": b"connected"})


async def fail(scope: Scope, receive: Receive, send: Send) -> None:
    raise MeantError("before the start")


async def fail_started(scope: Scope, receive: Receive, send: Send) -> None:
    """The start is out of the app's hands, and not yet out of the server's."""
    await _start(send)
    raise MeantError("after the start")


async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """Return without a response."""


async def fail_streaming(scope: Scope, receive: Receive, send: Send) -> None:
    await _start(send)
    await _part(send, b"half")
    await ask(_port(scope), "between")
    raise MeantError("in the middle")


async def fail_sized(scope: Scope, receive: Receive, send: Send) -> None:
    await _start(send, 200, (b"content-length", b"8"))
    await _part(send, b"half")
    await ask(_port(scope), "between")
    raise MeantError("in the middle")


async def endless(scope: Scope, receive: Receive, send: Send) -> None:
    """Send without end; report how it ends."""
    await _start(send)
    try:
        while True:
            await _part(send, BLOCK)
    except asyncio.CancelledError:
        tell(_port(scope), "cancelled")
        raise
    except OSError:
        tell(_port(scope), "send() raised")
        raise
    finally:
        tell(_port(scope), "finally")


async def endless_listening(scope: Scope, receive: Receive, send: Send) -> None:
    """Send without end until ``http.disconnect``, as Starlette and others do."""
    sending = asyncio.ensure_future(endless_sending(send))
    await receive()  # the request's body, which is empty
    message = await receive()
    tell(_port(scope), message["type"])
    sending.cancel()
    await asyncio.wait({sending})
    tell(_port(scope), "finally")


async def endless_sending(send: Send) -> None:
    await _start(send)
    while True:
        await _part(send, BLOCK)


async def idle(scope: Scope, receive: Receive, send: Send) -> None:
    """An event stream on which nothing happens: listen for the client, and stay until cancelled."""
    await _start(send)
    await _part(send, b"data: first\n\n")
    await receive()
    try:
        tell(_port(scope), (await receive())["type"])
        await asyncio.get_running_loop().create_future()
    finally:
        tell(_port(scope), "finally")


async def poll(scope: Scope, receive: Receive, send: Send) -> None:
    """A long poll that never has an answer: listen for the client alone."""
    await receive()
    tell(_port(scope), "waiting")
    tell(_port(scope), (await receive())["type"])


async def deaf(scope: Scope, receive: Receive, send: Send) -> None:
    """Send a chunk, and wait for what never comes: cancellation alone can end that."""
    await _start(send)
    await _part(send, b"first")
    await _wait_for_cancellation(_port(scope))


async def careless(scope: Scope, receive: Receive, send: Send) -> None:
    """Send until nobody takes it any more, then the same."""
    await _start(send)
    await _wait_for_cancellation(_port(scope), send)


async def _wait_for_cancellation(port: int, send: Send | None = None) -> None:
    try:
        with contextlib.suppress(OSError):
            while send is not None:
                await _part(send, BLOCK)
        await asyncio.get_running_loop().create_future()
    except asyncio.CancelledError:
        tell(port, "cancelled")
        raise
    finally:
        tell(port, "finally")


async def background(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer, and go on working."""
    await _whole(send, b"done")
    await ask(_port(scope), "background")
    tell(_port(scope), "background ended")


async def background_unsized(scope: Scope, receive: Receive, send: Send) -> None:
    """The same, without the length of what it answers."""
    await _start(send)
    await send({"type": "http.response.body", "body": b"done"})
    await ask(_port(scope), "background")
    tell(_port(scope), "background ended")


async def answer_first(scope: Scope, receive: Receive, send: Send) -> None:
    """Send a part of the answer, then read the body, and say how it ended."""
    await _start(send)
    await _part(send, b"first ")
    size, more = 0, True
    while more:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    await send({"type": "http.response.body", "body": f"{message['type']} {size}".encode()})


async def head_first(scope: Scope, receive: Receive, send: Send) -> None:
    """Send the start, and wait; then the body."""
    await _start(send)
    await ask(_port(scope), "between")
    await send({"type": "http.response.body", "body": b"body"})


async def head_first_fail(scope: Scope, receive: Receive, send: Send) -> None:
    await _start(send)
    await ask(_port(scope), "between")
    raise MeantError("after the head")


async def head_first_upload(scope: Scope, receive: Receive, send: Send) -> None:
    """Send the start, then read the body, which the client sends when it has the head."""
    await _start(send)
    size, more = 0, True
    while more:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    await send({"type": "http.response.body", "body": b"%d" % size})


async def events(scope: Scope, receive: Receive, send: Send) -> None:
    """An event stream of Starlette, whose first event waits for the test."""

    async def lines() -> AsyncIterator[str]:
        await ask(_port(scope), "waiting")
        yield "data: first\n\n"
        yield "data: second\n\n"

    await StreamingResponse(lines(), media_type="text/event-stream")(scope, receive, send)


async def leftover(scope: Scope, receive: Receive, send: Send) -> None:
    """Leave a task behind, which reports its end."""

    async def left() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            tell(port, "leftover ended")

    port = _port(scope)
    task = asyncio.ensure_future(left())
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
    await asyncio.sleep(0)
    await _whole(send, b"left")


_tasks: set[asyncio.Future[None]] = set()
_ANSWERS: dict[str, Callable[[Scope, Receive, Send], Awaitable[None]]] = {
    answer.__name__: answer
    for answer in (
        *(hello, loop, request, state, upload, slow_upload, unread, stream, fail, fail_started, nothing),
        *(fail_streaming, fail_sized, endless, endless_listening, idle, background, leftover),
        *(file, hints, connection, poll, deaf, careless, background_unsized, answer_first),
        *(head_first, head_first_fail, head_first_upload, events),
    )
}


def _options() -> dict[str, Any]:
    options: dict[str, Any] = json.loads(os.environ.get("BRIDGE_OPTIONS", "{}"))
    if os.environ.get("UVLOOP"):
        import uvloop

        options["loop_factory"] = uvloop.new_event_loop
    return options


app = AsgiToWsgi(asgi_app, **_options())
