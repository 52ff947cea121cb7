"""Both adapters in one chain: Flask below FastAPI (``wsgi_app``), and Starlette below a WSGI middleware (``asgi_app``).

The outermost middleware is what a server's authentication is: it knows the user.
"""

import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import Any

from fastapi import FastAPI
from flask import Flask, jsonify, request
from flask.typing import ResponseReturnValue
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route

from bridge import AsgiToWsgi, Dispatcher, WsgiToAsgi
from bridge.types import Environ, Receive, Scope, Send, StartResponse

__all__ = ["asgi_app", "wsgi_app"]

# A WSGI app below an ASGI app below a WSGI server.

flask_app = Flask(__name__)
NEVER = ("wsgi.input", "PATH_INFO", "SCRIPT_NAME", "wsgi.early_hints", "wsgi.file_wrapper")


@flask_app.post("/who")
def who() -> ResponseReturnValue:
    environ = request.environ
    outer = environ["asgi.scope"]["wsgi_environ"]
    print("a line of the inner app", file=environ["wsgi.errors"], flush=True)
    return jsonify(
        {
            "user": (environ.get("REMOTE_USER"), environ.get("AUTH_TYPE")),
            "multiprocess": environ["wsgi.multiprocess"] == outer["wsgi.multiprocess"],
            "errors": environ["wsgi.errors"] is outer["wsgi.errors"],
            "software": environ["SERVER_SOFTWARE"] == outer.get("SERVER_SOFTWARE", "bridge"),
            "path": (environ["SCRIPT_NAME"], environ["PATH_INFO"]),
            "body": request.get_data().decode(),
            "taken away": "HTTP_X_SECRET" in environ,
        }
    )


async def without_the_secret(scope: Scope, receive: Receive, send: Send) -> None:
    headers = [(name, value) for name, value in scope["headers"] if name != b"x-secret"]
    await WSGI_IN_ASGI({**scope, "headers": headers}, receive, send)


WSGI_IN_ASGI = WsgiToAsgi(flask_app)
fastapi_app = FastAPI()
fastapi_app.mount("/old", without_the_secret)
fastapi_app.mount("/site", Dispatcher({"/part": WSGI_IN_ASGI}))
_asgi_in_wsgi = AsgiToWsgi(fastapi_app)


def wsgi_app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    environ |= {"REMOTE_USER": "ada", "AUTH_TYPE": "Basic"}
    return _asgi_in_wsgi(environ, start_response)


# An ASGI app below a WSGI app below an ASGI server.


def _address(pair: Any) -> tuple[str, int]:
    """A server may have a list, and the port as text."""
    host, port = pair
    return host, int(port)


async def scope_of(request: Request) -> Response:
    scope = request.scope
    outer = scope["wsgi_environ"]["asgi.scope"]
    return JSONResponse(
        {
            "user": scope.get("user"),
            "state": sorted(scope["state"]),
            "changed": [key for key in ("http_version", "scheme") if scope[key] != outer[key]],
            "moved": [key for key in ("client", "server") if _address(scope[key]) != _address(outer[key])],
            "path": (scope["root_path"], scope["path"]),
            "url": str(request.url_for("scope_of")),
        }
    )


left: list[str] = []


async def endless(request: Request) -> Response:
    async def chunks() -> AsyncIterator[bytes]:
        try:
            yield b"first"
            while (await request.receive())["type"] != "http.disconnect":
                pass
        finally:
            left.append("endless")

    return StreamingResponse(chunks())


async def who_left(request: Request) -> Response:
    return JSONResponse(left)


@contextlib.asynccontextmanager
async def inner_lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
    yield {"inner": 1}


@contextlib.asynccontextmanager
async def outer_lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
    yield {"outer": 1}


inner = AsgiToWsgi(
    Starlette(
        routes=[Route("/scope", scope_of), Route("/endless", endless), Route("/left", who_left)],
        lifespan=inner_lifespan,
    )
)


def pass_on(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    return inner(environ, start_response)


_outer = Starlette(
    routes=[
        Mount("/direct", WsgiToAsgi(pass_on)),
        Mount("/site", WsgiToAsgi(Dispatcher({"/part": pass_on}))),
    ],
    lifespan=outer_lifespan,
)


async def asgi_app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        scope = {**scope, "user": "ada"}
    await _outer(scope, receive, send)
