"""Who is told an app's kind, or has it guessed: all of them take and refuse the same."""

import unittest.mock
from collections.abc import Callable
from typing import Any, cast

import fastapi
import flask
import pytest

from bridge import AsgiToWsgi, Dispatcher, WsgiToAsgi, compat
from bridge.cli.asked import MountPoint
from bridge.cli.target import Target
from bridge.kind import check_kind, guess_kind
from bridge.types import WSGIApp
from tests.support.kinds import ASGI_APPS, WSGI_APPS, DoubleCallable, async_view

#: Who asks for an app, and says its kind or has it guessed.
TAKERS: dict[str, Callable[[Any], object]] = {
    "WsgiToAsgi": WsgiToAsgi,
    "AsgiToWsgi": AsgiToWsgi,
    "WSGIMiddleware": compat.WSGIMiddleware,
    "ASGIMiddleware": compat.ASGIMiddleware,
    "ASGIMiddleware with a time": lambda app: compat.ASGIMiddleware(app, wait_time=1),
    "compat.WsgiToAsgi": compat.WsgiToAsgi,
    "Dispatcher": lambda app: Dispatcher({"/": app}),
    "bridge serve": lambda app: Target(app="x", interface="asgi").assemble([app]),
    "bridge serve --kind wsgi": lambda app: Target(app="x", interface="asgi", kind="wsgi").assemble([app]),
    "bridge serve --kind asgi": lambda app: Target(app="x", interface="wsgi", kind="asgi").assemble([app]),
    "bridge serve --mount": lambda app: Target(
        mounts=(MountPoint(prefix="/", app="x"),), interface="asgi"
    ).assemble([app]),
}


# What the tests don't install, by the signature of its __call__ and what it keeps that tells more.
ELSEWHERE: list[tuple[str, str, str]] = [
    ("Dash 4.4.1", "wsgi", "server = FLASK\n def __call__(self, *args, **kwargs): ..."),
    ("CherryPy 18.10.0, Application and tree", "wsgi", "def __call__(self, environ, start_response): ..."),
    ("APIFlask 3.1.2", "wsgi", "def __call__(self, environ, start_response): ..."),
    ("WhiteNoise 6.12.0", "wsgi", "def __call__(self, environ, start_response): ..."),
    ("sentry-sdk 2.75.0, SentryWsgiMiddleware", "wsgi", "def __call__(self, environ, start_response): ..."),
    ("web.py 0.76, wsgifunc()", "wsgi", "def __call__(self, env, start_resp): ..."),
    ("Sanic 25.12.1", "asgi", "async def __call__(self, scope, receive, send): ..."),
    ("BlackSheep 2.6.4", "asgi", "async def __call__(self, scope, receive, send): ..."),
    ("Connexion 3.3.0, AsyncApp", "asgi", "async def __call__(self, scope, receive, send): ..."),
    ("NiceGUI 3.18.0", "asgi", "async def __call__(self, scope, receive, send): ..."),
    (
        "sentry-sdk 2.75.0, SentryAsgiMiddleware",
        "asgi",
        "async def __call__(self, scope, receive, send): ...",
    ),
    # What is none; the second word is of the message.
    ("aiohttp 3.14.5", "aiohttp has a server", "def __call__(self): ..."),
    ("Tornado 6.6.1, web.Application", "Tornado has a server", "def __call__(self, request): ..."),
    ("robyn 0.88.0", "Robyn has a server", "pass"),
    ("web 0.76, web.py's application", "wsgifunc() makes one", "pass"),
    ("flask_restx 1.3.2, Api", "the app is the Flask object", "pass"),
]


def made(framework: str, body: str) -> Any:
    names: dict[str, Any] = {
        "FLASK": flask.Flask("x"),
        "__name__": framework.split(" ", maxsplit=1)[0].lower(),
    }
    exec(f"class App:\n {body}", names)
    app = names["App"]()
    if hasattr(app, "server"):
        app.server = app.server  # on the object, where Dash has it
    return app


@pytest.mark.parametrize(("framework", "expected", "body"), ELSEWHERE)
def test_frameworks_that_are_not_installed(framework: str, expected: str, body: str) -> None:
    app = made(framework, body)
    if expected in {"wsgi", "asgi"}:
        assert guess_kind(app) == expected
        Dispatcher({"/": app})
        (WsgiToAsgi if expected == "wsgi" else AsgiToWsgi)(app)
        return
    for take in TAKERS.values():
        with pytest.raises(TypeError, match=expected.replace("()", r"\(\)")):
            take(app)


def make_app(config: object = None, *, debug: bool = False) -> object:
    raise NotImplementedError


def make_app_of_two(name: str = "", config: object = None) -> object:
    raise NotImplementedError


@pytest.mark.parametrize("taker", TAKERS)
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("module:app", "an object of class 'str' is not an app: it can't be called"),
        (make_app, "'make_app' is not an app: it takes no arguments; if it makes one, write make_app()"),
        (make_app_of_two, "it takes no arguments; if it makes one, write make_app_of_two()"),
        (flask.Flask, "the class 'Flask' is not an app: an instance of it may be; write Flask(...)"),
        (fastapi.FastAPI, "the class 'FastAPI' is not an app: an instance of it may be; write FastAPI(...)"),
        (DoubleCallable, "the class 'DoubleCallable' is an ASGI 2 app"),
        (async_view, "it is async and doesn't take (scope, receive, send)"),
    ],
)
def test_nobody_takes_what_is_no_app(taker: str, value: object, reason: str) -> None:
    with pytest.raises(TypeError) as caught:
        TAKERS[taker](value)
    assert reason in str(caught.value)


ONLY = {
    "wsgi": ["WsgiToAsgi", "WSGIMiddleware", "compat.WsgiToAsgi", "bridge serve --kind wsgi"],
    "asgi": ["AsgiToWsgi", "ASGIMiddleware", "ASGIMiddleware with a time", "bridge serve --kind asgi"],
}


@pytest.mark.parametrize("kind", ONLY)
def test_who_says_a_kind_refuses_the_other_one(kind: str) -> None:
    mine, others = (
        (flask.Flask("x"), fastapi.FastAPI()) if kind == "wsgi" else (fastapi.FastAPI(), flask.Flask("x"))
    )
    for taker in ONLY[kind]:
        TAKERS[taker](mine)
        with pytest.raises(TypeError, match=r"is an? (WSGI|ASGI) app, not an? (WSGI|ASGI) one"):
            TAKERS[taker](others)


def test_the_refusal_says_what_to_do() -> None:
    with pytest.raises(TypeError) as caught:
        WsgiToAsgi(cast("WSGIApp", fastapi.FastAPI()))
    assert str(caught.value) == (
        "WsgiToAsgi: an object of class 'FastAPI' is an ASGI app, not a WSGI one; "
        "a server of its kind takes it as it is, one of the other kind AsgiToWsgi(app)"
    )
    with pytest.raises(
        TypeError, match=r"^--kind asgi: .* is a WSGI app, not an ASGI one; leave the option out$"
    ):
        TAKERS["bridge serve --kind asgi"](flask.Flask("x"))


@pytest.mark.parametrize("name", [*WSGI_APPS, *ASGI_APPS])
def test_who_says_the_kind_of_an_app_may_do_so(name: str) -> None:
    """No app that is recognised is refused where it belongs."""
    if name in WSGI_APPS:
        check_kind(WSGI_APPS[name](), "wsgi", "here")
    if name in ASGI_APPS:
        check_kind(ASGI_APPS[name](), "asgi", "here")


def test_a_mock_is_taken() -> None:
    WsgiToAsgi(unittest.mock.Mock())
    AsgiToWsgi(unittest.mock.Mock())


def test_an_adapter_takes_what_does_not_show_its_kind() -> None:
    def either(*args: Any) -> Any:
        raise AssertionError

    site = Dispatcher({"/": flask.Flask(__name__)})
    for app in (either, site):
        WsgiToAsgi(app)
        AsgiToWsgi(app)
