"""Tells what a WSGI app sees of the process that it is in."""

import json
import os
from collections.abc import Iterable

from bridge import WsgiToAsgi
from bridge.types import Environ, StartResponse

__all__ = ["app", "wsgi_app"]


def wsgi_app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    seen = {
        "multiprocess": environ["wsgi.multiprocess"],
        "address": environ["REMOTE_ADDR"],
        "pid": os.getpid(),
    }
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(seen).encode()]


app = WsgiToAsgi(wsgi_app)
