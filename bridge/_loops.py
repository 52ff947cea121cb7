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
import selectors
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

__all__ = ["LoopFactory", "LoopPool", "RequestLoop", "SharedLoop", "at_exit", "close_loop"]

LoopFactory = Callable[[], asyncio.AbstractEventLoop]

logger = logging.getLogger("bridge")

# Idle loops that a pool keeps. Each has three file descriptors; more than this many requests at once are
# rare.
_MAX_IDLE = 64
# Polls without waiting that a loop leaves out in a row.
_SKIPPED_POLLS = 8


class _SparingSelector(selectors.DefaultSelector):
    """A selector that asks the kernel only at times when the loop asks without waiting.

    A loop with callbacks to run polls once for each round of them. For a request that never waits that poll
    is most of the cost, and more so with threads, because it lets go of the GIL. Leaving it out is as if
    nothing had been ready yet; that what is ready is seen at the ninth round at the latest keeps a busy app
    from starving its own sockets. Wake-ups by other threads are not late: call_soon_threadsafe() puts its
    callback where the next round finds it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._skipped = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout == 0 and self._skipped < _SKIPPED_POLLS:
            self._skipped += 1
            return []
        self._skipped = 0
        return super().select(timeout)


class RequestLoop(asyncio.SelectorEventLoop):
    """asyncio's loop of Unix, made cheap for short requests, and able to tell whether it was left as it was found."""

    # From the base class, which documents them by use; the loop of the standard library has had them since
    # 3.4.
    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]
    _selector: selectors.BaseSelector

    def __init__(self) -> None:
        super().__init__(_SparingSelector())
        #: Tasks made since the loop was last found clean.
        self.tasks_made = 0
        self._own_descriptors = len(self._selector.get_map())

    def create_task(self, *args: Any, **kwargs: Any) -> asyncio.Task[Any]:
        self.tasks_made += 1
        return super().create_task(*args, **kwargs)

    def has_ready(self) -> bool:
        """Whether a callback could run now without waiting."""
        return bool(self._ready)

    def is_clean(self) -> bool:
        """Whether nothing is left of the request that the loop served; not to be called while it runs.

        Left can be tasks, callbacks, timers, watched descriptors (open transports), async generators that
        were begun and not ended, the default executor, and settings of the loop itself.
        """
        base: Any = self
        return not (
            self._ready
            or base._default_executor is not None
            or len(base._asyncgens)
            or len(self._selector.get_map()) != self._own_descriptors
            or any(not timer.cancelled() for timer in self._scheduled)
            or self.get_task_factory() is not None
            or self.get_exception_handler() is not None
            or (self.tasks_made > 1 and asyncio.all_tasks(self))
        )


def close_loop(loop: asyncio.AbstractEventLoop) -> None:
    """End everything on ``loop`` as ``asyncio.run()`` does: tasks, async generators, default executor; and close it."""
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.get_loop()


class LoopPool:
    """Loops for requests. Any thread may call any method."""

    def __init__(self, factory: LoopFactory | None) -> None:
        if factory is None:
            # On Windows only the proactor loop, asyncio's own choice there, has subprocesses.
            factory = asyncio.new_event_loop if sys.platform == "win32" else RequestLoop
        self._factory = factory
        self._pid = os.getpid()
        self._lock = threading.Lock()
        # Guarded by the lock. Last in, first out: the loop that is used next is the one still in the CPU's
        # cache.
        self._idle: list[asyncio.AbstractEventLoop] = []
        self._closed = False

    def __repr__(self) -> str:
        return f"<LoopPool idle={len(self._idle)} closed={self._closed}>"

    def take(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return self._factory()

    def give_back(self, loop: asyncio.AbstractEventLoop) -> None:
        """Keep ``loop`` for another request if it is as good as new, else end what is left on it and close
        it.

        Only a ``RequestLoop`` can tell; a loop of the user's own making serves one request.
        """
        if isinstance(loop, RequestLoop) and loop.is_clean():
            with self._lock:
                if not self._closed and len(self._idle) < _MAX_IDLE:
                    loop.tasks_made = 0
                    self._idle.append(loop)
                    return
        close_loop(loop)

    def close(self) -> None:
        """Close the idle loops, and each other one when its request is done."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for loop in idle:
            loop.close()

    def __del__(self) -> None:
        # An adapter that nobody closed. In a forked child the loops are the parent's: see the module's text.
        if self._pid == os.getpid():
            self.close()
        else:
            _inherited.extend(self._idle)


# Loops of a parent process, kept from being collected, which would close them.
_inherited: list[Any] = []


class SharedLoop:
    """A loop that runs in a thread of its own.

    The thread owns the loop. ``_lock`` guards ``_closing``: a callback is either handed over before the one
    that stops the loop, so that it runs, or refused.
    """

    def __init__(self, factory: LoopFactory | None) -> None:
        self.pid = os.getpid()
        self._factory = factory
        self._lock = threading.Lock()
        self._closing = False
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self.loop: asyncio.AbstractEventLoop
        # Python joins threads that are no daemons before it runs what is registered for its exit; this one
        # ends there.
        self._thread = threading.Thread(target=self._run, name="bridge-shared-loop", daemon=True)
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            raise self._failure

    def __repr__(self) -> str:
        return f"<SharedLoop pid={self.pid} closing={self._closing}>"

    # The loop's thread.

    def _run(self) -> None:
        with contextlib.ExitStack() as stack:
            try:
                runner = stack.enter_context(
                    asyncio.Runner(loop_factory=self._factory or asyncio.new_event_loop)
                )
                self.loop = runner.get_loop()
            except BaseException as exc:  # noqa: BLE001 - raised in the thread that waits for the loop
                self._failure = exc
                return
            finally:
                self._ready.set()
            while True:
                try:
                    self.loop.run_forever()
                except BaseException:
                    # SystemExit of some task, which asyncio lets through: it may not end everybody's loop.
                    logger.exception(
                        "a task or callback on the shared loop raised what ends a loop; it goes on"
                    )
                with self._lock:
                    if self._closing:
                        return

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
        """End the loop's tasks and the loop, and wait for its thread. Not to be called on that thread."""
        with self._lock:
            if not self._closing:
                self._closing = True
                self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()

    # All adapters' loops.

    @classmethod
    def acquire(cls, factory: LoopFactory | None) -> "SharedLoop":
        """The process' loop of that factory, started if need be; each call wants a ``release()``."""
        with _shared.lock:
            loop, users = _shared.loops.get(factory, (None, 0))
            if loop is None or loop.pid != os.getpid():
                loop, users = cls(factory), 0
            _shared.loops[factory] = loop, users + 1
            return loop

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
    with ``asyncio.to_thread()`` would fail there. ``threading`` has an earlier moment, which
    ``concurrent.futures`` itself uses: private, and present in each supported version.
    """
    getattr(threading, "_register_atexit", atexit.register)(callback)
