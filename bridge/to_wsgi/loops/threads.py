"""The threads that stay with a loop while it is kept, for the jobs of its next request, and end with it."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

__all__ = ["KeptExecutor", "RootTask"]

_T = TypeVar("_T")


class KeptExecutor(ThreadPoolExecutor):
    """A loop's default executor, which knows whether a job of it is under way. Its threads end with the loop.

    Jobs are handed over by the loop's thread, and may be by any other. One is over before the loop is told of its end:
    the callback that counts is the first one of its future.
    """

    def __init__(self) -> None:
        super().__init__(thread_name_prefix="asyncio")
        self._jobs = 0
        self._jobs_lock = threading.Lock()
        self._ended = False

    @property
    def idle(self) -> bool:
        """Whether nothing is left to do, and another job would be taken."""
        return not self._jobs and not self._ended

    def submit(self, fn: Callable[..., _T], /, *args: Any, **kwargs: Any) -> "Future[_T]":
        with self._jobs_lock:
            self._jobs += 1
        try:
            future = super().submit(fn, *args, **kwargs)
        except BaseException:
            self._count_end()
            raise
        future.add_done_callback(self._count_end)
        return future

    def _count_end(self, _future: object = None) -> None:
        with self._jobs_lock:
            self._jobs -= 1

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._ended = True
        super().shutdown(wait, cancel_futures=cancel_futures)


class RootTask:
    """A task that ends with its loop, to which anyio ties the worker threads that it makes on the loop.

    anyio takes the task of ``run_until_complete()``, which on an ASGI server is the server's own. Without one it takes
    the request's, so that each request has to start a thread for its sync code. As on a server, this task is one of
    ``asyncio.all_tasks()``.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, mark: Callable[[asyncio.Task[Any]], object]) -> None:
        self._end: asyncio.Future[None] = loop.create_future()
        self._coro = _wait_for(self._end)
        self._task = asyncio.Task(self._coro, loop=loop, name="bridge-loop")
        self._task.add_done_callback(mark)
        self._mark = mark
        #: Whether an app has cancelled it.
        self.ended: Callable[[], bool] = self._task.done
        # An idle loop is closed without a run to this task's end.
        self._task._log_destroy_pending = False  # type: ignore[attr-defined] # not in asyncio's types

    def unmark(self) -> None:
        """Have its end stop the loop no more."""
        self._task.remove_done_callback(self._mark)

    def drop(self) -> None:
        """Tell who waits for its end that it has come, without a run of the loop, which is to be closed.

        A pool that nobody closed ends in whichever thread it is collected in, where another loop may be running.
        """
        if self._task.done():
            return
        self.unmark()
        # Else the task and what it waits for keep each other.
        self._end.cancel()
        # From Python 3.14 on a future knows who awaits it.
        forget = getattr(asyncio, "future_discard_from_awaited_by", None)
        if forget is not None:
            forget(self._end, self._task)
        for callback, context in list(self._task._callbacks or ()):
            self._task.remove_done_callback(callback)
            context.run(callback, self._task)
        self._coro.close()


async def _wait_for(end: asyncio.Future[None]) -> None:
    await end
