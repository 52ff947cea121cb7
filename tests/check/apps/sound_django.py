"""A sound Django site, by its WSGI handler and by its ASGI handler."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseRedirect,
    JsonResponse,
    StreamingHttpResponse,
)
from django.template import engines
from django.urls import include, path, re_path
from django.views import View

settings.configure(
    ALLOWED_HOSTS=["shop.example"],
    DEBUG=False,
    INSTALLED_APPS=["django.contrib.sessions"],
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.middleware.gzip.GZipMiddleware",
        "django.middleware.http.ConditionalGetMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
    ],
    ROOT_URLCONF=__name__,
    SECRET_KEY=secrets.token_hex(),
    SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
)
django.setup()

PAGE = (
    "<!doctype html><title>Visits</title><p>{{ visits }}</p><form method=post>{% csrf_token %}</form>"
    + " " * 500
)


def index(request: HttpRequest) -> HttpResponse:
    request.session["visits"] = request.session.get("visits", 0) + 1
    page = engines["django"].from_string(PAGE)
    return HttpResponse(page.render({"visits": request.session["visits"]}, request))


def thing(request: HttpRequest, number: int, name: str = "") -> JsonResponse:
    return JsonResponse(
        {"number": number, "name": name, "url": request.build_absolute_uri(), "get": request.GET}
    )


def missing(request: HttpRequest) -> HttpResponse:
    raise Http404


def fails(request: HttpRequest) -> HttpResponse:
    raise LookupError(request.path)


def away(request: HttpRequest) -> HttpResponse:
    return HttpResponseRedirect("/")


def stream(request: HttpRequest) -> StreamingHttpResponse:
    def pieces() -> Iterator[bytes]:
        for number in range(3):
            yield b"%d\n" % number
            time.sleep(0.1)

    async def async_pieces() -> AsyncIterator[bytes]:
        for number in range(3):
            yield b"%d\n" % number
            await asyncio.sleep(0.1)

    on_asgi = hasattr(request, "scope")
    return StreamingHttpResponse(async_pieces() if on_asgi else pieces(), content_type="text/plain")


class Page(View):  # type: ignore[misc]  # Django has no type information
    def get(self, request: HttpRequest) -> Any:
        return HttpResponse("a page", headers={"Cache-Control": "max-age=60"})

    def post(self, request: HttpRequest) -> Any:
        return HttpResponse("posted")


urlpatterns = [
    path("", index),
    path("thing/<int:number>/", thing),
    path("more/", include([path("<int:number>/<slug:name>/", thing)])),
    re_path(r"^old/(?P<number>[0-9]+)/$", thing),
    path("missing", missing),
    path("fails", fails),
    path("away", away),
    path("stream", stream),
    path("page", Page.as_view()),
]

wsgi_app = get_wsgi_application()
asgi_app = get_asgi_application()
