"""One WebSocket of a WSGI app: the loop's side, from the handshake to the end of the app's call.

What the app makes comes through a ``Channel``, and the session's own task sends it. What the client sends goes to the
app by the task of the ``Listener``. So ``receive()`` and ``send()`` of the server have one caller each at a time.

What the client has been told is a state, and a table says what may follow. The app, a library in it, and a server that
stops may send in any order; only what may follow goes out.

A session is over when the app's call has ended, as a request is (``to_asgi.request``): a server that waits for its
requests at its end waits for what the app does after its client has left. An error waits a second for it at most. On
HTTP/2 the client's answer to a close is waited for as well: see ``_close()``.
"""

import enum
import logging
from collections.abc import Mapping
from contextlib import aclosing

from ...errors import ApplicationError
from ...threads.waiting import until_done
from ...types import Message, Scope, Send
from ..channel import Batch, Channel, End, Item
from ..lost import log_beside
from ..refusal import denial, denies
from ..sending import is_dropped, send_batch, send_close
from ..watch import Watch
from .codes import APP_ERROR, NORMAL, POLICY
from .inbox import Inbox
from .listener import Listener
from .relay import OPENED, Relay, RelayPair

__all__ = ["Session"]

logger = logging.getLogger("bridge")

#: Seconds in which an app that sends has to take something of what waits for it; at most twice as long.
_STUCK = 60.0
#: Seconds for a close to go out to a client that does not read, and on HTTP/2 for its answer to come.
_CLOSE_TIMEOUT = 10.0
#: Seconds that an error waits for the end of the app's call.
_ENDING = 1.0


class ClientState(enum.Enum):
    """What the client has been told."""

    #: Nothing: it waits for the answer to its handshake.
    CONNECTING = enum.auto()
    OPEN = enum.auto()
    #: The handshake is answered with a response of the app's.
    DENIED = enum.auto()
    #: All there is; or it has left.
    CLOSED = enum.auto()


#: The state after each message that may be sent in a state. What is not here is dropped: a second answer to the
#: handshake, anything after a close, the response of an app that has opened the WebSocket.
_NEXT: Mapping[ClientState, Mapping[str, ClientState]] = {
    ClientState.CONNECTING: {
        "websocket.accept": ClientState.OPEN,
        "websocket.close": ClientState.CLOSED,
        "http.response.start": ClientState.DENIED,
    },
    ClientState.OPEN: {
        "websocket.send": ClientState.OPEN,
        "websocket.close": ClientState.CLOSED,
    },
    # Its response is sent too, as it comes.
    ClientState.DENIED: {"websocket.close": ClientState.CLOSED},
    ClientState.CLOSED: {},
}


class Session:
    """One WebSocket. Everything is on the loop's thread; ``_state`` and ``_next`` are of the session's own task."""

    def __init__(
        self,
        scope: Scope,
        send: Send,
        watch: Watch,
        listener: Listener,
        channel: Channel,
        inbox: Inbox,
        pair: RelayPair,
    ) -> None:
        """``send`` is the server's own; ``watch`` runs ``listener``, and sends by it."""
        self._scope = scope
        self._server_send = send
        self._watch = watch
        self._listener = listener
        self._channel = channel
        self._inbox = inbox
        self._pair = pair
        self._go(ClientState.CONNECTING)
        # Whether the client has been sent a close whose answer is waited for.
        self._asked = False
        # For _look(): messages sent, whether one is being sent, and what there was when it looked last.
        self._sends = 0
        self._sending = False
        self._seen: tuple[int | None, int] = (None, 0)
        self._looking = channel.loop.call_later(_STUCK, self._look)

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
            if self._state is ClientState.OPEN:
                await self._close(NORMAL if error is None else APP_ERROR, "")
            elif self._state is ClientState.CONNECTING and error is None:
                await self._close(NORMAL, "")
            if self._asked:
                await until_done(listening, _CLOSE_TIMEOUT)
            sent = True
        except Exception as exc:  # noqa: BLE001  # of send(); it is raised at the end
            failed = exc
        finally:
            # On every way out of here: no thread of the app waits any more, and nobody has its error.
            self._looking.cancel()
            self._listener.abort()
            late = self._channel.close()[0]
            self._watch.cancel()
            # Not before the listening has let go of it.
            pair = self._pair
            listening.add_done_callback(lambda _: pair.close())
            # This comes last, for the log may fail.
            for lost in (late, None if sent else error):
                if lost is not None:
                    log_beside(lost, self._scope)
            late = lost = None
            if not sent:
                error = None
        if failed is None:
            failed = error
        try:
            await self._channel.until_ended(None if failed is None else _ENDING)
            if failed is not None:
                raise failed
        finally:
            # Their tracebacks lead to this frame.
            del error, failed

    def close(self, code: int, reason: str) -> None:
        """Closes it from this side, whatever the app does."""
        self._listener.close(code, reason)

    def _look(self) -> None:
        """Closes it where the app sends, and takes nothing of what waits for it.

        Nobody sees the client leave behind that: hypercorn and granian say so by ``receive()`` alone. An app that
        neither sends nor receives may be at work.
        """
        stuck, sends = self._listener.stuck(), self._sends
        if stuck is not None and stuck == self._seen[0] and (self._sending or sends != self._seen[1]):
            logger.warning(
                "closed the WebSocket to %r: the app sends, and in %s s it has taken none of the messages that wait",
                self._scope["path"],
                _STUCK,
            )
            self.close(POLICY, "the app does not take the messages")
            return
        self._seen = stuck, sends
        self._looking = self._channel.loop.call_later(_STUCK, self._look)

    # The session's own task.

    def _go(self, state: ClientState) -> None:
        self._state = state
        # What may follow, looked up once for all messages.
        self._next = _NEXT[state]

    async def _forward(self) -> BaseException | None:
        """Sends what the app makes, until its end. Returns its error."""
        send_denial = denial(self._send)
        await self._channel.waiter
        batch = self._channel.take()
        while True:
            if (
                self._state is ClientState.CONNECTING
                and batch.items
                and self._next.get(_kind(batch.items[0])) is ClientState.DENIED
            ):
                await self._deny()
            if self._state is ClientState.DENIED:
                if any(self._next.get(_kind(item)) is ClientState.CLOSED for item in batch.items):
                    return None  # the server stops: the rest of the response has no time
                await send_batch(send_denial, self._of_response(batch))
            else:
                for item in batch.items:
                    await self._item(item)
            if batch.end is not End.MORE:
                return self._channel.close()[0]
            batch = await self._channel.following()

    async def _deny(self) -> None:
        if denies(self._scope):
            self._go(ClientState.DENIED)
            return
        # All that the server can tell the client is 403. Nobody takes more of the response.
        await self._close(NORMAL, "")
        self._channel.abort()

    def _of_response(self, batch: Batch) -> Batch:
        """Without the socket that a library takes too late; it is at its end for the app."""
        items = [item for item in batch.items if _kind(item) != OPENED]
        if len(items) < len(batch.items):
            self._pair.release()
        return Batch(items, batch.end)

    async def _item(self, item: Item) -> None:
        if isinstance(item, bytes):
            return  # of the app's response, which nobody wants
        state = self._next.get(item["type"])
        if state is self._state:
            await self._send(item)
        elif state and self._state is ClientState.CONNECTING and is_dropped(self._server_send):
            self._lose()
        elif state is ClientState.CLOSED:
            await self._close(item["code"], item["reason"])
        elif state is ClientState.OPEN:
            self._go(state)
            await self._send(item)
        elif item["type"] == OPENED:
            await self._run_relay()

    async def _run_relay(self) -> None:
        """Sends what a library of the app's makes, until its end."""
        relay = Relay(self._pair, self._scope["path"])
        self._listener.deliver_to(relay)
        async with aclosing(relay.messages()) as messages:
            async for message in messages:
                if message["type"] == "websocket.close":
                    self._pair.release()  # the app does not wait for the client here
                await self._item(message)
        self._pair.release()

    async def _close(self, code: int, reason: str) -> None:
        """Closes it, or refuses the handshake where it is not accepted yet.

        Nobody listens from here on, but for the answer on HTTP/2: on hypercorn (0.18) one that comes when the call has
        ended ends the connection, with all other streams on it.
        """
        state = self._state
        self._go(ClientState.CLOSED)
        # The client's own close counts, where it came first.
        self._inbox.close(code, reason)
        asks = state is ClientState.OPEN and self._scope.get("http_version") in {"2", "3"}
        if not asks:
            # While somebody is in receive(), granian (2.8) closes nothing.
            self._watch.cancel()
        timer = self._channel.loop.call_later(_CLOSE_TIMEOUT, self._watch.leave)
        try:
            if state is ClientState.OPEN:
                await send_close(self._server_send, self._watch.send, code, reason)
                self._asked = asks
            else:
                await self._watch.send({"type": "websocket.close", "code": code, "reason": reason})
        except (OSError, RuntimeError) as exc:
            # The client left first: the one by the ASGI specification (2.4), the other on granian.
            logger.debug("the WebSocket to %r could not be closed: %r", self._scope["path"], exc)
            self._listener.abort()
        finally:
            timer.cancel()

    async def _send(self, message: Message) -> None:
        self._sends += 1
        self._sending = True
        try:
            await self._watch.send(message)
        except OSError:
            # By the ASGI specification (2.4) what send() raises to a client that has left.
            self._lose()
        except RuntimeError:
            # granian (2.8) and daphne (4.2) raise it in that case. So it is an error only if the client has not left,
            # which granian does not say of one whose handshake is denied, and nobody says behind messages that wait.
            told = self._state is not ClientState.DENIED and self._listener.stuck() is None
            if told and not await self._watch.has_left():
                raise
            self._lose()
        finally:
            self._sending = False

    def _lose(self) -> None:
        """The client has left."""
        self._go(ClientState.CLOSED)
        self._listener.abort()


def _kind(item: Item) -> str:
    kind: str = "" if isinstance(item, bytes) else item["type"]
    return kind
