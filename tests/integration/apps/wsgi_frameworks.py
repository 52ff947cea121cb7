"""ASGI frameworks behind ``AsgiToWsgi``, each a virtual host of one WSGI app: ``http://FRAMEWORK.test/``.

All have the same few pages, and FastAPI more: ``/hello``, ``/sync``, ``/headers``, ``/upload``, ``/form``,
``/stream``, ``/error``. ``BRIDGE_OPTIONS`` has the keyword arguments of the adapters as JSON, ``DATA`` a
directory with ``numbers.txt`` and ``rows.db``.
"""

import asyncio
import contextlib
import hashlib
import json
import os
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import django
import falcon
import falcon.asgi
import fastapi
import litestar
import litestar.response
import quart
from datasette.app import Datasette
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path as django_path
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from bridge import AsgiToWsgi
from bridge.types import Environ, StartResponse
from tests.integration.apps.wsgi_reports import ask, tell

__all__ = ["app"]

DATA = Path(os.environ["DATA"])


async def chunks(port: int) -> AsyncIterator[bytes]:
    """Two chunks; the second waits for the test."""
    yield b"first"
    await ask(port, "between")
    yield b"second"


def sum_of(body: bytes) -> str:
    return f"{len(body)} {hashlib.sha256(body).hexdigest()}"


# FastAPI


@contextlib.asynccontextmanager
async def lifespan(_: fastapi.FastAPI) -> AsyncIterator[dict[str, object]]:
    yield {"started": "by the lifespan"}


class Stamp(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: Any) -> Response:
        response: Response = await call_next(request)
        response.headers["x-stamp"] = request.url.path
        return response


fast = fastapi.FastAPI(lifespan=lifespan)
fast.add_middleware(Stamp)


@fast.get("/hello")
async def fast_hello() -> str:
    return "hello"


@fast.get("/sync")
def fast_sync() -> str:
    return "sync"


@fast.get("/state")
async def fast_state(request: Request) -> str:
    state: str = request.state.started
    return state


@fast.get("/items/{number}")
async def fast_item(number: int, flag: bool = False) -> dict[str, object]:
    return {"number": number, "flag": flag}


@fast.post("/upload")
async def fast_upload(request: Request) -> str:
    return sum_of(await request.body())


@fast.post("/form")
async def fast_form(name: str = fastapi.Form(), file: fastapi.UploadFile = fastapi.File()) -> str:  # noqa: B008
    return f"{name} {file.filename} {sum_of(await file.read())}"


@fast.get("/stream")
async def fast_stream(port: int) -> StreamingResponse:
    return StreamingResponse(chunks(port), media_type="text/plain")


@fast.get("/events")
async def fast_events(port: int) -> StreamingResponse:
    async def events() -> AsyncIterator[str]:
        try:
            yield "data: first\n\n"
            # Nothing more happens: the client's leaving is what ends it.
            await asyncio.get_running_loop().create_future()
        finally:
            tell(port, "events ended")

    return StreamingResponse(events(), media_type="text/event-stream")


@fast.get("/file")
async def fast_file() -> FileResponse:
    return FileResponse(DATA / "numbers.txt", filename="numbers.txt")


@fast.get("/background")
async def fast_background(tasks: fastapi.BackgroundTasks, port: int) -> str:
    tasks.add_task(ask, port, "background")
    tasks.add_task(tell, port, "background ended")
    return "done"


@fast.get("/error")
async def fast_error() -> None:
    raise ValueError("of FastAPI")


# Starlette


async def star_hello(request: Request) -> Response:
    return PlainTextResponse("hello")


def star_sync(request: Request) -> Response:
    return PlainTextResponse("sync")


async def star_headers(request: Request) -> Response:
    response = JSONResponse([request.headers["x-test"], request.cookies["a"], str(request.url)])
    response.set_cookie("b", "2")
    return response


async def star_upload(request: Request) -> Response:
    return PlainTextResponse(sum_of(b"".join([block async for block in request.stream()])))


async def star_form(request: Request) -> Response:
    async with request.form() as form:
        file: Any = form["file"]
        return PlainTextResponse(f"{form['name']} {file.filename} {sum_of(await file.read())}")


async def star_stream(request: Request) -> Response:
    return StreamingResponse(chunks(int(request.query_params["port"])), media_type="text/plain")


async def star_error(request: Request) -> Response:
    raise ValueError("of Starlette")


star = Starlette(
    routes=[
        Route("/hello", star_hello),
        Route("/sync", star_sync),
        Route("/headers", star_headers),
        Route("/upload", star_upload, methods=["POST"]),
        Route("/form", star_form, methods=["POST"]),
        Route("/stream", star_stream),
        Route("/error", star_error),
    ],
    middleware=[Middleware(Stamp)],
)

fast.router.routes.append(Route("/headers", star_headers))


# Django

settings.configure(
    ALLOWED_HOSTS=["*"],
    DEBUG=False,
    LOGGING_CONFIG=None,
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="a test has no secrets",
)
django.setup()


async def django_hello(request: HttpRequest) -> HttpResponse:
    return HttpResponse("hello", content_type="text/plain")


def django_sync(request: HttpRequest) -> HttpResponse:
    return HttpResponse("sync", content_type="text/plain")


async def django_headers(request: HttpRequest) -> HttpResponse:
    response = JsonResponse(
        [request.headers["x-test"], request.COOKIES["a"], request.build_absolute_uri()], safe=False
    )
    response.set_cookie("b", "2")
    return response


async def django_upload(request: HttpRequest) -> HttpResponse:
    return HttpResponse(sum_of(request.body))


def django_form(request: HttpRequest) -> HttpResponse:
    file = request.FILES["file"]
    assert not isinstance(file, list)
    return HttpResponse(f"{request.POST['name']} {file.name} {sum_of(file.read())}")


async def django_stream(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(chunks(int(request.GET["port"])), content_type="text/plain")


async def django_error(request: HttpRequest) -> HttpResponse:
    raise ValueError("of Django")


urlpatterns = [
    django_path("hello", django_hello),
    django_path("sync", django_sync),
    django_path("headers", django_headers),
    django_path("upload", django_upload),
    django_path("form", django_form),
    django_path("stream", django_stream),
    django_path("error", django_error),
]


# Litestar


@litestar.get("/hello")
async def lite_hello() -> str:
    return "hello"


@litestar.get("/sync", sync_to_thread=True)
def lite_sync() -> str:
    return "sync"


@litestar.get("/headers")
async def lite_headers(request: litestar.Request[Any, Any, Any]) -> litestar.Response[list[str]]:
    content = [request.headers["x-test"], request.cookies["a"], str(request.url)]
    return litestar.Response(content, cookies={"b": "2"})


@litestar.post("/upload", status_code=200)
async def lite_upload(request: litestar.Request[Any, Any, Any]) -> str:
    return sum_of(await request.body())


@litestar.post("/form", status_code=200)
async def lite_form(request: litestar.Request[Any, Any, Any]) -> str:
    form = await request.form()
    return f"{form['name']} {form['file'].filename} {sum_of(await form['file'].read())}"


@litestar.get("/stream")
async def lite_stream(port: int) -> litestar.response.Stream:
    return litestar.response.Stream(chunks(port), media_type="text/plain")


@litestar.get("/error")
async def lite_error() -> None:
    raise ValueError("of Litestar")


lite = litestar.Litestar(
    [lite_hello, lite_sync, lite_headers, lite_upload, lite_form, lite_stream, lite_error],
    logging_config=None,
)


# Quart

quart_app = quart.Quart(__name__)


@quart_app.get("/hello")
async def quart_hello() -> str:
    return "hello"


@quart_app.get("/sync")
def quart_sync() -> str:
    return "sync"


@quart_app.get("/headers")
async def quart_headers() -> quart.Response:
    request = quart.request
    response: quart.Response = quart.jsonify([request.headers["x-test"], request.cookies["a"], request.url])
    response.set_cookie("b", "2")
    return response


@quart_app.post("/upload")
async def quart_upload() -> str:
    body = await quart.request.get_data(cache=False)
    assert isinstance(body, bytes)
    return sum_of(body)


@quart_app.post("/form")
async def quart_form() -> str:
    form, files = await quart.request.form, await quart.request.files
    return f"{form['name']} {files['file'].filename} {sum_of(files['file'].read())}"


@quart_app.get("/stream")
async def quart_stream() -> quart.Response:
    return quart.Response(chunks(int(quart.request.args["port"])), content_type="text/plain")


@quart_app.get("/error")
async def quart_error() -> str:
    raise ValueError("of Quart")


# Falcon


class Falcon:
    """One resource with every page: the responder's suffix is the path."""

    async def on_get_hello(self, request: falcon.asgi.Request, response: falcon.asgi.Response) -> None:
        response.text = "hello"

    async def on_get_sync(self, request: falcon.asgi.Request, response: falcon.asgi.Response) -> None:
        response.text = await asyncio.to_thread(lambda: "sync")

    async def on_get_headers(self, request: falcon.asgi.Request, response: falcon.asgi.Response) -> None:
        response.content_type = falcon.MEDIA_JSON
        response.media = [request.get_header("x-test"), request.cookies["a"], request.url]
        response.set_cookie("b", "2", secure=False)

    async def on_post_upload(self, request: falcon.asgi.Request, response: falcon.asgi.Response) -> None:
        response.text = sum_of(await request.stream.read())

    async def on_post_form(self, request: falcon.asgi.Request, response: falcon.asgi.Response) -> None:
        seen: dict[str, str] = {}
        async for part in await request.get_media():
            data = await part.stream.read()
            seen[part.name] = f"{part.filename} {sum_of(data)}" if part.filename else data.decode()
        response.text = f"{seen['name']} {seen['file']}"

    async def on_get_stream(self, request: falcon.asgi.Request, response: falcon.asgi.Response) -> None:
        response.content_type = "text/plain"
        response.stream = chunks(request.get_param_as_int("port", required=True))

    async def on_get_error(self, request: falcon.asgi.Request, response: falcon.asgi.Response) -> None:
        raise ValueError("of Falcon")


falcon_app: Any = falcon.asgi.App(media_type=falcon.MEDIA_TEXT)
for page in ("hello", "sync", "headers", "upload", "form", "stream", "error"):
    falcon_app.add_route(f"/{page}", Falcon(), suffix=page)


def _adapt(asgi_app: Any) -> AsgiToWsgi:
    return AsgiToWsgi(asgi_app, **json.loads(os.environ.get("BRIDGE_OPTIONS", "{}")))


HOSTS = {
    "fastapi.test": _adapt(fast),
    "starlette.test": _adapt(star),
    "django.test": _adapt(get_asgi_application()),
    "litestar.test": _adapt(lite),
    "quart.test": _adapt(quart_app),
    "falcon.test": _adapt(falcon_app),
    "datasette.test": _adapt(Datasette([str(DATA / "rows.db")], settings={"num_sql_threads": 1}).app()),
}


def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Pass the request to the host's adapter."""
    return HOSTS[environ["HTTP_HOST"]](environ, start_response)
