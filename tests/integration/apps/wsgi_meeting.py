"""Django's ASGI handler behind ``AsgiToWsgi``, with synchronous views that meet: each waits for seven others."""

import threading

import django
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest, HttpResponse
from django.urls import path

from bridge import AsgiToWsgi

GUESTS = 8
TIMEOUT = 60.0  # seconds, against hanging only

if not settings.configured:
    settings.configure(
        ALLOWED_HOSTS=["*"], DEBUG=True, MIDDLEWARE=[], ROOT_URLCONF=__name__, SECRET_KEY="of no use"
    )
    django.setup(set_prefix=False)

_all_here = threading.Barrier(GUESTS)


def meet(request: HttpRequest) -> HttpResponse:
    """Return when eight requests are in here at the same time."""
    _all_here.wait(TIMEOUT)
    return HttpResponse(threading.current_thread().name)


urlpatterns = [path("meet", meet)]
app = AsgiToWsgi(ASGIHandler())
