"""Waiting on a loop for a future that others wait for too."""

import asyncio
from typing import Any

__all__ = ["until_done"]


async def until_done(future: "asyncio.Future[Any]", seconds: float | None = None) -> bool:
    """Waits until ``future`` is done, at most for ``seconds``. ``True``: it is.

    Whoever is cancelled meanwhile leaves the future alone. ``asyncio.wait()`` would do so too; but where its task is
    cancelled, it leaves a circle on Python 3.14: its frame has the task, and the task's error has the frame.
    """
    if future.done():
        return True
    loop = future.get_loop()
    waiter = loop.create_future()

    def wake(_: object = None) -> None:
        if not waiter.done():
            waiter.set_result(None)

    future.add_done_callback(wake)
    timer = None if seconds is None else loop.call_later(seconds, wake)
    try:
        await waiter
    finally:
        future.remove_done_callback(wake)
        if timer is not None:
            timer.cancel()
    return future.done()
