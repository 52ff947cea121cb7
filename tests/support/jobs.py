"""Jobs that a test holds and lets go, for ``bridge.threads.pool``; and pools that are drained at the end."""

import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from bridge.threads.jobs import After
from bridge.threads.pool import ThreadPool
from tests.support.asgi import HANG

__all__ = ["Make", "Work", "drain", "idle", "pools", "until"]

Make: TypeAlias = Callable[..., ThreadPool]


class Work:
    """A job that arrives, waits to be let go, and says where it ran."""

    def __init__(self, *, held: bool = True, after: Callable[[], object] | None = None) -> None:
        self.arrived = threading.Event()
        self.go = threading.Event()
        self.done = threading.Event()
        self.runs: list[int] = []
        self.abandoned: list[BaseException] = []
        self._after = after
        if not held:
            self.go.set()

    def run(self) -> After:
        self.runs.append(threading.get_ident())
        self.arrived.set()
        assert self.go.wait(HANG)
        return self._tell

    def _tell(self) -> None:
        if self._after is not None:
            self._after()
        self.done.set()

    def abandon(self, error: BaseException) -> None:
        self.abandoned.append(error)
        self.done.set()

    def wait_for_arrival(self) -> None:
        assert self.arrived.wait(HANG)

    def finish(self) -> None:
        self.go.set()
        assert self.done.wait(HANG)


def until(condition: Callable[[], bool]) -> None:
    """Return when another thread has made ``condition()`` true."""
    pause = threading.Event()
    for _ in range(int(HANG * 1000)):
        if condition():
            return
        pause.wait(0.001)
    raise AssertionError("it did not come true")


def drain(pool: ThreadPool) -> None:
    """End the threads of ``pool``, once no job is left."""
    drained = threading.Event()
    pool.drain(drained.set)
    assert drained.wait(HANG)


def idle(pool: ThreadPool) -> int:
    """Return how many threads sleep."""
    with pool._lock:
        return len(pool._idle)


def pools() -> Iterator["Make"]:
    """A fixture: makes pools, and drains them at the end."""
    pools: list[ThreadPool] = []

    def make_pool(threads: int, backlog: int = 100, **options: Any) -> ThreadPool:
        pools.append(ThreadPool(threads, backlog, name="bridge-test", **options))
        return pools[-1]

    yield make_pool
    for pool in pools:
        drain(pool)
