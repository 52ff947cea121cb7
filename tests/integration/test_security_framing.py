"""Requests whose end is not clear, on real servers: RFC 9112, sections 5 to 7. Each is refused, or read in the one way.

The parser is the server's. What it lets through all the same, the bridge refuses, or reads as the specification has it;
what it has made of a request before anybody else sees it is the server's fault, and a row of the table of faults.
"""

from dataclasses import dataclass

import h11
import pytest

from tests.conftest import ServerPool
from tests.integration.raw_answers import ask, skip_older_parsers
from tests.support.asgi import HANG
from tests.support.faults import hold
from tests.support.raw import RawConnection
from tests.support.servers import RunningServer

APPS = {"asgi": "tests.integration.apps.echo_bridged:app", "wsgi": "tests.integration.apps.wsgi_echo:app"}
SERVERS = (
    *("uvicorn-h11", "uvicorn-httptools", "hypercorn", "granian", "daphne"),
    *(
        "gunicorn-sync",
        "gunicorn-gthread",
        "waitress",
        "wsgiref",
        "cheroot",
        "granian-wsgi",
        "uwsgi",
        "mod_wsgi",
    ),
)
#: Seconds without a byte after which a server is taken to wait for more. None of these does, so no test takes so long.
PATIENCE = 10.0
#: What an app has of a request that none gets.
REFUSED = "refused"
CHUNKS = b"3\r\nabc\r\n0\r\n\r\n"
CHUNKED = "Transfer-Encoding: chunked"


@dataclass(frozen=True)
class Case:
    """A request, and the bodies that an app may have of it; it may always be refused."""

    raw: bytes
    bodies: tuple[bytes, ...] = ()
    #: The server may wait for more of it: the client sends no more.
    open: bool = False


def post(*headers: str, body: bytes = b"abc", version: str = "HTTP/1.1") -> bytes:
    return "\r\n".join([f"POST / {version}", "Host: test", *headers, "", ""]).encode("latin-1") + body


def sized(value: str, *bodies: bytes, body: bytes = b"abc", **more: bool) -> Case:
    return Case(post(f"Content-Length: {value}", body=body), bodies, **more)


def chunked(body: bytes, *bodies: bytes, **more: bool) -> Case:
    return Case(post(CHUNKED, body=body), bodies, **more)


def coded(*headers: str, bodies: tuple[bytes, ...] = (), version: str = "HTTP/1.1") -> Case:
    return Case(post(*headers, body=CHUNKS, version=version), bodies)


CASES = {
    # Two ends.
    "a length beside chunks": coded("Content-Length: 1", CHUNKED, bodies=(b"abc",)),
    "a length after chunks": coded(CHUNKED, "Content-Length: 1", bodies=(b"abc",)),
    "the chunks' length beside chunks": coded("Content-Length: 13", CHUNKED, bodies=(b"abc",)),
    "a length beside chunks, HTTP/1.0": coded("Content-Length: 13", CHUNKED, version="HTTP/1.0"),
    "lengths that differ": Case(post("Content-Length: 3", "Content-Length: 2")),
    "a list of lengths that differ": sized("3, 2"),
    "equal lengths": Case(post("Content-Length: 3", "Content-Length: 3"), (b"abc",)),
    # What is no length.
    "length +3": sized("+3"),
    "length -3": sized("-3"),
    "length 0x3": sized("0x3"),
    "length 3.0": sized("3.0"),
    "length 3_0": sized("3_0", body=b"a" * 30),
    "length of two numbers": sized("3 3"),
    "length after a no-break space": sized("\xa03"),
    "length before a no-break space": sized("3\xa0"),
    "length after a vertical tab": sized("\x0b3"),
    "length in another digit": sized("\xb3"),
    "length of 30 digits": sized("9" * 30, open=True),
    "length of 5000 digits": sized("9" * 5000, open=True),
    "length before a blank and a colon": Case(post("Content-Length : 3")),
    # What is not chunked.
    "xchunked": coded("Transfer-Encoding: xchunked"),
    "xchunked and a length": coded("Transfer-Encoding: xchunked", "Content-Length: 13"),
    "gzip, chunked": coded("Transfer-Encoding: gzip, chunked"),
    "chunked, identity": coded("Transfer-Encoding: chunked, identity"),
    "identity and a length": coded("Transfer-Encoding: identity", "Content-Length: 13"),
    "quoted": coded('Transfer-Encoding: "chunked"'),
    "a vertical tab before chunked": coded("Transfer-Encoding: \x0bchunked"),
    "a vertical tab before chunked, and a length": coded(
        "Transfer-Encoding: \x0bchunked", "Content-Length: 13"
    ),
    "NUL after chunked": coded("Transfer-Encoding: chunked\0"),
    "chunked before a blank and a colon": coded("Transfer-Encoding : chunked"),
    "the same, and a length": coded("Transfer-Encoding : chunked", "Content-Length: 13"),
    "chunked in a folded line": coded("Transfer-Encoding:", " chunked", bodies=(b"abc",)),
    "chunked with an underscore": coded("Transfer_Encoding: chunked", bodies=(b"",)),
    "the same, and the length": coded("Transfer_Encoding: chunked", "Content-Length: 13", bodies=(CHUNKS,)),
    # What is no chunk.
    "a chunk of 0x3": chunked(b"0x3\r\nabc\r\n0\r\n\r\n"),
    "a chunk of +3": chunked(b"+3\r\nabc\r\n0\r\n\r\n"),
    "a chunk of -1": chunked(b"-1\r\nabc\r\n0\r\n\r\n"),
    "a chunk longer than it says": chunked(b"3\r\nabcd\r\n0\r\n\r\n"),
    "a chunk of 70 bits": chunked(b"f" * 17 + b"3\r\nabc\r\n0\r\n\r\n", open=True),
    "chunks with line feeds alone": chunked(b"3\nabc\n0\n\n", b"abc", open=True),
    # Trailers are no headers.
    "trailers": chunked(b"3\r\nabc\r\n0\r\nContent-Length: 9\r\nX-User: evil\r\nHost: evil\r\n\r\n", b"abc"),
    # Lines.
    "a bare CR in a value": Case(post("X-A: b\rX-User: evil", "Content-Length: 3")),
    "NUL in a value": Case(post("X-A: b\0", "Content-Length: 3")),
    "a blank in a name": Case(post("X User: evil", "Content-Length: 3")),
    "a first line that is folded": Case(
        b"POST / HTTP/1.1\r\n X-User: evil\r\nHost: test\r\nContent-Length: 3\r\n\r\nabc"
    ),
    "a name that is not ASCII": Case(post("X-U\xdfer: evil", "Content-Length: 3")),
    # Names that pass for others.
    "an underscore": Case(post("X_User: evil", "Content-Length: 3"), (b"abc",)),
    "a length with an underscore": Case(post("Content_Length: 1", "Content-Length: 3"), (b"abc",)),
    "Proxy": Case(post("Proxy: evil", "Content-Length: 3"), (b"abc",)),
}

#: Of those, what is wrong in a line that says nothing of the request's end.
LINES = frozenset(
    {
        *("NUL in a value", "a bare CR in a value", "a blank in a name", "a first line that is folded"),
        "a name that is not ASCII",
    }
)


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest, server_pool: ServerPool) -> RunningServer:
    name: str = request.param
    skip_older_parsers(name.partition("-")[0])
    kind = "wsgi" if name in SERVERS[5:] else "asgi"
    return server_pool.get(name, APPS[kind])


def outcome(server: RunningServer, case: Case) -> str | bytes:
    """``REFUSED``, or the body that the app has; an app that sees what is forged says so instead of it."""
    if case.open:
        with RawConnection(server.connect()) as connection:
            connection.send(case.raw)
            connection.finish_sending()
            try:
                seen = connection.read_response().header("x-app")
            except (h11.RemoteProtocolError, ConnectionError):
                seen = None
        return REFUSED if seen is None else b"something"
    answer = ask(server, case.raw, "seen")
    if "seen:body" not in answer:
        assert answer["status"] != "hangs"
        return REFUSED
    names = {name.lower().replace("_", "-") for name in answer}
    if any(
        "evil" in str(value) or "\r" in str(value) for name, value in answer.items() if name != "seen:body"
    ):
        return f"forged: {sorted(name for name in names if 'user' in name or 'proxy' in name)}"
    return str(answer["seen:body"]).encode("latin-1")


def test_each_request_is_refused_or_read_in_the_one_way(server: RunningServer) -> None:
    seen = {name: outcome(server, case) for name, case in CASES.items()}
    wrong = {name for name, body in seen.items() if body != REFUSED and body not in CASES[name].bodies}
    hold("requests without a clear end", server.kind.name, sorted(wrong), right=[])


def test_what_follows_a_request_with_two_ends_is_no_request(server: RunningServer) -> None:
    """RFC 9112, section 6.1: the connection is closed after it, for what follows may have been smuggled in."""
    smuggled = b"GET /smuggled HTTP/1.1\r\nHost: test\r\n\r\n"
    body = b"0\r\n\r\n" + smuggled
    with RawConnection(server.connect()) as connection:
        first = connection.request(post(f"Content-Length: {len(body)}", CHUNKED, body=body))
        assert first.status in {200, 400}
        if first.status == 200:
            assert b"smuggled" not in first.body
        connection.finish_sending()
        rest = connection.read_to_end()
    hold("request after one with two ends", server.kind.name, b"HTTP/1.1 200" in rest, right=False)


def test_what_follows_a_request_without_a_clear_end_is_no_request(server: RunningServer) -> None:
    """The same of each of them: who has not read the request as the proxy in front does, sees another one in its rest.

    Where a line is wrong, the end of the request is clear all the same, and the next one is the client's; so it is
    where the last coding is chunked (RFC 9112, section 6.3).
    """
    smuggled = b"GET /smuggled HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"
    wrong = []
    for name, case in CASES.items():
        if case.bodies or case.open or name in LINES or name == "gzip, chunked":
            continue
        with RawConnection(server.connect(PATIENCE)) as connection:
            connection.send(case.raw + smuggled)
            if _answers(connection).count(b"HTTP/1.1 ") > 1:
                wrong.append(name)
    hold("request after one without a clear end", server.kind.name, sorted(wrong), right=[])


def _answers(connection: RawConnection) -> bytes:
    """All that comes. Its own end comes first only where the server waits for more: it may drop answers at that."""
    answers = b""
    try:
        while block := connection.socket.recv(65_536):
            answers += block
    except TimeoutError:
        connection.finish_sending()
        connection.socket.settimeout(HANG)
        answers += connection.read_to_end()
    except ConnectionResetError:
        pass
    return answers


#: What servers and proxies say of a client, as it could write it itself. ``X-Forwarded-*`` is the server's to trust.
CLAIMS = (
    *(
        "Remote-User",
        "Remote_User",
        "Auth-Type",
        "Remote-Addr",
        "Remote-Port",
        "Https",
        "Server-Name",
        "Script-Name",
    ),
    *(
        "Path-Info",
        "Request-Method",
        "Query-String",
        "wsgi.url_scheme",
        "Wsgi-Url-Scheme",
        "Proxy",
        "Content_Type",
    ),
    *(
        "SSL-Client-Verify",
        "SSL_CLIENT_VERIFY",
        "SSL-Client-S-DN",
        "SSL_CLIENT_S_DN",
        "SSL-Client-Cert",
        "SSL-Protocol",
    ),
)
#: Of a scope, what is no header.
SCOPE = ("method", "scheme", "path", "root_path", "query_string", "raw_path", "client", "body")


@pytest.mark.parametrize("claim", CLAIMS)
def test_no_header_passes_for_what_the_server_says(claim: str, server: RunningServer) -> None:
    """RFC 3875, section 4.1.18: a header has a key with ``HTTP_``, and nothing else has one."""
    answer = ask(server, post(f"{claim}: evil", "Content-Length: 3"), "seen")
    if "seen:body" not in answer:
        assert "_" in claim or "." in claim  # such a name may be refused
        return
    told = {key.removeprefix("seen:"): value for key, value in answer.items() if key.startswith("seen:")}
    if server.kind.interface == "asgi":
        assert {key for key, value in told.items() if "evil" in str(value)} <= {
            f"HTTP_{claim.upper().replace('-', '_')}"
        }
    else:
        assert "evil" not in str([told[key] for key in SCOPE])
        names = {name for name, value in told.items() if "evil" in str(value)}
        assert names <= {claim.lower().replace("_", "-"), claim.lower()}
