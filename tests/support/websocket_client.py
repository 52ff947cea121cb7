"""Clients of WebSockets: ``connect`` is a well-behaved one; ``RawWebSocket`` does what a test says, and no more.

Both are the library ``websockets``; the raw one is its protocol without its threads, on a socket that nobody reads or
closes but the test.
"""

import abc
import contextlib
import json
import socket
import struct
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

import httpx
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as sync_connect
from websockets.uri import parse_uri

from tests.support.servers import RunningServer, poll

__all__ = [
    "HANG",
    "WEBSOCKETS",
    "Framed",
    "RawWebSocket",
    "connect",
    "control",
    "leftovers",
    "nothing_left_of",
    "wait_for_no_leftovers",
    "websocket_url",
]

HANG = 30.0  # seconds, against hanging only
WEBSOCKETS = "tests.integration.apps.websockets:app"
BLOCK = 65_536


def websocket_url(server: RunningServer, path: str) -> str:
    """``ws://127.0.0.1:PORT/path``; a whole URL stays as it is."""
    return path if "://" in path else f"{server.url.replace('http', 'ws', 1)}{path}"


def connect(server: RunningServer, path: str, **options: Any) -> ClientConnection:
    """Open a WebSocket; see ``websockets.sync.client.connect`` for the options."""
    # No proxy: one from the environment has no business between a test and its server.
    defaults = {"proxy": None, "open_timeout": HANG, "close_timeout": HANG, "max_size": None}
    return sync_connect(websocket_url(server, path), **(defaults | options))


class Framed(abc.ABC):
    """The frames of a WebSocket, by the protocol of ``websockets``, on whatever carries them."""

    def __init__(self, protocol: ClientProtocol) -> None:
        self._protocol = protocol
        self._events: list[Any] = []

    @abc.abstractmethod
    def _write(self, data: bytes) -> None: ...

    @abc.abstractmethod
    def _read(self) -> bytes:
        """What has come, ``b""`` at the end."""

    @abc.abstractmethod
    def reset(self) -> None:
        """Vanish without a word."""

    def send(self, data: str | bytes) -> None:
        """Send a message of one frame."""
        if isinstance(data, str):
            self._protocol.send_text(data.encode())
        else:
            self._protocol.send_binary(data)
        self.flush()

    def send_slowly(self, data: bytes, at: float, pause: float) -> None:
        """Send a message of one frame, with a pause of so many seconds at that part of its bytes, 0 to 1."""
        self._protocol.send_binary(data)
        frame = b"".join(self._protocol.data_to_send())
        cut = int(len(frame) * at)
        for part in (frame[:cut], frame[cut:]):
            self._write(part)
            time.sleep(pause)

    def send_close(self, code: int | None = None, reason: str = "") -> None:
        """Send a close frame, by default without a code."""
        self._protocol.send_close(code, reason)
        self.flush()

    def flush(self) -> None:
        """Send what the protocol has to say by itself too: the answers to a ping and to a close."""
        for data in self._protocol.data_to_send():
            if data:
                self._write(data)

    def receive(self) -> Frame:
        """Return the next frame; raise ``ConnectionError`` at the end of the connection."""
        event = self._event()
        assert isinstance(event, Frame), event
        return event

    def messages(self) -> Iterator[bytes]:
        """Those that come before the close frame; it is answered. Raises ``ConnectionError`` where none comes.

        websockets' own client loses those that came together with a close which it can't answer any more.
        """
        while (frame := self.receive()).opcode is not Opcode.CLOSE:
            if frame.opcode in {Opcode.TEXT, Opcode.BINARY}:
                yield bytes(frame.data)
        self.flush()

    def receive_close(self) -> tuple[int, str]:
        """Read to the close frame; return its code and reason, 1006 where the connection ends without one."""
        with contextlib.suppress(ConnectionError):
            while self.receive().opcode is not Opcode.CLOSE:
                pass
        close = self._protocol.close_rcvd
        return (1006, "") if close is None else (close.code, close.reason)

    def _event(self) -> Any:
        while not self._events:
            data = self._read()
            if not data:
                raise ConnectionError("the server ended the connection")
            self._protocol.receive_data(data)
            self._events += self._protocol.events_received()
            if self._protocol.handshake_exc is not None:
                raise self._protocol.handshake_exc
        return self._events.pop(0)


class RawWebSocket(Framed):
    """An open WebSocket. Used as a context manager, the block ends its connection, without a close frame."""

    def __init__(
        self, server: RunningServer, path: str, *, receive_buffer: int | None = None, wait: bool = True
    ) -> None:
        """``receive_buffer``: bytes that the kernel takes for a client that does not read. ``wait``: for 101."""
        super().__init__(ClientProtocol(parse_uri(websocket_url(server, path)), max_size=None))
        self.socket = server.connect(HANG) if receive_buffer is None else _small(server, receive_buffer)
        try:
            self._protocol.send_request(self._protocol.connect())
            self.flush()
            #: Those of the answer to the handshake, where it is waited for.
            self.headers: list[tuple[str, str]] = []
            if wait:
                response = self._event()
                assert isinstance(response, Response)
                assert response.status_code == 101, response
                self.headers += response.headers.raw_items()
        except BaseException:
            self.socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.socket.close()

    def finish_sending(self) -> None:
        """End the sending side alone, without a close frame."""
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Vanish as a host does that crashes: with a RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def _write(self, data: bytes) -> None:
        self.socket.sendall(data)

    def _read(self) -> bytes:
        return self.socket.recv(BLOCK)


def _small(server: RunningServer, receive_buffer: int) -> socket.socket:
    # Before connect(): the window is agreed on in the TCP handshake.
    connection = socket.socket()
    connection.settimeout(HANG)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.connect((server.host, server.port))
    return connection


def control(server: RunningServer) -> httpx.Client:
    """Return a client that has each of its connections closed by the server.

    hypercorn notices only after 5 s that a client has closed one between two requests.
    """
    return server.client(headers={"Connection": "close"})


def leftovers(server: RunningServer) -> dict[str, int]:
    """Ask the app; the connection by which it is asked is among the sockets."""
    with control(server) as client:
        response = client.get("/leftovers/x")
    assert response.status_code == 200, response.text
    counts: dict[str, int] = json.loads(response.text)
    return counts


def nothing_left_of(server: RunningServer) -> Iterator[None]:
    """A fixture around a test: what it opens on the server is gone at its end."""
    before = leftovers(server)
    yield
    wait_for_no_leftovers(server, before)


def wait_for_no_leftovers(server: RunningServer, before: dict[str, int]) -> None:
    """Return when no more is left than ``before``; who has left is noticed by the server when it likes."""
    counts: list[dict[str, int]] = []

    def clean() -> bool:
        counts.append(leftovers(server))
        return all(counts[-1][name] <= before[name] for name in before)

    poll(
        clean,
        HANG,
        lambda: (
            f"{server!r} has left {counts[-1]}, before it had {before}; it logged:\n{server.log()[-4000:]}"
        ),
    )
