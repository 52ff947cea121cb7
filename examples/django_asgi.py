"""Django's ASGI handler under gunicorn's threads: async views, one of which does several things at once.

Run it from the directory above:

    pip install '.[serve]' django
    gunicorn --worker-class gthread --threads 8 examples.django_asgi:wsgi_app

    curl http://127.0.0.1:8000/
    curl http://127.0.0.1:8000/together
    curl --no-buffer http://127.0.0.1:8000/countdown
    curl http://127.0.0.1:8000/sync

Each request has an event loop of its own, in the thread that gunicorn gave. The sync view, and what else is sync in
Django, runs in a second thread that is this request's alone: no request waits for another one's.
"""

import asyncio
import threading
from collections.abc import AsyncIterator

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, JsonResponse, StreamingHttpResponse
from django.urls import path

from bridge import AsgiToWsgi

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    DEBUG=False,
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="an example has no secrets",
)
django.setup()


async def index(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"request": type(request).__name__, "thread": threading.current_thread().name})


async def together(request: HttpRequest) -> JsonResponse:
    async def answer(name: str, seconds: float) -> str:
        await asyncio.sleep(seconds)  # in place of a database, or of another service
        return name

    answers = [answer("first", 0.3), answer("second", 0.2), answer("third", 0.1)]
    return JsonResponse({"as they came": [await each for each in asyncio.as_completed(answers)]})


async def countdown(request: HttpRequest) -> StreamingHttpResponse:
    async def lines() -> AsyncIterator[str]:
        for number in range(3, 0, -1):
            yield f"{number}\n"
            await asyncio.sleep(0.2)
        yield "Lift-off!\n"

    return StreamingHttpResponse(lines(), content_type="text/plain")


def sync(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"request": type(request).__name__, "thread": threading.current_thread().name})


urlpatterns = [path("", index), path("together", together), path("countdown", countdown), path("sync", sync)]

app = get_asgi_application()
wsgi_app = AsgiToWsgi(app)
