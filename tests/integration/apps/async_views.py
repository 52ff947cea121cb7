"""Async views in Flask and in Django that block: one meets others, one calls its own server."""

import threading
import urllib.request

import django
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse
from django.urls import path
from flask import Flask, request

from bridge import Dispatcher, WsgiToAsgi

__all__ = ["app"]

settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="test", USE_TZ=True)
django.setup()

flask_app = Flask(__name__)
#: Four requests have to be in their views at the same time before one of them may go on.
meeting = threading.Barrier(4)


def _call_itself(host: str) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://{host}/flask/plain", timeout=30) as response:
        text: str = response.read().decode()
    return text


@flask_app.get("/plain")
def plain() -> str:
    return "plain"


@flask_app.get("/meet")
async def meet() -> str:
    meeting.wait(30)
    return "met"


@flask_app.get("/itself")
async def itself() -> str:
    return _call_itself(request.host)


async def django_meet(request: HttpRequest) -> HttpResponse:
    meeting.wait(30)
    return HttpResponse("met")


async def django_itself(request: HttpRequest) -> HttpResponse:
    return HttpResponse(_call_itself(request.get_host()))


urlpatterns = [path("meet", django_meet), path("itself", django_itself)]

app = Dispatcher({"/flask": WsgiToAsgi(flask_app), "/django": WsgiToAsgi(WSGIHandler())})
