"""The socket of a WebSocket, for libraries that speak the protocol themselves: simple-websocket and its users.

Such a library looks in the environ for the connection's socket, as werkzeug's server puts it there, answers the
handshake on it, and speaks WebSocket frames. An ASGI server keeps its socket to itself. So the library gets one end of
a pair of sockets (``RelayPair``), and at the other end, on the loop, ``Relay`` speaks the client's side of the
protocol and turns frames into ASGI messages and back. h11 reads the handshake's response, wsproto the frames.

The pair is made when the library first uses its socket: an app that does not costs nothing of this.
"""

from __future__ import annotations  # threading.Lock is no type before 3.13

import asyncio
import contextlib
import importlib.util
import logging
import socket
import threading
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

from ...errors import ApplicationError
from ...mapping.headers import HOP_BY_HOP
from ...types import Message
from ..channel import Channel
from .codes import LOST, NO_CODE, NORMAL

if TYPE_CHECKING:
    import h11
    from wsproto import events

__all__ = ["OPENED", "Relay", "RelayPair"]

#: The type of the message in the channel by which the loop learns that the pair is there.
OPENED = "bridge.relay"

logger = logging.getLogger("bridge")

#: Bytes that are read at a time of what the app writes.
_READ = 65536
#: "Switching Protocols" (RFC 9110, section 15.2.2).
_SWITCHING = 101


class RelayPair:
    """The two sockets, made at the first use of the app's.

    ``_lock`` guards the making of them and ``_released``; the loop's end is the loop's to close. ``_own`` and ``_peer``
    change once, and are looked at without it: by ``release()`` after none can be made any more; by the loop after
    ``OPENED``; and by threads of the app, one of which may see a pair late and then looks again under the lock.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._lock = threading.Lock()
        self._own: socket.socket | None = None
        self._peer: socket.socket | None = None
        self._released = False

    def socket_for_app(self) -> Any:
        """What the app gets: a socket, as far as it can tell. The app's end is closed when this object goes."""
        return _LazySocket(self)

    # The app's side.

    def open(self) -> socket.socket:
        """The app's end.

        Raises:
            ApplicationError: wsproto is not installed.
            ConnectionAbortedError: the client left before.
        """
        own = self._own
        if own is not None:
            return own
        if importlib.util.find_spec("wsproto") is None:
            raise ApplicationError(
                "a library in the app takes the WebSocket's socket, for which bridge needs wsproto; "
                "install it with the extra: asgi-wsgi-bridge[websocket]"
            )
        with self._lock:
            if self._own is not None:
                return self._own
            if self._released:
                raise ConnectionAbortedError("the client left before its WebSocket was accepted")
            own, peer = socket.socketpair()
            peer.setblocking(False)
            self._peer, self._own = peer, own
        self._channel.put([{"type": OPENED}], 0)
        return own

    @property
    def opened(self) -> bool:
        """Whether the app has used it."""
        return self._own is not None

    def end(self) -> None:
        """The app's call is over. The loop's end reads what is there, and then the end."""
        if self._own is not None:
            # Not closed here: a thread of the library may be in recv() on it.
            with contextlib.suppress(OSError):  # the library has closed it
                self._own.shutdown(socket.SHUT_WR)

    def drop(self) -> None:
        """Nobody in the app can use its end any more: the environ and the library have let go of it."""
        if self._own is not None:
            self._own.close()

    # The loop's side.

    def peer(self) -> socket.socket:
        """The loop's end, after ``OPENED``."""
        if self._peer is None:
            raise RuntimeError("the relay has no socket yet")
        return self._peer

    def release(self) -> None:
        """The pair is not made from here on. If it is there, the app reads to its end, and can't write."""
        with self._lock:
            self._released = True
        if self._peer is not None:
            with contextlib.suppress(OSError):  # closed, or the app has closed its end
                self._peer.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Closes the loop's end; nothing of the loop waits on it any more."""
        if self._peer is not None:
            self._peer.close()


class _LazySocket:
    """The app's end, as the app sees it: whatever is asked of it is asked of the socket.

    It has no public name of its own, which would hide the socket's.
    """

    def __init__(self, pair: RelayPair) -> None:
        self.__pair = pair

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # asked for by copy and pickle, which do not use the socket
            raise AttributeError(name)
        return getattr(self.__pair.open(), name)

    def __del__(self) -> None:
        self.__pair.drop()


class Relay:
    """The loop's end of the pair. All of it is on the loop's thread, in two tasks, and a third one for pongs.

    The session's own task goes through ``messages()``, which reads what the app writes. It never waits for the app to
    read: an app may read only when it has sent what it has, and that waits for ``messages()``. The task that listens to
    the client calls ``deliver()``, which does wait, and so does the task that answers the app's pings. Both write to
    the socket; so a frame is made and written under ``_writing``, and nothing comes between its parts.

    A close, the client's or the answer to the app's, can't wait: where a frame is half written, or the app has no room
    for it, it is not written. The app learns the end from its socket, for whoever closes releases the pair next.
    """

    def __init__(self, pair: RelayPair, path: str) -> None:
        """``path``: of the handshake, for the log."""
        import h11
        from wsproto.connection import Connection, ConnectionType

        self._loop = asyncio.get_running_loop()
        self._socket = pair.peer()
        self._path = path
        self._frames = Connection(ConnectionType.CLIENT)
        self._http = h11.Connection(h11.CLIENT)
        # The app has the real request in its environ; this one only makes h11 expect a response to it.
        upgrade = [("Host", "bridge"), ("Connection", "Upgrade"), ("Upgrade", "websocket")]
        self._http.send(h11.Request(method="GET", target="/", headers=upgrade))
        self._http.send(h11.EndOfMessage())
        self._writing = asyncio.Lock()
        # Messages of the client that the app has had room for, and whether one waits for that.
        self._taken = 0
        self._delivering = False
        # The answer to the app's last ping, until it is written, and the task that does so.
        self._pong: events.Pong | None = None
        self._answering: asyncio.Task[None] | None = None
        # The frames of a message that is not complete.
        self._parts: list[Any] = []

    # The session's task.

    async def messages(self) -> AsyncGenerator[Message, None]:
        """What the app writes, as messages of the ASGI WebSocket specification, until it closes or ends.

        The first one is its accept; there is none where it refuses. The last one is its close, if it has sent that.

        Raises:
            ApplicationError: the app writes something else.
        """
        response = await self._handshake()
        if response is None:
            return
        yield _accept(response)
        data: bytes | None = self._http.trailing_data[0]
        try:
            while data is not None:
                self._frames.receive_data(data)
                for event in self._frames.events():
                    message = self._event(event)
                    if message is not None:
                        yield message
                        if message["type"] == "websocket.close":
                            return
                data = await self._read()
        finally:
            # Forgotten at once: the error of a cancelled task leads back here.
            answering, self._answering = self._answering, None
            if answering is not None:
                answering.cancel()

    async def _read(self) -> bytes | None:
        """What the app has written; ``None`` at its end."""
        try:
            data = await self._loop.sock_recv(self._socket, _READ)
        except ConnectionError:  # it closed its end and had not read everything
            return None
        return data or None

    async def _handshake(self) -> h11.InformationalResponse | None:
        """Reads the response to the handshake. ``None``: the app has not accepted."""
        import h11

        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as exc:
                raise ApplicationError(f"the app wrote no HTTP response to its socket: {exc}") from exc
            if event is h11.NEED_DATA:
                data = await self._read()
                if data is None:
                    return None
                self._http.receive_data(data)
            elif isinstance(event, h11.InformationalResponse):
                if event.status_code == _SWITCHING:
                    return event
            else:
                # Not its headers, which may have a cookie among them.
                logger.warning(
                    "the app refused a WebSocket to %r on its socket; the client gets 403 for %r",
                    self._path,
                    event.status_code if isinstance(event, h11.Response) else event,
                )
                return None

    def _event(self, event: events.Event) -> Message | None:
        """Answers what the app wants answered. Returns what the client gets; ``None``: nothing, or not yet."""
        from wsproto import events
        from wsproto.connection import ConnectionState

        if isinstance(event, events.Message):
            return self._message(event)
        if isinstance(event, events.Ping):
            # One pong is enough for several pings, the last one's (RFC 6455, section 5.5.3).
            self._pong = event.response()
            if self._answering is None or self._answering.done():
                self._answering = self._loop.create_task(self._answer())
        elif isinstance(event, events.CloseConnection):
            if self._frames.state is ConnectionState.OPEN:  # wsproto's own, for what it can't read
                raise ApplicationError(f"the app wrote no WebSocket frame to its socket: {event.reason}")
            self._write_now(event.response())
            code = NORMAL if event.code == NO_CODE else int(event.code)
            return {"type": "websocket.close", "code": code, "reason": event.reason or ""}
        return None

    def _message(self, event: events.Message[Any]) -> Message | None:
        self._parts.append(event.data if isinstance(event.data, str) else bytes(event.data))
        if not event.message_finished:
            return None
        parts, self._parts = self._parts, []
        if isinstance(event.data, str):
            return {"type": "websocket.send", "text": "".join(parts)}
        return {"type": "websocket.send", "bytes": b"".join(parts)}

    # A task of its own.

    async def _answer(self) -> None:
        while self._pong is not None:
            pong, self._pong = self._pong, None
            await self._write(pong)

    # The listening task; disconnect() is called by whoever closes the WebSocket.

    async def deliver(self, message: str | bytes) -> None:
        """Gives the client's ``message`` to the app; waits while the app does not read."""
        from wsproto import events

        self._delivering = True
        try:
            await self._write(
                events.TextMessage(data=message)
                if isinstance(message, str)
                else events.BytesMessage(data=message)
            )
        finally:
            self._delivering = False
        self._taken += 1

    def stuck(self) -> int | None:
        """How many messages the app has had room for so far. ``None``: ``deliver()`` does not wait for it to read."""
        return self._taken if self._delivering else None

    def disconnect(self, code: int, reason: str) -> None:
        """Tells the app that the client is gone, and by which code, if the app has read what came before."""
        from wsproto import events
        from wsproto.connection import ConnectionState
        from wsproto.frame_protocol import CloseReason

        if code == LOST or self._frames.state is not ConnectionState.OPEN:
            return
        # wsproto sends none for this very object, and 1000 for its number.
        sent = CloseReason.NO_STATUS_RCVD if code == NO_CODE else code
        self._write_now(events.CloseConnection(code=sent, reason=reason or None))

    def _write_now(self, close: events.CloseConnection) -> None:
        from wsproto.utilities import LocalProtocolError

        if self._writing.locked():
            return
        # It has closed its end, or has no room; or it is the answer to the client's close, and nothing follows.
        with contextlib.suppress(OSError, LocalProtocolError):
            self._socket.send(self._frames.send(close))

    async def _write(self, event: events.Event) -> None:
        from wsproto.utilities import LocalProtocolError

        async with self._writing:
            try:
                # Made here, so that the frames are written in the order in which they are made.
                frame = self._frames.send(event)
            except LocalProtocolError:  # after a close, nothing follows
                return
            with contextlib.suppress(ConnectionError):  # the app has closed its end; run() sees it
                await self._loop.sock_sendall(self._socket, frame)


def _accept(response: h11.InformationalResponse) -> Message:
    """The handshake's response as ``websocket.accept``, without the headers that the server makes itself."""
    subprotocol: str | None = None
    headers: list[tuple[bytes, bytes]] = []
    for name, value in response.headers:
        if name == b"sec-websocket-protocol":
            subprotocol = value.decode("latin-1")
        elif not name.startswith(b"sec-websocket-") and name.decode() not in HOP_BY_HOP:
            headers.append((name, value))
    return {"type": "websocket.accept", "subprotocol": subprotocol, "headers": headers}
