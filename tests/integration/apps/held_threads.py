"""Apps that hold their threads: Django with a connection to its database for each, and long polls; behind bridge.

``DATABASE``: the path of an SQLite file. ``PATIENCE``: seconds before requests that wait are told of in the log.
"""

import os
from pathlib import Path

import django
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from flask import Flask, request

from bridge import WsgiToAsgi
from bridge.to_asgi import busy
from tests.support.gate import pass_gate

__all__ = ["database", "polls"]

DATABASE = os.environ.get("DATABASE", ":memory:")
busy._PATIENCE = float(os.environ.get("PATIENCE", busy._PATIENCE))
busy._LOOK = min(busy._LOOK, busy._PATIENCE)

settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="test",
    DATABASES={
        "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": DATABASE, "CONN_MAX_AGE": None},
    },
)
django.setup()


def query(http_request: HttpRequest) -> HttpResponse:
    """Use this thread's connection; wait at a gate in between, where the request has its port."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 + 1")
        if "gate" in http_request.GET:
            pass_gate(int(http_request.GET["gate"]))
        return HttpResponse(str(cursor.fetchone()[0]))


def connections(http_request: HttpRequest) -> JsonResponse:
    """Count the file descriptors of the database: one for each connection that is open, whoever holds it.

    And the adapter's threads, this one among them.
    """
    links = [link.readlink() for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    stats = database.stats()
    assert stats.threads_idle is not None
    threads = stats.threads_busy + stats.threads_idle
    return JsonResponse({"open": sum(str(link) == DATABASE for link in links), "threads": threads})


urlpatterns = [path("query", query), path("connections", connections)]
database = WsgiToAsgi(WSGIHandler())

flask_app = Flask(__name__)


@flask_app.get("/")
def index() -> str:
    return "hello"


@flask_app.get("/poll")
def poll() -> str:
    """Answer when there is something: when the test lets it through."""
    pass_gate(int(request.args["gate"]))
    return "news"


polls = WsgiToAsgi(flask_app, threads=3)
