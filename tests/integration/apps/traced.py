"""Django, Flask and FastAPI with OpenTelemetry's own instrumentations, at home and bridged.

Each makes a span of its own, ``work``, in a view, and ``streamed`` for each chunk of a stream. ``/spans`` has all spans
of the process, by their trace and their parents; it stands in front of what is instrumented.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any, cast

import django
import fastapi
import fastapi.responses
import flask
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import path
from opentelemetry import trace
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware as AsgiMiddleware
from opentelemetry.instrumentation.django import DjangoInstrumentor
from opentelemetry.instrumentation.flask import FlaskInstrumentor

from bridge import AsgiToWsgi, Dispatcher, WsgiToAsgi
from bridge.to_wsgi.loops.mode import LoopMode
from bridge.types import Environ, StartResponse, WSGIApp
from tests.support.spans import Spans, parents

LOOP = cast("LoopMode", os.environ.get("LOOP", "request"))
spans = Spans()


def work() -> None:
    with spans.tracer.start_as_current_span("work"):
        pass


def chunks() -> Iterator[bytes]:
    for chunk in (b"one", b"two"):
        with spans.tracer.start_as_current_span("streamed"):
            pass
        yield chunk


async def async_chunks() -> AsyncIterator[bytes]:
    for chunk in chunks():
        await asyncio.sleep(0)
        yield chunk


# Django's.


def django_whole(request: object) -> HttpResponse:
    work()
    return HttpResponse(b"onetwo")


def django_chunks(request: object) -> StreamingHttpResponse:
    work()
    return StreamingHttpResponse(chunks())


async def django_awaited(request: object) -> HttpResponse:
    await asyncio.sleep(0)
    work()
    return HttpResponse(b"onetwo")


urlpatterns = [
    path("whole", django_whole),
    path("chunks", django_chunks),
    path("awaited", django_awaited),
]

settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="test", USE_TZ=True, MIDDLEWARE=[])
_of_django: Any = DjangoInstrumentor()  # it is without types
_of_django.instrument(tracer_provider=spans.provider)
django.setup(set_prefix=False)

# Flask's.

flask_app = flask.Flask("site")
_of_flask: Any = FlaskInstrumentor()
_of_flask.instrument_app(flask_app, tracer_provider=spans.provider)


@flask_app.get("/whole")
def flask_whole() -> bytes:
    work()
    return b"onetwo"


@flask_app.get("/chunks")
def flask_chunks() -> flask.Response:
    work()
    return flask.Response(flask.stream_with_context(chunks()))


# FastAPI's, by ASGI's.

fastapi_app = fastapi.FastAPI()
fastapi_app.add_middleware(AsgiMiddleware, tracer_provider=spans.provider)


@fastapi_app.get("/whole")
def fastapi_whole() -> fastapi.Response:
    work()
    return fastapi.Response(b"onetwo")


@fastapi_app.get("/chunks")
async def fastapi_chunks() -> fastapi.responses.StreamingResponse:
    work()
    return fastapi.responses.StreamingResponse(async_chunks())


# What servers get.


def report() -> bytes:
    """Each trace that has a span, and its spans."""
    by_trace: dict[str, list[Any]] = {}
    for span in spans.finished():
        assert span.context is not None
        by_trace.setdefault(trace.format_trace_id(span.context.trace_id), []).append(span)
    return json.dumps({trace_id: parents(found, trace_id) for trace_id, found in by_trace.items()}).encode()


def report_app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "application/json")])
    return [report()]


def wsgi(app: WSGIApp) -> WSGIApp:
    def reporting(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        return (report_app if environ["PATH_INFO"] == "/spans" else app)(environ, start_response)

    return reporting


def asgi(app: Any) -> Any:
    async def reporting(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] != "/spans":
            await app(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": report()})

    return reporting


django_wsgi = wsgi(WSGIHandler())
django_asgi = asgi(ASGIHandler())
django_wsgi_bridged = WsgiToAsgi(django_wsgi)
django_asgi_bridged = AsgiToWsgi(django_asgi, loop=LOOP, lifespan="off")

site = Dispatcher(
    {
        "/django": WSGIHandler(),
        "/flask": flask_app,
        "/fastapi": AsgiToWsgi(fastapi_app, loop=LOOP),
        "/spans": report_app,
    }
)
