"""A thread of a test that does one thing."""

import asyncio
import threading
from collections.abc import Callable

from tests.support.asgi import HANG

__all__ = ["Worker"]


class Worker(threading.Thread):
    """Does one thing; ``result`` is what it returned or raised."""

    def __init__(self, function: Callable[[], object]) -> None:
        super().__init__(name="worker")
        self._function = function
        self.result: object = ...
        self.start()

    def run(self) -> None:
        try:
            self.result = self._function()
        except BaseException as error:
            self.result = error

    async def end(self) -> object:
        """Wait for its end, beside the loop; return ``result``."""
        await asyncio.to_thread(self.join, HANG)
        assert not self.is_alive()
        return self.result
