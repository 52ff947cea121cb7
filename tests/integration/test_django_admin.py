"""Django's admin, as a project with a manage.py: the same visit on the site's own server and through the bridge.

Each page, each header and each log line of Django's is the same.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.integration.test_cli_servers import serving
from tests.support.servers import REPOSITORY, RunningServer
from tests.support.visits import Answer, Visit, lines_of_app

SITE = Path(__file__).with_name("admin_site")
SMALL, LARGE = b"a letter\n", bytes(range(256)) * 1_200


class Seen(NamedTuple):
    """What a visit has seen, and what Django has logged."""

    answers: list[Answer]
    lines: list[str]


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data of a site with one user, and nothing else in it."""
    data = tmp_path_factory.mktemp("office")
    environ = os.environ | {
        "OFFICE": str(data),
        "DJANGO_SUPERUSER_PASSWORD": "secret",
        "DJANGO_SETTINGS_MODULE": "office.settings",
    }
    for words in (
        ("migrate", "--run-syncdb", "--verbosity", "0"),
        ("createsuperuser", "--noinput", "--username", "boss", "--email", "boss@office.example"),
    ):
        command = [sys.executable, str(SITE / "manage.py"), *words]
        subprocess.run(command, env=environ, check=True, timeout=60, capture_output=True)
    return data


def visit(server: RunningServer) -> list[Answer]:
    """Log in, write documents with files, look at them, do what is not allowed, and leave."""
    with server.client() as client:
        visit = Visit(client)
        visit.ask("GET", "/admin/")
        login = "/admin/login/?next=/admin/"
        token = _token(visit.ask("GET", login).text)
        form = {"username": "boss", "next": "/admin/", "csrfmiddlewaretoken": token}
        visit.ask("POST", login, data=form | {"password": "wrong"})
        visit.ask("POST", login, data=form | {"csrfmiddlewaretoken": "none", "password": "secret"})
        assert visit.ask("POST", login, data=form | {"password": "secret"}).status_code == 302
        assert "boss" in visit.ask("GET", "/admin/").text

        style = visit.ask("GET", "/static/admin/css/base.css")
        unchanged = {"If-Modified-Since": style.headers["last-modified"]}
        assert visit.ask("GET", "/static/admin/css/base.css", headers=unchanged).status_code == 304
        visit.ask("HEAD", "/static/admin/css/base.css")
        visit.ask("GET", "/static/admin/css/none.css")

        add = "/admin/office/document/add/"
        for title, content in (("small", SMALL), ("Größe", LARGE), ("small", SMALL), ("empty", b"")):
            page = {"csrfmiddlewaretoken": _token(visit.ask("GET", add).text), "title": title, "pages": "7"}
            visit.ask("POST", add, data=page, files={"file": (f"{title} ü.bin", content)})
            visit.ask("GET", "/admin/office/document/")
        visit.ask("POST", add, data={"csrfmiddlewaretoken": _token(visit.ask("GET", add).text)})
        change = visit.ask("GET", "/admin/office/document/2/change/").text
        [file] = re.findall(r'href="(/media/[^"]+)"', change)
        assert visit.ask("GET", file).content == LARGE
        visit.ask("HEAD", file)
        visit.ask("GET", "/admin/office/document/", params={"q": "Größe"})
        visit.ask("GET", "/admin/office/document/1/history/")
        visit.ask("GET", "/admin/office/document/9/change/")
        visit.ask("GET", "/admin/jsi18n/")
        gone = {"csrfmiddlewaretoken": _token(change), "post": "yes"}
        assert visit.ask("POST", "/admin/office/document/1/delete/", data=gone).status_code == 302

        assert visit.ask("GET", "/fails").status_code == 500
        visit.ask("PUT", "/fails")
        visit.ask("GET", "/admin")
        visit.ask("GET", "/admin/", headers={"Host": "elsewhere.example"})
        visit.ask("POST", "/admin/logout/", data={"csrfmiddlewaretoken": _token(change)})
        visit.ask("GET", "/admin/")
        return visit.answers


def _token(page: str) -> str:
    [token, *_] = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
    return str(token)


def seen_on(
    empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, app: str, server: str, *options: str
) -> Seen:
    """A visit to the site on this server, by ``bridge serve`` from the folder above that of manage.py."""
    data = tmp_path / f"{server}-{app}"
    shutil.copytree(empty, data)
    monkeypatch.setenv("OFFICE", str(data))
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)
    words = f"{app} --app-dir {SITE}"
    with serving(words, server, *options, directory=REPOSITORY) as running:
        answers = visit(running)
        log = running.wait_for_log("django.security.DisallowedHost")  # the last line of it
    return Seen(answers, lines_of_app(log, "OFFICE "))


@pytest.mark.parametrize(
    ("app", "native", "bridged"),
    [
        ("office.wsgi:application", ("gunicorn",), ("uvicorn",)),
        # With one thread, it is a sync worker.
        ("office.asgi:application", ("uvicorn",), ("gunicorn", "--threads", "1")),
    ],
    ids=["WSGI", "ASGI"],
)
def test_a_visit_is_the_same(
    app: str,
    native: tuple[str, ...],
    bridged: tuple[str, ...],
    empty: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    at_home = seen_on(empty, tmp_path, monkeypatch, app, *native)
    through = seen_on(empty, tmp_path, monkeypatch, app, *bridged)
    for one, other in zip(at_home.answers, through.answers, strict=True):
        assert other == one
    assert through.lines == at_home.lines
    assert {200, 302, 304, 400, 403, 404, 500} <= {answer.status for answer in at_home.answers}
    assert "OFFICE ERROR django.request Internal Server Error: /fails" in at_home.lines
