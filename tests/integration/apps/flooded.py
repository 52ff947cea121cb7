"""Apps that say what they were asked, behind bridge, and what the bridge has called for it.

The response is JSON: ``fields`` named ``X-F-...``, ``pairs`` of cookies, ``parameters``. ``X-Calls`` is how many
functions the bridge's own code has called in the server's thread, which does all that grows with the request.
"""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from bridge import AsgiToWsgi, WsgiToAsgi


def _told(names: list[str], cookies: str, query: str) -> bytes:
    return json.dumps(
        {
            "fields": sum(name.lower().replace("_", "-").startswith("x-f-") for name in names),
            "pairs": cookies.count("="),
            "parameters": query.count("="),
        }
    ).encode()


@contextmanager
def _counted() -> Iterator[list[int]]:
    calls = [0]

    def count(frame: FrameType, event: str, argument: Any) -> None:
        if event in {"call", "c_call"} and frame.f_globals.get("__name__", "").startswith("bridge."):
            calls[0] += 1

    sys.setprofile(count)
    try:
        yield calls
    finally:
        sys.setprofile(None)


def _wsgi(environ: Any, start_response: Any) -> list[bytes]:
    names = [key.removeprefix("HTTP_") for key in environ if key.startswith("HTTP_")]
    start_response("200 OK", [("Content-Type", "application/json")])
    return [_told(names, environ.get("HTTP_COOKIE", ""), environ["QUERY_STRING"])]


async def _asgi(scope: Any, receive: Any, send: Any) -> None:
    names = [name.decode() for name, _ in scope["headers"]]
    cookies = ";".join(value.decode() for name, value in scope["headers"] if name == b"cookie")
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]}
    )
    await send({"type": "http.response.body", "body": _told(names, cookies, scope["query_string"].decode())})


_loop: Any = os.environ.get("LOOP", "request")
_to_asgi = WsgiToAsgi(_wsgi)
_to_wsgi = AsgiToWsgi(_asgi, loop=_loop, lifespan="off")


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    """The WSGI app, for ASGI servers."""
    if scope["type"] != "http":
        await _to_asgi(scope, receive, send)
        return
    messages: list[Any] = []

    async def keep(message: Any) -> None:
        messages.append(message)

    with _counted() as calls:
        await _to_asgi(scope, receive, keep)
    messages[0]["headers"].append((b"x-calls", str(calls[0]).encode()))
    for message in messages:
        await send(message)


def wsgi(environ: Any, start_response: Any) -> list[bytes]:
    """The ASGI app, for WSGI servers."""
    started: list[Any] = []

    def start(*args: Any) -> Any:
        started.append(args)
        return lambda data: None

    with _counted() as calls:
        body: Any = _to_wsgi(environ, start)
        chunks = list(body)
        getattr(body, "close", int)()
    status, headers = started[0]
    start_response(status, [*headers, ("X-Calls", str(calls[0]))])
    return chunks
