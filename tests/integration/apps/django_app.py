"""The common contract of the framework apps, in Django; see ``test_wsgi_frameworks``."""

import hashlib
from collections.abc import Iterator

import django
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse, StreamingHttpResponse
from django.urls import path as route

settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="test",
    MIDDLEWARE=[
        "django.middleware.common.CommonMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
    ],
    SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    DATA_UPLOAD_MAX_MEMORY_SIZE=None,
    # Small, so that Django writes the uploads of the tests to its own temporary files.
    FILE_UPLOAD_MAX_MEMORY_SIZE=65536,
    USE_TZ=True,
)
django.setup()


def hello(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"hello {request.GET['name']}", content_type="text/plain")


def path(request: HttpRequest, rest: str) -> HttpResponse:
    url = request.build_absolute_uri()
    return JsonResponse({"rest": rest, "script": request.META["SCRIPT_NAME"], "url": url})


def body(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"size": len(request.body), "sha256": hashlib.sha256(request.body).hexdigest()})


def form(request: HttpRequest) -> HttpResponse:
    upload = request.FILES["upload"]
    data = upload.read()
    digest = hashlib.sha256(data).hexdigest()
    field = request.POST["field"]
    return JsonResponse({"field": field, "filename": upload.name, "size": len(data), "sha256": digest})


def count(request: HttpRequest) -> HttpResponse:
    request.session["count"] = request.session.get("count", 0) + 1
    return JsonResponse({"count": request.session["count"], "cookie": request.COOKIES.get("other", "")})


def stream(request: HttpRequest) -> StreamingHttpResponse:
    def chunks() -> Iterator[bytes]:
        for number in range(int(request.GET["chunks"])):
            yield b"%06d\n" % number

    return StreamingHttpResponse(chunks(), content_type="text/plain")


def away(request: HttpRequest) -> HttpResponse:
    return HttpResponseRedirect("hello?name=there")


def empty(request: HttpRequest) -> HttpResponse:
    response = HttpResponse(status=204)
    del response["Content-Type"]
    return response


def boom(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("boom in a view")


urlpatterns = [
    *(route(view.__name__, view) for view in (hello, body, form, count, stream, away, empty, boom)),
    route("path/<path:rest>", path),
]

app = WSGIHandler()
