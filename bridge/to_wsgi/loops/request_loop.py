"""asyncio's own loop for one request at a time, which can tell whether it is fit for the next.

A loop that was settled is as it was when it was new, and as quick: what a request left on it is gone, or the loop is
not kept. Some of it may stay, because the next request has no use for another one and can't tell: the threads of the
default executor and of anyio, when they are idle, and what libraries keep for each loop (anyio's limiters). They end
with the loop.
"""

import asyncio
import contextvars
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable, Coroutine
from selectors import BaseSelector
from typing import Any, TypeVar

from .asyncio_names import root_mark, running_loop
from .threads import KeptExecutor, RootTask

__all__ = ["RequestLoop"]

_T = TypeVar("_T")

# Rounds of callbacks that are run without a poll, in a row: an app that is never idle has its sockets and
# timers then.
_ROUNDS = range(8)
# Calls of run_ready() in a row without a poll: an app that always has something for the server never waits in run().
_MAX_UNPOLLED = 64
# How a task is made that takes its first step at once; empty where asyncio can't.
_EAGER: dict[str, Any] = {"eager_start": True} if sys.version_info >= (3, 12) else {}


class RequestLoop(asyncio.SelectorEventLoop):
    """asyncio's loop, made cheap for short requests. It can tell whether a request has left anything on it.

    It uses what the base class has without documenting it: ``to_wsgi.loops.asyncio_names`` has the list. Where
    asyncio has not all of that, there is no ``RequestLoop``.
    """

    # Beside the base class's attributes, not among them: with more than 30 in its dictionary CPython finds each one
    # later.
    __slots__ = (
        *("_executor", "_hooks", "_own_descriptors", "_root", "_slow_at_first", "_stopped"),
        *("_tasks", "_tasks_made", "_unpolled", "_was_debug", "_watched"),
    )

    _closed: bool
    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]
    _timer_cancelled_count: int
    _selector: BaseSelector
    _stopping: bool
    _thread_id: int | None
    _debug: bool
    _default_executor: object
    _executor_shutdown_called: bool
    _exception_handler: object
    _task_factory: object
    _signal_handlers: dict[int, object]
    _asyncgens: "weakref.WeakSet[Any]"
    _asyncgens_shutdown_called: bool
    _asyncgen_firstiter_hook: Callable[..., None]
    _asyncgen_finalizer_hook: Callable[..., None]

    def __init__(self) -> None:
        try:
            super().__init__()
        except BaseException:
            # No descriptor was left. asyncio's __del__() would close what was never made.
            self._closed = True
            raise
        # Tasks made since the loop was last settled. all_tasks() would look at those of the whole process.
        self._tasks: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()
        self._tasks_made = False
        # stop() was called; run_forever() itself forgets it at its end.
        self._stopped = False
        # Calls of run_ready() since the last poll.
        self._unpolled = 0
        self._executor: KeptExecutor | None = None
        # Each call of get_map() gives the same object, which follows what is watched.
        self._watched = self._selector.get_map()
        self._own_descriptors = len(self._watched)
        self._was_debug = self._debug
        self._slow_at_first = self.slow_callback_duration
        # Made once, for each look-up would make them anew. close() lets go of them: they have the loop.
        self._hooks: tuple[Any, ...] = (self._asyncgen_firstiter_hook, self._asyncgen_finalizer_hook)
        mark = root_mark()
        self._root = None if mark is None else RootTask(self, mark)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """As ``OtherLoop.loop``."""
        return self

    def run(self) -> None:
        """As ``OtherLoop.run()``."""
        self._unpolled = 0
        self.run_forever()

    def begin(self, coro: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        """The task of a request, which ``settle()`` does not count: it is called when that one has ended.

        From Python 3.12 on the task takes its first step here, without a handle and a round of its own.
        """
        if not _EAGER or self._debug:
            return asyncio.Task(coro, loop=self)
        # As in run_ready(); two methods that both call would cost each request more than these lines.
        hooks = sys.get_asyncgen_hooks()
        try:
            self._thread_id = threading.get_ident()
            sys.set_asyncgen_hooks(*self._hooks)
            asyncio._set_running_loop(self)
            return asyncio.Task(coro, loop=self, **_EAGER)
        finally:
            self._stopping = False
            self._thread_id = None
            asyncio._set_running_loop(None)
            sys.set_asyncgen_hooks(*hooks)

    def call_soon(  # type: ignore[override] # typeshed: with a type for each argument
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        """As the base class's, which gets there by three calls more."""
        if self._debug or self._closed:
            return super().call_soon(callback, *args, context=context)
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def create_task(self, *args: Any, **kwargs: Any) -> asyncio.Task[Any]:
        task = super().create_task(*args, **kwargs)
        self._tasks.add(task)
        self._tasks_made = True
        return task

    def run_in_executor(  # type: ignore[override] # typeshed: a method that returns a future
        self, executor: Any, func: Callable[..., _T], *args: Any
    ) -> "asyncio.Future[_T]":
        if executor is None and self._default_executor is None:
            # asyncio would make one here, which does not tell whether it is idle.
            self._default_executor = self._executor = KeptExecutor()
        return super().run_in_executor(executor, func, *args)

    def stop(self) -> None:
        """As the base class's, and ``run_ready()`` is told, where it runs the loop with polls."""
        self._stopping = self._stopped = True

    def run_ready(self, task: asyncio.Task[Any] | None = None) -> bool:
        """Run the callbacks that are ready, and those that they make ready, up to the round in which the loop
        is told to stop or ``task`` ends; false: neither has come, and ``run()`` is to go on.

        These are rounds of ``run_forever()`` without its poll and its timers, and whatever is called can't
        tell them from those: the loop is the running one, and tasks are stepped by their own handles. A short
        request is done in such rounds, and the poll, a system call that lets go of the GIL, would be most of
        what it costs. It is as if nothing had become readable yet and no timer were due, for as many rounds
        as that can be.
        """
        if running_loop() is not None:
            raise RuntimeError("cannot run an event loop in a thread where another is running")
        if not self._ready and not self._stopping:
            return False
        self._unpolled += 1
        if self._debug or self._unpolled > _MAX_UNPOLLED:
            return self._run_ready_polling(task)
        ready = self._ready
        hooks = sys.get_asyncgen_hooks()
        try:
            self._thread_id = threading.get_ident()
            sys.set_asyncgen_hooks(*self._hooks)
            asyncio._set_running_loop(self)
            for _ in _ROUNDS:
                left = len(ready)
                # range() would make an object for each round. A callback may run the others itself (nest_asyncio).
                while left and ready:
                    left -= 1
                    handle: Any = ready.popleft()
                    if not handle._cancelled:
                        handle._run()
                if self._stopping or (task is not None and task.done()):
                    return True
                if not ready:
                    break
        finally:
            self._stopping = False
            self._thread_id = None
            asyncio._set_running_loop(None)
            sys.set_asyncgen_hooks(*hooks)
            # An error's traceback has frames that were called from this one, which they keep (f_back).
            task = handle = None
        return False

    def _run_ready_polling(self, task: asyncio.Task[Any] | None) -> bool:
        """``run_ready()`` by rounds of ``run_forever()``: with polls and timers, and what debug mode checks."""
        self._unpolled = 0
        try:
            for _ in _ROUNDS:
                self._stopped = False
                end = self.call_soon(super().stop)
                try:
                    self.run_forever()
                finally:
                    end.cancel()
                if self._stopped or (task is not None and task.done()):
                    return True
                if not self._ready:
                    break
        finally:
            task = None  # as in run_ready()
        return False

    def settle(self) -> bool:
        """Run what the end of the app's task has left to run, and say whether nothing is left of the request
        then.

        Left can be tasks, callbacks, timers, watched descriptors (open transports), async generators that
        were begun and not ended, jobs of the default executor, signal handlers, and settings of the loop itself. Not
        to be called while the loop runs. What it costs depends on what this one request has left.
        """
        if self._ready:
            self.run_ready()
        self._unpolled = 0
        if (
            self._ready
            or (self._scheduled and not self._drop_cancelled_timers())
            or self._default_executor is not self._executor
            or (self._executor is not None and not self._executor.idle)
            or len(self._asyncgens)
            or len(self._watched) != self._own_descriptors
            or self._signal_handlers
            or (self._root is not None and self._root.ended())
            # What an app can set, and what it can't take back.
            or self._debug is not self._was_debug
            or self._task_factory is not None
            or self._exception_handler is not None
            or self._asyncgens_shutdown_called
            or self._executor_shutdown_called
            or self.slow_callback_duration != self._slow_at_first
        ):
            return False
        if self._tasks_made:
            self._tasks_made = False
            if not all(task.done() for task in self._tasks):
                return False
            # Who keeps them keeps them; here they are done with.
            self._tasks.clear()
        return True

    def unfinished(self) -> set[asyncio.Task[Any]]:
        """The tasks that are left, after ``settle()``."""
        return {task for task in self._tasks if not task.done()}

    def _drop_cancelled_timers(self) -> bool:
        """Do what asyncio does from time to time as it polls; false: there is a timer that is not cancelled.

        A cancelled timer keeps the context of the task that made it.
        """
        if not all(timer.cancelled() for timer in self._scheduled):
            return False
        for timer in self._scheduled:
            timer._scheduled = False  # type: ignore[attr-defined] # not in asyncio's types
        self._scheduled.clear()
        self._timer_cancelled_count = 0
        return True

    def unmark_root(self) -> None:
        """The loop is about to be run to its end, and not for requests."""
        if self._root is not None:
            self._root.unmark()

    def close(self) -> None:
        """As the base class's; the threads that anyio has for this loop are told to end."""
        if self._root is not None and not self.is_running():
            self._root.drop()
            self._root = None
        super().close()
        self._hooks = ()
