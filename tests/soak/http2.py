"""The clients on HTTP/2, without TLS: h2 on a socket."""

import socket
import time

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

from .http1 import PAUSE
from .model import Seen
from .scenarios import Client, Scenario, content
from .target import Target

__all__ = ["Http2"]

_BLOCK = 65_536


class _Stream:
    """One request, and what has come for it."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.parts: list[bytes] = []
        self.size = 0
        self.complete = False
        self.ended = False

    def seen(self, *, timed_out: bool = False, note: str = "") -> Seen:
        return Seen(self.status, b"".join(self.parts), self.complete, timed_out, note)


class _Connection:
    """One connection; used as a context manager, the block ends it."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self._http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self._http.initiate_connection()
        self._streams: dict[int, _Stream] = {}

    def __enter__(self) -> "_Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def begin(self, scenario: Scenario) -> tuple[int, _Stream]:
        number = self._http.get_next_available_stream_id()
        work = scenario.work
        headers = [
            *((":method", "POST" if work.up else "GET"), (":scheme", "http")),
            *((":path", work.target), (":authority", "soak")),
        ]
        if work.up and not scenario.chunked:
            headers.append(("content-length", str(work.up)))
        self._http.send_headers(number, headers, end_stream=not work.up)
        self._flush()
        self._streams[number] = stream = _Stream()
        return number, stream

    def send(self, number: int, data: bytes, *, end: bool) -> None:
        """Send of a body what the server has windows for, and wait for more, until the stream has ended."""
        stream = self._streams[number]
        while data and not stream.ended:
            room = min(self._http.local_flow_control_window(number), self._http.max_outbound_frame_size)
            if room:
                self._http.send_data(number, data[:room])
                data = data[room:]
                self._flush()
            else:
                self.receive()
        if end and not stream.ended:
            self._http.end_stream(number)
            self._flush()

    def receive(self) -> None:
        """Read once, and act on what has come. Raises ``ConnectionError`` at the end."""
        data = self.socket.recv(_BLOCK)
        if not data:
            raise ConnectionError("the server ended the connection")
        for event in self._http.receive_data(data):
            self._take(event)
        self._flush()

    def reset(self, number: int) -> None:
        self._http.reset_stream(number, h2.errors.ErrorCodes.CANCEL)
        self._flush()

    def _take(self, event: h2.events.Event) -> None:
        stream = self._streams.get(getattr(event, "stream_id", None) or 0)
        if isinstance(event, h2.events.ConnectionTerminated):
            raise ConnectionError(f"the server ended the connection: {event.error_code}")
        if stream is None:
            return
        if isinstance(event, h2.events.ResponseReceived):
            stream.status = int(dict(event.headers or ())[b":status"])
        elif isinstance(event, h2.events.DataReceived):
            stream.parts.append(event.data or b"")
            stream.size += len(event.data or b"")
            self._http.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id or 0)
        elif isinstance(event, h2.events.StreamEnded):
            stream.complete = stream.ended = True
        elif isinstance(event, h2.events.StreamReset):
            stream.ended = True

    def _flush(self) -> None:
        self.socket.sendall(self._http.data_to_send())


class Http2:
    """Plays one scenario at a time, each on a connection of its own; ``PIPELINE`` has three streams on one."""

    def __init__(self, target: Target) -> None:
        self._target = target

    def close(self) -> None:
        """Nothing is kept."""

    def play(self, scenario: Scenario) -> list[Seen]:
        streams: list[_Stream] = []
        with _Connection(self._target.connect()) as connection:
            try:
                self._play(connection, scenario, streams)
            except TimeoutError:
                return [stream.seen(timed_out=not stream.ended) for stream in streams]
            except (OSError, h2.exceptions.H2Error) as error:
                return [stream.seen(note=repr(error)) for stream in streams] or [Seen(None, note=repr(error))]
        return [stream.seen() for stream in streams]

    def _play(self, connection: _Connection, scenario: Scenario, streams: list[_Stream]) -> None:
        client, data = scenario.client, content(scenario.index, scenario.work.up)
        if client is Client.SLOW_READER:
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32_768)
        numbers: list[int] = []
        for _ in range(3 if client is Client.PIPELINE else 1):
            number, stream = connection.begin(scenario)
            numbers.append(number)
            streams.append(stream)
        (number, stream) = numbers[0], streams[0]
        if client in {Client.STALL, Client.LEAVE_IN_REQUEST}:
            cut = int(len(data) * scenario.at)
            connection.send(number, data[:cut], end=False)
            if client is Client.LEAVE_IN_REQUEST:
                streams.clear()
                return
            time.sleep(PAUSE)
            data = data[cut:]
        if scenario.work.up:
            connection.send(number, data, end=True)
        if client is Client.LEAVE_BEFORE_ANSWER:
            streams.clear()
            return
        limit = None
        if client in {Client.LEAVE_IN_ANSWER, Client.RESET_IN_ANSWER}:
            limit = int(scenario.work.down * scenario.at)
        while not all(stream.ended for stream in streams):
            if limit is not None and stream.status is not None and stream.size >= limit:
                break
            connection.receive()
        if client is Client.RESET_IN_ANSWER and not stream.ended:
            # The stream ends alone, and the connection serves another request.
            connection.reset(number)
