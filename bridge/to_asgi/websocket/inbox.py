"""The messages of a WebSocket client on their way from the loop to the app's threads, bounded.

Guarantees:

- Messages come in order, each to one thread. Those that came before the end can still be taken after it.
- At most ``limit`` bytes, and one message more, wait for the app. Then ``put()`` waits, and with it the client.
- Every wait ends. The loop's ends when the app has taken enough, by ``close()``, or by cancellation. A thread's ends by
  a message, by its timeout, and by ``close()``, which the loop's side calls on whatever way it leaves.

Who owns what: all fields are guarded by ``_changed``'s lock, which either side holds for a few operations on them.
"""

import asyncio
import threading
import time
from collections import deque

from ...errors import ConnectionClosed
from ...threads.mailbox import Mailbox
from .codes import LOST

__all__ = ["OVERHEAD", "Inbox"]

#: What a message counts for besides its length, so that a million empty ones are not free.
OVERHEAD = 64


class Inbox:
    """One client's messages."""

    __slots__ = ("_changed", "_end", "_limit", "_mailbox", "_messages", "_pending", "_room", "_taken")

    def __init__(self, mailbox: Mailbox, limit: int) -> None:
        """Loop side. ``limit``: bytes (of text: characters) that may wait for the app before ``put()`` waits."""
        self._mailbox = mailbox
        self._limit = limit
        self._changed = threading.Condition(threading.Lock())
        self._messages: deque[str | bytes] = deque()
        self._pending = 0
        self._taken = 0
        # The code and the reason of the close.
        self._end: tuple[int, str] | None = None
        # What put() waits for; whoever takes it out of here settles it.
        self._room: asyncio.Future[None] | None = None

    # The loop's side.

    async def put(self, message: str | bytes) -> None:
        """Gives ``message`` to the app, and waits while too much is there. After the end it is dropped."""
        with self._changed:
            if self._end is not None:
                return
            self._messages.append(message)
            self._pending += len(message) + OVERHEAD
            room = None
            if self._pending > self._limit:
                room = self._room = self._mailbox.loop.create_future()
            self._changed.notify()
        if room is not None:
            await room

    def stuck(self) -> int | None:
        """How many messages the app has taken so far. ``None``: ``put()`` does not wait for it to take more."""
        with self._changed:
            return None if self._room is None else self._taken

    # Any side.

    def close(self, code: int, reason: str) -> None:
        """Nothing comes any more. The first call counts."""
        with self._changed:
            if self._end is None:
                self._end = (code, reason)
            room, self._room = self._room, None
            self._changed.notify_all()
        self._settle(room)

    def closed(self) -> ConnectionClosed:
        """The error for whoever comes after ``close()``. It is a new one each time, for each gets a traceback."""
        with self._changed:
            return ConnectionClosed(*(self._end or (LOST, "")))

    # The threads' side.

    def get(self, timeout: float | None = None) -> str | bytes:
        """The next message; waits for it.

        Raises:
            ConnectionClosed: there is none, and none will come.
            TimeoutError: none came within ``timeout`` seconds.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while not self._messages:
                if self._end is not None:
                    raise ConnectionClosed(*self._end)
                remaining = None if deadline is None else deadline - time.monotonic()
                if remaining is not None and remaining <= 0:
                    raise TimeoutError(f"no message came within {timeout} s")
                self._changed.wait(remaining)
            message = self._messages.popleft()
            self._pending -= len(message) + OVERHEAD
            self._taken += 1
            room = None
            # At half of the limit: a client that may go on for each message would do nothing but wake the loop.
            if self._room is not None and self._pending <= self._limit // 2:
                room, self._room = self._room, None
        self._settle(room)
        return message

    def _settle(self, room: asyncio.Future[None] | None) -> None:
        if room is not None:
            self._mailbox.post(room)
