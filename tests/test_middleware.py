"""Middleware of today around ``WsgiToAsgi``, and inside ``AsgiToWsgi``, where the server offers all that there is.

What a middleware doesn't know it takes for an error, drops, or passes on uncompressed. So by default nothing of that
kind is offered to an app or sent.
"""

import asyncio
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from bridge import AsgiToWsgi, WsgiToAsgi
from bridge.types import Environ, Message, Receive, Scope, Send, StartResponse
from tests.support.asgi import Exchange, http_scope, request
from tests.support.faults.row import installed
from tests.support.middleware import ENCODINGS, MIDDLEWARE, decoded
from tests.support.served import Served
from tests.support.wsgi import call, environ_for

pytestmark = pytest.mark.usefixtures("no_bridge_threads")

EXTENSIONS: dict[str, Any] = {
    "http.response.pathsend": {},
    "http.response.zerocopysend": {},
    "http.response.early_hint": {},
    "http.response.trailers": {},
    "http.response.push": {},
    "http.response.debug": {},
    "tls": {"tls_version": 0x0304, "cipher_suite": 0x1301, "server_cert": None, "client_cert_chain": []},
}
ACCEPT = [(b"host", b"test"), (b"accept-encoding", b"gzip, br")]
CONTENT = b"0123456789abcdef" * 4000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "page.txt"
    path.write_bytes(CONTENT)
    return path


def wsgi_app(path: Path, kind: str) -> Any:
    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if kind == "hints":
            environ["wsgi.early_hints"]([("Link", "</a.css>; rel=preload")])
        start_response("200 OK", [("Content-Type", "text/plain")])
        if kind == "file":
            wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](path.open("rb"))
            return wrapped
        if kind == "chunks":
            return iter([CONTENT[:1000], CONTENT[1000:]])
        return [CONTENT]

    return app


async def _through(adapter: WsgiToAsgi, name: str) -> Exchange:
    app = MIDDLEWARE[name](adapter)
    return await Exchange(app, http_scope(headers=ACCEPT, extensions=EXTENSIONS), [request()]).run()


@pytest.mark.parametrize("kind", ["list", "chunks", "file", "hints"])
@pytest.mark.parametrize("name", MIDDLEWARE)
def test_a_wsgi_app_inside_middleware(name: str, kind: str, path: Path) -> None:
    if kind == "hints" and name.startswith("Starlette") and not installed("starlette>=1.8"):
        pytest.skip("Starlette knows early hints since 1.8")

    async def main() -> None:
        async with Served(wsgi_app(path, kind)) as adapter:
            exchange = await _through(adapter, name)
        kinds = [message["type"] for message in exchange.messages]
        if kind == "hints" and "http.response.early_hint" in kinds:  # brotli-asgi drops them
            kinds.remove("http.response.early_hint")
        assert set(kinds) == {"http.response.start", "http.response.body"}
        encoding = exchange.header(b"content-encoding")
        assert (encoding and encoding.decode()) == ENCODINGS.get(name)
        assert decoded(exchange.body, ENCODINGS.get(name)) == CONTENT
        assert exchange.complete

    asyncio.run(main())


@pytest.mark.parametrize("loop", ["request", "shared"])
@pytest.mark.parametrize("name", MIDDLEWARE)
def test_middleware_inside_an_asgi_app(name: str, loop: Any, path: Path) -> None:
    seen: list[Scope] = []

    async def endpoint(request: Request) -> Response:
        seen.append(request.scope)
        return FileResponse(path)

    def wrapper(file: io.FileIO, size: int) -> io.FileIO:
        raise AssertionError("nobody asked for the server's own means")

    environ = environ_for(HTTP_ACCEPT_ENCODING="gzip, br", SSL_PROTOCOL="TLSv1.3")
    environ |= {"wsgi.url_scheme": "https", "wsgi.file_wrapper": wrapper, "wsgi.early_hints": print}
    app = MIDDLEWARE[name](Starlette(routes=[Route("/", endpoint)]))
    with AsgiToWsgi(app, loop=loop) as adapter:
        answer = call(adapter, environ)
    headers = {key.lower(): value for key, value in answer.headers}
    assert answer.status == "200 OK"
    assert headers.get("content-encoding") == ENCODINGS.get(name)
    assert decoded(answer.body, ENCODINGS.get(name)) == CONTENT
    # tls tells something, and asks for nothing; hints go out only where an app sends them.
    assert seen[0]["extensions"].keys() == {"http.response.early_hint", "tls"}


@pytest.mark.parametrize("name", MIDDLEWARE)
def test_a_refused_handshake_inside_middleware(name: str) -> None:
    """The one message beside those of HTTP that the bridge sends by itself, where the server can send a response."""

    async def main() -> list[Message]:
        sent: list[Message] = []

        async def receive() -> Message:
            return {"type": "websocket.connect"}

        async def send(message: Message) -> None:
            sent.append(message)

        app: Any = MIDDLEWARE[name](WsgiToAsgi(wsgi_app(Path(), "list"), websocket_threads=0))
        denial: dict[str, Any] = {"websocket.http.response": {}}
        scope = http_scope(type="websocket", scheme="ws", extensions=denial, subprotocols=[])
        connected: tuple[Scope, Receive, Send] = (scope, receive, send)
        await app(*connected)
        return sent

    sent = asyncio.run(main())
    assert [message["type"] for message in sent] == [
        "websocket.http.response.start",
        "websocket.http.response.body",
    ]
    assert sent[0]["status"] == 403
