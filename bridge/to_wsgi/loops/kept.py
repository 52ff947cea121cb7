"""Making and closing the loops that run an app.

A kept loop serves one request at a time: ``RequestLoop`` is asyncio's own, ``OtherLoop`` wraps what a user's
``loop_factory`` makes. Both have ``loop``, ``begin()``, ``run()``, ``run_ready()``, ``settle()`` and ``unfinished()``.
"""

import asyncio
import contextvars
import logging
import sys
import weakref
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn, TypeAlias, TypeVar

from .asyncio_names import missing_names, running_loop
from .other_loop import OtherLoop
from .request_loop import RequestLoop

__all__ = [
    "CANCEL_LIMIT",
    "KeptLoop",
    "LoopFactory",
    "close_loop",
    "in_another_thread",
    "make_loop",
    "new_kept_loop",
    "refuse_running_loop",
    "run_to_end",
]

_T = TypeVar("_T")

logger = logging.getLogger("bridge")

#: Seconds that those have who are to end. Else one that never does would hold the server's thread for ever.
CANCEL_LIMIT = 30.0

# Tasks, and those that they begin as they are cancelled. Who goes on like that is not waited for.
_GENERATIONS = range(3)
# Seconds that asyncio.run() gives the threads of the default executor, where it gives them any number.
_EXECUTOR: tuple[float, ...] = (300.0,) if sys.version_info >= (3, 12) else ()

LoopFactory: TypeAlias = Callable[[], asyncio.AbstractEventLoop]
KeptLoop: TypeAlias = RequestLoop | OtherLoop


def new_kept_loop(factory: LoopFactory | None) -> KeptLoop:
    """A loop of ``factory``, or asyncio's own, to serve one request at a time.

    A loop keeps the context that it is made in, which is that of a request: so it is made in an empty one.

    Raises:
        TypeError: as ``make_loop()``.
    """
    if factory is None and not missing_names():
        return contextvars.Context().run(RequestLoop)
    return OtherLoop(make_loop(factory))


def make_loop(factory: LoopFactory | None) -> asyncio.AbstractEventLoop:
    """A loop of ``factory``; without one, asyncio's own. It is made in an empty context, as ``new_kept_loop()`` says.

    Raises:
        TypeError: the factory makes something else, of trio for example.
    """
    loop: object = contextvars.Context().run(factory or asyncio.new_event_loop)
    if not isinstance(loop, asyncio.AbstractEventLoop):
        raise TypeError(
            f"loop_factory made {type(loop).__module__}.{type(loop).__qualname__}, and AsgiToWsgi runs applications "
            "on event loops of asyncio's interface (asyncio.AbstractEventLoop): it doesn't serve those of trio"
        )
    return loop


def run_to_end(loop: asyncio.AbstractEventLoop, work: Awaitable[_T]) -> _T:
    """``run_until_complete()``, which goes on where an app stops the loop, or an error of an earlier run has."""
    task = asyncio.ensure_future(work, loop=loop)
    while True:
        try:
            return loop.run_until_complete(task)
        except RuntimeError:
            # Of the task, or one that says that the loop can't run.
            if task.done() or loop.is_closed() or running_loop() is not None:
                raise


def close_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Close ``loop`` as ``asyncio.run()`` does: tasks, async generators, default executor go first.

    Each of them has its end, whatever another one does: who stops the loop has it run on, and ``SystemExit`` and
    ``KeyboardInterrupt`` are raised when all is over. A signal handler may mean the very wait for that by them: the
    second one that is of no task is raised at once, and cuts off what is left.

    Tasks and generators have ``CANCEL_LIMIT`` seconds, and are named in the log if they go on. Jobs are waited for.
    """
    try:
        if isinstance(loop, RequestLoop):
            loop.unmark_root()
        ending = _Ending(loop)
        ending.end_tasks()
        ending.run(loop.shutdown_asyncgens(), CANCEL_LIMIT)
        ending.end_tasks()  # of generators: those that hang, and what they have begun
        ending.run(loop.shutdown_default_executor(*_EXECUTOR), None)
    finally:
        loop.close()
    error, ending.error = ending.error, None
    if error is not None:
        try:
            raise error
        finally:
            del error  # its traceback has this frame


class _Ending:
    """The last runs of a loop. All of it is in the thread that closes the loop.

    ``Runner.close()`` does the same, in runs that a ``stop()`` or an error breaks off, and in a frame that keeps the
    tasks. From Python 3.12 on, the error of a cancelled task keeps the frames that ran the task: there would be a
    circle, with the request in it. No frame here keeps a task.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        #: The first that was raised to end the process. Its traceback leads here: who takes it takes it away.
        self.error: BaseException | None = None
        self._interrupted = False
        # What is waited for, and all that ever was.
        self._tasks: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()
        self._seen: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()
        # How many have to end before it is worth a look at each of them. There are never fewer that will.
        self._left = 0

    def end_tasks(self) -> None:
        """Cancel the tasks, and those that they begin then; and wait for their end."""
        for _ in _GENERATIONS:
            self._cancel_all()
            self._run(CANCEL_LIMIT)

    def run(self, coro: Coroutine[Any, Any, None], limit: float | None) -> None:
        """As ``run_until_complete()``; what ``coro`` raises is told to the loop's exception handler."""
        # Not by the loop, which may have a task factory of the app's.
        self._watch(asyncio.Task(coro, loop=self._loop))
        self._run(limit)

    def _cancel_all(self) -> None:
        for task in asyncio.all_tasks(self._loop):
            if task not in self._seen:
                self._watch(task)
                task.cancel()

    def _watch(self, task: asyncio.Task[Any]) -> None:
        self._tasks.add(task)
        self._seen.add(task)
        self._left += 1
        task.add_done_callback(self._count)

    def _count(self, task: asyncio.Task[Any]) -> None:
        self._left -= 1
        if self._left <= 0:
            self._loop.stop()
        if not task.cancelled():
            self._take(task.exception(), task=task)

    def _take(self, error: BaseException | None, **context: object) -> None:
        if self.error is None and isinstance(error, (SystemExit, KeyboardInterrupt)):
            self.error = error
        elif error is not None:
            message = "unhandled exception as the event loop is closed"
            self._loop.call_exception_handler({"message": message, "exception": error, **context})

    def _run(self, limit: float | None) -> None:
        timer = None if limit is None else self._loop.call_later(limit, self._give_up, limit)
        while not all(task.done() for task in self._tasks):
            try:
                self._loop.run_forever()
            except (SystemExit, KeyboardInterrupt) as exc:
                if self._is_of_task(exc):
                    continue  # see _count()
                if self._interrupted:
                    self.error = None
                    raise
                self._interrupted = True
                self._take(exc)
                # A signal handler may have raised it in _count(), before that has counted.
                self._left = 0
        if timer is not None:
            timer.cancel()

    def _give_up(self, limit: float) -> None:
        for task in list(self._tasks):
            if not task.done():
                self._tasks.discard(task)
                logger.error(
                    "%r was to end with its event loop, and is waited for no longer, after %s s", task, limit
                )
        self._left = 0
        self._loop.stop()

    def _is_of_task(self, error: BaseException) -> bool:
        return any(task.done() and not task.cancelled() and task.exception() is error for task in self._tasks)


def in_another_thread(function: Callable[[], None]) -> None:
    """Calls it where it can run a loop, which this thread can't, for its own is running; and waits for it."""
    with ThreadPoolExecutor(1, "bridge-close") as executor:
        executor.submit(function).result()


def refuse_running_loop(what: str) -> NoReturn:
    """Raises ``RuntimeError``: this thread's event loop is running, and a thread runs one at a time."""
    raise RuntimeError(
        f"an AsgiToWsgi was {what} in a thread whose event loop is running, where it can't run another one: "
        "use another thread, by await asyncio.to_thread(...) for example"
    )
