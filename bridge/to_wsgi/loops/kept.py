"""Making and closing the loops that run an app.

A kept loop serves one request at a time: ``RequestLoop`` is asyncio's own, ``OtherLoop`` wraps what a user's
``loop_factory`` makes. Both have ``loop``, ``begin()``, ``run()``, ``run_ready()``, ``settle()`` and ``unfinished()``.
"""

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn, TypeAlias

from .asyncio_names import missing_names
from .other_loop import OtherLoop
from .request_loop import RequestLoop

__all__ = [
    "KeptLoop",
    "LoopFactory",
    "close_loop",
    "in_another_thread",
    "make_loop",
    "new_kept_loop",
    "refuse_running_loop",
]

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


def close_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Close ``loop`` as ``asyncio.run()`` does: tasks, async generators, default executor go first."""
    if isinstance(loop, RequestLoop):
        loop.unmark_root()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.get_loop()
        _end_tasks(loop)
        # A stop() that waits to be called would stop the runner's own runs: uvloop's stop() is a callback, and a run
        # that an error ended leaves one.
        loop.call_soon(loop.stop)
        loop.run_forever()


def _end_tasks(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel the tasks, run the loop until they have ended, and tell its exception handler of those that failed.

    ``Runner.close()`` does the same in a frame that keeps the tasks. From Python 3.12 on, the error of a cancelled task
    keeps the frames that ran the task: there would be a circle, with the request in it. No frame here keeps a task.
    """
    left = 0

    def count(task: asyncio.Task[Any]) -> None:
        nonlocal left
        left -= 1
        if not left:
            loop.stop()
        if not task.cancelled() and task.exception() is not None:
            message = "unhandled exception as the event loop is closed"
            loop.call_exception_handler({"message": message, "exception": task.exception(), "task": task})

    left = _cancel_tasks(loop, count)
    while left:
        loop.run_forever()


def _cancel_tasks(loop: asyncio.AbstractEventLoop, ended: Callable[[asyncio.Task[Any]], object]) -> int:
    """How many tasks there are; ``ended`` will be called with each."""
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.add_done_callback(ended)
        task.cancel()
    return len(tasks)


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
