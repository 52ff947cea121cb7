"""A socket client that sends any bytes, and says how the response was framed and whether it was whole.

h11 reads the responses: what it takes for a complete message is what a careful client takes for one. The
request is never h11's: it goes out as the test wrote it.
"""

import contextlib
import socket
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, Self, TypeAlias

import h11

__all__ = ["Framing", "RawConnection", "RawResponse"]

Framing: TypeAlias = Literal["content-length", "chunked", "eof", "none"]
BLOCK = 65536


@dataclass(slots=True)
class RawResponse:
    """One response as it came over the wire.

    ``framing`` is how the end of its body is known; ``complete`` says if that end was seen. ``headers`` keep
    case, order and duplicates. ``interim`` has the status codes of the 1xx responses before it. ``error``
    says what broke.
    """

    http_version: str
    status: int
    reason: str
    headers: list[tuple[str, str]]
    framing: Framing
    body: bytes = b""
    chunks: list[bytes] = field(default_factory=list)
    complete: bool = False
    interim: list[int] = field(default_factory=list)
    error: str = ""

    def header(self, name: str) -> str | None:
        """Return the value of a header, fields of one name joined with ``", "``; None if it is absent."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        return ", ".join(values) if values else None


class RawConnection:
    """One connection to a server under test. Used as a context manager, the block closes it."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self._parser = h11.Connection(h11.CLIENT)
        self._received_eof = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send the bytes as they are. That the server has closed is no error: its response tells."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(data)

    def finish_sending(self) -> None:
        """Close the sending side alone, so that the server reads the end and the answer can still be read."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)

    def request(self, data: bytes, method: str = "GET") -> RawResponse:
        """Send one raw request and read its response; ``method`` matters for HEAD alone (no body)."""
        self.send(data)
        return self.read_response(method)

    def read_response(self, method: str = "GET") -> RawResponse:
        """Read one whole response, or what came of it until the end of the connection."""
        response = self.read_start(method)
        while self.read_chunk(response):
            pass
        return response

    def read_start(self, method: str = "GET") -> RawResponse:
        """Read the response's head. Raises ``ConnectionError`` if the connection ends before it."""
        self._begin(method)
        interim: list[int] = []
        while True:
            try:
                event = self._next_event()
            except h11.RemoteProtocolError as error:
                if not self._received_eof:
                    raise
                raise ConnectionError("the connection ended before a response") from error
            if isinstance(event, h11.InformationalResponse):
                interim.append(event.status_code)
            elif isinstance(event, h11.Response):
                return RawResponse(
                    event.http_version.decode("latin-1"),
                    event.status_code,
                    event.reason.decode("latin-1"),
                    [(k.decode("latin-1"), v.decode("latin-1")) for k, v in event.headers.raw_items()],
                    _framing(event, method),
                    interim=interim,
                )
            else:
                raise ConnectionError(f"the connection ended before a response: {event!r}")

    def read_chunk(self, response: RawResponse) -> bytes:
        """Read the next piece of the body into ``response``; return it, ``b""`` at its end or break."""
        while not response.complete and not response.error:
            try:
                event = self._next_event()
            except (h11.RemoteProtocolError, OSError) as error:
                response.error = f"{type(error).__name__}: {error}"
                break
            if isinstance(event, h11.Data):
                data = bytes(event.data)
                response.body += data
                response.chunks.append(data)
                if data:
                    return data
            elif isinstance(event, h11.EndOfMessage):
                response.complete = True
            else:
                response.error = f"the connection ended inside the body: {event!r}"
        return b""

    def read_to_end(self) -> bytes:
        """Return every byte until the server closes, unparsed, what the parser had not used yet included."""
        data = self._parser.trailing_data[0]
        with contextlib.suppress(ConnectionResetError):
            while not self._received_eof and (block := self.socket.recv(BLOCK)):
                data += block
        self._received_eof = True
        return data

    def is_closed_by_server(self) -> bool:
        """Return True once the server closes; False if it sends more data instead. Waits like the socket."""
        try:
            return self.socket.recv(1, socket.MSG_PEEK) == b""
        except ConnectionResetError:
            return True

    @property
    def reusable(self) -> bool:
        """Whether the last response was whole, and its connection stays open for another request."""
        return self._parser.our_state is h11.DONE and self._parser.their_state is h11.DONE

    def _begin(self, method: str) -> None:
        # h11 only reads a response to a request that it knows of: this tells it, and its bytes are thrown
        # away.
        if self._parser.our_state is not h11.IDLE:
            self._parser.start_next_cycle()
        self._parser.send(h11.Request(method=method, target="/", headers=[("Host", "ignored")]))
        self._parser.send(h11.EndOfMessage())

    def _next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        while True:
            event = self._parser.next_event()
            if event is not h11.NEED_DATA:
                return event
            data = self.socket.recv(BLOCK)
            self._received_eof = not data
            self._parser.receive_data(data)


def _framing(response: h11.Response, method: str) -> Framing:
    if method == "HEAD" or response.status_code in (204, 304):
        return "none"
    names = {name for name, _ in response.headers}
    if b"transfer-encoding" in names:
        return "chunked"
    return "content-length" if b"content-length" in names else "eof"
