"""The loops that serve one request at a time, and how it can be told that one is fit for the next.

``RequestLoop`` is asyncio's own, ``OtherLoop`` wraps what a user's ``loop_factory`` makes. Both have
``loop``, ``begin()``, ``run()``, ``run_ready`` and ``settle()``.
"""

import asyncio
import selectors
import sys
import threading
import weakref
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeAlias, TypeVar

__all__ = ["KeptLoop", "OtherLoop", "RequestLoop", "close_loop"]

_T = TypeVar("_T")

# Rounds of callbacks that are run without a poll, in a row: an app that is never idle has its sockets and
# timers then.
_MAX_ROUNDS = 8


class RequestLoop(asyncio.SelectorEventLoop):
    """asyncio's loop, made cheap for short requests, and able to tell whether it was left as it was found.

    It uses what the base class has without documenting it, as a subclass may: all of that has been there,
    under the same names, since asyncio came to the standard library.
    """

    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]
    _selector: selectors.BaseSelector
    _stopping: bool
    _thread_id: int | None
    _debug: bool
    _default_executor: object
    _task_factory: object
    _exception_handler: object
    _asyncgens: "weakref.WeakSet[Any]"
    _asyncgen_firstiter_hook: Callable[..., None]
    _asyncgen_finalizer_hook: Callable[..., None]

    def __init__(self) -> None:
        super().__init__()
        # Tasks made since the loop was last settled: without any there is none to look for.
        self._tasks_made = 0
        # stop() was called; run_forever() itself forgets it at its end.
        self._stopped = False
        self._own_descriptors = len(self._selector.get_map())

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """As ``OtherLoop.loop``."""
        return self

    def run(self) -> None:
        """As ``OtherLoop.run()``."""
        self.run_forever()

    def begin(self, coro: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        """The task of a request, which ``settle()`` does not count: it is called when that one has ended."""
        return asyncio.Task(coro, loop=self)

    def create_task(self, *args: Any, **kwargs: Any) -> asyncio.Task[Any]:
        self._tasks_made += 1
        return super().create_task(*args, **kwargs)

    def stop(self) -> None:
        """As the base class's, and ``run_ready()`` in debug mode is told."""
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
        if asyncio._get_running_loop() is not None:
            raise RuntimeError("cannot run an event loop in a thread where another is running")
        if self._debug:
            return self._run_ready_checked(task)
        hooks = sys.get_asyncgen_hooks()
        ready = self._ready
        try:
            self._thread_id = threading.get_ident()
            sys.set_asyncgen_hooks(self._asyncgen_firstiter_hook, self._asyncgen_finalizer_hook)
            asyncio._set_running_loop(self)
            for _ in range(_MAX_ROUNDS):
                for _ in range(len(ready)):
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
        return False

    def _run_ready_checked(self, task: asyncio.Task[Any] | None) -> bool:
        """``run_ready()`` in debug mode: with the checks and measurements of ``run_forever()``."""
        for _ in range(_MAX_ROUNDS):
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
        return False

    def settle(self) -> bool:
        """Run what the end of the app's task has left to run, and say whether nothing is left of the request
        then.

        Left can be tasks, callbacks, timers, watched descriptors (open transports), async generators that
        were begun and not ended, the default executor, and settings of the loop itself. Not to be called
        while the loop runs.
        """
        if self._ready:
            self.run_ready()
        made, self._tasks_made = self._tasks_made, 0
        return not (
            self._ready
            or (self._scheduled and not all(timer.cancelled() for timer in self._scheduled))
            or self._default_executor is not None
            or self._task_factory is not None
            or self._exception_handler is not None
            or len(self._asyncgens)
            or len(self._selector.get_map()) != self._own_descriptors
            or (made and asyncio.all_tasks(self))
        )


class OtherLoop:
    """A loop of the user's ``loop_factory``, uvloop's for example, of which nothing but the interface is
    known.

    It can be told whether tasks, async generators and the default executor are left on it. Timers and open
    transports can't be seen: they stay on the loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        # Any: the type of async generators does not have their frame.
        self._asyncgens: weakref.WeakSet[Any] = weakref.WeakSet()
        # asyncio would make one when it is first needed, and not tell.
        self._executor = _NotingExecutor(thread_name_prefix="asyncio")
        loop.set_default_executor(self._executor)
        # The first callback of each run, before any task.
        loop.call_soon(self._note_asyncgens)

    def begin(self, coro: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        """As ``RequestLoop.begin()``."""
        return self.loop.create_task(coro)

    def run_ready(self, task: asyncio.Task[Any] | None = None) -> bool:  # noqa: ARG002 - see below
        """As ``RequestLoop.run_ready()``: an unknown loop does not show what is ready."""
        return False

    def run(self) -> None:
        """``run_forever()``, and keep an eye on what it leaves."""
        self.loop.run_forever()
        self.loop.call_soon(self._note_asyncgens)

    def _note_asyncgens(self) -> None:
        # The loop has put its own hooks in place for this run, and takes them away at its end.
        hooks = sys.get_asyncgen_hooks()

        def firstiter(generator: AsyncGenerator[Any, Any]) -> None:
            self._asyncgens.add(generator)
            if hooks.firstiter is not None:
                hooks.firstiter(generator)

        sys.set_asyncgen_hooks(firstiter=firstiter)

    def settle(self) -> bool:
        """As ``RequestLoop.settle()``."""
        self.loop.call_soon(self.loop.stop)
        self.run()
        return not (
            self._executor.used
            or any(generator.ag_frame is not None for generator in self._asyncgens)
            or asyncio.all_tasks(self.loop)
        )


class _NotingExecutor(ThreadPoolExecutor):
    """A thread pool that knows whether it was ever used; its threads are started by use."""

    used = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        self.used = True
        return super().submit(fn, *args, **kwargs)


KeptLoop: TypeAlias = RequestLoop | OtherLoop


def close_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Close ``loop`` as ``asyncio.run()`` does: tasks, async generators, default executor go first."""
    if not isinstance(loop, RequestLoop):
        # uvloop's stop() is a callback: one that did not come to run would stop the runner's runs.
        loop.call_soon(loop.stop)
        loop.run_forever()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.get_loop()
