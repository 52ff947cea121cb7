"""Putting an app under a root path, alike on every server.

Behind a proxy that serves an app at ``/prefix``, the app must make its URLs with the prefix and route without
it. Servers differ in what their own root path option does: uvicorn expects that the proxy has cut the prefix
off, gunicorn that it has not, others hand the path on as it came and leave the rest to the framework, not all
of which know both. Here a path is taken with the prefix and without it, and the app always gets the form that
the specifications ask for.
"""

from collections.abc import Iterable
from urllib.parse import quote

from ..mapping.environ import native_path
from ..mapping.prefixes import is_under
from ..types import ASGIApp, Environ, Receive, Scope, Send, StartResponse, WSGIApp

__all__ = ["asgi_under", "wsgi_under"]


def asgi_under(root_path: str, app: ASGIApp) -> ASGIApp:
    """Return ``app`` with ``root_path`` in its scopes, and ``path`` and ``raw_path`` that include it.

    ASGI specification, HTTP connection scope: ``root_path`` is a prefix of ``path``.
    """
    raw_root_path = quote(root_path).encode("ascii")

    async def rooted(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in {"http", "websocket"}:
            path = scope["path"]
            scope = {**scope, "root_path": root_path}
            if path.startswith("/") and not is_under(root_path, path):  # "OPTIONS *" has no path
                scope["path"] = root_path + path
                if scope.get("raw_path") is not None:
                    scope["raw_path"] = raw_root_path + scope["raw_path"]
        await app(scope, receive, send)

    return rooted


def wsgi_under(root_path: str, app: WSGIApp) -> WSGIApp:
    """Return ``app`` with ``root_path`` as its ``SCRIPT_NAME``, and ``PATH_INFO`` without it.

    PEP 3333, "environ Variables"; both are the bytes of the path, decoded as latin-1 ("Unicode Issues").
    """
    script_name = native_path(root_path)

    def rooted(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        environ["SCRIPT_NAME"] = script_name
        if is_under(script_name, path):
            environ["PATH_INFO"] = path[len(script_name) :]
        return app(environ, start_response)

    return rooted
