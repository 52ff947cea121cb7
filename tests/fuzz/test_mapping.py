"""The mapping on whatever comes: the errors that it documents and no others, and laws that hold of all the rest."""

import contextlib
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bridge import ApplicationError
from bridge.mapping.environ import build_environ, environ_key, native_path
from bridge.mapping.headers import HOP_BY_HOP, response_head, start_of_response
from bridge.mapping.prefixes import split_path, under_prefix
from bridge.mapping.scope import build_scope
from bridge.types import Environ
from tests.fuzz.profile import examples
from tests.fuzz.values import (
    any_environs,
    any_headers,
    any_scopes,
    environs,
    numbers,
    odd_scopes,
    response_fields,
    response_pairs,
    scopes,
    statuses,
)
from tests.support.asgi import http_scope
from tests.support.wsgi import environ_for

#: What comes of a server that breaks the types of its interface.
OF_TYPES = (AttributeError, LookupError, TypeError, ValueError)


# A scope as an environ.


@examples(150)
@given(scopes())
def test_an_environ_is_one_by_pep_3333(scope: dict[str, Any]) -> None:
    environ = build_environ(scope)
    for key, value in environ.items():
        if not key.startswith(("wsgi.", "asgi.")):
            assert type(value) is str, key
            value.encode("latin-1")
        key.encode("ascii")
    assert environ["SCRIPT_NAME"] == "" or environ["SCRIPT_NAME"][0] == "/" != environ["SCRIPT_NAME"][-1]
    assert environ["PATH_INFO"] == "" or environ["PATH_INFO"][0] == "/"
    assert environ["SERVER_NAME"]
    assert environ["SERVER_PORT"].isdigit()
    assert "HTTP_CONTENT_TYPE" not in environ
    assert "HTTP_CONTENT_LENGTH" not in environ
    assert "HTTP_PROXY" not in environ


@examples(150)
@given(odd_scopes())
def test_an_odd_scope_is_mapped_or_has_no_path(scope: dict[str, Any]) -> None:
    try:
        environ = build_environ(scope)
    except ValueError:
        return
    assert all(key.isascii() for key in environ)
    # What is mapped can be mapped back, as it is below another adapter.
    try:
        build_scope(environ, {})
    except UnicodeEncodeError:
        assert "\ud800" in repr(scope)
    except ValueError:
        # An ASGI server has let through what none should (RFC 9110, section 5.5).
        assert any(set(value) & set(b"\r\n\0") for _, value in scope["headers"])


@examples(150)
@given(any_scopes())
def test_a_scope_of_wrong_types_is_no_more_than_an_error(scope: dict[str, Any]) -> None:
    with contextlib.suppress(*OF_TYPES):
        build_environ(scope)


@examples(150)
@given(scopes())
def test_a_scope_comes_back(scope: dict[str, Any]) -> None:
    """But for the order of fields, those that have one name, and what has no place in an environ."""
    back = build_scope(build_environ(scope), {})
    for key in ("method", "scheme", "query_string", "http_version"):
        assert back[key] == scope[key]
    root, rest = split_path(scope)
    assert back["root_path"] == root
    assert back["path"] == ((root + rest) or "/")
    assert back["client"] == scope["client"]
    if scope.get("server") and scope["server"][1]:
        assert back["server"] == scope["server"]
    assert dict(back["headers"]) == _joined(scope["headers"])
    assert len(dict(back["headers"])) == len(back["headers"])


def _joined(headers: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    joined: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        if b"_" not in name and name != b"proxy":
            joined.setdefault(name, []).append(value)
    fields = {name: (b"; " if name == b"cookie" else b",").join(values) for name, values in joined.items()}
    if b"transfer-encoding" in fields:
        fields.pop(b"content-length", None)  # beside it a length says nothing (RFC 9112, 6.3)
    # Empty is how an environ says that there is none (RFC 3875, 4.1.2 and 4.1.3).
    return {k: v for k, v in fields.items() if v or k not in {b"content-type", b"content-length"}}


@examples(300)
@given(any_headers)
def test_no_field_passes_for_another(headers: list[tuple[bytes, bytes]]) -> None:
    """Two names share a key only if they are the same name (RFC 9110, 5.1: they are of ASCII, whatever the case)."""
    keys: dict[str, bytes] = {}
    for name, _ in headers:
        try:
            key = environ_key(name)
        except ValueError:
            continue  # the request is refused
        if key:
            assert keys.setdefault(key, name.lower()) == name.lower()
            assert key.isascii()


@examples(100)
@given(scopes(), st.sampled_from(["", "/a", "/api", "/é"]))
def test_what_is_mounted_can_be_mapped(scope: dict[str, Any], prefix: str) -> None:
    root, rest = split_path(scope)
    assume(not prefix or rest.startswith(f"{prefix}/"))
    mounted = under_prefix(scope, prefix, root, rest)
    environ = build_environ(mounted)
    assert environ["SCRIPT_NAME"] == native_path(root + prefix)
    assert environ["SCRIPT_NAME"] + environ["PATH_INFO"] == native_path(root + rest)


# An environ as a scope.


@examples(150)
@given(environs())
def test_a_scope_is_one_by_the_specification(environ: Environ) -> None:
    scope = build_scope(environ, {})
    assert scope["path"][:1] == "/"
    assert type(scope["raw_path"]) is type(scope["query_string"]) is bytes
    assert scope["path"].startswith(scope["root_path"])
    for name, value in scope["headers"]:
        assert type(name) is type(value) is bytes
        assert name == name.lower()
        assert b"_" not in name
    assert scope["method"] == scope["method"].upper()


@examples(150)
@given(environs())
def test_an_environ_comes_back(environ: Environ) -> None:
    back = build_environ(build_scope(environ, {}))
    # An empty path is "/" in a scope.
    lost = {"REQUEST_URI", "RAW_URI", "SERVER_SOFTWARE"}
    if not environ["REMOTE_ADDR"]:
        lost |= {"REMOTE_PORT"}
    assert {k: back.get(k) for k in environ if k[:5] != "wsgi." and k not in lost} == {
        k: v for k, v in environ.items() if k[:5] != "wsgi." and k not in lost
    }


@examples(150)
@given(any_environs())
def test_an_environ_of_wrong_types_is_no_more_than_an_error(environ: Environ) -> None:
    with contextlib.suppress(*OF_TYPES):
        build_scope(environ, {})


# A response.


@examples(250)
@given(statuses, response_fields)
def test_any_start_response_is_taken_or_an_error_of_the_app(status: object, headers: object) -> None:
    try:
        start = start_of_response(status, headers)
    except ApplicationError:
        return
    assert 200 <= start.status <= 999
    fields = start.message["headers"]
    for name, value in fields:
        assert name.islower() or not name.upper().islower()
        assert name.decode("ascii") not in HOP_BY_HOP
        assert not set(value) & set(b"\r\n\0")
        assert value == value.strip(b" \t")
    assert [name for name, _ in fields].count(b"content-length") <= 1
    # It stands the way back.
    head = response_head(start.status, fields)
    assert [(name.encode(), value.encode("latin-1")) for name, value in head.headers] == fields
    assert head.content_length == start.content_length or start.status in {204, 304}


@examples(250)
@given(numbers, response_pairs)
def test_any_response_start_is_taken_or_an_error_of_the_app(status: object, headers: object) -> None:
    try:
        head = response_head(status, headers)
    except ApplicationError:
        return
    assert 200 <= int(head.status[:3]) <= 999
    assert head.status[3] == " "
    for name, value in head.headers:
        assert name.isascii()
        assert name.lower() not in HOP_BY_HOP
        assert not set(value) & set("\r\n\0")
        value.encode("latin-1")
    # It stands the way back, but for blanks around a value.
    start = start_of_response(head.status, head.headers)
    assert start.status == int(head.status[:3])
    assert start.message["headers"] == [
        (name.lower().encode(), value.encode("latin-1").strip(b" \t")) for name, value in head.headers
    ]


# What it costs, in lines of Python that are run: a client chooses how much there is.


def lines_of(function: Callable[[], object]) -> int:
    count = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function()
    finally:
        sys.settrace(before)
    return count


#: A request of the size n, each with something else that there is much of.
FLOODS: dict[str, Callable[[int], Callable[[], object]]] = {
    "equal fields": lambda n: lambda: build_environ(http_scope(headers=[(b"x-equal", b"1")] * n)),
    "cookies": lambda n: lambda: build_environ(http_scope(headers=[(b"cookie", b"a=b")] * n)),
    "long fields": lambda n: lambda: build_environ(http_scope(headers=[(b"x-" + b"n" * n, b"v" * n)])),
    "segments": lambda n: lambda: build_environ(http_scope(path="/" * n, root_path="/a" * n)),
    "segments under it": lambda n: (
        lambda: build_environ(http_scope(path="/a" * (n + 1), root_path="/a/" * n))
    ),
    "keys": lambda n: lambda: build_scope(environ_for() | {f"HTTP_X_{k}": "1" for k in range(n)}, {}),
    "certificates": lambda n: (
        lambda: build_environ(
            http_scope(extensions={"tls": {"client_cert_chain": ["c"] * n}}, scheme="https")
        )
    ),
    "certificates back": lambda n: (
        lambda: build_scope(
            environ_for(SSL_PROTOCOL="x", SSL_CLIENT_CERT="c")
            | {"wsgi.url_scheme": "https"}
            | {f"SSL_CLIENT_CERT_CHAIN_{k}": "c" for k in range(n)},
            {},
        )
    ),
    "fields of a response": lambda n: (
        lambda: start_of_response("200 OK", [(f"x-{k}", "v") for k in range(n)])
    ),
    "fields of a start": lambda n: lambda: response_head(200, [(b"x-%d" % k, b"v") for k in range(n)]),
    "lengths": lambda n: lambda: start_of_response("200 OK", [("Content-Length", "1")] * n),
}


@pytest.mark.parametrize("flood", FLOODS)
def test_twice_as_much_costs_twice_as_much(flood: str) -> None:
    make = FLOODS[flood]
    make(1)()  # what is learnt once
    one, two, four = (lines_of(make(n)) for n in (2000, 4000, 8000))
    assert four - two <= 2 * (two - one) + 200
