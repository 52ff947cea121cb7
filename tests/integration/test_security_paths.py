"""Which app a request reaches below a ``Dispatcher``, on real servers: RFC 9112, section 3.2, and RFC 3986, section 2.

A proxy in front may guard a place by its prefix. The place is reached by a path that has the prefix as whole segments
when it is decoded once, and by no other, and its app has the rest of the path as the server gave it. Nothing is
resolved: what dots and two slashes mean is the app's, as on a server of its own kind. Some servers resolve them; then
that is the path. The slash of an absolute target's authority is none of its path.
"""

import json
from typing import Any
from urllib.parse import unquote_to_bytes

import h11
import pytest

from tests.conftest import ServerPool, StartServer
from tests.support.faults import installed
from tests.support.raw import RawConnection
from tests.support.servers import SERVERS as KINDS
from tests.support.servers import RunningServer

SITES = "tests.integration.apps.guarded"
SERVERS = (
    *("uvicorn-h11", "uvicorn-httptools", "hypercorn", "granian", "daphne"),
    *("gunicorn-sync", "gunicorn-gthread", "waitress", "wsgiref", "cheroot", "granian-wsgi", "uwsgi"),
    "mod_wsgi",
)
#: ``X`` is a guarded prefix without its slash.
TARGETS = (
    *("/X", "/X/", "/X/a", "/X?a", "/X/a?b=/../X", "/x", "/Xx", "/X.", "/X;a", "/X;/a", "/a/X", "/X/X"),
    # Segments.
    *("//X", "///X/a", "/X//a", "/./X", "/X/.", "/X/..", "/X/../a", "/a/../X", "/../X", "/..;/X", "/X/..;/a"),
    # Encoded, once and twice.
    *(
        "/%2e/X",
        "/%2e%2e/X",
        "/a/%2e%2e/X",
        "/X/%2e%2e/a",
        "/X%2fa",
        "/X%2Fa",
        "/X%2f..%2fa",
        "/%2fX",
        "/%2f/X",
    ),
    *("/X%3fa", "/X%23a", "/X%3ba", "/X%25", "/%2558", "/X%252fa", "/%252fX"),
    # What some take for a slash, or drop.
    *("/X%5ca", "/%5cX", "/X%5c..%5ca", "/X%c0%afa", "/%c0%afX", "/%c0%ae%c0%ae/X", "/X%ef%bc%8fa"),
    *(
        "/X%00",
        "/X%00/a",
        "/%00/X",
        "/X%09",
        "/X%20",
        "/%20/X",
        "/X%0d%0aa",
        "/X%c2%85a",
        "/X%e2%80%a8a",
        "/X%ad",
    ),
    # Other letters that are these in another case, or another form.
    *("/%ff/X", "/X%ff", "/X%cc%81", "/%ef%bd%97sgi", "/a%ef%bd%93gi"),
    # Absolute: a slash of the authority is none of the path.
    *(
        "http://test/X",
        "http://test/X/a?b",
        "HTTP://test/X",
        "http://test",
        "http://test?/X",
        "http://test//X",
    ),
    *("http://a@test/X", "http://test%2fX/a", "http://test%2fX", "http://a%2fX@test/b", "http://X/a"),
)


def of_absolute(target: str) -> bytes:
    """The path that the client asks for, decoded."""
    return unquote_to_bytes("/" + target.partition("?")[0].partition("://")[2].partition("/")[2])


def reached(server: RunningServer, target: str, *headers: str) -> list[Any] | None:
    """What the app says that the request has reached; ``None``: it was refused."""
    lines = [f"GET {target} HTTP/1.1", "Host: test", "Connection: close", *headers, "", ""]
    raw = "\r\n".join(lines).encode("latin-1")
    with RawConnection(server.connect()) as connection:
        try:
            answer = connection.request(raw)
        except (h11.RemoteProtocolError, ConnectionError):
            return None
    if answer.status != 200:
        assert 400 <= answer.status < 500, (target, answer)
        return None
    seen: list[Any] = json.loads(answer.body)
    return seen


def right(guarded: str, given: str, raw: str | None) -> list[str]:
    """What a request has to reach that the server gives this path to: bytes, each as a character, or text in ASGI."""
    if raw is not None:
        # raw_path of uvicorn and others has no query; hypercorn's may.
        path = of_absolute(raw) if raw[:1] != "/" else unquote_to_bytes(raw.partition("?")[0])
        assert given[:1] != "/" or path.decode("utf-8", "replace") == given
    else:
        path = given.encode("latin-1")
    name = guarded.encode()
    where = guarded if path == name or path.startswith(name + b"/") else ""
    # An ASGI app has text: what is no UTF-8 is U+FFFD in it.
    encoding = "utf-8" if where == "/asgi" else "latin-1"
    return [where, where, path[len(where) :].decode(encoding, "replace")]


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest, server_pool: ServerPool) -> RunningServer:
    kind = KINDS[request.param]
    return server_pool.get(kind.name, f"{SITES}:{kind.interface}")


@pytest.mark.parametrize("guarded", ["/wsgi", "/asgi"])
def test_a_guarded_place_is_reached_by_its_prefix_alone(guarded: str, server: RunningServer) -> None:
    wrong = {}
    count = 0
    for pattern in TARGETS:
        target = pattern.replace("X", guarded[1:])
        seen = reached(server, target)
        if seen is not None:
            *own, (given, raw) = seen
            count += own[0] == guarded
            if own != right(guarded, given, raw):
                wrong[target] = seen
    assert wrong == {}
    assert count > 10


#: Older ones drop each header with an underscore, this one too.
FORWARDS = installed("gunicorn>=23")


@pytest.mark.parametrize(
    ("arguments", "counts"),
    [
        ((), FORWARDS),
        pytest.param(
            ("--forwarder-headers=",),
            False,
            marks=pytest.mark.skipif(not FORWARDS, reason="gunicorn has it from 23 on"),
        ),
        (("--forwarded-allow-ips=10.0.0.1",), False),
    ],
)
def test_where_the_site_begins_is_a_trusted_proxys_to_say(
    arguments: tuple[str, ...], counts: bool, start_server: StartServer
) -> None:
    """gunicorn has it from a header of those whom it trusts, 127.0.0.1 by default."""
    server = start_server("gunicorn-sync", f"{SITES}:wsgi", arguments=arguments)
    seen = reached(server, "/x/wsgi/a", "SCRIPT_NAME: /x")
    assert seen is not None
    assert seen[:3] == (["/wsgi", "/x/wsgi", "/a"] if counts else ["", "", "/x/wsgi/a"])
