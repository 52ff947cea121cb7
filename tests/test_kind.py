"""Telling apps' kinds: what is an app of which kind, and what is none, alike for all who ask."""

import functools
import sys
import unittest.mock
import warnings
import wsgiref.validate
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any, cast

import a2wsgi
import asgiref.wsgi
import bottle
import datasette.utils.asgi
import falcon
import falcon.asgi
import fastapi
import fastmcp
import flask
import flask_socketio
import httpbin
import litestar
import pytest
import quart
import socketio
import starlette.applications
import starlette.endpoints
import starlette.middleware.gzip
import werkzeug.middleware.dispatcher
import werkzeug.middleware.lint
import werkzeug.middleware.proxy_fix
import werkzeug.middleware.shared_data
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler

from bridge import AsgiToWsgi, Dispatcher, WsgiToAsgi, compat
from bridge.cli.target import MountPoint, Target
from bridge.kind import UnknownKindError, check_kind, guess_kind
from bridge.types import ASGIApp, Receive, Scope, Send, WSGIApp


def wsgi_function(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    start_response("200 OK", [])
    return []


async def asgi_function(scope: Scope, receive: Receive, send: Send) -> None:
    raise NotImplementedError


def asgi_by_return(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
    return asgi_function(scope, receive, send)


class Forwarding:
    """Middleware as it is often written: it takes whatever comes."""

    def __init__(self, app: Any) -> None:
        self.app = app

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.app(*args, **kwargs)


class CallSetInInit:
    """As Sentry's middleware does it: which protocol is known only when the object is made."""

    __slots__ = ("__call__", "inner")

    def __init__(self, app: ASGIApp) -> None:
        self.inner = app
        self.__call__ = self.run

    async def run(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.inner(scope, receive, send)


class ResponsePerRequest:
    """PEP 3333, "The Application/Framework Side": AppClass."""

    def __init__(self, environ: dict[str, Any], start_response: Callable[..., object]) -> None:
        start_response("200 OK", [])

    def __iter__(self) -> Iterator[bytes]:
        return iter([b"x"])


class ResponseByNew:
    """The same, without an instance."""

    def __new__(cls, environ: dict[str, Any], start_response: Callable[..., object]) -> Any:
        return [b"x"]


class UnnamedByNew:
    """The same, with names that say nothing."""

    def __new__(cls, first: Any, second: Any) -> Any:
        return [b"x"]


class Answering(type):
    """A metaclass whose classes are called for a response."""

    def __call__(cls, first: Any, second: Any) -> Any:
        return [b"x"]


class UnnamedByMetaclass(metaclass=Answering):
    pass


class Singleton:
    """Not an app: its object is."""

    def __new__(cls, *args: Any, **kwargs: Any) -> "Singleton":
        return super().__new__(cls)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
        return []


class SingletonByMetaclass(type):
    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        return super().__call__(*args, **kwargs)


class DoubleCallable:
    """ASGI 2."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    async def __call__(self, receive: Receive, send: Send) -> None:
        raise NotImplementedError


def double_callable(scope: Scope) -> Callable[[Receive, Send], Awaitable[None]]:
    return DoubleCallable(scope)


def with_option(
    environ: dict[str, Any], start_response: Callable[..., object], verbose: bool = False
) -> list[bytes]:
    return []


def asgi_with_defaults(scope: Any, receive: Any, send: Any = None) -> Awaitable[None]:
    raise NotImplementedError


def anything(*args: Any) -> Any:
    raise NotImplementedError


def decorated(app: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(app)
    def wrapper(*args: Any) -> Any:
        return app(*args)

    return wrapper


def plainly_decorated(func: Callable[..., Any]) -> Callable[..., Any]:
    def wrapper(*args: Any) -> Any:
        return func(*args)

    return wrapper


def adapted(app: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(app)
    def wsgi(environ: dict[str, Any], start_response: Callable[..., object]) -> list[bytes]:
        raise NotImplementedError

    return wsgi


def wsgi_generator(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterator[bytes]:
    start_response("200 OK", [])
    yield b""


class ForwardingAsync:
    def __init__(self, app: Any) -> None:
        self.inner = app

    async def __call__(self, *args: Any) -> None:
        await self.inner(*args)


class Asgi:
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise NotImplementedError

    def method(self, environ: dict[str, Any], start_response: Callable[..., object]) -> list[bytes]:
        return []


def bound_to(
    config: dict[str, Any], environ: dict[str, Any], start_response: Callable[..., object]
) -> list[bytes]:
    return []


def any_type(value: object) -> Any:
    """For libraries with types of their own, or without any."""
    return value


def pyramid_app() -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # webob imports the standard library's cgi
        from pyramid.config import Configurator
    return Configurator().make_wsgi_app()


# Django's handlers are made without __init__, which wants settings.
WSGI_APPS: dict[str, Callable[[], object]] = {
    "function": lambda: wsgi_function,
    "method": lambda: Asgi().method,
    "partial": lambda: functools.partial(bound_to, {}),
    "decorated function": lambda: decorated(wsgi_function),
    "class": lambda: ResponsePerRequest,
    "one option more": lambda: with_option,
    "forwarding object": lambda: Forwarding(Forwarding(wsgi_function)),
    "wsgiref.validate": lambda: wsgiref.validate.validator(wsgi_function),
    "Flask": lambda: flask.Flask("x"),
    "Flask.wsgi_app": lambda: flask.Flask("x").wsgi_app,
    "ProxyFix": lambda: werkzeug.middleware.proxy_fix.ProxyFix(flask.Flask("x").wsgi_app),
    "Django": lambda: WSGIHandler.__new__(WSGIHandler),
    "Falcon": falcon.App,
    "Bottle": bottle.Bottle,
    "Pyramid": pyramid_app,
    "a2wsgi.ASGIMiddleware": lambda: a2wsgi.ASGIMiddleware(any_type(asgi_function)),
    "DispatcherMiddleware": lambda: werkzeug.middleware.dispatcher.DispatcherMiddleware(wsgi_function),
    "SharedDataMiddleware": lambda: werkzeug.middleware.shared_data.SharedDataMiddleware(wsgi_function, {}),
    "lint": lambda: werkzeug.middleware.lint.LintMiddleware(wsgi_function),
    "socketio.WSGIApp": lambda: socketio.WSGIApp(socketio.Server(async_mode="threading")),
    "httpbin": lambda: httpbin.app,
    "class that makes its response": lambda: ResponseByNew,
    "generator function": lambda: wsgi_generator,
    "method that forwards": lambda: Forwarding(wsgi_function).__call__,
    "partial of what forwards": lambda: functools.partial(Forwarding(wsgi_function)),
    "decorator without functools.wraps": lambda: plainly_decorated(wsgi_function),
    "decorator that adapts": lambda: adapted(asgi_function),
}

ASGI_APPS: dict[str, Callable[[], object]] = {
    "coroutine function": lambda: asgi_function,
    "function that returns an awaitable": lambda: asgi_by_return,
    "names decide": lambda: asgi_with_defaults,
    "object": Asgi,
    "partial": lambda: functools.partial(asgi_function),
    "decorated function": lambda: decorated(asgi_function),
    "call set in __init__": lambda: CallSetInInit(asgi_function),
    "forwarding object": lambda: Forwarding(Forwarding(asgi_function)),
    "HTTPEndpoint": lambda: starlette.endpoints.HTTPEndpoint,
    "Starlette": starlette.applications.Starlette,
    "GZipMiddleware": lambda: starlette.middleware.gzip.GZipMiddleware(asgi_function),
    "FastAPI": fastapi.FastAPI,
    "Django": lambda: ASGIHandler.__new__(ASGIHandler),
    "Falcon": falcon.asgi.App,
    "Litestar": lambda: litestar.Litestar([]),
    "Quart": lambda: quart.Quart("x"),
    "asgiref.WsgiToAsgi": lambda: any_type(asgiref.wsgi.WsgiToAsgi)(wsgi_function),
    "a2wsgi.WSGIMiddleware": lambda: a2wsgi.WSGIMiddleware(any_type(wsgi_function)),
    "socketio.ASGIApp": lambda: socketio.ASGIApp(socketio.AsyncServer(async_mode="asgi")),
    # What its app() returns; making that one leaves a connection to its database open.
    "datasette": lambda: datasette.utils.asgi.AsgiRunOnFirstRequest(asgi_function, []),
    "FastMCP": lambda: fastmcp.FastMCP("x").http_app(),
    "async __call__ that takes anything": lambda: ForwardingAsync(asgi_function),
    "method that forwards": lambda: Forwarding(asgi_function).__call__,
    "partial of what forwards": lambda: functools.partial(Forwarding(asgi_function)),
    "decorator without functools.wraps": lambda: plainly_decorated(asgi_function),
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


def test_objects_of_libraries_that_are_no_apps() -> None:
    for value, message in (
        (socketio.Server(async_mode="threading"), "socketio.WSGIApp"),
        (flask_socketio.SocketIO(), "the app is the Flask object"),
    ):
        with pytest.raises(TypeError, match=message):
            guess_kind(value)


@pytest.mark.parametrize("app", [UnnamedByNew, UnnamedByMetaclass])
def test_a_class_that_decides_what_a_call_gives_may_be_an_app_and_does_not_say_so(app: Any) -> None:
    """Who says it, knows."""
    with pytest.raises(UnknownKindError, match="nothing in it says which"):
        guess_kind(app)
    assert WsgiToAsgi(app).app is app
    Dispatcher({"/": WsgiToAsgi(app)})


def test_a_singletons_class_is_none() -> None:
    class Other(metaclass=SingletonByMetaclass):
        pass

    for app in (Singleton, Other):
        with pytest.raises(TypeError, match="an instance of it may be"):
            guess_kind(app)
    assert guess_kind(Singleton()) == "wsgi"


@pytest.mark.parametrize("name", WSGI_APPS)
def test_wsgi_apps_are_seen_to_be_wsgi(name: str) -> None:
    assert guess_kind(WSGI_APPS[name]()) == "wsgi"


@pytest.mark.parametrize("name", ASGI_APPS)
def test_asgi_apps_are_seen_to_be_asgi(name: str) -> None:
    assert guess_kind(ASGI_APPS[name]()) == "asgi"


def test_bridges_own_adapters_are_apps_of_the_other_kind() -> None:
    from bridge.to_asgi.adapter import WsgiToAsgi
    from bridge.to_wsgi.adapter import AsgiToWsgi

    wsgi: WSGIApp = wsgi_function
    assert guess_kind(WsgiToAsgi(wsgi)) == "asgi"
    assert guess_kind(AsgiToWsgi(asgi_function)) == "wsgi"


async def async_view(request: object) -> None:
    raise NotImplementedError


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (42, "an object of class 'int' is not an app: it can't be called"),
        (sys, "the module 'sys' is not an app: it can't be called"),
        (lambda: wsgi_function, "takes no arguments"),
        (lambda request: request, "takes (request), neither"),
        (async_view, "it is async and doesn't take (scope, receive, send)"),
        (flask.Flask, "the class 'Flask' is not an app: an instance of it may be"),
        (Asgi, "the class 'Asgi' is not an app: an instance of it may be"),
        (DoubleCallable, "the class 'DoubleCallable' is an ASGI 2 app"),
        (double_callable, "guarantee_single_callable makes it ASGI 3"),
        (functools.partial(double_callable), "a partial of the function 'double_callable' is an ASGI 2 app"),
    ],
)
def test_what_is_no_app_is_refused_with_the_reason(value: object, reason: str) -> None:
    with pytest.raises(TypeError) as caught:
        guess_kind(value)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not isinstance(caught.value, UnknownKindError)


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


def test_an_app_that_shows_nothing_is_not_guessed() -> None:
    view = Forwarding(lambda request: request)
    circle = Forwarding(None)
    circle.app = circle
    for app in (anything, Forwarding(anything), Forwarding(view), circle, max):
        with pytest.raises(UnknownKindError, match="as WSGI and as ASGI"):
            guess_kind(app)
