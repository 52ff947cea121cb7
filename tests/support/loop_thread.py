"""A loop in a thread of its own, as a server has it, for tests that play the worker; and the threads of a spool."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bridge.threads.mailbox import Mailbox
from bridge.threads.pool import ThreadPool
from tests.support.asgi import HANG
from tests.support.threads import wait_for_no_bridge_threads

__all__ = ["LoopThread", "disk_pool", "loop_threads"]


class LoopThread:
    """Runs until ``close()``."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.mailbox = Mailbox(self.loop)
        self._thread = threading.Thread(target=self.loop.run_forever, name="loop")
        self._thread.start()

    def run(self, coroutine: Any) -> Any:
        """Run the coroutine there; return or raise what it does."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(HANG)

    def close(self) -> None:
        """Stop the loop, and prove that its thread has ended."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(HANG)
        assert not self._thread.is_alive()
        self.loop.close()


def loop_threads() -> Iterator[LoopThread]:
    """A fixture: one loop, closed at the end."""
    thread = LoopThread()
    yield thread
    thread.close()


@contextmanager
def disk_pool() -> Iterator[ThreadPool]:
    """Worker threads for a ``Spool``, drained at the end."""
    pool = ThreadPool(2, 10, name="bridge-disk")
    try:
        yield pool
    finally:
        drained = threading.Event()
        pool.drain(drained.set)
        assert drained.wait(HANG)
        wait_for_no_bridge_threads()
