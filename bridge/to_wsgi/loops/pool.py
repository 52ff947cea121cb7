"""The loops that serve one request at a time (``loop="request"``), kept between two requests.

A loop is taken for a request, run in whichever thread the server gave, and given back if it ended clean, for the next
request. A loop that is not running belongs to no thread, so idle ones are kept in one stack and not by the threads:
threads may end, and nothing has to be closed for them.
"""

import asyncio
import os
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

from ...threads.tally import Tally
from .asyncio_names import running_loop
from .exit_and_fork import at_exit, leave_alone
from .kept import KeptLoop, LoopFactory, close_loop, new_kept_loop

__all__ = ["LoopPool"]

# Idle loops that a pool keeps. Each has three file descriptors; more than this many requests at once are rare.
_MAX_IDLE = 64
# Seconds that requests have to end when their pool is closed.
_CLOSE_WAIT = 5.0


class LoopPool:
    """Loops for requests. Any thread may call any method.

    ``_lock`` guards ``_waiting``. ``_closed`` is set under it, once, and ``_idle`` needs none. Both are looked at
    without it, which may be too soon: then a few loops more than ``_MAX_IDLE`` are kept, and one that comes back as the
    pool is closed is closed by whoever sees it first.
    """

    def __init__(self, factory: LoopFactory | None, tally: Tally | None = None) -> None:
        """``tally``: where the requests on its loops count what is rare, if anybody wants to know."""
        if factory is None and sys.platform == "win32":
            # Only the proactor loop, asyncio's own choice there, has subprocesses.
            factory = asyncio.new_event_loop
        self._factory = factory
        self.tally = tally or Tally()
        self.pid = os.getpid()
        # Last in, first out: the loop that is used next is the one still in the CPU's cache.
        self._idle: deque[KeptLoop] = deque()
        self._closed = False
        # Taken by itself: the interpreter may call a signal handler, which may raise, in a condition's __enter__() and
        # __exit__(), which are functions of Python. A lock's are in C.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        # The loops that may be waiting, each with what ends the wait when the pool is closed.
        self._waiting: dict[asyncio.AbstractEventLoop, Callable[[], object]] = {}
        # No __del__(): where a pool is garbage together with its loops, as in the circle that an error makes with its
        # frames, the collector may have closed the loops' sockets before it calls that. This has them alive until then.
        weakref.finalize(self, _forgotten, self._idle, self.pid).atexit = False
        _pools.add(self)

    def __repr__(self) -> str:
        return f"<LoopPool idle={len(self._idle)} closed={self._closed}>"

    def load(self) -> tuple[set[asyncio.AbstractEventLoop], int]:
        """The loops that may be waiting, each for its request; and how many are kept for others."""
        with self._lock:
            return set(self._waiting), len(self._idle)

    def take(self) -> KeptLoop:
        """A loop without anything on it."""
        try:
            return self._idle.pop()
        except IndexError:
            pass
        # Not in the block above: an error of it would be shown with that one.
        return new_kept_loop(self._factory)

    def give_back(
        self, kept: KeptLoop, left: Callable[[set[asyncio.Task[Any]]], object] | None = None
    ) -> None:
        """Keep a loop for another request if it is as good as new; else end what is left, and close it.

        ``left`` is called with the tasks that are left.
        """
        try:
            clean = kept.settle()
        except BaseException:
            close_loop(kept.loop)
            raise
        if not clean or len(self._idle) >= _MAX_IDLE:
            try:
                if not clean and left is not None:
                    left(kept.unfinished())
            finally:
                close_loop(kept.loop)
            return
        self._idle.append(kept)
        if self._closed:
            # close() may have looked before this one came. Else it looks after, for it sets _closed first.
            self._close_idle()

    def run(self, kept: KeptLoop, leave: Callable[[], object]) -> None:
        """Run a loop until it is stopped; ``leave`` is called on it if the pool is closed before."""
        try:
            with self._lock:
                if self._closed:
                    kept.loop.call_soon(leave)
                self._waiting[kept.loop] = leave
            kept.run()
        finally:
            with self._lock:
                # A signal handler may have raised before it was there.
                self._waiting.pop(kept.loop, None)
                if self._closed:
                    self._changed.notify_all()

    def close(self) -> None:
        """Close the idle loops, and each other one when its request is done.

        Those that wait are told to end, and waited for a while, but for the caller's own.
        """
        with self._lock:
            self._closed = True
            # With the lock: a loop that is in here can't be closed meanwhile.
            for loop, leave in self._waiting.items():
                loop.call_soon_threadsafe(leave)
            own = running_loop()
            self._changed.wait_for(lambda: self._waiting.keys() <= {own}, _CLOSE_WAIT)
        self._close_idle()

    def _close_idle(self) -> None:
        while self._idle:
            try:
                kept = self._idle.pop()
            except IndexError:
                return
            kept.loop.close()

    def close_at_exit(self) -> None:
        """As ``close()``, if nobody has, and the pool is this process' own."""
        if self.pid == os.getpid() and not self._closed:
            self.close()


def _forgotten(idle: deque[KeptLoop], pid: int) -> None:
    """Close the idle loops of a pool that nobody closed. None of its loops is in use: a request has its pool."""
    if pid != os.getpid():
        # In a forked child the loops are the parent's: see the module's text.
        leave_alone(idle)
        return
    while idle:
        idle.pop().loop.close()


# Every pool that is alive. At its exit the interpreter waits for threads that are no daemons, and anyio's are none:
# those of idle loops end with the loops.
_pools: "weakref.WeakSet[LoopPool]" = weakref.WeakSet()


def _close_pools() -> None:
    for pool in list(_pools):
        pool.close_at_exit()


at_exit(_close_pools)
