"""Django's WSGI app with WebSockets: ``wsgi.websocket`` in ``request.environ``, behind bridge (``app``)."""

import json

from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.http import HttpResponse, HttpResponseForbidden
from django.urls import path

from bridge import WebSocket, WsgiToAsgi
from tests.integration.apps import django_app
from tests.support.websocket_leftovers import leftovers

__all__ = ["app"]


def echo(request: WSGIRequest) -> HttpResponse:
    websocket: WebSocket = request.environ["wsgi.websocket"]
    for message in websocket:
        websocket.send(message)
    return HttpResponse("which nobody gets")


def session(request: WSGIRequest) -> HttpResponse:
    websocket: WebSocket = request.environ["wsgi.websocket"]
    websocket.send(f"{request.session.get('count')} at {request.build_absolute_uri()}")
    return HttpResponse()


def fail(request: WSGIRequest) -> HttpResponse:
    websocket: WebSocket = request.environ["wsgi.websocket"]
    websocket.receive()
    raise RuntimeError("failed in a view of Django")


def denied(request: WSGIRequest) -> HttpResponse:
    return HttpResponseForbidden("log in first")


def get_leftovers(request: WSGIRequest) -> HttpResponse:
    return HttpResponse(json.dumps(leftovers(app)))


django_app.urlpatterns += [
    path("ws/echo", echo),
    path("ws/session", session),
    path("ws/fail", fail),
    path("ws/denied", denied),
    path("leftovers/x", get_leftovers),
]

app = WsgiToAsgi(WSGIHandler())
