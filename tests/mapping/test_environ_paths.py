"""``SCRIPT_NAME``, ``PATH_INFO``, ``REQUEST_URI``: in both conventions of the field, and with any byte."""

import asyncio
import io
from typing import Any
from urllib.parse import quote, unquote
from wsgiref.validate import check_environ  # type: ignore[attr-defined]  # unknown to typeshed

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.mapping.environ import build_environ, native_path
from bridge.mapping.prefixes import split_path
from bridge.types import Environ
from tests.support.asgi import http_scope

# root_path, path as by the specification (root_path included), path as received by a server behind a proxy that cuts
# the prefix; then SCRIPT_NAME and PATH_INFO.
MOUNTS = [
    ("", "/a", "/a", "", "/a"),
    ("", "/", "/", "", "/"),
    ("/api", "/api/a", "/a", "/api", "/a"),
    ("/api", "/api", "", "/api", ""),
    ("/api", "/api/", "/", "/api", "/"),
    ("/api", "/api/a/", "/a/", "/api", "/a/"),
    ("/api", "/api//a", "//a", "/api", "//a"),
    ("/api/", "/api/a", "/a", "/api", "/a"),
    ("api", "/api/a", "/a", "/api", "/a"),
    ("/", "/a", "/a", "", "/a"),
    ("/api/v1", "/api/v1/a", "/a", "/api/v1", "/a"),
    ("/api/v1/deep", "/api/v1/deep", "", "/api/v1/deep", ""),
    ("/api", "/api/apix", "/apix", "/api", "/apix"),
    ("/\xe4", "/\xe4/b", "/b", "/\xc3\xa4", "/b"),
    ("/\u65e5", "/\u65e5/\u672c", "/\u672c", "/\xe6\x97\xa5", "/\xe6\x9c\xac"),
]


@pytest.mark.parametrize(("root_path", "whole", "cut", "script_name", "path_info"), MOUNTS)
def test_both_conventions_of_the_path(
    root_path: str, whole: str, cut: str, script_name: str, path_info: str
) -> None:
    for path in {whole, cut} - {""}:
        environ = build_environ(http_scope(path=path, raw_path=quote(path).encode(), root_path=root_path))
        assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == (script_name, path_info), path
        assert environ["REQUEST_URI"] == quote(path)


@pytest.mark.parametrize("path", ["/apix", "/apix/a", "/ap", "/v1/api", "/API/a"])
def test_a_prefix_is_cut_at_a_segments_end_only(path: str) -> None:
    environ = build_environ(http_scope(path=path, root_path="/api"))
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/api", path)


def test_a_path_that_begins_with_the_prefix_twice_loses_it_once() -> None:
    environ = build_environ(http_scope(path="/api/api/a", root_path="/api"))
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/api", "/api/a")


def test_nested_mounts_of_starlette() -> None:
    """Real ones: the scope as the innermost app gets it."""
    from starlette.applications import Starlette
    from starlette.routing import Mount

    seen: list[Environ] = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        seen.append(build_environ(scope))

    app = Starlette(routes=[Mount("/outer", routes=[Mount("/inner", app=inner)])])
    for root_path, path in (("", "/outer/inner/page/"), ("/proxy", "/proxy/outer/inner/page/")):
        seen.clear()
        asyncio.run(app(http_scope(path=path, root_path=root_path), None, None))  # type: ignore[arg-type]  # not called
        assert [(e["SCRIPT_NAME"], e["PATH_INFO"]) for e in seen] == [(root_path + "/outer/inner", "/page/")]


@pytest.mark.parametrize(
    ("path", "raw_path", "path_info"),
    [
        ("/\xe4\u20ac", b"/%C3%A4%E2%82%AC", "/\xc3\xa4\xe2\x82\xac"),
        ("/\xe4\u20ac", None, "/\xc3\xa4\xe2\x82\xac"),
        ("/\ufffd", b"/%FF", "/\xff"),
        ("/a\ufffdb\ufffd", b"/a%FFb%80", "/a\xffb\x80"),
        ("/\ufffd", b"/%EF%BF%BD", "/\xef\xbf\xbd"),
        ("/\ufffd", None, "/\xef\xbf\xbd"),
        ("/\udcff", None, "/\xff"),
        ("/new\ufffd", b"/old%FF", "/new\xef\xbf\xbd"),
        ("/a+b", b"/a+b", "/a+b"),
        ("/a/b", b"/a%2Fb", "/a/b"),
        ("/%41", b"/%2541", "/%41"),
        ("/\xe4", "/\xe4".encode(), "/\xc3\xa4"),
    ],
)
def test_path_info_holds_bytes(path: str, raw_path: bytes | None, path_info: str) -> None:
    """PEP 3333, "Unicode Issues": each byte of the URL is one character."""
    scope = http_scope()
    scope.update(path=path, raw_path=raw_path)
    environ = build_environ(scope)
    assert environ["PATH_INFO"] == path_info
    if raw_path:
        assert environ["REQUEST_URI"] == environ["RAW_URI"] == raw_path.decode("latin-1")


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_in_a_path_comes_back(text: str) -> None:
    path = "/" + text
    for raw_path in (quote(path).encode(), None):
        environ = build_environ(http_scope(path=path, raw_path=raw_path))
        assert environ["PATH_INFO"].encode("latin-1").decode() == path
        assert environ["REQUEST_URI"] == quote(path)


@given(st.binary())
def test_any_bytes_in_a_path_and_a_query_come_back(data: bytes) -> None:
    raw_path = b"/" + quote(data).encode()
    path = (b"/" + data).decode("utf-8", "replace")
    environ = build_environ(http_scope(path=path, raw_path=raw_path, query=data))
    assert environ["PATH_INFO"].encode("latin-1") == b"/" + data
    assert environ["QUERY_STRING"].encode("latin-1") == data
    assert environ["REQUEST_URI"].encode("latin-1") == raw_path + (b"?" + data if data else b"")


@pytest.mark.parametrize(
    ("path", "path_info"),
    [("http://example.org/a/b", "/a/b"), ("http://example.org", "/"), ("*", ""), ("", "")],
)
def test_targets_in_other_forms(path: str, path_info: str) -> None:
    """RFC 9112, section 3.2: servers pass them on as paths."""
    environ = build_environ(http_scope("OPTIONS", path))
    assert environ["PATH_INFO"] == path_info
    environ["wsgi.input"] = io.BytesIO()
    check_environ(environ)


@pytest.mark.parametrize(
    ("raw_path", "path_info"),
    [
        (b"http://host%2Fadmin/x", "/x"),
        (b"http://host%2Fadmin", "/"),
        (b"http://host%2Fadmin/caf%C3%A9/%FF", "/caf\xc3\xa9/\xff"),
        (b"http://user%2F@host/a%2Fb", "/a/b"),
        # It is another one's: who has rewritten the path left it as it was.
        (b"http://host/other", "/admin/x"),
        (None, "/admin/x"),
    ],
)
def test_a_slash_in_the_authority_is_none_of_the_path(raw_path: bytes | None, path_info: str) -> None:
    """RFC 3986, section 2.2: decoded, it would be. A proxy in front goes by what the client has sent."""
    path = "http://host/admin/x"
    if path_info != "/admin/x" and raw_path is not None:
        path = unquote(raw_path.decode())
    scope = http_scope(path=path, raw_path=raw_path)
    assert build_environ(scope)["PATH_INFO"] == path_info
    assert native_path(split_path(scope)[1]) in {path_info, path_info.replace("\xff", "\xef\xbf\xbd")}
