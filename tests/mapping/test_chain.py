"""An app below both adapters: it has what it has without them, and what middleware between has changed."""

import asyncio
import io
import sys
from typing import Any

import pytest

from bridge import AsgiToWsgi, Dispatcher, WsgiToAsgi
from bridge.mapping.environ import build_environ
from bridge.mapping.scope import build_scope
from bridge.types import Environ, Receive, Scope, Send, StartResponse, WSGIApp
from tests.support.asgi import Exchange, http_scope, request
from tests.support.served import Served
from tests.support.wsgi import call, environ_for
from tests.support.wsgi_apps import hello

pytestmark = pytest.mark.usefixtures("no_bridge_threads")

# What servers and middleware put beside what a scope can tell.
OF_THE_SERVER: Environ = {
    "REMOTE_USER": "ada",
    "AUTH_TYPE": "Basic",
    "REMOTE_IDENT": "ada-at-home",
    "REMOTE_HOST": "client.example",
    "SERVER_SOFTWARE": "Apache/2.4",
    "GATEWAY_INTERFACE": "CGI/1.1",
    "DOCUMENT_ROOT": "/var/www",
    "SSL_SESSION_ID": "0a0b",
    "SSL_CLIENT_S_DN_CN": "Ada",
    "mod_wsgi.process_group": "shop",
    "uwsgi.node": b"here",
    "beaker.session": {"cart": 3},
    "wsgi.multiprocess": True,
    "wsgi.run_once": True,
}
# What must not come from there.
STALE: Environ = {
    "CONTENT_LENGTH": "5",
    "CONTENT_TYPE": "text/x-outer",
    "HTTP_X_TAKEN_AWAY": "1",
    "HTTP_PROXY": "evil",
    "PATH_TRANSLATED": "/var/www/outer",
    "gunicorn.socket": object(),
    "werkzeug.request": object(),
    "bottle.request.query": {"outer": "1"},
    "webob._parsed_query_vars": object(),
    "wsgi.file_wrapper": object(),
    "wsgi.early_hints": print,
    "wsgi.input_terminated": False,
    "wsgiorg.routing_args": ((), {}),
}


def inner(outer: Environ, **changes: Any) -> Environ:
    """The environ of an app below both; the middleware between has made these changes to the scope."""
    return build_environ({**build_scope(outer, {}), **changes})


class TestEnviron:
    def test_what_a_scope_cannot_carry(self) -> None:
        errors = io.StringIO()
        environ = inner(environ_for() | OF_THE_SERVER | {"wsgi.errors": errors})
        assert {key: environ.get(key) for key in OF_THE_SERVER} == OF_THE_SERVER
        assert environ["wsgi.errors"] is errors

    def test_what_the_scope_tells_comes_from_the_scope(self) -> None:
        outer = environ_for("/outer", "POST", b"outer", "outer=1") | OF_THE_SERVER | STALE
        changes: dict[str, Any] = {
            "method": "GET",
            "path": "/mount/inner",
            "raw_path": b"/mount/inner",
            "root_path": "/mount",
            "query_string": b"inner=1",
            "headers": [(b"host", b"inner.example")],
        }
        environ = inner(outer, **changes)
        assert (environ["REQUEST_METHOD"], environ["QUERY_STRING"]) == ("GET", "inner=1")
        assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/mount", "/inner")
        assert environ["REQUEST_URI"] == "/mount/inner?inner=1"
        assert environ["HTTP_HOST"] == "inner.example"
        assert environ["wsgi.input_terminated"] is True
        assert environ.keys() & STALE.keys() == {"wsgi.input_terminated"}
        assert "wsgi.input" not in environ

    def test_what_is_known_of_another_client_goes_with_it(self) -> None:
        outer = environ_for() | OF_THE_SERVER | {"HTTPS": "off"}
        assert inner(outer)["HTTPS"] == "off"
        environ = inner(outer, client=("203.0.113.7", 4711), scheme="https")
        assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]) == ("203.0.113.7", "https")
        assert environ.keys() & {"REMOTE_HOST", "REMOTE_IDENT", "HTTPS"} == set()
        assert inner(outer, client=None)["REMOTE_ADDR"] == "", (
            "not the outer one, which a middleware may have taken away"
        )

    def test_without_an_outer_one_nothing_changes(self) -> None:
        environ = build_environ(http_scope())
        assert environ["wsgi.errors"] is sys.stderr
        assert environ["SERVER_SOFTWARE"] == "bridge"


OUTER_SCOPE: dict[str, Any] = {
    "state": {"pool": "outer", "name": "outer"},
    "user": "ada",
    "auth": ["admin"],
    "session": {"cart": 3},
    "http_version": "2",
    "client": ("203.0.113.7", 4711),
    "app": object(),
    "router": object(),
    "path_params": {"outer": 1},
    "endpoint": object(),
    "app_root_path": "/outer",
    "starlette.exception_handlers": ({}, {}),
    "fastapi_inner_astack": object(),
    "extensions": {"http.response.debug": {}, "http.response.trailers": {}, "http.response.zerocopysend": {}},
}


class TestScope:
    def test_what_an_environ_cannot_carry(self) -> None:
        scope = build_scope(build_environ(http_scope(**OUTER_SCOPE)), {"name": "inner"})
        assert {key: scope[key] for key in ("user", "auth", "session")} == {
            key: OUTER_SCOPE[key] for key in ("user", "auth", "session")
        }
        assert scope["session"] is OUTER_SCOPE["session"]  # what the app changes in it is kept
        assert scope["state"] == {"pool": "outer", "name": "inner"}
        assert (scope["http_version"], scope["client"]) == ("2", ("203.0.113.7", 4711))

    def test_what_is_of_the_outer_request_alone(self) -> None:
        scope = build_scope(build_environ(http_scope(**OUTER_SCOPE)), {})
        taken_away = {"app", "router", "path_params", "endpoint", "app_root_path"}
        assert scope.keys() & (taken_away | {"starlette.exception_handlers", "fastapi_inner_astack"}) == set()
        assert scope["extensions"] == {}

    def test_what_wsgi_middleware_changes_counts(self) -> None:
        environ = build_environ(http_scope(path="/a/b", query=b"q=1", **OUTER_SCOPE))
        environ |= {
            "REMOTE_ADDR": "198.51.100.1",
            "SCRIPT_NAME": "/a",
            "PATH_INFO": "/b",
            "QUERY_STRING": "q=2",
        }
        environ |= {"HTTP_X_ADDED": "1", "wsgi.url_scheme": "https"}
        scope = build_scope(environ, {})
        assert scope["client"][0] == "198.51.100.1"
        assert (scope["root_path"], scope["path"], scope["query_string"]) == ("/a", "/a/b", b"q=2")
        assert (b"x-added", b"1") in scope["headers"]
        assert scope["scheme"] == "https"

    def test_a_unix_socket(self) -> None:
        scope = build_scope(build_environ(http_scope(server=("/run/site.sock", None), client=None)), {})
        assert (scope["server"], scope["client"]) == (("/run/site.sock", None), None)


@pytest.mark.parametrize("loop", ["request", "shared"])
@pytest.mark.parametrize("dispatched", [False, True])
def test_wsgi_below_asgi_below_wsgi(loop: Any, dispatched: bool) -> None:
    seen: list[Environ] = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        seen.append(environ)
        print("a line of the app", file=environ["wsgi.errors"])
        return hello(environ, start_response)

    adapter = WsgiToAsgi(app)
    between: Any = Dispatcher({"/": adapter}) if dispatched else adapter

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        await between(scope, receive, send)

    errors = io.StringIO()
    with AsgiToWsgi(middleware, loop=loop) as site:
        assert call(site, environ_for() | OF_THE_SERVER | {"wsgi.errors": errors}).body == b"hello"
    assert {key: seen[0].get(key) for key in OF_THE_SERVER} == OF_THE_SERVER
    assert errors.getvalue() == "a line of the app\n"


@pytest.mark.parametrize("loop", ["request", "shared"])
@pytest.mark.parametrize("dispatched", [False, True])
def test_asgi_below_wsgi_below_asgi(loop: Any, dispatched: bool) -> None:
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"hello"})

    adapter = AsgiToWsgi(app, loop=loop, lifespan="off")
    between: WSGIApp = Dispatcher({"/": adapter}) if dispatched else adapter

    def middleware(environ: Environ, start_response: StartResponse) -> Any:
        return between(environ, start_response)

    async def main() -> Exchange:
        async with Served(middleware) as site:
            exchange = await Exchange(site, http_scope(**OUTER_SCOPE), [request()]).run()
            await asyncio.to_thread(adapter.close)
        return exchange

    exchange = asyncio.run(main())
    assert exchange.body == b"hello"
    assert (seen[0]["user"], seen[0]["http_version"]) == ("ada", "2")
    assert seen[0]["state"] == OUTER_SCOPE["state"]
