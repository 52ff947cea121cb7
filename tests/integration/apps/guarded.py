"""A site with two places that a proxy in front may guard by their prefix.

For each kind of server one. An app says which it is, its own place and path, and the path that the server has given to
the site.
"""

import json
from collections.abc import Iterable
from typing import Any

from bridge import Dispatcher

__all__ = ["asgi", "wsgi"]

_KEY = "tests.path"


def _wsgi(name: str) -> Any:
    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        given = environ.get(_KEY) or environ["asgi.scope"][_KEY]
        seen = json.dumps([name, environ["SCRIPT_NAME"], environ["PATH_INFO"], given]).encode()
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(seen)))])
        return [seen]

    return app


def _asgi(name: str) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        given = scope.get(_KEY) or scope["wsgi_environ"][_KEY]
        root = scope["root_path"]
        seen = json.dumps([name, root, scope["path"].removeprefix(root), given]).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(seen)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": seen, "more_body": False})

    return app


_site = Dispatcher({"/wsgi": _wsgi("/wsgi"), "/asgi": _asgi("/asgi"), "/": _wsgi("")})


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        # Bytes that are no UTF-8 are in raw_path alone.
        scope = {**scope, _KEY: [scope["path"], scope["raw_path"].decode("latin-1")]}
    await _site(scope, receive, send)


def wsgi(environ: Any, start_response: Any) -> Iterable[bytes]:
    environ[_KEY] = [environ.get("SCRIPT_NAME", "") + environ["PATH_INFO"], None]
    return _site(environ, start_response)
