"""A blocking WebSocket for WSGI apps, and the call of an app that has one: the worker thread's side.

What leaves goes through the same channel as a response, as messages of the ASGI WebSocket specification; what comes is
in an ``Inbox``. The loop's side is in ``to_asgi.websocket.session``.

A handshake calls the app as a request does. The app *opens* the WebSocket when it accepts or closes it, or when it
takes the socket that existing libraries look for (``to_asgi.websocket.relay``). From then on nothing of its response
is wanted. An app that answers without having opened it refuses the handshake with this answer.
"""

from __future__ import annotations  # threading.Lock is no type before 3.13

import enum
import threading
from asyncio import AbstractEventLoop
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ...errors import ApplicationError, ClientDisconnected, ConnectionClosed
from ...log import log_app_error
from ...mapping.headers import start_of_response
from ...types import Environ, Message, WSGIApp
from ..call import WsgiCall
from ..channel import Channel, Item
from ..lost import is_of_client
from .codes import APP_ERROR, LOST, NORMAL, SENDABLE
from .inbox import OVERHEAD, Inbox
from .relay import RelayPair

__all__ = ["WebSocket", "WebSocketCall"]

#: RFC 6455, section 5.5: a control frame has 125 bytes, of which the code takes two.
_REASON_LENGTH = 123


class AppState(enum.Enum):
    """What the app has done with its WebSocket."""

    CONNECTING = enum.auto()
    OPEN = enum.auto()
    CLOSED = enum.auto()
    #: It has answered the handshake with a response.
    REFUSED = enum.auto()


#: Where each state may go to. The last two are final.
_NEXT: Mapping[AppState, Container[AppState]] = {
    AppState.CONNECTING: {AppState.OPEN, AppState.CLOSED, AppState.REFUSED},
    AppState.OPEN: {AppState.CLOSED},
    AppState.CLOSED: (),
    AppState.REFUSED: (),
}


class WebSocket:
    """A client's WebSocket, for the app that finds it in ``environ["wsgi.websocket"]``.

    All methods block, and can be called by any thread, until the app's call returns; then it is closed. One thread may
    wait in ``receive()`` while others ``send()``.

    An app that sends has to receive as well, if only to throw away what comes: nobody sees the client leave behind
    messages that wait. Where ``request_buffer`` bytes of them wait, and the app sends for a minute or two without
    taking any, the WebSocket is closed with 1008.

    Attributes:
        subprotocols: those that the client offers, the one that it likes best first.
    """

    def __init__(self, subprotocols: Sequence[str], channel: Channel, inbox: Inbox) -> None:
        self.subprotocols = list(subprotocols)
        self._channel = channel
        self._inbox = inbox
        # Held while something goes into the channel, and as long as that waits: what is sent later comes later, a close
        # too. It also guards _state; end() alone goes on without it.
        self._lock = threading.Lock()
        self._state = AppState.CONNECTING

    def __repr__(self) -> str:
        return f"<WebSocket {self._state.name.lower()}>"

    def accept(self, subprotocol: str | None = None, headers: Iterable[tuple[str, str]] = ()) -> None:
        """Completes the handshake. The first ``receive()`` or ``send()`` does it too.

        Args:
            subprotocol: one of ``subprotocols``; ``None``: none of them.
            headers: more headers of the handshake's response, such as a cookie.

        Raises:
            ApplicationError: it was accepted or refused before; or the client does not offer ``subprotocol``
                (RFC 6455, section 4.2.2); or a header is not of the form that PEP 3333 asks for.
            ConnectionClosed: the client is gone.
        """
        with self._lock:
            if self._state is AppState.OPEN:
                raise ApplicationError("accept() was called, but the WebSocket is accepted already")
            self._accept(subprotocol, headers)

    def receive(self, timeout: float | None = None) -> str | bytes:
        """The client's next message, text or binary; waits for it, for ``timeout`` seconds at most if that is given.

        Raises:
            ConnectionClosed: it is closed, and what came before that has been received.
            TimeoutError: no message came in time.
        """
        self._ensure_accepted()
        return self._inbox.get(timeout)

    def send(self, data: str | bytes | bytearray | memoryview) -> None:
        """Sends a message: text for ``str``, binary for bytes.

        Waits while the client does not take what was sent before (``response_buffer`` bytes of it).

        Raises:
            ConnectionClosed: it is closed, or the client is gone.
            TypeError: ``data`` is none of these types, whether it is closed or not.
            ValueError: the text has half of a surrogate pair, which UTF-8 can't have (RFC 6455, section 5.6).
        """
        message: Message
        if isinstance(data, str):
            # Raised here, where the app learns of it. A server would lose the connection, or the text (granian 2.8).
            if not data.isascii():
                data.encode()
            message = {"type": "websocket.send", "text": data}
        elif isinstance(data, (bytes, bytearray, memoryview)):
            data = bytes(data)
            message = {"type": "websocket.send", "bytes": data}
        else:
            raise TypeError(f"send() wants str or bytes, not {type(data).__name__}")
        with self._lock:
            if self._state is AppState.CONNECTING:
                self._accept(None, ())
            self._check_open()
            self._put(message, len(data) + OVERHEAD)

    def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Closes it; nothing happens if it is closed already. Before ``accept()``, the client's handshake gets 403.

        Args:
            code: of RFC 6455, section 7.4: one of the registered codes, or one of your own from 3000 to 4999.
            reason: up to 123 bytes of UTF-8.
        """
        _check_code(code)
        if len(reason.encode()) > _REASON_LENGTH:
            raise ValueError(
                f"close() got a reason of {len(reason.encode())} bytes; RFC 6455, 5.5, allows 123"
            )
        with self._lock:
            if not self._go(AppState.CLOSED):
                return
            self._inbox.close(code, reason)
            try:
                self._channel.put([{"type": "websocket.close", "code": code, "reason": reason}], 0)
            except ClientDisconnected:
                return  # it is closed anyway

    def __iter__(self) -> Iterator[str | bytes]:
        """The client's messages, until the WebSocket is closed."""
        while True:
            try:
                message = self.receive()
            except ConnectionClosed:
                return
            yield message

    # For the call.

    @property
    def opened(self) -> bool:
        """Whether the app has accepted or closed it: its response is not wanted any more."""
        return self._state in {AppState.OPEN, AppState.CLOSED}

    def refuse(self) -> None:
        """The app's response goes out."""
        with self._lock:
            if self._go(AppState.REFUSED):
                self._inbox.close(LOST, "")

    def end(self) -> None:
        """The app's call is over. Takes no lock: another thread may have it, and wait for the client.

        A thread that accepts at this moment may put its state in the place of this one. Nothing that it sends goes
        out: the channel gets its end next.
        """
        self._go(AppState.CLOSED)

    # Under the lock; _ensure_accepted() takes it, and end() does without.

    def _ensure_accepted(self) -> None:
        if self._state is AppState.CONNECTING:
            with self._lock:
                if self._state is AppState.CONNECTING:
                    self._accept(None, ())

    def _accept(self, subprotocol: str | None, headers: Iterable[tuple[str, str]]) -> None:
        if subprotocol is not None and subprotocol not in self.subprotocols:
            raise ApplicationError(
                f"accept() got the subprotocol {subprotocol!r}, which is none of those that the client offers "
                "(RFC 6455, 4.2.2)"
            )
        fields = start_of_response("200 OK", list(headers)).message["headers"]
        for name, _ in fields:
            if name.startswith(b"sec-websocket-"):
                raise ApplicationError(
                    f"accept() got the header {name.decode()!r}, which the server sets itself; "
                    "the subprotocol is an argument of its own"
                )
        self._check_open()
        self._go(AppState.OPEN)
        self._put({"type": "websocket.accept", "subprotocol": subprotocol, "headers": fields}, 0)

    def _go(self, state: AppState) -> bool:
        """Goes to ``state``, if the table allows it from the present one; returns whether it did."""
        if state not in _NEXT[self._state]:
            return False
        self._state = state
        return True

    def _check_open(self) -> None:
        if self._state is AppState.REFUSED:
            raise ApplicationError(
                "the app has answered the handshake with a response; the WebSocket is refused"
            )
        if self._state is AppState.CLOSED:
            raise self._inbox.closed()

    def _put(self, message: Message, size: int) -> None:
        try:
            self._channel.put([message], size)
        except ClientDisconnected:
            raise self._inbox.closed() from None


def _check_code(code: object) -> None:
    if not isinstance(code, int) or not (code in SENDABLE or 3000 <= code <= 4999):
        raise ValueError(
            f"close() got the code {code!r}; RFC 6455, 7.4, allows 1000 - 1014 but for 1004 - 1006, and 3000 - 4999"
        )


class WebSocketCall(WsgiCall):
    """The call of an app for a handshake: a job of ``threads.jobs``."""

    __slots__ = ("_pair", "_websocket")

    def __init__(
        self,
        app: WSGIApp,
        environ: Environ,
        channel: Channel,
        loop: AbstractEventLoop | None,
        websocket: WebSocket,
        pair: RelayPair,
    ) -> None:
        super().__init__(app, environ, channel, loop, None)
        self._websocket = websocket
        self._pair = pair

    @property
    def _opened(self) -> bool:
        return self._websocket.opened or self._pair.opened

    def _iterate(self, iterable: Any) -> None:
        if self._opened:
            self._finish_opened()
        else:
            super()._iterate(iterable)

    # A generator may open the WebSocket while it is iterated.

    def _put(self, chunk: bytes) -> bool:
        return False if self._opened else super()._put(chunk)

    def _send_end(self) -> None:
        if self._opened:
            self._finish_opened()
        else:
            super()._send_end()

    def _finish_opened(self) -> None:
        """Ends with 1011 where the response is a 500, which is all that a framework shows of an error in a view."""
        failed = self._start is not None and self._start.status >= 500
        self._finish([{"type": "websocket.close", "code": APP_ERROR, "reason": ""}] if failed else [])

    def _take_start(self) -> Message:
        start = super()._take_start()
        self._websocket.refuse()
        return start

    def _fail(self, exc: BaseException) -> None:
        if self._opened and (isinstance(exc, ConnectionClosed) or _is_mark(exc)):
            self._finish([])
            return
        super()._fail(exc)

    def _log_late(self, error: BaseException) -> None:
        # The client has left, as most do, or the server has closed.
        if not is_of_client(error):
            log_app_error(
                "the WSGI app raised an error after its WebSocket to %r was closed",
                self._named[1],
                error=error,
                errors=self._environ.get("wsgi.errors"),
            )

    def _finish(self, items: list[Item], size: int = 0, error: BaseException | None = None) -> None:
        self._websocket.end()
        self._pair.end()
        super()._finish(items, size, error)


def _is_mark(exc: BaseException) -> bool:
    """Whether ``exc`` is how libraries tell werkzeug's server that the socket is done with: a bare ConnectionError."""
    return type(exc) is ConnectionError and not exc.args
