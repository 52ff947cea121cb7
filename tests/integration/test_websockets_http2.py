"""WebSockets of WSGI apps over HTTP/2 (RFC 8441), which hypercorn has: no key, no Upgrade, several per connection."""

import json
from types import TracebackType
from typing import Self

import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest
from websockets.client import ClientProtocol
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from tests.conftest import StartServer
from tests.integration.cases_server import report
from tests.support.faults import hold
from tests.support.servers import RunningServer
from tests.support.websocket_client import HANG, WEBSOCKETS


class Connection:
    """One HTTP/2 connection, and the WebSockets on it. Used as a context manager, the block closes it."""

    def __init__(self, server: RunningServer) -> None:
        self.socket = server.connect(HANG)
        self.http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self.http.initiate_connection()
        self._flush()
        self._data: dict[int, bytes] = {}
        self.statuses: dict[int, str] = {}
        self.ended: set[int] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.socket.close()

    def open(self, path: str) -> "Stream":
        """Ask for a WebSocket by an extended CONNECT, and wait for the answer."""
        while not self.http.remote_settings.enable_connect_protocol:
            self.receive()
        number = self.http.get_next_available_stream_id()
        headers = [
            *((":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":path", path)),
            *((":authority", "named.example"), ("sec-websocket-version", "13")),
        ]
        self.http.send_headers(number, headers)
        self._flush()
        while number not in self.statuses:
            self.receive()
        return Stream(self, number)

    def send(self, number: int, data: bytes) -> None:
        self.http.send_data(number, data)
        self._flush()

    def take(self, number: int) -> bytes:
        """Return what has come on a stream, ``b""`` at its end."""
        while number not in self._data and number not in self.ended:
            self.receive()
        return self._data.pop(number, b"")

    def receive(self) -> None:
        """Read once, and act on what has come."""
        data = self.socket.recv(65_536)
        if not data:
            raise ConnectionError("the server ended the connection")
        for event in self.http.receive_data(data):
            if isinstance(event, h2.events.ResponseReceived):
                assert event.stream_id is not None
                assert event.headers is not None
                self.statuses[event.stream_id] = dict(event.headers)[b":status"].decode()
            elif isinstance(event, h2.events.DataReceived):
                assert event.stream_id is not None
                self._data[event.stream_id] = self._data.get(event.stream_id, b"") + (event.data or b"")
                self.http.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id)
            elif isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset)):
                assert event.stream_id is not None
                self.ended.add(event.stream_id)
        self._flush()

    def _flush(self) -> None:
        self.socket.sendall(self.http.data_to_send())


class Stream:
    """A WebSocket on one stream."""

    def __init__(self, connection: Connection, number: int) -> None:
        self.connection = connection
        self.number = number
        self.status = connection.statuses[number]
        self.protocol = ClientProtocol(parse_uri("ws://named.example/"), state=State.OPEN, max_size=None)
        self._frames: list[Frame] = []

    def send(self, text: str) -> None:
        self.protocol.send_text(text.encode())
        self._flush()

    def close(self, code: int, reason: str) -> None:
        self.protocol.send_close(code, reason)
        self._flush()

    def receive(self) -> Frame:
        """Return the next frame; raise ``ConnectionError`` at the end of the stream."""
        while not self._frames:
            data = self.connection.take(self.number)
            if not data:
                raise ConnectionError("the server ended the stream")
            self.protocol.receive_data(data)
            self._frames += [event for event in self.protocol.events_received() if isinstance(event, Frame)]
        return self._frames.pop(0)

    def _flush(self) -> None:
        for data in self.protocol.data_to_send():
            if data:
                self.connection.send(self.number, data)


@pytest.fixture
def server(start_server: StartServer) -> RunningServer:
    return start_server("hypercorn-h2c", WEBSOCKETS)


def test_two_on_one_connection(server: RunningServer) -> None:
    with Connection(server) as connection:
        one, two = connection.open("/echo/one"), connection.open("/echo/two")
        assert (one.status, two.status) == ("200", "200")
        one.send("first")
        two.send("second")
        assert two.receive().data == b"second"
        one.send("é" * 7_000)
        assert one.receive().data == b"first"
        assert one.receive().data == ("é" * 7_000).encode()
        one.close(CloseCode.NORMAL_CLOSURE, "")
        assert one.receive().opcode is Opcode.CLOSE
        two.send("still open")
        assert two.receive().data == b"still open"
    with server.client() as requests:
        hold("code of the client's close", server.kind.name, report(requests, "one")["end"][0], right=1000)
        assert report(requests, "two")["end"] == [1006, ""], "its connection was closed without a word"


def test_environ_is_that_of_http_1(server: RunningServer) -> None:
    """Frameworks and libraries look for what HTTP/2 has not (RFC 6455, section 4.2.1)."""
    with Connection(server) as connection:
        stream = connection.open("/environ/x?q=1")
        environ = json.loads(bytes(stream.receive().data))
        stream.send("enough")
    assert (environ["REQUEST_METHOD"], environ["SERVER_PROTOCOL"]) == ("GET", "HTTP/2")
    assert (environ["PATH_INFO"], environ["QUERY_STRING"]) == ("/environ/x", "q=1")
    assert (environ["HTTP_UPGRADE"], environ["HTTP_CONNECTION"]) == ("websocket", "Upgrade")
    assert environ["HTTP_SEC_WEBSOCKET_VERSION"] == "13"
    assert len(environ["HTTP_SEC_WEBSOCKET_KEY"]) == 24
    assert environ["HTTP_HOST"] == "named.example"


def test_close_by_the_app(server: RunningServer) -> None:
    with Connection(server) as connection:
        stream = connection.open("/close/x?code=4000&reason=over")
        stream.send("close now")
        assert stream.receive().opcode is Opcode.CLOSE
        close = stream.protocol.close_rcvd
    assert close is not None
    assert (close.code, close.reason) == (4000, "over")


@pytest.mark.parametrize(("path", "status"), [("/close_first/x", "403"), ("/respond/401", "401")])
def test_refused(server: RunningServer, path: str, status: str) -> None:
    with Connection(server) as connection:
        assert connection.open(path).status == status


def test_flask_sock(start_server: StartServer) -> None:
    server = start_server("hypercorn-h2c", "tests.integration.apps.websockets_flask:app")
    with Connection(server) as connection:
        stream = connection.open("/sock/echo")
        stream.send("through a library")
        assert stream.receive().data == b"through a library"
