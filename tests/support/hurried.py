"""An event loop without waits: where all of it waits for a timer, the time of that timer has come.

So what takes minutes takes none, and always the same: who waits for what, and how long, is decided by the loop's
clock alone. Not for what waits for another thread or for the network.
"""

import asyncio
import selectors
from typing import Any

__all__ = ["HurriedLoop"]


class _Selector(selectors.DefaultSelector):
    """Counts the seconds that it was to wait for."""

    ahead = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        events = super().select(0)
        if not events:
            self.ahead += timeout
        return events


class HurriedLoop(asyncio.SelectorEventLoop):
    """Its ``time()`` begins with 0, and goes on only where nothing else can."""

    def __init__(self) -> None:
        self._hurried = _Selector()
        super().__init__(self._hurried)

    def time(self) -> float:
        return self._hurried.ahead
