"""Programs as users write them, for the type checkers: ``make check`` has mypy and pyright read them, and nothing runs.

Each function is one program. The types are those of the other side: the standard library's, Flask's, Starlette's,
asgiref's, and those of the servers and the clients.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import make_server
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment
from wsgiref.validate import validator

import falcon
import falcon.asgi
import httpx
import hypercorn.asyncio
import hypercorn.config
import hypercorn.middleware
import hypercorn.typing
import uvicorn
import waitress
from asgiref.typing import ASGI3Application, ASGIReceiveCallable, ASGISendCallable
from asgiref.typing import Scope as AsgirefScope
from fastapi import FastAPI
from flask import Flask
from litestar import Litestar
from quart import Quart
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Mount as StarletteMount
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.serving import run_simple
from werkzeug.test import Client

from bridge import AsgiToWsgi, Dispatcher, Mount, WebSocket, WsgiToAsgi, compat

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse as TypeshedStartResponse

flask_app = Flask(__name__)
fastapi_app = FastAPI()


def untyped_wsgi(environ, start_response):  # type: ignore[no-untyped-def]  # as most of them are
    start_response("200 OK", [])
    return [b""]


async def untyped_asgi(scope, receive, send):  # type: ignore[no-untyped-def]
    await send({})


def typed_wsgi(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b""]


def old_typed_wsgi(environ: dict[str, Any], start_response: "TypeshedStartResponse") -> list[bytes]:
    start_response("200 OK", [])
    return [b""]


async def starlette_typed(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200})


async def asgiref_typed(scope: AsgirefScope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    await receive()


def wsgi_apps_on_asgi_servers() -> None:
    adapter = WsgiToAsgi(flask_app, threads=10)
    uvicorn.run(adapter)
    uvicorn.run(WsgiToAsgi(typed_wsgi), host="127.0.0.1", port=8000)
    uvicorn.Server(uvicorn.Config(WsgiToAsgi(flask_app.wsgi_app)))
    application: ASGI3Application = WsgiToAsgi(flask_app)
    starlette_application: ASGIApp = WsgiToAsgi(ProxyFix(flask_app.wsgi_app))
    TestClient(starlette_application)
    httpx.ASGITransport(app=adapter)
    WsgiToAsgi(old_typed_wsgi)
    WsgiToAsgi(untyped_wsgi)
    WsgiToAsgi(falcon.App())
    WsgiToAsgi(validator(typed_wsgi))
    WsgiToAsgi(flask_app, executor=ThreadPoolExecutor(4), request_body="stream", max_body_size=None)
    mounted = Starlette(routes=[StarletteMount("/old", app=adapter)], middleware=[Middleware(GZipMiddleware)])
    mounted.mount("/older", adapter)
    fastapi_app.mount("/old", adapter)
    GZipMiddleware(adapter)
    WsgiToAsgi(compat.ASGIMiddleware(fastapi_app))
    del application


async def on_hypercorn() -> None:
    await hypercorn.asyncio.serve(WsgiToAsgi(flask_app), hypercorn.config.Config())
    await hypercorn.asyncio.serve(Dispatcher({"/": flask_app}), hypercorn.config.Config())
    framework: hypercorn.typing.ASGIFramework = WsgiToAsgi(flask_app)
    hypercorn.middleware.ProxyFixMiddleware(framework)
    hypercorn.middleware.DispatcherMiddleware({"/": WsgiToAsgi(flask_app)})


def asgi_apps_on_wsgi_servers() -> None:
    adapter = AsgiToWsgi(fastapi_app, loop="shared")
    waitress.serve(adapter)
    waitress.serve(AsgiToWsgi(starlette_typed), listen="127.0.0.1:8000")
    with make_server("127.0.0.1", 8000, adapter) as server:
        server.serve_forever()
    run_simple("127.0.0.1", 8000, adapter)
    application: WSGIApplication = AsgiToWsgi(asgiref_typed)
    validator(application)
    httpx.Client(transport=httpx.WSGITransport(app=adapter))
    Client(adapter).get("/")
    flask_app.wsgi_app = DispatcherMiddleware(flask_app.wsgi_app, {"/new": adapter})  # type: ignore[method-assign]
    flask_app.wsgi_app = AsgiToWsgi(fastapi_app)  # type: ignore[method-assign]
    ProxyFix(adapter)
    AsgiToWsgi(untyped_asgi)
    AsgiToWsgi(Starlette())
    AsgiToWsgi(Litestar())
    AsgiToWsgi(Quart(__name__))
    AsgiToWsgi(falcon.asgi.App())
    AsgiToWsgi(compat.WSGIMiddleware(flask_app))
    with AsgiToWsgi(fastapi_app, lifespan="on") as entered:
        Client(entered).get("/")


def sites() -> None:
    site = Dispatcher({"/api": fastapi_app, "/admin": WsgiToAsgi(flask_app), "/": flask_app})
    as_wsgi: WSGIApplication = site
    as_asgi: ASGI3Application = site
    as_starlettes: ASGIApp = site
    waitress.serve(site)
    uvicorn.run(site)
    run_simple("127.0.0.1", 8000, site)
    httpx.WSGITransport(app=site)
    httpx.ASGITransport(app=site)
    Client(site).get("/")
    TestClient(site)
    validator(site)
    flask_app.wsgi_app = Dispatcher({"/": typed_wsgi})  # type: ignore[method-assign]
    fastapi_app.mount("/site", site)
    Dispatcher({"/": [fastapi_app, flask_app], "/shop": Mount(fastapi_app, fallback=True), "/in": site})
    Dispatcher({"/": [FastAPI(), Flask(__name__), AsgiToWsgi(starlette_typed), typed_wsgi]})
    mounts = {"/new": fastapi_app, "/newer": Starlette()}
    Dispatcher(mounts)
    AsgiToWsgi(site)
    WsgiToAsgi(site)
    del as_wsgi, as_asgi, as_starlettes


def in_place_of_others() -> None:
    compat.WSGIMiddleware(typed_wsgi, workers=15)
    compat.ASGIMiddleware(fastapi_app, wait_time=5.0)
    compat.WsgiToAsgi(flask_app, duplicate_header_limit=None)


def in_an_app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    websocket: WebSocket = environ["wsgi.websocket"]
    for message in websocket:
        websocket.send(message)
    return []
