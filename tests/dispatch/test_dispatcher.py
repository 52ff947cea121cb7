"""``Dispatcher`` in process: what is mounted, who gets a request, and what it sees. Lifespan is in its own file."""

import asyncio
import contextlib
import inspect
import io
import pickle
from collections.abc import Callable, Iterable
from typing import Any, cast

import cloudpickle
import pytest
import uvicorn
from asgiref.compatibility import is_double_callable
from asgiref.sync import iscoroutinefunction
from hypercorn.utils import is_asgi

from bridge import AsgiToWsgi, Dispatcher, Mount, WsgiToAsgi
from bridge.kind import UnknownKindError, guess_kind, is_both
from bridge.types import ASGIApp, Environ, Receive, Scope, Send, StartResponse, WSGIApp
from tests.support.asgi import Exchange, call_asgi, http_scope, request
from tests.support.lifespan import run_lifespan
from tests.support.wsgi import call, environ_for

pytestmark = pytest.mark.usefixtures("no_bridge_threads")


def asgi(name: str) -> ASGIApp:
    """An ASGI app that says its name and where it is."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send(
                {"type": "websocket.accept", "subprotocol": f"{name} {scope['root_path']} {scope['path']}"}
            )
            return
        assert scope["type"] == "http"
        text = f"{name} {scope['root_path']} {scope['path']}".encode()
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}
        )
        await send({"type": "http.response.body", "body": text})

    return app


def wsgi(name: str) -> WSGIApp:
    """The same as a WSGI app."""

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        # The bytes of the URL, which are latin-1 here (PEP 3333, "Unicode Issues").
        return [f"{name} {environ['SCRIPT_NAME']} {environ['PATH_INFO']}".encode("latin-1")]

    return app


def ask_asgi(app: Dispatcher, path: str, **scope: Any) -> tuple[int, str]:
    async def main() -> Exchange:
        try:
            return await Exchange(app, http_scope(path=path, **scope), [request()]).run()
        finally:
            await run_lifespan(app)

    done = asyncio.run(main())
    assert done.complete
    return done.status, done.body.decode(errors="surrogateescape")


def ask_wsgi(app: Dispatcher, path: str, **keys: Any) -> tuple[int, str]:
    with app:
        answer = call(app, environ_for(path, **keys))
    return int(answer.status[:3]), answer.body.decode()


Ask = Callable[..., tuple[int, str]]
BOTH = pytest.mark.parametrize("ask", [ask_asgi, ask_wsgi])


def site() -> Dispatcher:
    return Dispatcher(
        {
            "/api": asgi("api"),
            "/api/old": wsgi("old"),
            "/admin/": wsgi("admin"),
            "/": asgi("root"),
            "/é b": wsgi("e"),
        }
    )


@BOTH
@pytest.mark.parametrize(
    ("path", "name", "root", "rest"),
    [
        ("/", "root", "", "/"),
        ("/x", "root", "", "/x"),
        ("/api", "api", "/api", ""),
        ("/api/", "api", "/api", "/"),
        ("/api/x/y", "api", "/api", "/x/y"),
        ("/api//x", "api", "/api", "//x"),
        ("//api/x", "root", "", "//api/x"),
        ("/apix", "root", "", "/apix"),
        ("/ap", "root", "", "/ap"),
        ("/api/old", "old", "/api/old", ""),
        ("/api/old/x", "old", "/api/old", "/x"),
        ("/api/older", "api", "/api", "/older"),
        ("/admin/x", "admin", "/admin", "/x"),
        ("/é b/é", "e", "/é b", "/é"),
    ],
)
@pytest.mark.parametrize("server_root", ["", "/site"])
def test_who_gets_a_request(ask: Ask, path: str, name: str, root: str, rest: str, server_root: str) -> None:
    status, text = (
        ask(site(), server_root + path, root_path=server_root)
        if ask is ask_asgi
        else ask(site(), path, SCRIPT_NAME=server_root)
    )
    assert status == 200
    root = server_root + root
    is_wsgi = name in {"old", "admin", "e"}
    assert text == f"{name} {root} {rest if is_wsgi else root + rest}"


@BOTH
def test_where_nothing_is_mounted(ask: Ask) -> None:
    app = Dispatcher({"/api": asgi("api"), "/x/y": wsgi("y")})
    for path in ("/", "/apix", "/x", "/x/z", "//api", "/%61pi"):
        assert ask(app, path) == (404, "No app is mounted here.\n")


def test_where_nothing_is_mounted_head_has_no_body() -> None:
    answer = call(Dispatcher({"/api": asgi("api")}), environ_for("/x", "HEAD"))
    assert (answer.status, answer.chunks) == ("404 Not Found", [])
    assert ("Content-Length", "24") in answer.headers


def test_a_percent_encoded_path_is_the_path_that_it_stands_for() -> None:
    app = Dispatcher({"/api": asgi("api")})
    assert ask_asgi(app, "/api/x", raw_path=b"/%61pi/x") == (200, "api /api /api/x")


def test_a_path_that_is_no_utf_8() -> None:
    """The bytes reach a WSGI part as they were."""
    app = Dispatcher({"/old": wsgi("old")})
    status, text = ask_asgi(app, "/old/\N{REPLACEMENT CHARACTER}", raw_path=b"/old/%FF")
    assert (status, text) == (200, "old /old /\udcff")


@pytest.mark.parametrize("path", ["*", "http://host/api/x"])
def test_targets_that_are_no_paths(path: str) -> None:
    app = Dispatcher({"/api": asgi("api"), "/": asgi("root")})
    expected = "root  *" if path == "*" else "api /api /api/x"
    assert ask_asgi(app, path, raw_path=path.encode()) == (200, expected)
    assert ask_asgi(Dispatcher({"/other": asgi("other")}), path)[0] == 404


@BOTH
def test_three_dispatchers_deep(ask: Ask) -> None:
    third = Dispatcher({"/users": wsgi("users"), "/": asgi("third")})
    app = Dispatcher({"/api": Dispatcher({"/v1": third, "/v2": wsgi("v2")}), "/": asgi("first")})
    assert ask(app, "/api/v1/users/7") == (200, "users /api/v1/users /7")
    assert ask(app, "/api/v1/x") == (200, "third /api/v1 /api/v1/x")
    assert ask(app, "/api/v2/x") == (200, "v2 /api/v2 /x")
    assert ask(app, "/api/v3") == (404, "No app is mounted here.\n")
    assert ask(app, "/v1") == (200, "first  /v1")
    assert ask(
        app, "/api/v1/users/7", **({"root_path": "/s"} if ask is ask_asgi else {"SCRIPT_NAME": "/s"})
    ) == (
        200,
        "users /s/api/v1/users /7",
    )


def websocket_scope(path: str, **more: Any) -> Scope:
    scope = http_scope(path=path, type="websocket", scheme="ws", subprotocols=[], **more)
    del scope["method"]
    return scope


def test_a_websocket_reaches_its_app() -> None:
    app = Dispatcher({"/api": asgi("api")})
    exchange = Exchange(app, websocket_scope("/api/ws"), [{"type": "websocket.connect"}])
    asyncio.run(exchange.run())
    assert exchange.messages == [{"type": "websocket.accept", "subprotocol": "api /api /api/ws"}]


def test_a_websocket_to_nowhere_is_refused() -> None:
    app = Dispatcher({"/api": asgi("api")})
    exchange = Exchange(app, websocket_scope("/ws"), [{"type": "websocket.connect"}])
    asyncio.run(exchange.run())
    assert exchange.messages == [{"type": "websocket.close", "code": 1000, "reason": ""}]
    denial: dict[str, Any] = {"websocket.http.response": {}}
    exchange = Exchange(app, websocket_scope("/ws", extensions=denial), [{"type": "websocket.connect"}])
    asyncio.run(exchange.run())
    start, body = exchange.messages
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 404)
    assert (body["type"], body["body"], body["more_body"]) == (
        "websocket.http.response.body",
        b"No app is mounted here.\n",
        False,
    )


def test_a_websocket_handshake_on_a_wsgi_server() -> None:
    answer = call(Dispatcher({"/": asgi("a")}), environ_for("/", HTTP_UPGRADE="websocket"))
    assert answer.status.startswith("501")


def test_a_scope_of_another_type() -> None:
    with pytest.raises(ValueError, match="of type 'ftp'"):
        call_asgi(Dispatcher({"/": asgi("a")}), type="ftp")


@BOTH
def test_what_an_app_raises_is_raised(ask: Ask) -> None:
    error = LookupError("as it is")

    async def raises(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        raise error

    def wsgi_raises(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        raise error

    for app in (raises, wsgi_raises):
        with pytest.raises(LookupError) as caught:
            ask(Dispatcher({"/": app}), "/")
        assert caught.value is error


# Kinds.


def test_wrappers_are_used_in_their_direction_and_unwrapped_in_the_other() -> None:
    wsgi_app, asgi_app = wsgi("w"), asgi("a")
    to_asgi, to_wsgi = WsgiToAsgi(wsgi_app, threads=1), AsgiToWsgi(asgi_app, loop="shared")
    app = Dispatcher({"/w": to_asgi, "/a": to_wsgi})
    w, a = app._parts
    assert (w.asgi, w.wsgi) == (to_asgi, wsgi_app)
    assert (a.asgi, a.wsgi) == (asgi_app, to_wsgi)


def test_an_app_that_is_mounted_twice_has_one_adapter_and_it_is_the_users() -> None:
    wsgi_app, asgi_app = wsgi("w"), asgi("a")
    one, two, three, four = Dispatcher(
        {"/1": wsgi_app, "/2": wsgi_app, "/3": asgi_app, "/4": asgi_app}
    )._parts
    assert one.asgi is two.asgi
    assert three.wsgi is four.wsgi
    mine = AsgiToWsgi(asgi_app)
    one, two = Dispatcher({"/1": asgi_app, "/2": mine})._parts
    assert one.wsgi is two.wsgi is mine


def test_an_app_of_unknown_kind_is_named() -> None:
    def either(*args: object) -> Any:
        raise AssertionError

    with pytest.raises(UnknownKindError, match=r"^/x: .*WsgiToAsgi.app. or AsgiToWsgi.app. says it"):
        Dispatcher({"/": asgi("a"), "/x": either})
    assert repr(Dispatcher({"/x": WsgiToAsgi(either)})) == "<Dispatcher /x>"


@pytest.mark.parametrize(
    ("mounts", "error", "says"),
    [
        ({}, ValueError, "no app is mounted"),
        ([("/", wsgi("w"))], TypeError, "mapping of prefixes to apps"),
        ({"api": wsgi("w")}, ValueError, "'api' does not begin with a slash"),
        ({"/api": wsgi("w"), "/api/": wsgi("w")}, ValueError, "two apps are mounted at '/api'"),
        ({"/": 5}, TypeError, "^/: an object of class 'int' is not an app"),
        ({"/x": None}, TypeError, "^/x: .*not an app"),
        ({"/x": Dispatcher}, TypeError, "^/x: the class 'Dispatcher' is not an app"),
        ({"/x": lambda: None}, TypeError, "takes no arguments"),
        ({"/x": Mount(cast("WSGIApp", Mount(wsgi("w"))))}, TypeError, "^/x: .*Mount.* not an app"),
        ({"/x": Mount(wsgi("w"), fallback=True)}, ValueError, "'/x' has fallback=True, and no other mount"),
        ({"/": Mount(wsgi("w"), fallback=True), "/x": wsgi("x")}, ValueError, "nothing to fall back to"),
        ({"/x/y": Mount(wsgi("w"), fallback=True), "/z": wsgi("x")}, ValueError, "nothing to fall back to"),
    ],
)
def test_mounts_that_are_none(mounts: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        Dispatcher(mounts)


# The object.


def test_servers_take_it_for_asgi_without_a_hint() -> None:
    app = site()
    assert is_asgi(app), "hypercorn"
    config = uvicorn.Config(app, ws="none", log_config=None)
    config.load()
    assert config.interface == "asgi3", "uvicorn, which asks asyncio or inspect, as Python's version wants it"
    assert iscoroutinefunction(app.__call__), "asgiref"
    assert not is_double_callable(app), "daphne"  # type: ignore[no-untyped-call]
    with pytest.raises(TypeError):
        app()  # type: ignore[call-overload]  # what uvicorn does to find factories
    assert is_both(app)
    assert not is_both(asgi("a"))
    assert not is_both(Dispatcher)
    assert guess_kind(app) == "asgi"


def test_arguments_by_name() -> None:
    """daphne calls so."""

    async def main() -> list[Any]:
        sent: list[Any] = []

        async def receive() -> Any:
            return request()

        async def send(message: Any) -> None:
            sent.append(message)

        await site()(scope=http_scope(path="/"), receive=receive, send=send)
        return sent

    assert asyncio.run(main())[0]["status"] == 200
    with (
        site() as app,
        contextlib.closing(
            cast("Any", app(environ=environ_for("/x"), start_response=lambda *_: print))
        ) as body,
    ):
        assert list(body) == [b"root  /x"]


def test_a_subclass_may_put_something_around_both() -> None:
    seen: list[int] = []

    class Counting(Dispatcher):
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            seen.append(len(args))
            return super().__call__(*args, **kwargs)

    app = Counting({"/": asgi("a")})
    assert ask_asgi(app, "/") == (200, "a  /")
    assert ask_wsgi(app, "/") == (200, "a  /")
    assert seen == [3, 3, 2]
    assert inspect.iscoroutinefunction(app.__call__)


def test_it_pickles() -> None:
    app = Dispatcher({"/w": wsgi("w"), "/": asgi("a")})
    copy = pickle.loads(cloudpickle.dumps(app))
    assert ask_asgi(copy, "/w/x") == (200, "w /w /x")
    assert ask_wsgi(copy, "/x") == (200, "a  /x")
    assert inspect.iscoroutinefunction(copy.__call__)


def test_the_body_and_the_environ_are_the_servers() -> None:
    def echo(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        assert type(environ["wsgi.input"]) is io.BytesIO
        environ["seen.by"] = "echo"
        return [environ["wsgi.input"].read()]

    environ = environ_for("/x", "POST", b"body")
    app = Dispatcher({"/x": echo})
    assert call(app, environ, validate=False).body == b"body"
    assert environ["seen.by"] == "echo"


def test_close_closes_each_app_once_in_reverse_and_all_of_them() -> None:
    closed: list[str] = []

    class Closing(AsgiToWsgi):
        def __init__(self, name: str) -> None:
            super().__init__(asgi(name))
            self.name = name

        def close(self) -> None:
            closed.append(self.name)
            super().close()
            if self.name == "b":
                raise OSError("b can't")

    a, b, c = Closing("a"), Closing("b"), Closing("c")
    app = Dispatcher({"/a": a, "/n": Dispatcher({"/b": b}), "/c": c, "/c2": c})
    with pytest.raises(OSError, match="b can't"), app:
        assert call(app, environ_for("/a")).status == "200 OK"
    assert closed == ["c", "b", "a"]
