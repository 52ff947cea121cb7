"""Who listens for the client's leaving in ``WsgiToAsgi``, as a test sees it."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from bridge.to_asgi.watch import Watches
from tests.support.asgi import HANG, Exchange

__all__ = ["counted_watches", "leaves_a_send_that_waits", "listened"]


async def listened(exchange: Exchange) -> None:
    """Return when the adapter listens: it waits in ``receive()``, the whole body read."""
    while exchange.receives_waiting != 1 or exchange._events:  # noqa: ASYNC110  # nobody is told of it
        await asyncio.sleep(0)


async def leaves_a_send_that_waits(exchange: Exchange, kind: str) -> None:
    """Run a request whose ``send()`` never returns, and whose client leaves at the first message of this kind."""
    exchange.hold_sends()
    async with asyncio.timeout(HANG), exchange:
        await exchange.wait_for(kind)
        exchange.disconnect()
    assert len(exchange.messages) == 1


@contextmanager
def counted_watches() -> Iterator[list[object]]:
    watches: list[object] = []
    add = Watches.add

    def counting(self: Watches, watch: Any) -> None:
        watches.append(watch)
        add(self, watch)

    with patch.object(Watches, "add", counting):
        yield watches
