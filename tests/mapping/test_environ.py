"""A scope as an environ: PEP 3333, "environ Variables"; RFC 3875, section 4.1; and what the field has added."""

import io
import sys
from collections import deque
from typing import Any
from wsgiref.validate import check_environ  # type: ignore[attr-defined]  # unknown to typeshed

import pytest

from bridge.mapping import environ as module
from bridge.mapping.environ import build_environ, environ_key
from bridge.types import Environ
from tests.support.asgi import http_scope


def headers_of(*fields: tuple[bytes, bytes]) -> Environ:
    return build_environ(http_scope(headers=list(fields)))


# The keys of PEP 3333.


def test_a_plain_request() -> None:
    scope = http_scope("PUT", "/a b/c", raw_path=b"/a%20b/c", query=b"x=1&y=%20", client=("10.0.0.9", 4711))
    environ = build_environ(scope)
    assert environ == {
        "REQUEST_METHOD": "PUT",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/a b/c",
        "QUERY_STRING": "x=1&y=%20",
        "REQUEST_URI": "/a%20b/c?x=1&y=%20",
        "RAW_URI": "/a%20b/c?x=1&y=%20",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": environ["SERVER_SOFTWARE"],
        "REMOTE_ADDR": "10.0.0.9",
        "REMOTE_PORT": "4711",
        "HTTP_HOST": "127.0.0.1:8000",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
        "asgi.scope": scope,
    }
    assert environ["asgi.scope"] == scope
    assert environ["SERVER_SOFTWARE"]


@pytest.mark.parametrize(
    "scope",
    [
        http_scope(),
        {"type": "http", "path": "/"},
        http_scope(path="/a", root_path="/a", server=None, client=None, headers=[]),
        http_scope("POST", headers=[(b"content-length", b"3"), (b"content-type", b"text/plain")]),
    ],
    ids=["full", "bare", "mounted", "post"],
)
def test_wsgirefs_validator_takes_it(scope: Any) -> None:
    environ = build_environ(scope)
    environ["wsgi.input"] = io.BytesIO()
    check_environ(environ)


def test_a_scope_with_nothing_but_its_path() -> None:
    environ = build_environ({"type": "http", "path": "/x"})
    assert environ["REQUEST_METHOD"] == "GET"
    assert environ["PATH_INFO"] == environ["REQUEST_URI"] == environ["RAW_URI"] == "/x"
    assert environ["SCRIPT_NAME"] == environ["QUERY_STRING"] == ""
    assert environ["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert environ["wsgi.url_scheme"] == "http"
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("localhost", "80")
    assert environ["REMOTE_ADDR"] == ""
    assert "REMOTE_PORT" not in environ
    assert "HTTPS" not in environ


OPTIONAL = [
    "http_version",
    "server",
    "client",
    "scheme",
    "root_path",
    "raw_path",
    "query_string",
    "headers",
    "state",
]


@pytest.mark.parametrize("key", OPTIONAL)
@pytest.mark.parametrize("value", [..., None], ids=["missing", "None"])
def test_each_optional_key_may_be_missing_or_none(key: str, value: Any) -> None:
    environ = build_environ(http_scope(path="/x", **{key: value}))
    environ["wsgi.input"] = io.BytesIO()
    check_environ(environ)
    assert environ["PATH_INFO"] == "/x"


def test_environs_share_nothing() -> None:
    first = build_environ(http_scope())
    first["wsgi.multithread"] = False
    first["PATH_INFO"] = "/changed"
    assert build_environ(http_scope())["wsgi.multithread"] is True


@pytest.mark.parametrize(
    ("version", "protocol"),
    [
        ("1.0", "HTTP/1.0"),
        ("1", "HTTP/1.0"),
        ("1.1", "HTTP/1.1"),
        ("2", "HTTP/2"),
        ("3", "HTTP/3"),
        ("", "HTTP/1.1"),
    ],
)
def test_server_protocol(version: str, protocol: str) -> None:
    assert build_environ(http_scope(http_version=version))["SERVER_PROTOCOL"] == protocol


@pytest.mark.parametrize(
    ("scheme", "expected"),
    [("http", "http"), ("https", "https"), ("ws", "http"), ("wss", "https"), ("", "http")],
)
def test_url_scheme(scheme: str, expected: str) -> None:
    assert build_environ(http_scope(scheme=scheme))["wsgi.url_scheme"] == expected


@pytest.mark.parametrize(
    ("server", "scheme", "host", "expected"),
    [
        (("10.0.0.1", 81), "http", b"example.org", ("10.0.0.1", "81")),
        (("::1", 81), "http", b"example.org", ("::1", "81")),
        (("10.0.0.1", None), "http", b"example.org", ("10.0.0.1", "80")),
        (("10.0.0.1", None), "https", b"example.org", ("10.0.0.1", "443")),
        (("/run/bridge.sock", None), "http", b"example.org:8080", ("example.org", "8080")),
        (("/run/bridge.sock", 0), "http", b"example.org", ("example.org", "80")),
        (("/run/bridge.sock", None), "https", b"[::1]:8443", ("[::1]", "8443")),
        (("/run/bridge.sock", None), "https", b"", ("localhost", "443")),
        (("", None), "http", b"example.org", ("example.org", "80")),
        (None, "http", b"example.org:81", ("example.org", "81")),
        (None, "https", b"example.org", ("example.org", "443")),
        (None, "http", b"example.org:port", ("example.org:port", "80")),
        (None, "http", b":81", ("localhost", "81")),
        (None, "http", b"", ("localhost", "80")),
    ],
)
def test_server_name_and_port(server: Any, scheme: str, host: bytes, expected: tuple[str, str]) -> None:
    """Neither can be empty (PEP 3333)."""
    environ = build_environ(
        http_scope(server=server, scheme=scheme, headers=[(b"host", host)] if host else [])
    )
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == expected


@pytest.mark.parametrize(
    ("client", "expected"),
    [
        (("10.0.0.9", 4711), ("10.0.0.9", "4711")),
        (["::1", 4711], ("::1", "4711")),
        (("10.0.0.9", 0), ("10.0.0.9", "0")),
        (("10.0.0.9", None), ("10.0.0.9", "0")),
        # A Unix socket: as on gunicorn, where REMOTE_PORT isn't there either.
        (("", 0), ("", None)),
        (None, ("", None)),
    ],
)
def test_remote_address(client: Any, expected: tuple[str | None, str | None]) -> None:
    environ = build_environ(http_scope(client=client))
    assert (environ.get("REMOTE_ADDR"), environ.get("REMOTE_PORT")) == expected


def test_wsgi_errors_is_stderr_as_it_is_now(capsys: pytest.CaptureFixture[str]) -> None:
    build_environ(http_scope())["wsgi.errors"].write("to stderr\n")
    assert capsys.readouterr().err == "to stderr\n"


# Headers.


@pytest.mark.parametrize(
    ("name", "key"),
    [
        (b"host", "HTTP_HOST"),
        (b"Host", "HTTP_HOST"),
        (b"x-forwarded-for", "HTTP_X_FORWARDED_FOR"),
        (b"content-type", "CONTENT_TYPE"),
        (b"Content-Type", "CONTENT_TYPE"),
        (b"CONTENT-LENGTH", "CONTENT_LENGTH"),
        (b"content-language", "HTTP_CONTENT_LANGUAGE"),
        (b"x_user", ""),
        (b"content_length", ""),
        (b"proxy", ""),
        (b"Proxy", ""),
        (b"proxy-authorization", "HTTP_PROXY_AUTHORIZATION"),
        (b"x-!#$%&'*+.^`|~", "HTTP_X_!#$%&'*+.^`|~"),
    ],
)
def test_environ_key(name: bytes, key: str) -> None:
    assert environ_key(name) == key
    for _ in range(2):  # worked out, and looked up
        assert headers_of((name, b"1")).get(key) == ("1" if key else None)


def test_headers_that_could_pass_for_others_are_dropped() -> None:
    environ = headers_of(
        (b"x-user", b"proxy's"),
        (b"x_user", b"forged"),
        (b"X_User", b"forged"),
        (b"content_length", b"5"),
        (b"proxy", b"http://evil"),
        (b"PROXY", b"http://evil"),
    )
    assert environ["HTTP_X_USER"] == "proxy's"
    assert "CONTENT_LENGTH" not in environ
    assert "HTTP_PROXY" not in environ
    assert not any(
        "evil" in str(value) or "forged" in str(value) for k, value in environ.items() if k != "asgi.scope"
    )


def test_repeated_headers_join() -> None:
    environ = headers_of(
        (b"accept", b"a"), (b"cookie", b"x=1"), (b"Accept", b"b, c"), (b"Cookie", b"y=2"), (b"cookie", b"z=3")
    )
    assert environ["HTTP_ACCEPT"] == "a,b, c"
    assert environ["HTTP_COOKIE"] == "x=1; y=2; z=3"


def test_header_values_are_latin_1() -> None:
    assert headers_of((b"x-name", bytes(range(0x20, 0x100))))["HTTP_X_NAME"] == bytes(
        range(0x20, 0x100)
    ).decode("latin-1")


def test_no_header_reaches_a_key_of_the_servers() -> None:
    """All begin with HTTP_, but for the two that CGI names."""
    before = set(build_environ(http_scope(headers=[])))
    names = [
        b"wsgi.input",
        b"request-method",
        b"path-info",
        b"script-name",
        b"remote-addr",
        b"https",
        b"ssl-protocol",
    ]
    after = headers_of(*((name, b"forged") for name in names))
    assert all(key.startswith("HTTP_") for key in set(after) - before)
    assert all(after[key] != "forged" for key in before)


class CountedBytes(bytes):
    """Counts how many bytes are decoded."""

    decoded = 0

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        CountedBytes.decoded += len(self)
        return super().decode(encoding, errors)


def test_twenty_thousand_equal_fields_cost_each_byte_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The values are gathered and joined in one go: adding to a string each time copies the square of their number."""
    count = 20_000
    headers = [(b"x-a", CountedBytes(b"%05d" % number)) for number in range(count)]
    CountedBytes.decoded = 0
    lists: list[int] = []
    real = module._add_headers

    def add(environ: Environ, fields: Any) -> None:
        class Watched(dict[str, Any]):
            def __setitem__(self, key: str, value: Any) -> None:
                if key == "HTTP_X_A":
                    lists.append(len(value))
                super().__setitem__(key, value)

        watched = Watched()
        real(watched, fields)
        environ.update(watched)

    monkeypatch.setattr(module, "_add_headers", add)
    environ = build_environ(http_scope(headers=headers))
    assert environ["HTTP_X_A"] == ",".join(f"{number:05d}" for number in range(count))
    assert CountedBytes.decoded == 5 * count
    assert lists == [5, 6 * count - 1], "set once for the first field, and once for all of them"


def test_names_that_clients_make_up_do_not_fill_the_memory() -> None:
    for number in range(3000):
        assert headers_of((b"x-made-up-%d" % number, b"1"))[f"HTTP_X_MADE_UP_{number}"] == "1"
    assert headers_of((b"x-" + b"a" * 5000, b"1"))["HTTP_X_" + "A" * 5000] == "1"
    assert 0 < len(module._keys) <= module._keys.entries
    assert max(map(len, module._keys)) <= module._keys.longest


def test_headers_may_be_any_iterable_of_pairs() -> None:
    """granian gives lists of lists, others tuples of tuples."""
    for headers in ([[b"x-a", b"1"]], ((b"x-a", b"1"),), deque([(b"x-a", b"1")])):
        assert build_environ(http_scope(headers=headers))["HTTP_X_A"] == "1"


# TLS; the table is in test_tls.


def test_the_tls_extension() -> None:
    tls: dict[str, Any] = {
        "tls_version": 0x0304,
        "cipher_suite": 0x1301,
        "server_cert": None,
        "client_cert_chain": [],
    }
    environ = build_environ(http_scope(scheme="https", extensions={"tls": tls}))
    assert environ["HTTPS"] == "on"
    assert environ["SSL_PROTOCOL"] == "TLSv1.3"
    assert environ["SSL_CIPHER"] == "TLS_AES_128_GCM_SHA256"
    assert "HTTPS" not in build_environ(http_scope(extensions={}))
