"""Apps that speak WebSocket on the socket of their environ, by simple-websocket or by themselves."""

import asyncio
import gc
import os
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import simple_websocket
from wsproto import ConnectionType, WSConnection, events

from bridge.types import Environ, StartResponse, WSGIApp
from tests.support.asgi import HANG, Exchange
from tests.support.served import Served
from tests.support.websockets import connect

__all__ = ["Library", "Speaker", "no_descriptors_left", "serve_accepted"]


def no_descriptors_left() -> Iterator[None]:
    """A fixture: proves that both ends of each pair are closed."""
    before = _sockets()
    yield
    for thread in threading.enumerate():
        if "simple_websocket" in thread.name:
            thread.join(HANG)
    gc.collect()  # an error and its traceback hold each other, and the app's end of the pair
    assert _sockets() == before


def _sockets() -> int:
    count = 0
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
        try:
            count += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")  # noqa: PTH115
        except FileNotFoundError:
            continue  # the listing's own
    return count


class Library:
    """An app that is ``serve(ws)``, served by simple-websocket, as flask-sock does it."""

    def __init__(self, serve: Callable[[simple_websocket.Server], object], **options: Any) -> None:
        self.serve = serve
        self.options = options
        self.closed: tuple[int, str | None] | None = None
        self.ended = threading.Event()

    def __call__(self, environ: Environ, start_response: StartResponse) -> list[bytes]:
        ws = simple_websocket.Server.accept(environ, **self.options)
        try:
            self.serve(ws)
            ws.close()
        except simple_websocket.ConnectionClosed as exc:
            self.closed = (exc.reason, exc.message)
        finally:
            self.ended.set()
        start_response("200 OK", [("Content-Length", "0")])
        return [b""]


class Speaker:
    """An app that speaks the protocol by itself: ``speak(socket, connection)`` after the handshake's request."""

    def __init__(self, speak: Callable[[socket.socket, WSConnection], object]) -> None:
        self.speak = speak

    def __call__(self, environ: Environ, start_response: StartResponse) -> list[bytes]:
        connection = WSConnection(ConnectionType.SERVER)
        connection.receive_data(
            b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
            + environ["HTTP_SEC_WEBSOCKET_KEY"].encode()
            + b"\r\n\r\n"
        )
        (request,) = connection.events()
        assert isinstance(request, events.Request)
        self.speak(environ["werkzeug.socket"], connection)
        return []


def serve_accepted(app: WSGIApp, *messages: Any, **scope: Any) -> Exchange:
    """Serve one client that sends ``messages`` when it is accepted."""

    async def main() -> Exchange:
        async with Served(app) as adapter:
            async with connect(adapter, **scope) as exchange:
                await exchange.wait_until(lambda: bool(exchange.messages))
                exchange.feed(*messages)
            return exchange

    return asyncio.run(main())
