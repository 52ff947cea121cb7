"""A WebSocket of a WSGI app: the loop's side, from the handshake to the last message.

The server's events go to the app through an ``Inbox`` (or a ``Relay``), by the task that a ``Watch`` listens with; what
the app makes comes through a ``Channel`` and is sent by the session's own task. Each side has one task: ``receive()``
and ``send()`` of the server have one caller at a time.

It is over when the app's call has ended, as a request is (``to_asgi.request``): a server that waits for its requests
at its end waits for what the app does after its client has left. An error is raised after a second of that.
"""

import base64
import enum
import logging
import os
from collections.abc import Callable
from io import BytesIO

from ...errors import ApplicationError, Overloaded
from ...mapping.environ import build_environ
from ...threads.pool import ThreadPool
from ...types import Environ, Message, Receive, Scope, Send, WSGIApp
from ..channel import Batch, Channel, End, Item
from ..lost import log_beside
from ..refusal import Refused, denial, denies
from ..sending import send_batch, send_close
from ..watch import Watch, Watches
from ..wires import Wires
from .blocking import WebSocket, WebSocketCall
from .inbox import Inbox
from .relay import OPENED, Relay, RelayPair

__all__ = ["WebSockets", "handshake_environ", "shut_down"]

logger = logging.getLogger("bridge")

# RFC 6455, section 7.4.1, and the registry of codes.
_NO_CODE, _LOST, _POLICY, _TOO_BIG, _APP_ERROR, _RESTART = 1005, 1006, 1008, 1009, 1011, 1012
#: Seconds in which an app that sends has to take something of what waits for it; at most twice as long.
_STUCK = 60.0
#: Seconds for a close to go out to a client that does not read.
_CLOSE_TIMEOUT = 10.0
#: Seconds that an error waits for the end of the app's call.
_ENDING = 1.0


class WebSockets:
    """All WebSockets of one adapter, on any number of loops."""

    def __init__(
        self,
        app: WSGIApp,
        *,
        threads: int,
        received: int,
        sent: int,
        max_message: int | None,
        on_server_loop: bool,
    ) -> None:
        """``received``, ``sent``: bytes that may wait for the app, and for the client. ``max_message``: bytes.

        ``on_server_loop``: run the app's async code on the server's loop.
        """
        self._app = app
        self._threads = threads
        self._received = received
        self._sent = sent
        self._max_message = max_message
        self._on_server_loop = on_server_loop
        # No backlog: a handshake that waits for another client to leave may wait for hours.
        self.pool = ThreadPool(threads, 0, name="bridge-websocket")

    async def serve(self, scope: Scope, receive: Receive, send: Send, wires: Wires) -> None:
        """One websocket scope, on the loop of ``wires``.

        Raises:
            Refused: the request target is no path.
            Overloaded: all threads are taken.
            Exception: the app's own.
        """
        message = await receive()
        if message["type"] != "websocket.connect":
            return
        try:
            environ = handshake_environ(scope)
        except ValueError as exc:
            raise Refused(400, str(exc)) from None
        mailbox = wires.mailbox
        channel = Channel(mailbox, self._sent)
        inbox = Inbox(mailbox, self._received)
        pair = RelayPair(channel)
        websocket = WebSocket(scope.get("subprotocols") or (), channel, inbox)
        environ["wsgi.websocket"] = websocket
        environ["werkzeug.socket"] = pair.socket_for_app()
        loop = mailbox.loop if self._on_server_loop else None
        try:
            self.pool.submit(WebSocketCall(self._app, environ, channel, loop, websocket, pair))
        except Overloaded:
            raise Overloaded(
                f"as many WebSockets are open as websocket_threads allows: {self._threads}"
            ) from None
        session = _Session(scope, receive, send, channel, inbox, pair, wires.watches, self._max_message)
        wires.sessions.add(session)
        try:
            await session.run()
        finally:
            wires.sessions.discard(session)


def shut_down(wires: Wires) -> None:
    """Closes all WebSockets of a loop, on it: its server stops."""
    for session in wires.sessions:
        session.close(_RESTART, "the server stops")


def handshake_environ(scope: Scope) -> Environ:
    """The environ of a WebSocket handshake, in the form that it has on HTTP/1.1 (RFC 6455, section 4.2.1).

    Over HTTP/2 (RFC 8441) a handshake has no key and no Upgrade, and some servers keep them to themselves. Frameworks
    and libraries look for them. Extensions such as compression are between the client and the server.

    Raises:
        ValueError: the path is none.
    """
    environ = build_environ(scope)
    environ["REQUEST_METHOD"] = "GET"
    environ["HTTP_UPGRADE"] = "websocket"
    environ["HTTP_CONNECTION"] = "Upgrade"
    environ["HTTP_SEC_WEBSOCKET_VERSION"] = "13"
    environ.setdefault("HTTP_SEC_WEBSOCKET_KEY", base64.b64encode(os.urandom(16)).decode())
    environ.setdefault("HTTP_HOST", f"{environ['SERVER_NAME']}:{environ['SERVER_PORT']}")
    environ.pop("HTTP_SEC_WEBSOCKET_EXTENSIONS", None)
    if scope.get("subprotocols"):
        environ["HTTP_SEC_WEBSOCKET_PROTOCOL"] = ", ".join(scope["subprotocols"])
    environ["wsgi.input"] = BytesIO()
    return environ


class _State(enum.Enum):
    CONNECTING = enum.auto()
    OPEN = enum.auto()
    #: The handshake is answered with a response of the app's.
    DENIED = enum.auto()
    CLOSED = enum.auto()


class _Session:
    """One WebSocket. Everything is on the loop's thread; ``_state`` is of the session's own task."""

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        channel: Channel,
        inbox: Inbox,
        pair: RelayPair,
        watches: Watches,
        max_message: int | None,
    ) -> None:
        self._scope = scope
        self._receive = receive
        self._channel = channel
        self._inbox = inbox
        self._pair = pair
        self._max_message = max_message
        self._denies = denies(scope)
        self._path: str = scope["path"]
        self._state = _State.CONNECTING
        self._relay: Relay | None = None
        # For _look(): messages sent, whether one is being sent, and what there was when it looked last.
        self._sends = 0
        self._sending = False
        self._seen: tuple[int | None, int] = (None, 0)
        self._looking = channel.loop.call_later(_STUCK, self._look)
        self._server_send = send
        self._watch = Watch(watches, self._listen, send, self._abort)
        self._send_denial = denial(self._send)

    async def run(self) -> None:
        """Until the app's call has ended. Raises the app's own exceptions, and what ``send()`` raises."""
        listening = self._watch.start()
        error: BaseException | None = None
        failed: BaseException | None = None
        sent = False
        try:
            try:
                error = await self._forward()
            except ApplicationError as exc:  # of the relay
                error = exc
            if self._state is _State.OPEN:
                await self._close(1000 if error is None else _APP_ERROR, "")
            elif self._state is _State.CONNECTING and error is None:
                await self._close(1000, "")
            sent = True
        except Exception as exc:  # noqa: BLE001  # of send(); it is raised at the end
            failed = exc
        finally:
            # On every way out of here: no thread of the app waits any more, and nobody has its error.
            self._looking.cancel()
            self._abort()
            for lost in (self._channel.close()[0], None if sent else error):
                if lost is not None:
                    log_beside(lost, self._scope.get("method", "GET"), self._path)
            lost = None
            if not sent:
                error = None
            self._watch.cancel()
            # Not before the listening has let go of it.
            pair = self._pair
            listening.add_done_callback(lambda _: pair.close())
            self._let_go()
        if failed is None:
            failed = error
        try:
            await self._channel.until_ended(None if failed is None else _ENDING)
            if failed is not None:
                raise failed
        finally:
            # Their tracebacks lead to this frame.
            del error, failed

    def _let_go(self) -> None:
        """Breaks the circles of references, also those by the traceback of the app's error.

        granian (2.8) closes the connection of a refused handshake when the object of its ``send()`` and ``receive()``
        is gone. In a circle that would be when the garbage collector comes by.
        """
        del self._watch, self._send_denial, self._receive, self._server_send
        self._relay = None

    def close(self, code: int, reason: str) -> None:
        """Closes it from this side, whatever the app does."""
        wake = self._channel.finish([{"type": "websocket.close", "code": code, "reason": reason}])
        if wake is not None:
            wake()
        self._end(code, reason)
        self._pair.release()

    def _end(self, code: int, reason: str) -> None:
        """Tells the app."""
        self._inbox.close(code, reason)
        if self._relay is not None:
            self._relay.disconnect(code, reason)

    def _look(self) -> None:
        """Closes it where the app sends, and takes nothing of what fills the inbox.

        Behind that nobody sees the client leave: hypercorn and granian say so by ``receive()`` alone. An app that does
        neither may be at work.
        """
        stuck, sends = self._inbox.stuck(), self._sends
        if stuck is not None and stuck == self._seen[0] and (self._sending or sends != self._seen[1]):
            logger.warning(
                "closed the WebSocket to %r: the app sends, and has taken none of the messages that wait for %s s",
                self._path,
                _STUCK,
            )
            self.close(_POLICY, "the app does not take the messages")
            return
        self._seen = stuck, sends
        self._looking = self._channel.loop.call_later(_STUCK, self._look)

    def _abort(self) -> None:
        self._channel.abort()
        self._inbox.close(_LOST, "")
        self._pair.release()

    # The session's own task.

    async def _forward(self) -> BaseException | None:
        """Sends what the app makes, until its end. Returns its error."""
        batch = await self._channel.take()
        while True:
            if self._state is _State.CONNECTING and _is_response(batch):
                await self._deny()
            if self._state is _State.DENIED:
                if any(_is_close(item) for item in batch.items):
                    return None  # the server stops: the rest of the response has no time
                await send_batch(self._send_denial, batch)
            else:
                for item in batch.items:
                    await self._item(item)
            if batch.end is not End.MORE:
                return self._channel.close()[0]
            batch = self._channel.more() or await self._channel.take()

    async def _deny(self) -> None:
        if self._denies:
            self._state = _State.DENIED
            return
        # All that the server can tell the client is 403. Nobody takes more of the response.
        await self._close(1000, "")
        self._channel.abort()

    async def _item(self, item: Item) -> None:
        if isinstance(item, bytes):
            return  # of the app's response, which nobody wants
        kind = item["type"]
        if kind == "websocket.send" and self._state is _State.OPEN:
            await self._send(item)
        elif kind == "websocket.accept" and self._state is _State.CONNECTING:
            self._state = _State.OPEN
            await self._send(item)
        elif kind == "websocket.close":
            await self._close(item["code"], item["reason"])
        elif kind == OPENED:
            self._relay = Relay(self._pair, self._send)
            close = await self._relay.run(self._accepted)
            self._pair.release()
            if close is not None:
                await self._close(*close)

    def _accepted(self) -> None:
        self._state = _State.OPEN

    async def _close(self, code: int, reason: str) -> None:
        """Closes it, or refuses the handshake where it is not accepted yet. Nobody listens from here on."""
        state, self._state = self._state, _State.CLOSED
        if state is _State.CLOSED:
            return
        # The client's own close counts, where it came first.
        self._inbox.close(code, reason)
        # While somebody is in receive(), granian (2.8) closes nothing.
        self._watch.cancel()
        timer = self._channel.loop.call_later(_CLOSE_TIMEOUT, self._watch.leave)
        try:
            if state is _State.OPEN:
                await send_close(self._server_send, self._watch.send, code, reason)
            else:
                await self._watch.send({"type": "websocket.close", "code": code, "reason": reason})
        except (OSError, RuntimeError) as exc:
            # The client left first: the one by the ASGI specification (2.4), the other on granian.
            logger.debug("the WebSocket could not be closed: %r", exc)
            self._abort()
        finally:
            timer.cancel()

    async def _send(self, message: Message) -> None:
        self._sends += 1
        self._sending = True
        try:
            await self._watch.send(message)
        except OSError:
            # By the ASGI specification (2.4) what send() raises to a client that has left.
            self._state = _State.CLOSED
            self._abort()
        except RuntimeError:
            # granian (2.8) and daphne (4.2) raise it in that case. So it is an error only if the client has not left,
            # which granian does not say of one whose handshake is denied, and nobody says behind messages that wait.
            told = self._state is not _State.DENIED and self._inbox.stuck() is None
            if told and not await self._watch.has_left():
                raise
            self._state = _State.CLOSED
            self._abort()
        finally:
            self._sending = False

    # The listening task.

    async def _listen(self, left: Callable[[], None]) -> None:
        code, reason = _LOST, ""
        while True:
            try:
                message = await self._receive()
            except Exception:
                logger.exception("receive() of the ASGI server raised; the WebSocket is taken for lost")
                break
            if message["type"] == "websocket.receive":
                await self._deliver(message)
            elif message["type"] == "websocket.disconnect":
                code, reason = message.get("code") or _NO_CODE, message.get("reason") or ""
                break
        self._end(code, reason)
        left()

    async def _deliver(self, message: Message) -> None:
        data: str | bytes | None = message.get("text")
        if data is None:
            data = message.get("bytes") or b""
        limit = self._max_message
        if limit is not None and len(data.encode() if isinstance(data, str) else data) > limit:
            self.close(_TOO_BIG, f"a message may have {limit} bytes")
        elif self._relay is not None:
            await self._relay.deliver(data)
        else:
            await self._inbox.put(data)


def _is_close(item: Item) -> bool:
    return not isinstance(item, bytes) and item["type"] == "websocket.close"


def _is_response(batch: Batch) -> bool:
    """Whether ``batch`` begins with the start of an HTTP response."""
    first = batch.items[0] if batch.items else None
    return first is not None and not isinstance(first, bytes) and first["type"] == "http.response.start"
