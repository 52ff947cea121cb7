"""Running a ``RequestLoop`` by rounds alone."""

import asyncio
from collections.abc import Awaitable, Callable

from bridge.to_wsgi.loops.request_loop import RequestLoop

__all__ = ["nothing", "step_through"]


def step_through(loop: RequestLoop, function: Callable[[], Awaitable[object]]) -> asyncio.Task[object]:
    """Run ``function()`` by rounds alone."""

    async def body() -> object:
        return await function()

    task: asyncio.Task[object] = loop.create_task(body())
    for _ in range(100):
        if task.done():
            break
        loop.run_ready()
    return task


async def nothing() -> None:
    pass
