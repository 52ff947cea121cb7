"""The routes of an app, as its framework keeps them."""

import subprocess
import sys
from typing import Any

import pytest
from bottle import Bottle
from fastapi import APIRouter, FastAPI, Query, WebSocket
from flask import Flask
from litestar import Litestar, get
from quart import Quart
from starlette.applications import Starlette
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute

from bridge import AsgiToWsgi, Dispatcher
from bridge import Mount as Part
from bridge.check.routes import allowed_host, fill, routes_of
from tests.support.servers import REPOSITORY


def paths(app: object) -> dict[str, tuple[str, ...] | str]:
    """By path: the methods, or "websocket"."""
    return {route.path: "websocket" if route.websocket else route.methods for route in routes_of(app)}


@pytest.mark.parametrize(
    ("path", "filled"),
    [
        ("/", "/"),
        ("/<name>/<int:number>", "/x/1"),
        ("/<any(a, b):name>", "/x"),
        ("/{name}/{number:int}/{rest:path}", "/x/1/a/b"),
        ("/{id:uuid}", "/00000000-0000-0000-0000-000000000001"),
        ("/<float:n>", "/1.5"),
        ("/café/a b", "/caf%C3%A9/a%20b"),
    ],
)
def test_parameters_are_filled(path: str, filled: str) -> None:
    assert fill(path) == filled


def view(*args: Any, **kwargs: Any) -> str:
    return ""


def flask_app() -> Flask:
    app = Flask(__name__, static_folder=None)
    app.add_url_rule("/", "index", view)
    app.add_url_rule("/<int:number>", "number", view, methods=["GET", "POST"])
    app.add_url_rule("/ticker", "ticker", view, websocket=True)
    return app


FLASK = {"/": ("GET", "HEAD", "OPTIONS"), "/1": ("GET", "HEAD", "OPTIONS", "POST"), "/ticker": "websocket"}


class LikeDash:
    """As Dash is built: the names of its routes, and the Flask app that has them."""

    def __init__(self) -> None:
        self.server = flask_app()
        self.routes = ["_dash-layout"]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.server(*args, **kwargs)


def test_flask_below_what_has_names_of_routes() -> None:
    assert paths(LikeDash()) == paths(flask_app()) != {}


def test_flask_also_in_middleware() -> None:
    app = flask_app()
    assert paths(app) == FLASK

    class Middleware:
        def __init__(self, app: Any) -> None:
            self.app = app

        def __call__(self, *args: Any) -> Any:
            return self.app(*args)

    assert paths(Middleware(Middleware(app.wsgi_app))) == FLASK


def test_quart() -> None:
    app = Quart(__name__, static_folder=None)
    app.add_url_rule("/", "index", view)

    async def ticker() -> None: ...

    app.websocket("/ticker")(ticker)
    assert paths(app) == {"/": ("GET", "HEAD", "OPTIONS"), "/ticker": "websocket"}


async def nothing(*_: Any) -> PlainTextResponse:
    return PlainTextResponse("")


def test_starlette_with_mounts() -> None:
    inner = Starlette(routes=[Route("/{name}", nothing, methods=["PUT"]), WebSocketRoute("/ticker", nothing)])
    app = Starlette(
        routes=[
            Route("/", nothing),
            Mount("/inner", inner),
            Mount("/flask", AsgiToWsgi(inner)),  # type: ignore[arg-type]  # whatever is mounted is looked into
            Mount("/routes", routes=[Route("/a", nothing)]),
        ]
    )
    app.add_middleware(GZipMiddleware)
    found = {
        "/": ("GET", "HEAD"),
        "/inner/x": ("PUT",),
        "/inner/ticker": "websocket",
        "/flask/x": ("PUT",),
        "/flask/ticker": "websocket",
        "/routes/a": ("GET", "HEAD"),
    }
    assert paths(app) == found
    assert paths(GZipMiddleware(app)) == found


def test_fastapi_and_the_examples_of_its_schema() -> None:
    app = FastAPI(docs_url=None, redoc_url=None)
    router = APIRouter(prefix="/items")

    @router.get("/{number}")
    async def item(
        number: int, q: str = Query(examples=["a b"]), page: int = 2, other: str | None = None
    ) -> None: ...

    @router.websocket("/ticker")
    async def ticker(websocket: WebSocket) -> None: ...

    app.include_router(router)
    assert paths(app) == {
        "/openapi.json": ("GET", "HEAD"),
        "/items/x": ("GET",),
        "/items/1?q=a%20b&page=2": ("GET",),
        "/items/ticker": "websocket",
    }


def test_litestar_and_bottle() -> None:
    @get("/items")
    async def items() -> None: ...

    assert paths(Litestar([items], openapi_config=None)) == {"/items": ("GET", "OPTIONS")}
    app = Bottle()
    app.route("/hello/<name>", "POST", view)
    app.route("/", "GET", view)
    assert paths(app) == {"/hello/x": ("POST",), "/": ("GET",)}


def test_a_dispatcher() -> None:
    star = Starlette(routes=[Route("/a", nothing)])
    app = Dispatcher({"/api": Part(star, fallback=True), "/": flask_app()})
    assert paths(app) == {"/api/a": ("GET", "HEAD"), **FLASK}
    app = Dispatcher({"/": [star, flask_app()]})
    assert paths(app) == {"/a": ("GET", "HEAD"), **FLASK}


def test_what_is_not_known() -> None:
    assert routes_of(view) == []
    assert allowed_host() == "localhost"


def test_django() -> None:
    """In a process of its own: its settings are the process's."""
    code = (
        "from tests.check.apps.sound_django import wsgi_app, asgi_app\n"
        "from bridge.check.routes import allowed_host, routes_of\n"
        "for app in (wsgi_app, asgi_app):\n"
        "    print([(route.path, route.methods) for route in routes_of(app)])\n"
        "print(allowed_host())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=60
    )
    wsgi, asgi, host = done.stdout.splitlines()
    safe = ("GET", "HEAD", "OPTIONS")
    assert eval(wsgi) == [
        *(
            (path, safe)
            for path in ("/", "/thing/1/", "/more/1/x/", "/old/1/", "/missing", "/fails", "/away")
        ),
        ("/stream", safe),
        ("/page", ("GET", "POST", "OPTIONS")),
    ]
    assert asgi == wsgi
    assert host == "shop.example"
