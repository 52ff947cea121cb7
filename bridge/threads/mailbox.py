"""Waking an event loop from other threads.

Guarantees of a ``Mailbox``:

- Any thread may post a future of the loop's, and the loop settles it. Futures are settled in the order in which they
  were posted.
- The loop is woken once, by one write to its self-pipe, for all that is posted before it gets to look.
- A future that is done by then stays as it is: whoever waited for it may have been cancelled, or had its end otherwise.
- A post to a loop that is closed is lost, without a word: whoever waited on that loop is gone with it.

Who owns what: a future is touched by its loop's thread alone. ``_posted`` is guarded by ``_lock``, which either side
holds for a few operations on it, and never while anything is called. The loop has been woken and has not looked yet
as long as ``_posted`` is not empty, so the first who posts there wakes it.
"""

from __future__ import annotations  # threading.Lock is no type before 3.13

import asyncio
import threading

__all__ = ["Mailbox", "settle"]


def settle(future: asyncio.Future[None], error: BaseException | None = None) -> None:
    """On the loop: ends ``future``, with ``error`` where there is one, unless it is done."""
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)


class Mailbox:
    """Settles futures of one loop for any number of threads; many posts make one wake-up."""

    __slots__ = ("_lock", "_posted", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        #: The loop, whose futures these are.
        self.loop = loop
        self._lock = threading.Lock()
        self._posted: list[tuple[asyncio.Future[None], BaseException | None]] = []

    def post(self, future: asyncio.Future[None], error: BaseException | None = None) -> None:
        """Any thread: has the loop ``settle()`` ``future``, soon. Never waits."""
        with self._lock:
            woken = bool(self._posted)
            self._posted.append((future, error))
        if woken:
            return
        try:
            self.loop.call_soon_threadsafe(self._deliver)
        except RuntimeError:
            if not self.loop.is_closed():
                raise

    def _deliver(self) -> None:
        with self._lock:
            # Before any is settled: what is posted from here on wakes the loop again.
            posted, self._posted = self._posted, []
        for future, error in posted:
            settle(future, error)
