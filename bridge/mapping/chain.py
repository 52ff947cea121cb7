"""One adapter below the other: what the innermost app gets of the request as the server gave it. Pure functions.

A Flask app in a FastAPI app that gunicorn serves has an environ made of a scope, which was made of an environ. An ASGI
app below a WSGI middleware on uvicorn has a scope made of an environ, which was made of a scope. The request itself
goes that way, for what stands between may have changed it: method, target, headers, addresses, scheme, body. What the
interface between has no place for is taken from the outer environ or scope, which is at hand
(``scope["wsgi_environ"]``, ``environ["asgi.scope"]``): so the app has what it has without the two adapters.

Taken from an environ: ``REMOTE_USER``, ``AUTH_TYPE``, ``SERVER_SOFTWARE``, ``SSL_*``, the keys of servers
(``mod_wsgi.*``, ``uwsgi.*``) and of middleware (``beaker.session``); of PEP 3333's, those that tell of the process and
its log. Never: what a scope has a place for, even if the place is empty, for a middleware may have emptied it; what a
server or a framework has for the outer environ's body, response or routing; raw sockets.

Taken from a scope: ``state``, where the app's own lifespan has no such name; the path of a Unix socket; the keys of
middleware (``user``, ``auth``, ``session``). Never: extensions, for what is sent goes through WSGI; and the routing of
the frameworks above, which led to this app and doesn't go on from it.
"""

from ..types import Environ, Scope

__all__ = ["inherit_environ", "inherit_scope"]

# Keys of the process and its log.
_OF_THE_SERVER = ("SERVER_SOFTWARE", "wsgi.errors", "wsgi.multiprocess", "wsgi.run_once")
# What is known of the client beside its address: true as long as the address is that one.
_OF_THE_CLIENT = frozenset({"REMOTE_HOST", "REMOTE_IDENT"})
_OF_THE_REQUEST = frozenset(
    {
        *("CONTENT_LENGTH", "CONTENT_TYPE", "REMOTE_ADDR", "REMOTE_PORT"),
        *("PATH_TRANSLATED", "SCRIPT_URI", "SCRIPT_URL", "REDIRECT_URL", "REDIRECT_QUERY_STRING"),
        *("gunicorn.socket", "waitress.client_disconnected"),
    }
)
# bottle, webob and werkzeug keep there what they have read of the request; wsgiorg.routing_args is what a router has.
_NEVER = ("HTTP_", "wsgi.", "wsgiorg.", "bottle.", "webob.", "werkzeug.")

_ROUTING = frozenset({"app", "app_root_path", "endpoint", "path_params", "route", "router"})
_OF_FRAMEWORKS = ("fastapi", "starlette.")


def inherit_environ(environ: Environ, outer: Environ) -> None:
    """Add to ``environ``, made from a scope, what that scope could not carry of ``outer``."""
    same_client = environ.get("REMOTE_ADDR") == outer.get("REMOTE_ADDR")
    same_scheme = environ["wsgi.url_scheme"] == outer.get("wsgi.url_scheme")
    for key, value in outer.items():
        if key in environ or key in _OF_THE_REQUEST or key.startswith(_NEVER):
            continue
        if (same_client or key not in _OF_THE_CLIENT) and (same_scheme or key != "HTTPS"):
            environ[key] = value
    for key in _OF_THE_SERVER:
        if key in outer:
            environ[key] = outer[key]


def inherit_scope(scope: Scope, outer: Scope) -> None:
    """Add to ``scope``, made from an environ, what that environ could not carry of ``outer``."""
    for key, value in outer.items():
        if key not in scope and key not in _ROUTING and not key.startswith(_OF_FRAMEWORKS):
            scope[key] = value
    if state := outer.get("state"):
        scope["state"] = {**state, **scope["state"]}
    server = outer.get("server")
    if server and server[0] and server[0][0] == "/":
        scope["server"] = server
