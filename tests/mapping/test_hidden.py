"""What the bridge adds to an environ and a scope, in the hands of those that print them."""

import copy
import io
import logging
import pickle
import pprint
import reprlib
from collections.abc import Callable
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.core.handlers.wsgi import WSGIRequest
from django.test.utils import override_settings
from django.views.debug import ExceptionReporter, SafeExceptionReporterFilter
from rich.pretty import pretty_repr
from sentry_sdk.serializer import serialize
from werkzeug.debug.repr import debug_repr

from bridge.mapping.environ import build_environ
from bridge.mapping.hidden import Hidden
from bridge.mapping.scope import build_scope
from tests.support.asgi import http_scope
from tests.support.wsgi import environ_for

SECRET = "s3cr3t"
HEADERS = [
    (b"host", b"testserver"),
    (b"cookie", b"sessionid=" + SECRET.encode()),
    (b"authorization", b"Bearer " + SECRET.encode()),
]

#: How values get into logs, pages and mails.
PRINTERS: dict[str, Callable[[object], str]] = {
    "repr": repr,
    "str": str,
    "pprint": pprint.pformat,
    "reprlib": reprlib.repr,
    "rich": pretty_repr,
    "logging": lambda value: logging.makeLogRecord({"msg": "%s", "args": (value,)}).getMessage(),
    "sentry": lambda value: str(serialize({"vars": {"value": value}}, is_vars=True)),
    "werkzeug": debug_repr,
}


def environ_of_a_scope() -> dict[str, Any]:
    """The environ that a WSGI app gets on an ASGI server."""
    scope = http_scope(headers=HEADERS)
    scope["state"] = {"pool": f"postgres://app:{SECRET}@db"}
    environ = build_environ(scope)
    environ["wsgi.input"] = io.BytesIO()
    return environ


def scope_of_an_environ() -> dict[str, Any]:
    """The scope that an ASGI app gets on a WSGI server, some of which put the process' variables into the environ."""
    return dict(
        build_scope(environ_for() | {"HTTP_AUTHORIZATION": f"Bearer {SECRET}", "DB_PASSWORD": SECRET}, {})
    )


if not settings.configured:
    settings.configure(SECRET_KEY="test")
apps.populate(settings.INSTALLED_APPS)
urlpatterns: list[object] = []


@pytest.mark.parametrize("printer", PRINTERS)
def test_who_prints_what_the_bridge_adds_sees_no_secret(printer: str) -> None:
    show = PRINTERS[printer]
    environ, scope = environ_of_a_scope(), scope_of_an_environ()
    at_home = {"HTTP_COOKIE", "HTTP_AUTHORIZATION"}
    assert at_home <= environ.keys()
    for key, value in environ.items():
        if key not in at_home:
            assert SECRET not in show(value), key
    headers = scope.pop("headers")
    assert SECRET in str(headers), "those are the scope's own, as on an ASGI server"
    assert SECRET not in show(scope)


def test_djangos_page_and_mail_hide_what_they_hide_at_home() -> None:
    def page(environ: dict[str, Any]) -> str:
        request = WSGIRequest(environ)
        meta = SafeExceptionReporterFilter().get_safe_request_meta(request)
        assert SECRET not in pprint.pformat(meta)
        # Without a traceback: its frames would show what this test has.
        reporter = ExceptionReporter(request, ValueError, ValueError("boom"), None, is_email=True)
        return f"{reporter.get_traceback_text()}{reporter.get_traceback_html()}"

    environ = environ_of_a_scope()
    with override_settings(DEBUG=True, ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"]):
        text = page(environ)
        assert "asgi.scope" in text
        assert SECRET not in text
        # As it would be with a dict.
        environ["asgi.scope"] = environ["asgi.scope"].copy()
        with pytest.raises(AssertionError):
            page(environ)


def test_it_works_as_the_dict_that_it_shows_nothing_of() -> None:
    contents = {"type": "http", "state": {"n": 1}}
    hidden = Hidden(contents)
    assert hidden == contents
    assert contents == hidden
    assert hidden == Hidden(dict(contents))
    assert hidden != {}
    assert {**hidden} == dict(hidden) == contents
    assert hidden | {"a": 1} == {"a": 1} | hidden == {**contents, "a": 1}
    assert list(hidden) == list(contents)
    assert hidden.get("missing", 7) == 7
    assert "type" in hidden
    with pytest.raises(KeyError):
        hidden["missing"]
    with pytest.raises(TypeError):
        hash(hidden)
    match hidden:
        case {"type": "http", **rest}:
            assert rest == {"state": {"n": 1}}
        case _:
            pytest.fail("it is matched as a mapping")


def test_it_is_a_view() -> None:
    contents: dict[str, Any] = {"type": "http"}
    hidden = Hidden(contents)
    hidden["user"] = "ann"
    hidden.setdefault("state", {})["n"] = 1
    del hidden["type"]
    assert contents == {"user": "ann", "state": {"n": 1}}
    contents["later"] = True
    assert hidden.pop("later") is True


def test_copies_are_of_their_own() -> None:
    contents: dict[str, Any] = {"state": {"n": 1}}
    hidden = Hidden(contents)
    for copied in (
        hidden.copy(),
        copy.copy(hidden),
        copy.deepcopy(hidden),
        pickle.loads(pickle.dumps(hidden)),
    ):
        assert copied == contents
        copied["x"] = 1
    assert "x" not in contents
    deep = copy.deepcopy(hidden)
    deep["state"]["n"] = 2
    assert contents["state"]["n"] == 1


def test_what_an_app_sets_reaches_the_scope_and_the_environ() -> None:
    scope = http_scope()
    build_environ(scope)["asgi.scope"]["user"] = "ann"
    assert scope["user"] == "ann"
    environ = environ_for()
    build_scope(environ, {})["wsgi_environ"]["mine.key"] = 1
    assert environ["mine.key"] == 1
