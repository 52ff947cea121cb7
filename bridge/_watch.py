"""Knowing that a client has left while its response is on the way.

Servers don't raise from ``send()`` then; ``http.disconnect`` from ``receive()`` is the only sign. A short response is
over before anybody need listen, so listening starts after ``DELAY`` seconds, and costs a response that is done by then
no more than a timer. All of it is on the loop's thread.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from ._types import Message, Receive, Send

__all__ = ["DELAY", "Sending", "Watch", "listen", "until_disconnect"]

logger = logging.getLogger("bridge")

#: Seconds before listening begins; a client's leaving is noticed that much later at most.
DELAY = 0.005


async def until_disconnect(receive: Receive) -> bool:
    """Waits for the client's leaving. ``False``: it can't be known, for the server says other things than it should."""
    try:
        message = await receive()
    except Exception:
        logger.exception(
            "receive() raised after the end of the request body; nobody listens for a disconnect now"
        )
        return False
    # A second http.request is against the specification; asking again might be answered so for ever.
    return bool(message["type"] == "http.disconnect")


async def listen(receive: Receive, left: Callable[[], None]) -> None:
    """Calls ``left`` when the client has left; what a ``Watch`` runs when the request body is complete."""
    if await until_disconnect(receive):
        left()


class Sending:
    """``send()`` of a response that is watched: what waits in it is given up when the client has left.

    On hypercorn (0.18, HTTP/2) such a ``send()`` never returns. After ``give_up()`` nothing is sent any more; granian
    logs a line for each message that is.
    """

    __slots__ = ("_cancelling", "_left", "_send", "_task")

    def __init__(self, send: Send) -> None:
        self._send = send
        self._left = False
        # The task that is in send(), and how many cancellations by others it had when give_up() added its own.
        self._task: asyncio.Task[object] | None = None
        self._cancelling: int | None = None

    async def __call__(self, message: Message) -> None:
        if self._left:
            return
        self._task = task = (
            asyncio.current_task()
        )  # None on a server that runs coroutines by itself, as granian
        try:
            await self._send(message)
        except asyncio.CancelledError:
            if task is None or self._cancelling is None or task.cancelling() > self._cancelling + 1:
                raise
        finally:
            self._task = None
            if task is not None and self._cancelling is not None:
                task.uncancel()

    def give_up(self) -> None:
        """The client has left."""
        self._left = True
        if self._task is not None and self._cancelling is None:
            self._cancelling = self._task.cancelling()
            self._task.cancel()


class Watch:
    """Runs ``listening`` beside a response: the one place that calls ``receive()`` then."""

    __slots__ = ("_listening", "_task", "_timer")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listening: Callable[[], Coroutine[Any, Any, None]],
        delay: float = DELAY,
    ) -> None:
        """``delay``: seconds before it begins."""
        self._listening = listening
        self._task: asyncio.Task[None] | None = None
        self._timer = loop.call_later(delay, self.start)

    def start(self) -> asyncio.Task[None]:
        """Begins now, if it has not begun."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._listening())
        return self._task

    async def until_left(self) -> None:
        """Waits for the end of the connection, or for what the server says after a complete response."""
        await asyncio.shield(self.start())

    def cancel(self) -> None:
        """Ends the listening."""
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
