"""A site of four frameworks, three dispatchers deep; see ``test_dispatcher``.

Each app has ``/where/<n>``, which tells the URL that the app makes for itself and what it sees of its path.
"""

import hashlib
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path as route
from django.urls import reverse
from fastapi import FastAPI, HTTPException, Request, WebSocket
from flask import Flask, url_for
from flask import request as flask_request
from starlette.applications import Starlette
from starlette.requests import Request as StarletteRequest
from starlette.responses import JSONResponse
from starlette.routing import Route

from bridge import Dispatcher, Mount

__all__ = ["MOUNTS", "app", "failing"]

#: Where each app is mounted, below the server's own root path.
MOUNTS = {
    "": "flask",
    "/api": "fastapi",
    "/api/django": "django",
    "/api/v1": "starlette",
    "/api/v1/flask": "flask",
    "/api/v1/fastapi": "fastapi",
    "/api/v1/django": "django",
    "/api/v1/django-asgi": "django",
    "/new": "fastapi",
}

# Flask.


def make_flask() -> Flask:
    app = Flask(__name__)

    @app.get("/where/<int:number>")
    def where(number: int) -> dict[str, Any]:
        url = url_for("where", number=number, _external=True)
        return {
            "framework": "flask",
            "url": url,
            "root": flask_request.script_root,
            "path": flask_request.path,
        }

    @app.post("/new/digest")
    @app.post("/new/moved")
    def digest() -> dict[str, Any]:
        return {"framework": "flask", "sha256": hashlib.sha256(flask_request.get_data()).hexdigest()}

    # Flask's router has routes of their own for WebSockets.
    @app.route("/new/socket", websocket=True)
    @app.route("/socket", websocket=True)
    def socket() -> str:
        websocket = flask_request.environ["wsgi.websocket"]
        websocket.send(f"flask {flask_request.script_root}")
        websocket.send(websocket.receive())
        return ""

    return app


# FastAPI and Starlette.

Lifespan = Callable[[Any], AbstractAsyncContextManager[dict[str, str]]]


def lifespan_of(name: str) -> Lifespan:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, str]]:
        print(f"{name} up", file=sys.stderr, flush=True)
        yield {"name": name}
        print(f"{name} down", file=sys.stderr, flush=True)

    return lifespan


def make_fastapi(name: str) -> FastAPI:
    app = FastAPI(lifespan=lifespan_of(name))

    @app.get("/where/{number}")
    async def where(number: int, request: Request) -> dict[str, Any]:
        scope = request.scope
        return {
            "framework": "fastapi",
            "url": str(request.url_for("where", number=number)),
            "root": scope["root_path"],
            "path": scope["path"].removeprefix(scope["root_path"]),
            "state": dict(request.state._state),
        }

    @app.post("/moved")
    async def moved(request: Request) -> dict[str, Any]:
        return {"framework": "fastapi", "sha256": hashlib.sha256(await request.body()).hexdigest()}

    @app.post("/digest")
    async def reads_and_has_nothing(request: Request) -> None:
        await request.body()
        raise HTTPException(404)

    @app.websocket("/echo")
    async def echo(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(f"fastapi {websocket.scope['root_path']}")
        await websocket.send_text(await websocket.receive_text())
        await websocket.close()

    return app


def make_starlette(name: str) -> Starlette:
    async def where(request: StarletteRequest) -> JSONResponse:
        scope = request.scope
        return JSONResponse(
            {
                "framework": "starlette",
                "url": str(request.url_for("where", number=request.path_params["number"])),
                "root": scope["root_path"],
                "path": scope["path"].removeprefix(scope["root_path"]),
                "state": dict(request.state._state),
            }
        )

    return Starlette(routes=[Route("/where/{number:int}", where)], lifespan=lifespan_of(name))


# Django.

settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="test", USE_TZ=True)
django.setup()


def django_where(request: HttpRequest, number: int) -> HttpResponse:
    url = request.build_absolute_uri(reverse("where", args=[number]))
    script_name = request.META["SCRIPT_NAME"]
    return JsonResponse({"framework": "django", "url": url, "root": script_name, "path": request.path_info})


urlpatterns = [route("where/<int:number>", django_where, name="where")]


# The site.

third = Dispatcher(
    {
        "/": make_starlette("starlette"),
        "/flask": make_flask(),
        "/fastapi": make_fastapi("deep"),
        "/django": get_wsgi_application(),
        "/django-asgi": get_asgi_application(),
    }
)
second = Dispatcher({"/": make_fastapi("api"), "/v1": third, "/django": get_wsgi_application()})
app = Dispatcher({"/": make_flask(), "/api": second, "/new": Mount(make_fastapi("new"), fallback=True)})


# A site that does not start.


@asynccontextmanager
async def fails(app: FastAPI) -> AsyncIterator[None]:
    connect_to_the_database()
    yield


def connect_to_the_database() -> None:
    raise OSError("no database")


failing = Dispatcher(
    {
        "/first": make_fastapi("first"),
        "/second": Dispatcher({"/broken": FastAPI(lifespan=fails)}),
        "/": make_flask(),
    }
)
