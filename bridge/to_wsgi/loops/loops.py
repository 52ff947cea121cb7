"""Event loops: those that serve one request at a time, and the one that serves all.

``LoopPool``, for ``loop="request"``: a loop is taken for a request, run in whichever thread the server gave,
and given back if it ended clean, for the next request. A loop that is not running belongs to no thread, so
idle ones are kept in one stack and not by the threads: threads may end, and nothing has to be closed for
them.

``SharedLoop``, for ``loop="shared"``: one loop in one background thread, shared by all adapters of the
process that use the same ``loop_factory``, as all apps share one on an ASGI server. It ends when the last of
them lets go.

After a fork nothing of this is alive in the child: the parent's epoll descriptor is shared with it, and a
thread is not copied. A child leaves what it inherited alone (closing an inherited loop would take the
parent's wake-up pipe out of the parent's epoll set) and starts anew.
"""

import asyncio
import atexit
import contextlib
import logging
import os
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

from .asyncio_names import running_loop
from .greenlets import GreenletLoop, patched_by
from .kept import KeptLoop, LoopFactory, close_loop, make_loop, new_kept_loop

__all__ = [
    "LoopPool",
    "SharedLoop",
    "at_exit",
    "leave_alone",
]

logger = logging.getLogger("bridge")

# Idle loops that a pool keeps. Each has three file descriptors; more than this many requests at once are
# rare.
_MAX_IDLE = 64
# Seconds that requests have to end when their pool is closed.
_LINGER = 5.0
# Seconds that the shared loop has to end its tasks and itself.
_JOIN = 60.0


class LoopPool:
    """Loops for requests. Any thread may call any method."""

    def __init__(self, factory: LoopFactory | None) -> None:
        if factory is None and sys.platform == "win32":
            # Only the proactor loop, asyncio's own choice there, has subprocesses.
            factory = asyncio.new_event_loop
        self._factory = factory
        self.pid = os.getpid()
        # Last in, first out: the loop that is used next is the one still in the CPU's cache. A
        # deque's append() and pop() need no lock.
        self._idle: deque[KeptLoop] = deque()
        self._closed = False
        self._lock = threading.Condition()
        # Guarded by the lock: the loops that may be waiting, each with what ends the wait when the pool is
        # closed.
        self._waiting: dict[asyncio.AbstractEventLoop, Callable[[], object]] = {}
        _pools.add(self)

    def __repr__(self) -> str:
        return f"<LoopPool idle={len(self._idle)} closed={self._closed}>"

    def take(self) -> KeptLoop:
        """A loop without anything on it."""
        try:
            return self._idle.pop()
        except IndexError:
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
        if not clean and left is not None:
            left(kept.unfinished())
        if not clean or len(self._idle) >= _MAX_IDLE:
            close_loop(kept.loop)
            return
        self._idle.append(kept)
        if self._closed:
            # close() may have looked before this one came. Else it looks after, for it sets _closed first.
            self._close_idle()

    def run(self, kept: KeptLoop, leave: Callable[[], object]) -> None:
        """Run a loop until it is stopped; ``leave`` is called on it if the pool is closed before."""
        with self._lock:
            if self._closed:
                kept.loop.call_soon(leave)
            self._waiting[kept.loop] = leave
        try:
            kept.run()
        finally:
            with self._lock:
                del self._waiting[kept.loop]
                if self._closed:
                    self._lock.notify_all()

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
            self._lock.wait_for(lambda: self._waiting.keys() <= {own}, _LINGER)
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

    def __del__(self) -> None:
        # An adapter that nobody closed. In a forked child the loops are the parent's: see the module's text.
        if self.pid == os.getpid():
            self.close()
        else:
            leave_alone(self._idle)


# Every pool that is alive. At its exit the interpreter waits for threads that are no daemons, and anyio's are none:
# those of idle loops end with the loops.
_pools: "weakref.WeakSet[LoopPool]" = weakref.WeakSet()


def _close_pools() -> None:
    for pool in list(_pools):
        pool.close_at_exit()


# What a parent process had, kept from being collected, which would close it.
_inherited: list[object] = []


def leave_alone(inherited: object) -> None:
    """Keep, in a forked child, what has the parent's loops."""
    _inherited.append(inherited)


class SharedLoop:
    """A loop that runs in a thread of its own.

    The thread owns the loop. ``_lock`` guards ``_closing`` and ``_has_loop``: a callback is either handed over before
    the one that ends the loop, so that it runs, or refused.

    Who makes the object starts it; all who use it wait until it is ready, and none of them holds a lock meanwhile:
    where greenlets are threads, a lock that was made before they were can't be waited for.
    """

    def __init__(self, factory: LoopFactory | None) -> None:
        self.pid = os.getpid()
        self._factory = factory
        self._lock = threading.Lock()
        self._closing = False
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self.loop: asyncio.AbstractEventLoop
        self._has_loop = False
        # What the loop runs for, until it is set.
        self._end = asyncio.Event()
        # Python joins threads that are no daemons before it runs what is registered for its exit; this one
        # ends there.
        self._thread = threading.Thread(target=self._run, name="bridge-shared-loop", daemon=True)

    def __repr__(self) -> str:
        return f"<SharedLoop pid={self.pid} closing={self._closing}>"

    def start(self) -> None:
        """Start the thread, or have all who wait for it fail as this one does."""
        try:
            self._thread.start()
        except BaseException as exc:
            self._fail(exc)
            raise

    def wait_until_ready(self) -> None:
        """Wait until the loop runs.

        Raises:
            Exception: it can't, or its factory or its thread can't.
        """
        self._ready.wait()
        if self._failure is not None:
            raise self._failure

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            self._end_loop()
        self._failure = error
        self._ready.set()

    def _end_loop(self) -> None:
        """Have the loop end, once. Called with the lock. If there is none yet, its thread will see that it is late."""
        if not self._closing:
            self._closing = True
            if self._has_loop:
                # It may have failed, and be closed.
                with contextlib.suppress(RuntimeError):
                    self.loop.call_soon_threadsafe(self._end.set)

    # The loop's thread.

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=self._make_loop) as runner:
                loop = runner.get_loop()
                with self._lock:
                    self.loop, self._has_loop = loop, True
                    if self._closing:
                        # Who started the thread was interrupted meanwhile.
                        return
                # By the loop itself: one that can't run is of no use to anybody.
                ready = loop.call_soon(self._ready.set)
                try:
                    self._run_until_closed(loop)
                finally:
                    # The runner runs it once more.
                    ready.cancel()
        except BaseException as exc:
            if self._ready.is_set():
                raise
            # Raised in the threads that wait for the loop.
            self._fail(exc)
        finally:
            with self._lock:
                self._closing = True

    def _make_loop(self) -> asyncio.AbstractEventLoop:
        library = patched_by()
        if library is None:
            return make_loop(self._factory)
        if self._factory is None:
            return GreenletLoop()
        loop = make_loop(self._factory)
        if not isinstance(loop, asyncio.SelectorEventLoop):
            loop.close()
            raise RuntimeError(  # noqa: TRY004 - the process is what it does not fit
                f"{library} has replaced the threads of this process, and knows when a loop of asyncio's own waits: "
                f"one of {type(loop).__module__} would stop everything else. Leave out the loop_factory"
            )
        return loop

    def _run_until_closed(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run the loop as servers do, for one task that lasts: anyio ties its threads to that one."""
        root: asyncio.Task[bool] | None = None
        while not self._end.is_set():
            if root is None or root.done():
                root = loop.create_task(self._end.wait(), name="bridge-shared-loop")
            try:
                loop.run_until_complete(root)
            except (SystemExit, KeyboardInterrupt):
                # asyncio lets these two through, and nothing else: they may not end everybody's loop.
                logger.exception("a task or callback on the shared loop raised what ends a loop; it goes on")
            except (RuntimeError, asyncio.CancelledError):
                if not self._ready.is_set() or loop.is_closed():
                    raise
                # Stopped, or the task was cancelled with all others.
                logger.error("an application has stopped the shared loop; it goes on")  # noqa: TRY400 - says nothing more
                # A greenlet that runs a loop in this thread has its turn, and ends.
                time.sleep(0.001)

    # Any other thread.

    def call_soon(self, callback: Callable[..., object], *args: Any) -> None:
        """Have ``callback`` called on the loop.

        Raises:
            RuntimeError: the loop is closed.
        """
        with self._lock:
            if self._closing:
                raise RuntimeError("the shared event loop is closed")
            self.loop.call_soon_threadsafe(callback, *args)

    def is_current(self) -> bool:
        """Whether the caller is on the loop's thread, which may not wait for the loop."""
        return threading.current_thread() is self._thread

    def close(self) -> None:
        """End the loop's tasks and the loop, and wait for its thread. Not to be called on that thread.

        A thread that hangs, in what blocks or in a task that can't be cancelled, is left behind after a while.
        """
        # There may be no loop yet, if who started it was interrupted.
        self._ready.wait()
        with self._lock:
            self._end_loop()
        if self._thread.ident is not None:
            self._thread.join(_JOIN)
            if self._thread.is_alive():
                logger.error("the shared event loop does not end; its thread is left behind")

    # All adapters' loops.

    @classmethod
    def acquire(cls, factory: LoopFactory | None) -> "SharedLoop":
        """The process' loop of that factory, started if need be; each call wants a ``release()``.

        Raises:
            Exception: as ``wait_until_ready()``; there is nothing to release then.
        """
        with _shared.lock:
            loop, users = _shared.loops.get(factory, (None, 0))
            mine = loop is None or loop.pid != os.getpid()
            if loop is None or mine:
                loop, users = cls(factory), 0
            _shared.loops[factory] = loop, users + 1
        try:
            if mine:
                loop.start()
            loop.wait_until_ready()
        except BaseException:
            loop.release()
            raise
        return loop

    @classmethod
    def is_on(cls, factory: LoopFactory | None) -> bool:
        """Whether the caller is on the thread of the process' loop of that factory."""
        with _shared.lock:
            loop, _ = _shared.loops.get(factory, (None, 0))
        return loop is not None and loop.is_current()

    def release(self) -> None:
        """Let go of a loop; with its last user it ends."""
        with _shared.lock:
            loop, users = _shared.loops.get(self._factory, (None, 0))
            if loop is not self:
                return
            if users > 1:
                _shared.loops[self._factory] = loop, users - 1
                return
            del _shared.loops[self._factory]
        self.close()


class _Shared:
    """The process' shared loops, each with the number of its users."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.lock = threading.Lock()
        self.loops: dict[LoopFactory | None, tuple[SharedLoop, int]] = {}


_shared = _Shared()
if hasattr(os, "register_at_fork"):
    # The lock may be held by a thread that does not exist in the child.
    os.register_at_fork(after_in_child=_shared.reset)


def at_exit(callback: Callable[[], object]) -> None:
    """Call ``callback`` when the interpreter exits, while threads can still be started if at all possible.

    What atexit has runs after ``concurrent.futures`` was shut down, so that a lifespan that closes a pool
    with ``asyncio.to_thread()`` would fail there; and after the wait for threads, which a request that waits
    for an event would make endless. ``threading`` has an earlier moment, which ``concurrent.futures`` itself
    uses: private, and present in each supported version. Not every server that embeds Python gets there, so
    that ``callback`` is called at both, and has to bear it.
    """
    getattr(threading, "_register_atexit", atexit.register)(callback)
    atexit.register(callback)


at_exit(_close_pools)
