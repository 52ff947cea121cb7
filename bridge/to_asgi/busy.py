"""What the log says when all threads of an adapter are busy: of requests that are refused, and of those that wait.

A site whose threads are all held, by long polls or by a slow database, stalls, and nothing else shows why. A queue that
nobody takes from tells nobody anything, so somebody has to look at it: a timer, on the loop of a request that waits.
There is one, which looks each second as long as requests wait; a request that finds a free thread knows nothing of it.

How long the first one has waited is told from marks. A mark says how many requests had come at one moment. If the
first one that waits is among them, it has waited since then. The wait seen so is up to a second too short. A look
sets a mark if requests have come since the mark before. It takes away the marks whose requests have all had their
thread. The timer ends with the first look that finds nobody waiting, and holds the pool until then.

Where an adapter runs on several loops, in threads of their own, the first one has the timer, and another one takes over
when that has stopped. A child made by ``fork()`` begins anew: the parent's loop says that it runs, and has no timer
there. ``_lock`` guards all fields; nothing is called with it.
"""

from __future__ import annotations  # threading.Lock is no type before 3.13

import asyncio
import contextvars
import logging
import threading
from collections import deque
from time import monotonic

from ..errors import Overloaded
from ..threads.fork import reset_after_fork
from ..threads.jobs import Load, Pool
from .refusal import Refused

__all__ = ["BusyLog"]

logger = logging.getLogger("bridge")

#: Seconds between two looks.
_LOOK = 1.0
#: Seconds that requests may wait without a line in the log.
_PATIENCE = 5.0
#: Seconds between two lines about it, at least.
_AGAIN = 10.0


class BusyLog:
    """Of one adapter."""

    def __init__(self, remedy: str) -> None:
        """``remedy``: what gives the adapter more threads, as the end of a sentence."""
        self._remedy = remedy
        self._reset()
        reset_after_fork(self)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        # Of each cause, by its words: how many were refused since the last line, and when that was.
        self._refusals: dict[str, tuple[int, float]] = {}
        # The loop that has the timer; the marks that not all have begun of; when a wait was logged last.
        self._loop: asyncio.AbstractEventLoop | None = None
        self._marks: deque[tuple[int, float]] = deque()
        self._wait_logged = float("-inf")

    def refused(self, error: Overloaded) -> Refused:
        """The answer, and its log line; one a second at most, for ten thousand refusals at once are one event.

        Each cause has a line of its own. There are a few: the threads of requests, and those of WebSockets.
        """
        now = monotonic()
        cause = str(error)
        with self._lock:
            count, logged = self._refusals.get(cause, (0, float("-inf")))
            count += 1
            due = now - logged >= 1
            self._refusals[cause] = (0, now) if due else (count, logged)
        if due:
            logger.warning(
                "refused %s for now: %s", "a request" if count == 1 else f"{count} requests", error
            )
        return Refused(503, "the server is busy; try again in a moment")

    def waits(self, loop: asyncio.AbstractEventLoop, pool: Pool) -> None:
        """A request of ``loop``, which calls, waits for a thread of ``pool``."""
        with self._lock:
            # A loop that has stopped, as between two runs in tests, calls no timer.
            if self._loop is not None and self._loop.is_running():
                return
            self._loop = loop
            self._marks.clear()
        self._look(loop, pool)

    def _look(self, loop: asyncio.AbstractEventLoop, pool: Pool) -> None:
        load = pool.load()
        now = monotonic()
        with self._lock:
            if self._loop is not loop:
                return  # another one has the timer now
            waiting = load.waiting > 0
            if waiting:
                self._mark(load, now)
                waited = now - self._marks[0][1]
                due = waited >= _PATIENCE and now - self._wait_logged >= _AGAIN
                if due:
                    self._wait_logged = now
            else:
                self._loop = None
        if not waiting:
            # A request of another loop may have begun to wait since, and have seen that somebody has the timer.
            if pool.load().waiting:
                self.waits(loop, pool)
            return
        if due:
            logger.warning(
                "%d requests run and no thread is free: %d wait for one, the first for %.0f seconds or more; "
                "look at what the threads wait for, or %s",
                load.running,
                load.waiting,
                waited,
                self._remedy,
            )
        # In no request's context: what is said is of all of them, and the first one is not kept while others wait.
        loop.call_later(_LOOK, self._look, loop, pool, context=contextvars.Context())

    def _mark(self, load: Load, now: float) -> None:
        """Under the lock."""
        marks = self._marks
        while marks and marks[0][0] <= load.begun:
            marks.popleft()
        if not marks or marks[-1][0] < load.come:
            marks.append((load.come, now))
