"""Finding apps by name, and telling their kind."""

import functools
import sys
import warnings
import wsgiref.validate
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any, cast

import a2wsgi
import asgiref.wsgi
import bottle
import falcon
import falcon.asgi
import fastapi
import flask
import litestar
import pytest
import quart
import starlette.applications
import starlette.endpoints
import starlette.middleware.gzip
import werkzeug.middleware.proxy_fix
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler

from bridge import AsgiToWsgi, Dispatcher, WsgiToAsgi
from bridge._importing import AppNotFoundError, UnknownKindError, find_app, guess_kind
from bridge._types import ASGIApp, Receive, Scope, Send, WSGIApp


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
}


@pytest.mark.parametrize("name", WSGI_APPS)
def test_wsgi_apps_are_seen_to_be_wsgi(name: str) -> None:
    assert guess_kind(WSGI_APPS[name]()) == "wsgi"


@pytest.mark.parametrize("name", ASGI_APPS)
def test_asgi_apps_are_seen_to_be_asgi(name: str) -> None:
    assert guess_kind(ASGI_APPS[name]()) == "asgi"


def test_bridges_own_adapters_are_apps_of_the_other_kind() -> None:
    from bridge.to_asgi import WsgiToAsgi
    from bridge.to_wsgi import AsgiToWsgi

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


def test_an_adapter_refuses_an_app_of_the_server_s_own_kind() -> None:
    with pytest.raises(
        TypeError,
        match=r"^an object of class 'FastAPI' is an ASGI app; WsgiToAsgi takes a WSGI app, for a server of the other",
    ):
        WsgiToAsgi(cast("WSGIApp", fastapi.FastAPI()))
    with pytest.raises(
        TypeError, match=r"^an object of class 'Flask' is a WSGI app; AsgiToWsgi takes an ASGI app"
    ):
        AsgiToWsgi(cast("ASGIApp", flask.Flask(__name__)))


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


# --- finding ------------------------------------------------------------------------------------------------


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current directory, on the import path; what is imported in the test is forgotten after it."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def write(directory: Path, path: str, source: str) -> Path:
    file = directory / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(dedent(source))
    return file


SITE = """
    class Site:
        app = "the nested app"

    def create_app(name="no name", *, debug=False):
        return f"{name}, {debug}"

    def make_site():
        return Site

    async def create_later():
        return "too late"

    site = Site()
    app = "the app"
    """


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ("found_site:app", "the app"),
        ("found_site", "the app"),
        ("found_site:", "the app"),
        ("found_site:site.app", "the nested app"),
        ("found_site:create_app()", "no name, False"),
        ("found_site:create_app('shop', debug=True)", "shop, True"),
        ("found_site:make_site().app", "the nested app"),
        ("found_site.py:app", "the app"),
        ("./found_site.py:site.app", "the nested app"),
        ("found_site.py", "the app"),
        ("{here}/found_site.py:app", "the app"),
        ("package.inside:app", "the neighbour's app"),
        ("package/inside.py:app", "the neighbour's app"),
        ("package/__init__.py:application", "the package's app"),
        ("package", "the package's app"),
    ],
)
def test_finds(modules: Path, spec: str, found: str) -> None:
    write(modules, "found_site.py", SITE)
    write(modules, "package/__init__.py", 'application = "the package\'s app"')
    write(modules, "package/inside.py", "from .neighbour import app")
    write(modules, "package/neighbour.py", 'app = "the neighbour\'s app"')
    assert find_app(spec.format(here=modules)) == found


def test_a_file_outside_of_the_import_path_is_found_with_its_package(modules: Path, tmp_path: Path) -> None:
    write(tmp_path, "far/away/pack/__init__.py", "")
    write(tmp_path, "far/away/pack/web.py", "from pack.other import app")
    write(tmp_path, "far/away/pack/other.py", "app = 'far away'")
    before = list(sys.path)
    try:
        assert find_app("far/away/pack/web.py") == "far away"
    finally:
        sys.path[:] = before


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("no_such_module:app", "No module named 'no_such_module'"),
        ("package.no_such:app", "No module named 'package.no_such'"),
        ("found_site.app", "'found_site' is not a package; write found_site:app"),
        ("found_site.nothing", "'found_site' is not a package"),
        ("found_site:ap", "module 'found_site' has no attribute 'ap'; did you mean 'app'?"),
        ("found_site:site.wsgi", "'Site' object has no attribute 'wsgi'"),
        ("empty", "'empty' has neither 'app' nor 'application'; name it, as in empty:name"),
        ("nowhere/site.py:app", "there is no file 'nowhere/site.py'"),
        ("./found_site:app", "there is no file './found_site'; did you mean ./found_site.py?"),
        ("found_site:create_later()", "'create_later' is a coroutine function"),
        ("found_site:app()", "'app' can't be called: it is an object of class 'str'"),
        ("found_site:create_app(app)", "is not a name, a dotted attribute or a call with literal arguments"),
        ("found_site:create_app(**{})", "is not a name, a dotted attribute or a call with literal arguments"),
        ("found_site:app + app", "is not a name, a dotted attribute or a call with literal arguments"),
        ("found_site:(", "is not a name, a dotted attribute or a call with literal arguments"),
        (":app", "':app' names no module; write module:app"),
        ("", "'' names no module; write module:app"),
        ("my site:app", "'my site' is neither the name of a module nor the path of a .py file"),
        ("json.py:app", "rename the file"),
    ],
)
def test_what_is_not_found_is_told_in_one_line(modules: Path, spec: str, message: str) -> None:
    write(modules, "found_site.py", SITE)
    write(modules, "package/__init__.py", "")
    write(modules, "empty.py", "")
    write(modules, "json.py", "app = None")
    with pytest.raises(AppNotFoundError) as caught:
        find_app(spec)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("import no_such_dependency", ModuleNotFoundError),
        ("from found_site import no_such_name", ImportError),
        ("def f(:", SyntaxError),
        ("raise LookupError('x')", LookupError),
        ("raise SystemExit(3)", SystemExit),
        ("def app(): raise AttributeError('mine')", AttributeError),
    ],
)
def test_the_errors_of_the_users_own_code_are_passed_on(
    modules: Path, source: str, error: type[BaseException]
) -> None:
    write(modules, "found_site.py", SITE)
    write(modules, "broken_site.py", source)
    with pytest.raises(error) as caught:
        find_app("broken_site:app()")
    assert not isinstance(caught.value, AppNotFoundError)
