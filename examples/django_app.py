"""Django in one file, on an ASGI server: a form, a session in SQLite, a download that is streamed.

Run it from the directory above, and open http://127.0.0.1:8000/:

    pip install '.[serve]' django
    uvicorn examples.django_app:app

    curl --output numbers.csv http://127.0.0.1:8000/numbers.csv

The views are sync, and so is their handler: Django's WSGI application. Its sessions are in a file of their own in the
directory for temporary files; ``DJANGO_DATABASE`` names another one.
"""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import django
from django import forms
from django.conf import settings
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.template import engines
from django.urls import path

from bridge import WsgiToAsgi

DATABASE = os.environ.get("DJANGO_DATABASE") or str(
    Path(tempfile.gettempdir()) / "bridge-django-example.sqlite3"
)

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": DATABASE}},
    DEBUG=False,
    INSTALLED_APPS=["django.contrib.sessions"],
    MIDDLEWARE=[
        "django.middleware.common.CommonMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
    ],
    ROOT_URLCONF=__name__,
    SECRET_KEY="an example has no secrets",
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
)
django.setup()
# In a thread, because uvicorn before 0.47 imports the app on its running loop, where Django refuses the database.
migration = Thread(target=call_command, args=("migrate",), kwargs={"verbosity": 0})
migration.start()
migration.join()

PAGE = """\
<!doctype html>
<meta charset="utf-8">
<title>Notes</title>
<h1>Notes</h1>
<ul>{% for note in notes %}<li>{{ note }}</li>{% empty %}<li>None yet.</li>{% endfor %}</ul>
<form method="post">{% csrf_token %}{{ form }}<button>Add</button></form>
<p><a href="/numbers.csv">A long table</a></p>
"""


class Note(forms.Form):  # type: ignore[misc]  # Django has no type information
    text = forms.CharField(max_length=100)


def notes(request: HttpRequest) -> HttpResponse:
    form = Note(request.POST or None)
    kept: list[str] = request.session.setdefault("notes", [])
    if request.method == "POST" and form.is_valid():
        request.session["notes"] = [*kept, form.cleaned_data["text"]]
        return HttpResponseRedirect("/")
    context: dict[str, Any] = {"notes": kept, "form": form}
    return HttpResponse(engines["django"].from_string(PAGE).render(context, request))


def numbers(request: HttpRequest) -> StreamingHttpResponse:
    def lines() -> Iterator[str]:
        yield "number,square\r\n"
        for number in range(100_000):
            yield f"{number},{number * number}\r\n"

    return StreamingHttpResponse(lines(), content_type="text/csv")


urlpatterns = [path("", notes), path("numbers.csv", numbers)]

app = WsgiToAsgi(get_wsgi_application())
