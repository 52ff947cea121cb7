"""What an app says can't become another header, or another response, on real servers: RFC 9110, 5.5; PEP 3333.

And what a client has in its path can't become another line of the log.
"""

from urllib.parse import quote

import h11
import pytest

from tests.conftest import ServerPool
from tests.integration.apps.hostile import BREAKING, BREAKING_WSGI, HOP_BY_HOP
from tests.integration.test_security_framing import SERVERS
from tests.support.raw import RawConnection
from tests.support.servers import SERVERS as KINDS
from tests.support.servers import RunningServer

APPS = "tests.integration.apps.hostile"
#: Where the app runs on the loop of all requests as well.
SHARED = ("gunicorn-gthread", "waitress")
#: What begins a line to ``splitlines()``, or to a terminal.
BREAKS = (
    "\r\n",
    "\n",
    "\r",
    "\x0b",
    "\x0c",
    "\x1c",
    "\x1d",
    "\x1e",
    "\x85",
    "\u2028",
    "\u2029",
    "\x1b[2K",
    "\b",
)


@pytest.fixture(params=[*SERVERS, *(f"{name} shared" for name in SHARED)])
def server(request: pytest.FixtureRequest, server_pool: ServerPool) -> RunningServer:
    name, _, loop = request.param.partition(" ")
    kind = KINDS[name]
    app = f"{APPS}:{'wsgi' if kind.interface == 'asgi' else 'asgi'}_bridged"
    return server_pool.get(name, app, {"LOOP": loop} if loop else {})


def ask(server: RunningServer, path: str) -> tuple[int | None, bytes, bytes]:
    """The status, ``None`` where the response is not whole; its body; and all bytes that came on the connection."""
    with RawConnection(server.connect()) as connection:
        connection.send(f"GET /{path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n".encode())
        received = connection.read_to_end()
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("Host", "test")]))
    client.send(h11.EndOfMessage())
    client.receive_data(received)
    client.receive_data(b"")
    status, body = None, b""
    try:
        while not isinstance(event := client.next_event(), (h11.EndOfMessage, h11.ConnectionClosed)):
            if isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
    except h11.RemoteProtocolError:
        return None, body, received
    assert client.trailing_data[0] == b"", "a second response"
    return status, body, received


def test_text_that_breaks_its_line_is_refused(server: RunningServer) -> None:
    cases = BREAKING if server.kind.interface == "wsgi" else {**BREAKING, **BREAKING_WSGI}
    for name in cases:
        status, _, received = ask(server, name)
        assert status in {None, 500}, name
        assert b"evil" not in received.lower(), name
        assert b"s3cr3t" not in received, name
    # Its value may be a cookie.
    assert "s3cr3t" not in server.log()


def test_what_is_the_connections_is_the_servers(server: RunningServer) -> None:
    """PEP 3333, "Other HTTP Features"."""
    for name in HOP_BY_HOP:
        status, body, received = ask(server, name)
        assert (status, body) == (200, b"hello"), name
        assert b"evil" not in received, name
        assert b"identity" not in received, name


def test_a_path_begins_no_line_of_the_log(server: RunningServer) -> None:
    """The line of the bridge, of an error after the response. What the server's own lines have is the server's."""
    lines = {}
    for text in BREAKS:
        path = f"/a{text}1970-01-01 FORGED"
        if ask(server, quote(path[1:]))[0] == 200:  # Apache and others refuse some
            line = f"GET {path!r}: "
            # Apache escapes a backslash once more.
            lines[text] = line.replace("\\", "\\\\") if server.kind.name == "mod_wsgi" else line
    assert len(lines) > 5
    for line in lines.values():
        server.wait_for_log(line)
    logged = server.log().splitlines()
    assert [text for text, line in lines.items() if not any(line in each for each in logged)] == []
