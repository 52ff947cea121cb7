"""Middleware of today around a WSGI app that sends a file, and inside an ASGI app that does.

``FILE`` in the environment is the file's path.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route

from bridge import AsgiToWsgi, WsgiToAsgi
from bridge.types import Environ, StartResponse
from tests.support.middleware import MIDDLEWARE

__all__ = ["asgi_app", "wsgi_app"]

PATH = os.environ["FILE"]


def send_file(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    file = Path(PATH).open("rb")  # noqa: SIM115 -- the wrapper closes it
    wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](file)
    return wrapped


async def file_response(request: Request) -> Response:
    return FileResponse(PATH)


def _site(app: Any) -> Starlette:
    """``app`` in each middleware: ``/0``, ``/1``..."""
    return Starlette(routes=[Mount(f"/{n}", wrap(app)) for n, wrap in enumerate(MIDDLEWARE.values())])


asgi_app = _site(WsgiToAsgi(send_file))
wsgi_app = AsgiToWsgi(_site(Starlette(routes=[Route("/", file_response)])))
