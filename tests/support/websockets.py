"""A WebSocket of a ``WsgiToAsgi`` in process: the test is the ASGI server, its messages are the specification's."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from bridge import WebSocket, WsgiToAsgi
from bridge.types import Environ, Message, Scope, StartResponse, WSGIApp
from tests.support.asgi import Exchange
from tests.support.served import Served

__all__ = [
    "Ending",
    "closing",
    "connect",
    "disconnect",
    "echo",
    "echo_forever",
    "handler",
    "received",
    "sent",
    "serve",
    "turn",
    "websocket_scope",
]


def websocket_scope(path: str = "/", *, denial: bool = False, **more: Any) -> Scope:
    """A scope as uvicorn makes it; ``denial``: with the extension for refusing by a response."""
    return {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "ws",
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 50000),
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [
            (b"host", b"127.0.0.1:8000"),
            (b"upgrade", b"websocket"),
            (b"connection", b"Upgrade"),
            (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
            (b"sec-websocket-version", b"13"),
            (b"sec-websocket-extensions", b"permessage-deflate"),
        ],
        "subprotocols": [],
        "extensions": {"websocket.http.response": {}} if denial else {},
        "state": {},
    } | more


def connect(adapter: WsgiToAsgi, path: str = "/", *, denial: bool = False, **more: Any) -> Exchange:
    """A client that has sent its handshake."""
    return Exchange(adapter, websocket_scope(path, denial=denial, **more), [{"type": "websocket.connect"}])


def received(data: str | bytes) -> Message:
    """The client's message."""
    return {"type": "websocket.receive", "text" if isinstance(data, str) else "bytes": data}


def disconnect(code: int = 1005, reason: str = "") -> Message:
    """The client's leaving."""
    return {"type": "websocket.disconnect", "code": code, "reason": reason}


def sent(exchange: Exchange) -> list[str | bytes]:
    """What the client has got."""
    return [
        message["text"] if message.get("text") is not None else message["bytes"]
        for message in exchange.messages
        if message["type"] == "websocket.send"
    ]


def closing(exchange: Exchange) -> tuple[int, str]:
    """The code and the reason of the only close, which nothing follows."""
    closes = [message for message in exchange.messages if message["type"] == "websocket.close"]
    assert len(closes) == 1, exchange.messages
    assert exchange.messages[-1] is closes[0]
    return closes[0]["code"], closes[0]["reason"]


def handler(serve: Callable[[WebSocket], object]) -> WSGIApp:
    """A WSGI app that does nothing but ``serve`` its WebSocket."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        serve(environ["wsgi.websocket"])
        return []

    return app


def serve(
    app: Callable[..., Any], *events: Any, options: dict[str, Any] | None = None, **scope: Any
) -> Exchange:
    """Serve one WebSocket whose client sends ``events``; raise what the adapter raises."""

    async def main() -> Exchange:
        async with Served(app, **(options or {})) as adapter:
            exchange = connect(adapter, **scope)
            exchange.feed(*events)
            await exchange.run()
            return exchange

    return asyncio.run(main())


async def turn() -> None:
    """Let everything run that is ready."""
    for _ in range(20):
        await asyncio.sleep(0)


def echo(websocket: WebSocket) -> None:
    """Send back what comes, until the client leaves."""
    for message in websocket:
        websocket.send(message)


def echo_forever(websocket: WebSocket) -> None:
    """Send back what comes; raises when the client leaves."""
    while True:
        websocket.send(websocket.receive())


class Ending:
    """Serves by ``serve``, and keeps what it raises."""

    def __init__(self, serve: Callable[[WebSocket], object]) -> None:
        self.serve = serve
        self.error: BaseException | None = None
        self.ended = threading.Event()

    def __call__(self, environ: Environ, start_response: StartResponse) -> list[bytes]:
        try:
            self.serve(environ["wsgi.websocket"])
        except BaseException as exc:
            self.error = exc
            raise
        finally:
            self.ended.set()
        return []
