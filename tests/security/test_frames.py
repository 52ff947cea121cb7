"""An app's error leads through frames of the bridge. None of them has the request, or a cookie of the response, in a
local variable.

Who prints local variables prints those of each frame: Sentry (by default), rich and loguru, ``cgitb``, the pages of
debuggers. What the app's own frames have, and the server's, is theirs. At home there would be no more frames than
those, and so no more is told here.

The variables are read as these tools do, after the error has left the frames.
"""

import asyncio
import inspect
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import bridge
from bridge import AsgiToWsgi, Dispatcher, Mount, WebSocket, WsgiToAsgi
from bridge.cli.proxy import Trusted, asgi_behind, wsgi_behind
from bridge.types import Environ, Receive, Scope, Send, StartResponse
from tests.security.secret_request import SECRET, secret_environ
from tests.support.asgi import Exchange, http_scope, request
from tests.support.served import Served
from tests.support.websockets import handler, websocket_scope
from tests.to_wsgi.apps import START, part

pytestmark = pytest.mark.usefixtures("no_bridge_threads")

PACKAGE = f"{Path(bridge.__file__).parent}/"
HEADERS = [
    (b"host", b"testserver"),
    (b"cookie", f"sessionid={SECRET}".encode()),
    (b"authorization", f"Bearer {SECRET}".encode()),
]
REQUEST: dict[str, Any] = {"headers": HEADERS, "query": f"token={SECRET}".encode()}
SET_COOKIE = f"sessionid={SECRET}"


def frames(error: BaseException) -> Iterator[FrameType]:
    """The bridge's frames that it, and those behind it, led through."""
    seen: set[int] = set()
    errors: list[BaseException | None] = [error]
    while errors:
        exc = errors.pop()
        if exc is None or id(exc) in seen:
            continue
        seen.add(id(exc))
        errors += [exc.__cause__, exc.__context__]
        for frame, _ in traceback.walk_tb(exc.__traceback__):
            if frame.f_code.co_filename.startswith(PACKAGE):
                yield frame


def shown(error: BaseException) -> list[str]:
    """The variables that show a secret."""
    for frame in frames(error):
        inspect.formatargvalues(*inspect.getargvalues(frame))  # it fails where a parameter is missing
    return [
        f"{frame.f_code.co_qualname}: {name}"
        for frame in frames(error)
        for name, value in frame.f_locals.items()
        if SECRET in repr(value)
    ]


def assert_nothing_shown(error: BaseException) -> None:
    assert list(frames(error)), "it led through the bridge"
    assert shown(error) == []


# A WSGI app on an ASGI server.


def fails_at_once(environ: Environ, start_response: StartResponse) -> list[bytes]:
    raise LookupError("the app's")


def fails_after_its_start(environ: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [("Set-Cookie", SET_COOKIE)])
    raise LookupError("the app's")


def fails_in_its_body(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    start_response("200 OK", [("Set-Cookie", SET_COOKIE)])
    yield b"some"
    raise LookupError("the app's")


def exits(environ: Environ, start_response: StartResponse) -> list[bytes]:
    raise SystemExit(SECRET.upper())


def is_not_here(environ: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("404 Not Found", [])
    return []


async def asgi_is_not_here(scope: Scope, receive: Receive, send: Send) -> None:
    await send({**START, "status": 404})
    await send(part(b"", more=False))


#: What stands between the server and the app.
PLACES: dict[str, Any] = {
    "alone": lambda app: app,
    "mounted": lambda app: Dispatcher({"/a": app, "/": is_not_here}),
    "mounted twice": lambda app: Dispatcher({"/": Dispatcher({"/a": app})}),
    "first of two": lambda app: Dispatcher({"/": [app, is_not_here]}),
    "second of two": lambda app: Dispatcher({"/": [is_not_here, app]}),
    "falls back": lambda app: Dispatcher({"/a": Mount(is_not_here, fallback=True), "/": app}),
}
places = pytest.mark.parametrize("place", PLACES)


def serve(app: Any, scope: Scope, *events: Any, asgi: bool = False) -> BaseException:
    """What comes of one request below ``bridge serve``'s reading of proxies."""

    async def main() -> None:
        behind = asgi_behind(Trusted("*"), app)
        if asgi:
            await Exchange(behind, scope, events).run()
            return
        lifespan = Exchange(behind, {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}})
        async with lifespan:
            lifespan.feed({"type": "lifespan.startup"})
            await lifespan.wait_for("lifespan.startup.complete")
            try:
                await Exchange(behind, scope, events).run()
            finally:
                lifespan.feed({"type": "lifespan.shutdown"})
                await lifespan.wait_for("lifespan.shutdown.complete")

    with pytest.raises(Exception) as caught:  # noqa: PT011  # by each app another one
        asyncio.run(main())
    return caught.value


@places
@pytest.mark.parametrize("mode", ["buffer", "stream"])
@pytest.mark.parametrize("app", [fails_at_once, fails_after_its_start, fails_in_its_body, exits])
def test_an_error_of_a_wsgi_app(app: Any, mode: Any, place: str) -> None:
    site = PLACES[place](WsgiToAsgi(app, request_body=mode))
    assert_nothing_shown(serve(site, http_scope("POST", "/a", **REQUEST), request(b"body")))


@places
def test_an_error_of_an_app_with_a_websocket(place: str) -> None:
    def app(websocket: WebSocket) -> None:
        websocket.accept(headers=[("Set-Cookie", SET_COOKIE)])
        websocket.receive()
        raise LookupError("the app's")

    scope = websocket_scope(
        "/a", headers=HEADERS, query_string=f"token={SECRET}".encode(), subprotocols=[SECRET], denial=True
    )
    events = [{"type": "websocket.connect"}, {"type": "websocket.receive", "text": "hello"}]
    assert_nothing_shown(serve(PLACES[place](WsgiToAsgi(handler(app))), scope, *events))


# An ASGI app on a WSGI server; and below a Dispatcher on a server of its own kind.


async def asgi_fails(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        raise ValueError("it has none")
    await receive()
    raise LookupError("the app's")


async def asgi_fails_after_its_start(scope: Scope, receive: Receive, send: Send) -> None:
    await send({**START, "headers": [(b"set-cookie", SET_COOKIE.encode())]})
    raise LookupError("the app's")


async def asgi_fails_in_its_body(scope: Scope, receive: Receive, send: Send) -> None:
    await send({**START, "headers": [(b"set-cookie", SET_COOKIE.encode())]})
    await send(part(b"some"))
    await asyncio.sleep(0.01)
    raise LookupError("the app's")


def asgi_fails_before_it_is_awaited(scope: Scope, receive: Receive, send: Send) -> Any:
    raise LookupError("the app's")


async def asgi_exits(scope: Scope, receive: Receive, send: Send) -> None:
    raise SystemExit(SECRET.upper())


ASGI_PLACES: dict[str, Any] = {
    **PLACES,
    "second of two": lambda app: Dispatcher({"/": [asgi_is_not_here, app]}),
    "falls back": lambda app: Dispatcher({"/a": Mount(asgi_is_not_here, fallback=True), "/": app}),
}
ASGI_APPS = [
    asgi_fails,
    asgi_fails_after_its_start,
    asgi_fails_in_its_body,
    asgi_fails_before_it_is_awaited,
    asgi_exits,
]


def environ() -> Environ:
    return secret_environ("/a", b"body")


def take(app: Any) -> None:
    body = app(environ(), lambda *_: lambda _: None)
    try:
        for _ in body:
            pass
    finally:
        getattr(body, "close", lambda: None)()


@places
@pytest.mark.parametrize("loop", ["request", "shared"])
@pytest.mark.parametrize("app", ASGI_APPS)
def test_an_error_of_an_asgi_app(app: Any, loop: Any, place: str) -> None:
    with (
        AsgiToWsgi(app, loop=loop, lifespan="off") as adapter,
        ASGI_PLACES[place](adapter) as site,
        pytest.raises(BaseException) as caught,  # noqa: PT011  # by each app another one
    ):
        take(wsgi_behind(Trusted("*"), site))
    assert_nothing_shown(caught.value)


@places
@pytest.mark.parametrize("app", ASGI_APPS[:-1])
def test_an_error_of_an_asgi_app_on_its_own_server(app: Any, place: str) -> None:
    if place != "alone":
        scope = http_scope("POST", "/a", **REQUEST)
        assert_nothing_shown(serve(ASGI_PLACES[place](app), scope, request(b"body"), asgi=True))


@places
@pytest.mark.parametrize("app", [fails_at_once, fails_in_its_body, exits])
def test_an_error_of_a_wsgi_app_on_its_own_server(app: Any, place: str) -> None:
    if place != "alone":
        with pytest.raises(BaseException) as caught:  # noqa: PT011  # by each app another one
            take(wsgi_behind(Trusted("*"), PLACES[place](app)))
        error = caught.value
        assert shown(error) == []


# What the bridge logs itself.


@pytest.mark.parametrize("loop", ["request", "shared"])
def test_an_error_after_the_response(loop: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def view(request: Request) -> Response:
        raise LookupError("the app's")

    app = Starlette(routes=[Route("/a", view, methods=["POST"])])  # it answers 500, and raises
    with AsgiToWsgi(app, loop=loop) as adapter:
        take(adapter)
    (record,) = (record for record in caplog.records if record.exc_info)
    assert record.exc_info is not None
    assert record.exc_info[1] is not None
    assert_nothing_shown(record.exc_info[1])


def test_an_error_of_close(caplog: pytest.LogCaptureFixture) -> None:
    class Body:
        def __iter__(self) -> Iterator[bytes]:
            return iter([b"hello"])

        def close(self) -> None:
            raise LookupError("the app's")

    def app(environ: Environ, start_response: StartResponse) -> Any:
        start_response("200 OK", [("Set-Cookie", SET_COOKIE)])
        return Body()

    async def main() -> None:
        async with Served(app) as adapter:
            await Exchange(adapter, http_scope(**REQUEST), [request()]).run()

    asyncio.run(main())
    (record,) = (record for record in caplog.records if record.exc_info)
    assert record.exc_info is not None
    assert record.exc_info[1] is not None
    assert_nothing_shown(record.exc_info[1])


@pytest.mark.usefixtures("caplog")
def test_a_chain_of_both_adapters() -> None:
    with AsgiToWsgi(WsgiToAsgi(fails_in_its_body)) as chain, pytest.raises(LookupError) as caught:
        take(chain)
    assert_nothing_shown(caught.value)


def test_what_would_be_shown_is_found() -> None:
    def fail(keys: Environ) -> None:
        raise LookupError("the app's")

    names = dict(fail.__globals__)
    code = compile("def outer(scope, fail):\n    fail(scope)", f"{PACKAGE}planted.py", "exec")
    exec(code, names)
    with pytest.raises(LookupError) as caught:
        names["outer"](environ(), fail)
    assert shown(caught.value) == ["outer: scope"]
