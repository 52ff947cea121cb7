"""Apps of each kind, those of frameworks and others, and what looks like an app."""

import functools
import warnings
import wsgiref.validate
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any

import a2wsgi
import asgiref.wsgi
import bottle
import datasette.utils.asgi
import falcon
import falcon.asgi
import fastapi
import fastmcp
import flask
import httpbin
import litestar
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

from bridge.types import ASGIApp, Receive, Scope, Send

__all__ = [
    "ASGI_APPS",
    "WSGI_APPS",
    "Asgi",
    "CallSetInInit",
    "DoubleCallable",
    "Forwarding",
    "ResponseByNew",
    "ResponsePerRequest",
    "Singleton",
    "SingletonByMetaclass",
    "UnnamedByMetaclass",
    "UnnamedByNew",
    "anything",
    "asgi_by_return",
    "asgi_function",
    "async_view",
    "double_callable",
    "wsgi_function",
]


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


async def async_view(request: object) -> None:
    raise NotImplementedError
