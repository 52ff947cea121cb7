"""What comes of one WebSocket: the server's events, on their way to the app. All of it is on the loop's thread.

A ``Watch`` runs ``listen()`` in a task of its own, the one that calls the server's ``receive()``. Messages go to the
app through an ``Inbox``, or, once the app has taken the socket that libraries look for, through the ``Relay``.

The listener knows the two ways between the loop and the app, so it is also what ends them. It does not know the
session, which has the watch, which has the listener: granian (2.8) closes the connection of a refused handshake when
the object of its ``send()`` and ``receive()`` is gone. In a circle that would be when the garbage collector comes by.
"""

import logging
from collections.abc import Callable

from ...types import Message, Receive
from ..channel import Channel
from .codes import LOST, NO_CODE, TOO_BIG
from .inbox import Inbox
from .relay import Relay, RelayPair

__all__ = ["Listener"]

logger = logging.getLogger("bridge")


class Listener:
    """The listening side of one WebSocket."""

    __slots__ = ("_channel", "_inbox", "_max_message", "_pair", "_path", "_receive", "_relay")

    def __init__(
        self,
        receive: Receive,
        path: str,
        channel: Channel,
        inbox: Inbox,
        pair: RelayPair,
        max_message: int | None,
    ) -> None:
        """``path``: of the handshake, for the log; ``max_message``: bytes; ``None`` for any."""
        self._receive = receive
        self._path = path
        self._channel = channel
        self._inbox = inbox
        self._pair = pair
        self._max_message = max_message
        self._relay: Relay | None = None

    # The listening task.

    async def listen(self, left: Callable[[], None]) -> None:
        """Until the client leaves; then tells the app, and calls ``left``."""
        code, reason = LOST, ""
        while True:
            try:
                message = await self._receive()
            except Exception:
                logger.exception(
                    "the WebSocket to %r is taken for lost: receive() of the ASGI server raised", self._path
                )
                break
            if message["type"] == "websocket.receive":
                await self._deliver(message)
            elif message["type"] == "websocket.disconnect":
                code, reason = message.get("code") or NO_CODE, message.get("reason") or ""
                break
        self.end(code, reason)
        left()

    async def _deliver(self, message: Message) -> None:
        data: str | bytes | None = message.get("text")
        if data is None:
            data = message.get("bytes") or b""
        limit = self._max_message
        if limit is not None and len(data.encode() if isinstance(data, str) else data) > limit:
            self.close(TOO_BIG, f"a message may have {limit} bytes")
        elif self._relay is not None:
            await self._relay.deliver(data)
        else:
            await self._inbox.put(data)

    # Anybody on the loop.

    def deliver_to(self, relay: Relay) -> None:
        """The client's messages go to ``relay`` from here on."""
        self._relay = relay

    def stuck(self) -> int | None:
        """How many messages the app has taken so far. ``None``: none waits for it to take more."""
        return self._inbox.stuck() if self._relay is None else self._relay.stuck()

    def end(self, code: int, reason: str) -> None:
        """Tells the app that nothing comes any more. The first call counts."""
        self._inbox.close(code, reason)
        if self._relay is not None:
            self._relay.disconnect(code, reason)

    def close(self, code: int, reason: str) -> None:
        """Closes the WebSocket from this side, whatever the app does."""
        tell = self._channel.finish([{"type": "websocket.close", "code": code, "reason": reason}])
        if tell is not None:
            tell()
        self.end(code, reason)
        self._pair.release()

    def abort(self) -> None:
        """Nothing goes either way any more, and no thread of the app waits."""
        self._channel.abort()
        self._inbox.close(LOST, "")
        self._pair.release()
