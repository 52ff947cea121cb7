"""The loop that serves all requests (``loop="shared"``), in one background thread.

All adapters of the process that use the same ``loop_factory`` share it, as all apps share one on an ASGI server. It
ends when the last of them lets go.
"""

import asyncio
import contextlib
import contextvars
import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Any

from .exit_and_fork import in_forked_child
from .greenlets import GreenletLoop, patched_by
from .kept import LoopFactory, close_loop, make_loop

__all__ = ["SharedLoop"]

logger = logging.getLogger("bridge")

# Seconds that the shared loop has to end its tasks and itself.
_JOIN = 60.0


class SharedLoop:
    """A loop that runs in a thread of its own.

    The thread owns the loop. ``_lock`` guards ``_closing`` and ``_has_loop``: a callback is either handed over before
    the one that ends the loop, so that it runs, or refused. ``loop`` and ``_failure`` are set before ``_ready`` is, and
    read by those who have waited for that.

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
            # Where threads inherit the context (of greenlets; free-threaded Python), it would keep the first request's.
            contextvars.Context().run(self._thread.start)
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
        """Have the loop end, once. Called with the lock. If there is no loop yet, its thread looks at ``_closing``."""
        if not self._closing:
            self._closing = True
            if self._has_loop:
                # It may have failed, and be closed.
                with contextlib.suppress(RuntimeError):
                    self.loop.call_soon_threadsafe(self._end.set)

    # The loop's thread.

    def _run(self) -> None:
        try:
            loop = self._make_loop()
            try:
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
                    # The loop runs once more as it is closed.
                    ready.cancel()
            finally:
                _close(loop)
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
                logger.exception(
                    "an application raised SystemExit or KeyboardInterrupt on the shared event loop; it goes on"
                )
            except (RuntimeError, asyncio.CancelledError):
                if not self._ready.is_set() or loop.is_closed():
                    raise
                # Stopped, or the task was cancelled with all others.
                logger.error("an application has stopped the shared event loop; it goes on")  # noqa: TRY400 - says nothing more
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
                logger.error(
                    "the shared event loop has not ended within %s s: something blocks it; its thread is left behind",
                    _JOIN,
                )

    # All adapters' loops.

    @classmethod
    def acquire(cls, factory: LoopFactory | None) -> "SharedLoop":
        """The process' loop of that factory, started if need be; each call wants a ``release()``.

        Raises:
            Exception: as ``wait_until_ready()``; there is nothing to release then.
        """
        counted: SharedLoop | None = None
        mine = False
        try:
            with _shared.lock:
                loop, users = _shared.loops.get(factory, (None, 0))
                mine = loop is None or loop.pid != os.getpid()
                if loop is None or mine:
                    loop, users = cls(factory), 0
                _shared.loops[factory] = loop, users + 1
                counted = loop
            if mine:
                loop.start()
            loop.wait_until_ready()
        except BaseException as exc:
            if counted is not None:
                if mine and counted._thread.ident is None:
                    # A signal handler has raised before the start: those who wait, close() too, would do so for ever.
                    counted._fail(exc)
                counted.release()
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


def _close(loop: asyncio.AbstractEventLoop) -> None:
    try:
        close_loop(loop)
    except (SystemExit, KeyboardInterrupt):
        # In this thread, whose end it is anyway, it would be lost, or a traceback without a log line.
        logger.exception(
            "an application raised SystemExit or KeyboardInterrupt as the shared event loop was closed"
        )


class _Shared:
    """The process' shared loops, each with the number of its users."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.lock = threading.Lock()
        self.loops: dict[LoopFactory | None, tuple[SharedLoop, int]] = {}


_shared = _Shared()
# The lock may be held by a thread that does not exist in the child.
in_forked_child(_shared.reset)
