"""Every form of a root path and of a path, as an app reads it through an adapter and as frameworks read it at home.

A row says what the server has, and the path that an app is to route by. Beside it stands which framework reads that
otherwise at home, in one of its versions at least (Django has changed its mind in 6.1): it would answer 404 there.
"""

import io
import sys
from typing import Any

import pytest
from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.core.handlers.wsgi import WSGIRequest, get_script_name
from django.http import HttpRequest, HttpResponse
from django.urls import path as route
from django.urls import reverse, set_script_prefix
from starlette._utils import get_route_path
from werkzeug.wrappers import Request as WerkzeugRequest

from bridge import AsgiToWsgi, Dispatcher
from bridge.mapping.environ import build_environ
from bridge.mapping.prefixes import split_path, under_prefix
from bridge.mapping.scope import build_scope
from tests.support.asgi import http_scope
from tests.support.served import call as call_asgi
from tests.support.wsgi import call as call_wsgi
from tests.support.wsgi import environ_for

if not settings.configured:
    settings.configure(SECRET_KEY="test")


def view(request: HttpRequest) -> HttpResponse:
    raise NotImplementedError


urlpatterns = [route("page", view, name="page")]


def django_url(script_name: str) -> str:
    """What ``reverse()`` gives while a request with that script name is served."""
    set_script_prefix(script_name)
    try:
        url: str = reverse("page", urlconf=sys.modules[__name__])
        return url
    finally:
        set_script_prefix("/")


# root_path, path, raw_path; then the normal root, the path to route by, and who reads it otherwise at home.
SCOPES = [
    # As by the specification, and on uvicorn.
    ("", "/x", b"/x", "", "/x", ""),
    ("/awx", "/awx/x", b"/awx/x", "/awx", "/x", ""),
    ("/awx", "/awx/", b"/awx/", "/awx", "/", ""),
    ("/awx", "/awx", b"/awx", "/awx", "", ""),
    ("/awx", "/awx//x", b"/awx//x", "/awx", "//x", ""),
    ("/a/b", "/a/b/x/", b"/a/b/x/", "/a/b", "/x/", ""),
    ("/é", "/é/ü", "/é/%C3%BC".encode(), "/é", "/ü", ""),
    # uvicorn --root-path /awx/, /, awx, //awx, /awx//.
    ("/awx/", "/awx//x", b"/awx//x", "/awx", "/x", "django"),
    ("/awx/", "/awx//", b"/awx//", "/awx", "/", "django"),
    ("/", "//x", b"//x", "", "/x", "django"),
    ("/", "//", b"//", "", "/", "django"),
    ("awx", "awx/x", b"awx/x", "/awx", "/x", ""),
    ("//awx", "//awx/x", b"//awx/x", "/awx", "/x", ""),
    ("/awx//", "/awx///x", b"/awx///x", "/awx", "/x", "django"),
    ("/a//b", "/a//b/x", b"/a//b/x", "/a/b", "/x", ""),
    # hypercorn, granian, daphne, gunicorn: the path as it was received, from a proxy that cuts or does not.
    ("/awx", "/x", b"/x", "/awx", "/x", ""),
    ("/awx", "/", b"/", "/awx", "/", ""),
    ("/awx", "/awxed", b"/awxed", "/awx", "/awxed", "django"),
    ("/awx/", "/x", b"/x", "/awx", "/x", ""),
    ("/awx/", "/awx/x", b"/awx/x", "/awx", "/x", "starlette django"),
    ("/awx/", "/awx/", b"/awx/", "/awx", "/", "starlette django"),
    ("/awx/", "/awx", b"/awx", "/awx", "", "starlette django"),
    ("/", "/x", b"/x", "", "/x", "django"),
    ("/", "/", b"/", "", "/", "starlette django"),
    ("awx", "/x", b"/x", "/awx", "/x", ""),
    ("awx", "/awx/x", b"/awx/x", "/awx", "/x", "starlette django"),
    # Mounts of Starlette below such a root path: it appends its prefix.
    ("/awx//sub", "/awx//sub/x", b"/awx//sub/x", "/awx/sub", "/x", ""),
    ("//sub", "//sub/x", b"//sub/x", "/sub", "/x", ""),
    ("//sub", "/sub/x", b"/sub/x", "/sub", "/x", "starlette django"),
    # Mounts that cut the path and leave raw_path (Starlette before 0.33, hypercorn's DispatcherMiddleware).
    ("/sub", "", b"/sub", "/sub", "", ""),
    ("/sub", "/x", b"/sub/x", "/sub", "/x", ""),
    ("", "", b"/sub", "", "", ""),
    ("", "", b"", "", "", ""),
    ("", "", None, "", "", ""),
    ("/awx", "/ü", None, "/awx", "/ü", ""),
    # raw_path in a form of its own.
    ("/awx", "/x", b"x", "/awx", "/x", ""),
    ("/awx", "/awx/x", b"http://host/awx/x", "/awx", "/x", ""),
    # Targets in other forms.
    ("/awx", "http://host/awx/x", b"http://host/awx/x", "/awx", "/x", "starlette django"),
    ("/awx/", "http://host/x", b"http://host/x", "/awx", "/x", "starlette django"),
    ("/awx", "*", b"*", "/awx", "", "starlette django"),
]


@pytest.mark.parametrize(("root_path", "path", "raw_path", "root", "rest", "otherwise"), SCOPES)
class TestAScope:
    def test_as_a_wsgi_app_reads_it(
        self, root_path: str, path: str, raw_path: bytes | None, root: str, rest: str, otherwise: str
    ) -> None:
        environ = build_environ(http_scope(root_path=root_path, path=path, raw_path=raw_path))
        assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == (
            root.encode().decode("latin-1"),
            rest.encode().decode("latin-1"),
        )
        environ["wsgi.input"] = io.BytesIO()
        script_name = get_script_name(environ)
        werkzeug, django = WerkzeugRequest({**environ}), WSGIRequest(environ)
        assert (werkzeug.root_path, werkzeug.path) == (root, "/" + rest.lstrip("/"))
        assert (script_name, django.path_info) == (root, rest or "/")
        assert django_url(script_name) == f"{root}/page".replace("é", "%C3%A9")

    def test_as_frameworks_read_it_at_home(
        self, root_path: str, path: str, raw_path: bytes | None, root: str, rest: str, otherwise: str
    ) -> None:
        scope = http_scope(root_path=root_path, path=path, raw_path=raw_path)
        if "starlette" not in otherwise:
            assert get_route_path(scope) == rest
        if "django" not in otherwise:
            assert ASGIRequest(scope, io.BytesIO()).path_info == rest

    def test_as_an_app_in_a_dispatcher_reads_it(
        self, root_path: str, path: str, raw_path: bytes | None, root: str, rest: str, otherwise: str
    ) -> None:
        scope = http_scope(root_path=root_path, path=path, raw_path=raw_path)
        assert split_path(scope) == (root, rest)
        if not rest or rest[0] != "/":
            return
        # As if the app had been mounted at /part.
        below = http_scope(
            root_path=root_path,
            path=path[: len(path) - len(rest)] + "/part" + rest,
            raw_path=raw_path and raw_path.replace(b"x", b"part/x"),
        )
        mounted = under_prefix(below, "/part", *split_path(below))
        assert (mounted["root_path"], mounted["path"]) == (f"{root}/part", f"{root}/part{rest}")
        assert get_route_path(mounted) == ASGIRequest(mounted, io.BytesIO()).path_info == rest
        environ = build_environ(mounted)
        assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == (
            f"{root}/part".encode().decode("latin-1"),
            rest.encode().decode("latin-1"),
        )


@pytest.mark.parametrize(
    ("root_path", "path", "raw_path", "mounted_raw_path"),
    [
        ("/awx/", "/awx//api/ü", b"/awx//api/%C3%BC", b"/awx/api/%C3%BC"),
        ("/", "//api/x", b"//%61pi/x", b"/%61pi/x"),
        ("awx", "awx/api/x", b"awx/api/x", b"/awx/api/x"),
        ("/awx/", "/awx/api/x", b"/%61wx/api/x", b"/%61wx/api/x"),
        ("/awx/", "/api/x", b"/%61pi/x", b"/awx/%61pi/x"),
        ("/awx", "/api/ü", b"nonsense", b"/awx/api/%C3%BC"),
        ("", "http://host/api/x", b"http://host/api/%78", b"/api/%78"),
    ],
)
def test_the_raw_path_of_a_mount_has_the_same_root(
    root_path: str, path: str, raw_path: bytes, mounted_raw_path: bytes
) -> None:
    scope = http_scope(root_path=root_path, path=path, raw_path=raw_path)
    assert under_prefix(scope, "/api", *split_path(scope))["raw_path"] == mounted_raw_path


# SCRIPT_NAME, PATH_INFO; then the normal root, the path to route by, and who reads it otherwise at home.
ENVIRONS = [
    ("", "/x", "", "/x", ""),
    ("", "/", "", "/", ""),
    ("", "//x", "", "//x", "werkzeug"),
    ("/awx", "/x", "/awx", "/x", ""),
    ("/awx", "/", "/awx", "/", ""),
    ("/awx", "", "/awx", "", ""),
    ("/a/b", "/x/", "/a/b", "/x/", ""),
    ("/\xc3\xa9", "/\xc3\xbc", "/é", "/ü", ""),
    # gunicorn and granian with SCRIPT_NAME=/awx/ or /; they cut it off as it is.
    ("/awx/", "x", "/awx", "/x", "django"),
    ("/awx/", "", "/awx", "/", ""),
    ("/", "x", "", "/x", "django"),
    ("/", "", "", "/", ""),
    # Others don't.
    ("/awx/", "/x", "/awx", "/x", ""),
    ("/", "/x", "", "/x", ""),
]


@pytest.mark.parametrize(("script_name", "path_info", "root", "rest", "otherwise"), ENVIRONS)
class TestAnEnviron:
    def test_as_an_asgi_app_reads_it(
        self, script_name: str, path_info: str, root: str, rest: str, otherwise: str
    ) -> None:
        scope = build_scope(environ_for() | {"SCRIPT_NAME": script_name, "PATH_INFO": path_info}, {})
        assert (scope["root_path"], scope["path"]) == (root, root + rest or "/")
        assert scope["path"][:1] == "/"
        django = ASGIRequest(scope, io.BytesIO())
        assert get_route_path(scope) == django.path_info == rest
        assert django_url(django.script_name) == f"{root}/page".replace("é", "%C3%A9")
        # And back: what the other adapter makes of it.
        environ = build_environ(scope)
        assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == (
            root.encode().decode("latin-1"),
            rest.encode().decode("latin-1"),
        )

    def test_as_frameworks_read_it_at_home(
        self, script_name: str, path_info: str, root: str, rest: str, otherwise: str
    ) -> None:
        environ = environ_for() | {"SCRIPT_NAME": script_name, "PATH_INFO": path_info}
        werkzeug, django = WerkzeugRequest({**environ}), WSGIRequest(environ)
        assert werkzeug.root_path == root
        if "werkzeug" not in otherwise:
            assert werkzeug.path == (rest or "/")
        if "django" not in otherwise:
            assert django.path_info == (rest or "/")

    def test_as_an_app_in_a_dispatcher_reads_it(
        self, script_name: str, path_info: str, root: str, rest: str, otherwise: str
    ) -> None:
        if not rest:
            return
        below = f"/sub{path_info}" if path_info[:1] == "/" else f"sub{rest}"
        environ = environ_for() | {"SCRIPT_NAME": script_name, "PATH_INFO": below}
        told = f"{root}/sub {rest}".encode()

        def wsgi(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [f"{environ['SCRIPT_NAME']} {environ['PATH_INFO']}".encode("latin-1")]

        async def asgi(scope: Any, receive: Any, send: Any) -> None:
            assert scope["type"] == "http"
            headers = [(b"content-type", b"text/plain")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            text = f"{scope['root_path']} {scope['path'].removeprefix(scope['root_path'])}"
            await send({"type": "http.response.body", "body": text.encode()})

        for app in (wsgi, asgi, Dispatcher({"/": asgi})):
            with Dispatcher({"/sub": app, "/": lambda environ, start_response: []}) as site:
                assert call_wsgi(site, {**environ}, validate=False).body == told
        with AsgiToWsgi(Dispatcher({"/sub": wsgi})._asgi) as adapter:
            assert call_wsgi(adapter, {**environ}, validate=False).body == told


def test_a_path_without_a_slash_is_no_path_still() -> None:
    """``CONNECT host:443``."""

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        raise AssertionError

    for root_path in ("", "/awx", "awx"):
        assert call_asgi(app, "CONNECT", "host:443", root_path=root_path).status == 400
