"""``wsgi.early_hints`` of ``WsgiToAsgi``."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from bridge import ApplicationError
from bridge.types import Environ, StartResponse
from tests.support.asgi import HANG
from tests.support.served import Served, call, fail
from tests.support.wsgi_apps import get, hello

pytestmark = pytest.mark.usefixtures("no_bridge_threads")


def test_early_hints_where_the_server_has_them() -> None:
    go = threading.Event()

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        hint: Callable[[Any], None] = environ["wsgi.early_hints"]
        hint([("Link", "</a.css>; rel=preload"), ("X-Other", "no"), ("link", "</b.js>; rel=preload")])
        hint([("X-Other", "no")])
        assert go.wait(HANG)
        return hello(environ, start_response)

    async def main() -> None:
        async with Served(app) as adapter:
            async with get(adapter, extensions={"http.response.early_hint": {}}) as exchange:
                await exchange.wait_for("http.response.early_hint")
                assert exchange.messages == [
                    {
                        "type": "http.response.early_hint",
                        "links": [b"</a.css>; rel=preload", b"</b.js>; rel=preload"],
                    }
                ]
                go.set()
            assert exchange.body == b"hello"
            assert exchange.status == 200

    asyncio.run(main())


def test_no_early_hints_where_the_server_has_none() -> None:
    seen: list[Environ] = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        seen.append(environ)
        return hello(environ, start_response)

    call(app)
    assert "wsgi.early_hints" not in seen[0]


@pytest.mark.parametrize("value", ["</a\r\nX: y>", "</\u20ac>"])
def test_early_hints_cannot_write_headers(value: str) -> None:
    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        environ["wsgi.early_hints"]([("Link", value)])
        return hello(environ, start_response)

    exchange, _ = fail(app, ApplicationError, extensions={"http.response.early_hint": {}})
    assert exchange.messages == []


@pytest.mark.parametrize(
    "headers", [None, 5, {"Link": "</a>"}, [("Link",)], [(b"Link", "</a>")], [("Link", None)], [("X Y", "a")]]
)
def test_what_is_no_header_is_refused(headers: Any) -> None:
    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        environ["wsgi.early_hints"](headers)
        return hello(environ, start_response)

    exchange, _ = fail(app, ApplicationError, extensions={"http.response.early_hint": {}})
    assert exchange.messages == []


def test_an_error_after_early_hints_is_still_a_500() -> None:
    """The response has not started: the app's error goes to the server as it is, on HTTP/2 too."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        environ["wsgi.early_hints"]([("Link", "</a.css>; rel=preload")])
        raise LookupError("mine")

    for version in ("1.1", "2"):
        exchange, _ = fail(
            app, LookupError, extensions={"http.response.early_hint": {}}, http_version=version
        )
        assert [message["type"] for message in exchange.messages] == ["http.response.early_hint"]
