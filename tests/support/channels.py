"""A channel, the worker that uses it, and the loop that takes from it: for the tests of ``bridge.to_asgi.channel``."""

import asyncio
from collections.abc import Callable
from typing import Any

from bridge.threads.mailbox import Mailbox
from bridge.to_asgi.channel import Batch, Channel
from tests.support.asgi import HANG

__all__ = ["finish", "new_channel", "run", "take", "worker_waits"]


def run(main: Callable[[], Any]) -> None:
    """Run ``main()`` on a loop; fail where it hangs."""

    async def limited() -> None:
        async with asyncio.timeout(HANG):
            await main()

    asyncio.run(limited())


def new_channel(limit: int = 100) -> Channel:
    """Return a channel of the running loop."""
    return Channel(Mailbox(asyncio.get_running_loop()), limit)


async def worker_waits(channel: Channel) -> None:
    """Return when the worker stands at the closed gate."""
    while True:
        with channel._lock:
            if channel._gate is not None:
                return
        await asyncio.sleep(0.001)


async def take(channel: Channel) -> Batch:
    """Wait until there is something, and take it."""
    await channel.waiter
    return channel.take()


def finish(channel: Channel, *args: Any) -> None:
    """End the response, and tell the loop of it at once."""
    tell = channel.finish(*args)
    if tell is not None:
        tell()
