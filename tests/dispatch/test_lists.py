"""Several apps at one prefix, ``Dispatcher({"/": [new, old]})``, on both sides. How one hands on to the next is tested
with ``Mount(app, fallback=True)``; here is who is asked, with what, and what is refused.
"""

import asyncio
import json
import logging
import pickle
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from fastapi import FastAPI, HTTPException, Request, WebSocket
from flask import Flask
from flask import request as flask_request
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from bridge import AsgiToWsgi, Dispatcher, LifespanError, Mount, WsgiToAsgi
from bridge.types import Environ, StartResponse
from tests.support.asgi import Exchange, http_scope, request
from tests.support.lifespan import run_lifespan
from tests.support.wsgi import call, environ_for

pytestmark = pytest.mark.usefixtures("no_bridge_threads")


def asgi_app(name: str, *routes: str, log: list[str] | None = None, fails: bool = False) -> FastAPI:
    """Answers POST below its routes with its name, what it sees of its place, and the size of the body."""
    log = [] if log is None else log

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, str]]:
        if fails:
            raise OSError("no database")
        log.append(f"{name} up")
        yield {"name": name}
        log.append(f"{name} down")

    app = FastAPI(lifespan=lifespan)

    async def endpoint(request: Request) -> list[Any]:
        size = len(await request.body())
        if request.url.path.endswith("/gone"):
            raise HTTPException(404)
        path = request.scope["path"].removeprefix(request.scope["root_path"])
        return [name, request.scope["root_path"], path, size, request.state.name]

    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(name)
        await websocket.close()

    for route in routes:
        app.post(route)(endpoint)
        app.post(f"{route}/gone")(endpoint)
        app.websocket(route)(socket)
    return app


def wsgi_app(name: str, *routes: str) -> Flask:
    app = Flask(name)

    def endpoint() -> list[Any]:
        return [name, flask_request.script_root, flask_request.path, len(flask_request.get_data())]

    def socket() -> str:
        flask_request.environ["wsgi.websocket"].send(name)
        return ""

    for number, route in enumerate(routes):
        app.add_url_rule(route, f"http{number}", endpoint, methods=["POST"])
        app.add_url_rule(f"{route}/gone", f"gone{number}", endpoint, methods=["POST"])
        app.add_url_rule(route, f"socket{number}", socket, websocket=True)
    return app


def ask_asgi(app: Dispatcher, path: str, body: bytes = b"", **scope: Any) -> tuple[int, Any]:
    with TestClient(app, root_path=scope.get("root_path", "")) as client:
        answer = client.post(path, content=body)
        return answer.status_code, answer.json() if answer.status_code == 200 else None


def ask_wsgi(app: Dispatcher, path: str, body: bytes = b"", root_path: str = "") -> tuple[int, Any]:
    with app:
        answer = call(app, environ_for(path, "POST", body, SCRIPT_NAME=root_path))
    status = int(answer.status[:3])
    return status, json.loads(answer.body) if status == 200 else None


ASKS: list[Callable[..., tuple[int, Any]]] = [ask_asgi, ask_wsgi]


@pytest.mark.parametrize("ask", ASKS)
def test_the_new_app_first_and_the_old_one_behind_it(ask: Callable[..., tuple[int, Any]]) -> None:
    """Both at ``/``, with the whole body."""
    body = b"x" * 300_000

    def site() -> Dispatcher:
        return Dispatcher({"/": [asgi_app("new", "/moved", "/a/b"), wsgi_app("old", "/moved", "/left")]})

    assert ask(site(), "/moved", body) == (200, ["new", "", "/moved", 300_000, "new"])
    assert ask(site(), "/left", body) == (200, ["old", "", "/left", 300_000])
    # The route that reads its body before it says 404.
    assert ask(site(), "/moved/gone", body) == (200, ["old", "", "/moved/gone", 300_000])
    assert ask(site(), "/nowhere") == (404, None)


@pytest.mark.parametrize("ask", ASKS)
@pytest.mark.parametrize("listed", [list, tuple])
def test_more_than_two_below_a_prefix_and_a_root_path(
    ask: Callable[..., tuple[int, Any]], listed: Callable[[Any], Any]
) -> None:
    def site() -> Dispatcher:
        apps = [wsgi_app("1", "/a"), asgi_app("2", "/a", "/b"), asgi_app("3", "/c"), wsgi_app("4", "/d")]
        return Dispatcher({"/shop": listed(apps), "/": wsgi_app("not asked", "/e", "/shop/e")})

    for path, name in (("/a", "1"), ("/b", "2"), ("/c", "3"), ("/d", "4")):
        status, told = ask(site(), f"/shop{path}", b"four", root_path="/site")
        assert (status, told[:4]) == (200, [name, "/site/shop", path, 4])
    # The last one's answer counts.
    assert ask(site(), "/shop/e") == (404, None)


@pytest.mark.parametrize("ask", ASKS)
def test_a_mount_that_falls_back_to_a_list(ask: Callable[..., tuple[int, Any]]) -> None:
    def site() -> Dispatcher:
        return Dispatcher(
            {
                "/": [asgi_app("second", "/x/b"), wsgi_app("third", "/x/c")],
                "/x": Mount(asgi_app("first", "/a"), fallback=True),
            }
        )

    for path, told in (
        ("a", ["first", "/x", "/a"]),
        ("b", ["second", "", "/x/b"]),
        ("c", ["third", "", "/x/c"]),
    ):
        assert ask(site(), f"/x/{path}")[1][:3] == told


@pytest.mark.parametrize("ask", ASKS)
def test_dispatchers_in_a_list_and_lists_in_a_dispatcher(ask: Callable[..., tuple[int, Any]]) -> None:
    def site() -> Dispatcher:
        inner = Dispatcher({"/v1": [asgi_app("a", "/a"), wsgi_app("b", "/b")]})
        return Dispatcher({"/api": [inner, asgi_app("c", "/c")]})

    for path, told in (
        ("/api/v1/a", ["a", "/api/v1", "/a"]),
        ("/api/v1/b", ["b", "/api/v1", "/b"]),
        ("/api/c", ["c", "/api", "/c"]),
    ):
        assert ask(site(), path)[1][:3] == told
    assert ask(site(), "/api/v2") == (404, None)


def test_websockets_are_asked_for_in_turn() -> None:
    site = Dispatcher(
        {
            "/": [
                asgi_app("new", "/new"),
                wsgi_app("old", "/old", "/new"),
                asgi_app("oldest", "/oldest", "/old"),
            ]
        }
    )
    with TestClient(site) as client:
        for path, name in (("/new", "new"), ("/old", "old"), ("/oldest", "oldest")):
            with client.websocket_connect(path) as websocket:
                assert websocket.receive_text() == name
        with pytest.raises(WebSocketDisconnect), client.websocket_connect("/nowhere"):
            pass


def test_each_has_its_lifespan_in_the_order_of_the_list() -> None:
    log: list[str] = []
    first, second, third = (asgi_app(name, "/x", log=log) for name in ("first", "second", "third"))
    with TestClient(Dispatcher({"/": [first, wsgi_app("old"), second], "/api": third})):
        assert log == ["first up", "second up", "third up"]
    assert log[3:] == ["third down", "second down", "first down"]
    # On a WSGI server each starts before its first request.
    log.clear()
    first, second = (asgi_app(name, f"/{name}", log=log) for name in ("first", "second"))
    with Dispatcher({"/": [first, second]}) as site:
        for path in ("/first", "/second"):
            assert call(site, environ_for(path, "POST", b"")).status == "200 OK"
            assert log[-1] == f"{path[1:]} up"
    assert log == ["first up", "second up", "second down", "first down"]


def test_which_one_failed_to_start_is_told() -> None:
    site = Dispatcher({"/": [asgi_app("new", "/x"), asgi_app("old", "/y", fails=True)]})
    inner = Dispatcher({"/in": Dispatcher({"/": [asgi_app("new", "/x"), asgi_app("old", "/y", fails=True)]})})
    for app, place in ((site, "/ (app 2 of 2)"), (inner, "/in (app 2 of 2)")):

        async def start(app: Dispatcher = app) -> str:
            exchange = Exchange(app, {"type": "lifespan"}, [{"type": "lifespan.startup"}])
            await exchange.run()
            return str(exchange.messages[-1]["message"])

        assert asyncio.run(start()).startswith(f"{place}: ")
    with site, pytest.raises(LifespanError):
        call(site, environ_for("/y", "POST", b""))


def test_which_one_failed_after_it_was_passed_over_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async def fails(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b""})
        raise LookupError("late")

    async def main() -> None:
        site = Dispatcher({"/": [fails, wsgi_app("old", "/x")]})
        await Exchange(site, http_scope("POST", "/x"), [request()]).run()
        await run_lifespan(site)

    with caplog.at_level(logging.ERROR, "bridge"):
        asyncio.run(main())
    assert "the application at '/ (app 1 of 2)' failed after its answer had been dropped" in caplog.text


def test_adapters_with_options_hold_in_a_list() -> None:
    new, old = asgi_app("new", "/x"), wsgi_app("old", "/y")
    one, two = Dispatcher({"/": [AsgiToWsgi(new, loop="shared"), WsgiToAsgi(old, threads=3)]})._parts
    assert (one.asgi, two.wsgi) == (new, old)
    assert cast("AsgiToWsgi", one.wsgi).loop == "shared"
    assert cast("WsgiToAsgi", two.asgi).threads == 3


def plain(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("404 Not Found", [("Content-Type", "text/plain")])
    return [b"plain"]


async def plain_asgi(scope: Any, receive: Any, send: Any) -> None:
    raise NotImplementedError


def test_it_pickles_and_says_what_is_mounted() -> None:
    site = Dispatcher({"/": [plain, Dispatcher({"/": plain})]})
    assert repr(site) == "<Dispatcher / (app 1 of 2), / (app 2 of 2)>"
    assert site.mounts["/"] == [plain, cast("Any", site.mounts["/"])[1]]
    copy = pickle.loads(pickle.dumps(site))
    assert call(copy, environ_for("/")).body == b"plain"


def test_a_list_of_one_is_that_one() -> None:
    [part] = Dispatcher({"/": [plain]})._parts
    assert (part.which, part.fallback) == ("", None)


@pytest.mark.parametrize(
    ("mounts", "error", "says"),
    [
        ({"/": []}, ValueError, "/: the list of apps is empty"),
        ({"/a": ()}, ValueError, "/a: the list of apps is empty"),
        (
            {"/": [plain, Mount(plain_asgi)]},
            TypeError,
            "/: a Mount in a list of apps; they are asked in turn",
        ),
        ({"/": [plain, [plain_asgi]]}, TypeError, "/: a list in a list of apps"),
        ({"/": Mount(cast("Any", [plain, plain_asgi]))}, TypeError, "/: a Mount is of one app"),
        ({"/": [plain, plain]}, ValueError, "/: the same app is twice in the list"),
        ({"/": [plain, WsgiToAsgi(plain)]}, ValueError, "/: the same app is twice in the list"),
        ({"/x": [plain, 42]}, TypeError, "/x (app 2 of 2): an object of class 'int' is not an app"),
        ({"/x": [Flask, plain]}, TypeError, "/x (app 1 of 2): the class 'Flask' is not an app"),
        ({"/": {plain, plain_asgi}}, TypeError, "/: an object of class 'set' is not an app"),
        ({"/": plain, "//": plain}, ValueError, "empty"),
        ({"/a": plain, "/a/": plain_asgi}, ValueError, "{'/a': [first, second]} has both there"),
    ],
)
def test_what_is_no_list_of_apps_is_refused(mounts: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error) as caught:
        Dispatcher(mounts)
    assert says in str(caught.value)
