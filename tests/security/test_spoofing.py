"""No header of a client's passes for another one, or for what a server or a proxy says (RFC 3875, section 4.1.18).

In an environ a hyphen and an underscore are the same, and so are upper and lower case. What a server tells of a client
has keys without ``HTTP_``, which no header has.
"""

import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import AsgiToWsgi, WsgiToAsgi
from bridge.cli.proxy import Trusted
from bridge.mapping.environ import build_environ, environ_key
from bridge.mapping.scope import build_scope
from bridge.types import Environ, Receive, Scope, Send, StartResponse
from tests.support.asgi import http_scope
from tests.support.served import call as serve_http
from tests.support.websockets import serve
from tests.support.wsgi import call, environ_for

pytestmark = pytest.mark.usefixtures("no_bridge_threads")

TOKEN = (string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~").encode()
names = st.binary(min_size=1, max_size=8) | st.text(TOKEN.decode(), min_size=1, max_size=8).map(str.encode)
#: Those that servers and proxies set, each as a client could write it.
CLAIMS = (
    *("Remote-User", "Remote_User", "REMOTE-USER", "Auth-Type", "Remote-Addr", "Https", "Ssl-Protocol"),
    *("SSL_CLIENT_VERIFY", "SSL-Client-Verify", "SSL_CLIENT_S_DN", "SSL-Client-S-DN", "SSL-Client-Cert"),
    *("wsgi.url_scheme", "wsgi-url-scheme", "asgi.scope", "Server-Name", "Script-Name", "Path-Info"),
    *("Request-Method", "Query-String", "Proxy", "PROXY", "Content_Length", "Content_Type"),
)


def environ_of(*headers: tuple[bytes, bytes]) -> Environ:
    return build_environ(http_scope(headers=headers))


def scope_of(**keys: str) -> Scope:
    return build_scope(environ_for(HTTP_HOST=None) | keys, {})


# A name that is none.


@given(names)
def test_any_name_is_a_key_of_its_own_or_none(name: bytes) -> None:
    """Two names with one key are the same name in RFC 9110, section 5.1: but for the case of ASCII."""
    if not set(name) <= set(TOKEN):
        with pytest.raises(ValueError, match="is not a field name"):
            environ_key(name)
        return
    key = environ_key(name)
    if b"_" in name or name.upper() == b"PROXY":
        assert key == ""
    else:
        assert key.removeprefix("HTTP_") == name.decode().upper().replace("-", "_")
        assert key.startswith("HTTP_") or name.upper() in {b"CONTENT-LENGTH", b"CONTENT-TYPE"}


#: In upper case (\xdf, \xff) or lower case (\u212a) they would be, or end in, other letters.
NO_NAMES = (
    "x-acce\xdf",
    "x-\xff",
    "x-to\u212aen",
    "x user",
    "content-length ",
    " x-user",
    "x-user:",
    "x\0",
    "",
)


@pytest.mark.parametrize("name", NO_NAMES)
def test_a_request_with_a_name_that_is_none_reaches_no_app(name: str) -> None:
    called: list[object] = []
    environ = environ_for() | {f"HTTP_{name.upper().replace('-', '_')}": "evil"}
    if name == "x-acce\xdf":  # what some servers make of it can't be told
        environ = environ_for() | {"HTTP_X_ACCE\xdf": "evil"}
    with AsgiToWsgi(lambda *_: called.append(1), lifespan="off") as adapter:  # type: ignore[arg-type]
        assert call(adapter, environ, validate=False).status == "400 Bad Request"
    headers = [(name.encode(), b"evil")]
    assert serve_http(lambda *_: called.append(1), headers=headers).status == 400  # type: ignore[arg-type]
    exchange = serve(lambda *_: called.append(1), denial=True, headers=headers)
    assert exchange.messages[0]["status"] == 400
    assert called == []


@pytest.mark.parametrize("value", ["a\r\n X-B: c", "a\nb", "a\rb", "a\0b", "caf\xe9\n"])
@pytest.mark.parametrize("key", ["HTTP_X_A", "CONTENT_TYPE"])
def test_a_request_with_a_value_that_breaks_its_line_reaches_no_app(key: str, value: str) -> None:
    """RFC 9110, section 5.5: uWSGI, cheroot and wsgiref let them through. No ASGI server of the tests does."""
    called: list[object] = []
    with AsgiToWsgi(lambda *_: called.append(1), lifespan="off") as adapter:  # type: ignore[arg-type]
        assert call(adapter, environ_for() | {key: value}, validate=False).status == "400 Bad Request"
    assert called == []


@pytest.mark.parametrize("value", ["a\tb", "caf\xe9", "a\x85b", ""])
def test_any_other_value_does(value: str) -> None:
    assert dict(scope_of(HTTP_X_A=value)["headers"])[b"x-a"] == value.encode("latin-1")


# A name that is another's.


@pytest.mark.parametrize("claim", CLAIMS)
def test_what_a_server_says_is_not_a_clients_to_say(claim: str) -> None:
    """In each form in which it could be sent; below both adapters as well."""
    plain = environ_of((b"host", b"test"))
    claimed = environ_of((b"host", b"test"), (claim.encode(), b"evil"))
    assert all(key.startswith("HTTP_") for key in claimed.keys() - plain.keys())
    assert {key: value for key, value in claimed.items() if key in plain and key != "asgi.scope"} == {
        key: value for key, value in plain.items() if key != "asgi.scope"
    }

    seen: list[Environ] = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        seen.append(environ)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return []

    header = f"HTTP_{claim.upper().replace('-', '_')}"
    with AsgiToWsgi(WsgiToAsgi(app), loop="request") as chain:
        environ = environ_for() | {"REMOTE_USER": "ada", "SSL_CLIENT_VERIFY": "NONE", header: "evil"}
        call(chain, environ, validate=False)
    (inner,) = seen
    assert inner["REMOTE_USER"] == "ada"
    assert inner["SSL_CLIENT_VERIFY"] == "NONE"
    assert {key for key, value in inner.items() if value == "evil"} <= {header}


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_certificate_is_the_servers_to_tell_of(scheme: str) -> None:
    """A header is a header of the scope, and nothing in its TLS extension."""
    keys = ("SSL_CLIENT_VERIFY", "SSL_CLIENT_S_DN", "SSL_PROTOCOL", "SSL_CLIENT_CERT")
    scope = scope_of(**{f"HTTP_{key}": "evil" for key in keys}, **{"wsgi.url_scheme": scheme})
    assert "tls" not in scope["extensions"]
    environ = build_environ(
        http_scope(
            headers=[(key.replace("_", "-").encode(), b"evil") for key in keys],
            extensions={"tls": {"tls_version": 0x0304, "client_cert_chain": []}},
        )
    )
    assert environ["SSL_CLIENT_VERIFY"] == "NONE"
    assert environ["SSL_PROTOCOL"] == "TLSv1.3"
    assert "SSL_CLIENT_S_DN" not in environ


def test_names_are_those_of_the_connections_own() -> None:
    """``Connection: X-User`` has a proxy drop that field (RFC 9110, section 7.6.1): here no field is dropped for it."""
    names = b"close, X-User, Content-Length, Host, Cookie"
    environ = environ_of(
        (b"connection", names), (b"x-user", b"u"), (b"host", b"h"), (b"content-length", b"3")
    )
    assert (environ["HTTP_X_USER"], environ["HTTP_HOST"], environ["CONTENT_LENGTH"]) == ("u", "h", "3")
    headers = dict(scope_of(HTTP_CONNECTION=names.decode(), HTTP_X_USER="u", CONTENT_LENGTH="3")["headers"])
    assert (headers[b"x-user"], headers[b"content-length"]) == (b"u", b"3")


# What a proxy says.

FORWARDED = (
    (b"x-forwarded-for", b"6.6.6.6"),
    (b"x-forwarded-proto", b"https"),
    (b"x-forwarded-host", b"evil"),
    (b"x-forwarded-prefix", b"/evil"),
    (b"x-real-ip", b"6.6.6.6"),
    (b"forwarded", b"for=6.6.6.6;proto=https;host=evil"),
)


def test_forwarded_headers_are_left_to_the_server() -> None:
    """The adapters read none of them. ``bridge serve --proxy-headers`` does, from whom it is told to trust."""
    environ = environ_of((b"host", b"test"), *FORWARDED)
    plain = environ_of((b"host", b"test"))
    assert {key: environ[key] for key in plain if key != "asgi.scope"} == {
        key: plain[key] for key in plain if key != "asgi.scope"
    }
    keys = {f"HTTP_{name.decode().upper().replace('-', '_')}": value.decode() for name, value in FORWARDED}
    mapped, at_home = scope_of(**keys), scope_of()
    left_out = {"headers", "wsgi_environ"}
    assert {key: mapped[key] for key in mapped if key not in left_out} == {
        key: at_home[key] for key in at_home if key not in left_out
    }


@pytest.mark.parametrize("port", ["9" * 5000, "65536", "-1", "+1", "1_0", "\u0661", "\xb2", ""])
def test_a_port_of_a_forwarded_address_that_is_none(port: str) -> None:
    """A client behind a proxy may write what it likes in front of what the proxy adds."""
    expected = (("1.2.3.4", 1), ("1.2.3.4", 0))
    assert Trusted("10.0.0.0/8").client(f"1.2.3.4:{port}, 10.0.0.1") in expected
    assert Trusted("10.0.0.0/8").client(f"6.6.6.6:{port}, 1.2.3.4") == ("1.2.3.4", 0)


# In a chain, a header that a middleware has taken away stays away.


def test_what_a_middleware_has_taken_away_does_not_come_back() -> None:
    seen: list[Environ] = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        seen.append(environ)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return []

    inner = WsgiToAsgi(app)

    async def without(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await inner(scope, receive, send)
            return
        headers = [(name, value) for name, value in scope["headers"] if name != b"x-user"]
        await inner({**scope, "headers": headers}, receive, send)

    with AsgiToWsgi(without) as chain:
        call(chain, environ_for(HTTP_X_USER="evil"), validate=False)
    assert "HTTP_X_USER" not in seen[0]


def test_a_server_that_says_nothing_of_its_client() -> None:
    """No address is taken from a header in its place."""
    environ = build_environ(http_scope(client=None, headers=list(FORWARDED)))
    assert environ["REMOTE_ADDR"] == ""
    scope: Any = scope_of(HTTP_X_FORWARDED_FOR="6.6.6.6", REMOTE_ADDR="")
    assert scope["client"] is None
