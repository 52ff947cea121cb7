"""A client of HTTP/2 without TLS: h2 on a socket that nobody reads or closes but the test.

``Http2WebSocket`` is a WebSocket on one of its streams (RFC 8441), with the frames of the library ``websockets``.
"""

import socket
from collections.abc import Iterable
from types import TracebackType
from typing import Self

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings
from websockets.client import ClientProtocol
from websockets.protocol import State
from websockets.uri import parse_uri

from tests.support.websocket_client import Framed

__all__ = ["Http2Connection", "Http2Stream", "Http2WebSocket"]

_BLOCK = 65_536


class Http2Stream:
    """One stream, and what has come on it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.status: int | None = None
        self.headers: list[tuple[str, str]] = []
        """Those of the response, as they came, without the status."""
        self.parts: list[bytes] = []
        self.size = 0
        self.complete = False
        """Whether it had its regular end."""
        self.ended = False


def _head(path: str) -> list[tuple[str, str]]:
    return [(":scheme", "http"), (":path", path), (":authority", "named.example")]


class Http2Connection:
    """One connection; used as a context manager, the block ends it."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self._http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self._http.initiate_connection()
        self._streams: dict[int, Http2Stream] = {}
        self._pings = 0
        self._flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.socket.close()

    def begin(self, headers: Iterable[tuple[str, str]], *, end: bool) -> Http2Stream:
        """A stream with these headers; ``end``: it has no body."""
        number = self._http.get_next_available_stream_id()
        self._http.send_headers(number, headers, end_stream=end)
        self._flush()
        self._streams[number] = stream = Http2Stream(number)
        return stream

    def get(self, path: str) -> Http2Stream:
        """A request without a body."""
        return self.begin([(":method", "GET"), *_head(path)], end=True)

    def post(self, path: str) -> Http2Stream:
        """A request whose body is to be sent."""
        return self.begin([(":method", "POST"), *_head(path)], end=False)

    def wait_for(self, *streams: Http2Stream) -> None:
        """Until they have ended."""
        while not all(stream.ended for stream in streams):
            self.receive()

    def wait_for_websockets(self) -> None:
        """Until the server has said that it takes an extended CONNECT (RFC 8441, section 3)."""
        while not self._http.remote_settings.enable_connect_protocol:
            self.receive()

    def send(self, stream: Http2Stream, data: bytes, *, end: bool = False, past_end: bool = False) -> None:
        """Send what the server has windows for, and wait for more, until the stream has ended.

        ``past_end``: go on where the server has ended its own side alone (RFC 9113, section 5.1).
        """
        while data and not (stream.ended and not (past_end and stream.complete)):
            room = self._http.local_flow_control_window(stream.number)
            room = min(room, self._http.max_outbound_frame_size)
            if room:
                self._http.send_data(stream.number, data[:room])
                data = data[room:]
                self._flush()
            else:
                self.receive()
        if end and not stream.ended:
            self._http.end_stream(stream.number)
            self._flush()

    def receive(self) -> None:
        """Read once, and act on what has come. Raises ``ConnectionError`` at the end."""
        data = self.socket.recv(_BLOCK)
        if not data:
            raise ConnectionError("the server ended the connection")
        for event in self._http.receive_data(data):
            self._take(event)
        self._flush()

    def reset(self, stream: Http2Stream) -> None:
        """End the stream alone."""
        self._http.reset_stream(stream.number, h2.errors.ErrorCodes.CANCEL)
        self._flush()

    def ping(self) -> None:
        """Return when the server has taken all that was sent before (RFC 9113, section 6.7)."""
        self._pings += 1
        self._http.ping(b"%08d" % self._pings)
        self._flush()
        while self._pings:
            self.receive()

    def _take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.ConnectionTerminated):
            raise ConnectionError(f"the server ended the connection: {event.error_code}")
        if isinstance(event, h2.events.PingAckReceived):
            self._pings -= 1
        stream = self._streams.get(getattr(event, "stream_id", None) or 0)
        if stream is None:
            return
        if isinstance(event, h2.events.ResponseReceived):
            fields = [(name.decode(), value.decode("latin-1")) for name, value in event.headers or ()]
            stream.status = int(dict(fields)[":status"])
            stream.headers = [field for field in fields if not field[0].startswith(":")]
        elif isinstance(event, h2.events.DataReceived):
            stream.parts.append(event.data or b"")
            stream.size += len(event.data or b"")
            self._http.acknowledge_received_data(event.flow_controlled_length or 0, stream.number)
        elif isinstance(event, h2.events.StreamEnded):
            stream.complete = stream.ended = True
        elif isinstance(event, h2.events.StreamReset):
            stream.ended = True

    def _flush(self) -> None:
        self.socket.sendall(self._http.data_to_send())


class Http2WebSocket(Framed):
    """A WebSocket on a stream of its own. ``stream`` has the answer to its handshake."""

    def __init__(self, connection: Http2Connection, path: str) -> None:
        """Ask for it by an extended CONNECT, and wait for the head of the answer."""
        super().__init__(ClientProtocol(parse_uri("ws://named.example/"), state=State.OPEN, max_size=None))
        connection.wait_for_websockets()
        self.connection = connection
        asked = [(":method", "CONNECT"), (":protocol", "websocket")]
        self.stream = connection.begin([*asked, *_head(path), ("sec-websocket-version", "13")], end=False)
        while self.stream.status is None and not self.stream.ended:
            connection.receive()

    @property
    def opened(self) -> bool:
        """Whether the handshake was accepted (RFC 8441, section 4)."""
        return self.stream.status == 200

    def reset(self) -> None:
        """End the stream alone, without a word (RFC 8441, section 5)."""
        self.connection.reset(self.stream)

    def _write(self, data: bytes) -> None:
        self.connection.send(self.stream, data, past_end=True)

    def _read(self) -> bytes:
        while not self.stream.parts and not self.stream.ended:
            self.connection.receive()
        data = b"".join(self.stream.parts)
        self.stream.parts.clear()
        return data
