"""WebSockets of WSGI apps over HTTP/2 (RFC 8441), which hypercorn has: no key, no Upgrade, several per connection."""

import json

import pytest
from websockets.frames import CloseCode, Opcode

from tests.conftest import StartServer
from tests.integration.cases_server import report
from tests.support.faults import hold
from tests.support.http2 import Http2Connection, Http2WebSocket
from tests.support.servers import RunningServer
from tests.support.websocket_client import HANG, WEBSOCKETS


def connected(server: RunningServer) -> Http2Connection:
    return Http2Connection(server.connect(HANG))


@pytest.fixture
def server(start_server: StartServer) -> RunningServer:
    return start_server("hypercorn-h2c", WEBSOCKETS)


def test_two_on_one_connection(server: RunningServer) -> None:
    with connected(server) as connection:
        one, two = Http2WebSocket(connection, "/echo/one"), Http2WebSocket(connection, "/echo/two")
        assert one.opened
        assert two.opened
        one.send("first")
        two.send("second")
        assert two.receive().data == b"second"
        one.send("é" * 7_000)
        assert one.receive().data == b"first"
        assert one.receive().data == ("é" * 7_000).encode()
        one.send_close(CloseCode.NORMAL_CLOSURE)
        assert one.receive().opcode is Opcode.CLOSE
        two.send("still open")
        assert two.receive().data == b"still open"
    with server.client() as requests:
        hold("code of the client's close", server.kind.name, report(requests, "one")["end"][0], right=1000)
        assert report(requests, "two")["end"] == [1006, ""], "its connection was closed without a word"


def test_environ_is_that_of_http_1(server: RunningServer) -> None:
    """Frameworks and libraries look for what HTTP/2 has not (RFC 6455, section 4.2.1)."""
    with connected(server) as connection:
        stream = Http2WebSocket(connection, "/environ/x?q=1")
        environ = json.loads(bytes(stream.receive().data))
        stream.send("enough")
    assert (environ["REQUEST_METHOD"], environ["SERVER_PROTOCOL"]) == ("GET", "HTTP/2")
    assert (environ["PATH_INFO"], environ["QUERY_STRING"]) == ("/environ/x", "q=1")
    assert (environ["HTTP_UPGRADE"], environ["HTTP_CONNECTION"]) == ("websocket", "Upgrade")
    assert environ["HTTP_SEC_WEBSOCKET_VERSION"] == "13"
    assert len(environ["HTTP_SEC_WEBSOCKET_KEY"]) == 24
    assert environ["HTTP_HOST"] == "named.example"


def test_close_by_the_app(server: RunningServer) -> None:
    with connected(server) as connection:
        stream = Http2WebSocket(connection, "/close/x?code=4000&reason=over")
        stream.send("close now")
        assert stream.receive_close() == (4000, "over")


def test_a_close_by_the_app_leaves_the_connection_to_others(server: RunningServer) -> None:
    """The client answers it (RFC 6455, section 5.5.1): natively that ends the connection on hypercorn."""
    with connected(server) as connection:
        other = Http2WebSocket(connection, "/echo/other")
        for _ in range(3):
            stream = Http2WebSocket(connection, "/close/x?code=4000&reason=over")
            stream.send("close now")
            assert stream.receive_close() == (4000, "over")
            stream.flush()
            connection.ping()
        other.send("still open")
        assert other.receive().data == b"still open"


@pytest.mark.parametrize(("path", "status"), [("/close_first/x", 403), ("/respond/401", 401)])
def test_refused(server: RunningServer, path: str, status: int) -> None:
    with connected(server) as connection:
        assert Http2WebSocket(connection, path).stream.status == status


def test_flask_sock(start_server: StartServer) -> None:
    server = start_server("hypercorn-h2c", "tests.integration.apps.websockets_flask:app")
    with connected(server) as connection:
        stream = Http2WebSocket(connection, "/sock/echo")
        stream.send("through a library")
        assert stream.receive().data == b"through a library"
