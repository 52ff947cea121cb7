"""The admin, the uploads, and a view that fails."""

from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.static import serve


def fails(request: HttpRequest) -> HttpResponse:
    raise LookupError(request.path)


urlpatterns = [
    path("admin/", admin.site.urls),
    path("media/<path:path>", serve, {"document_root": settings.MEDIA_ROOT}),
    path("fails", fails),
]
