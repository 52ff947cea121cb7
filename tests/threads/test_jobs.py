"""A function as a job of a pool: its end, on the loop."""

import asyncio
import gc
import threading
import weakref

import pytest

from bridge.threads.jobs import Job, run_in
from bridge.threads.pool import ThreadPool
from tests.support.asgi import HANG
from tests.support.jobs import drain, until
from tests.support.loop_thread import LoopThread, disk_pool, loop_threads

pytestmark = pytest.mark.usefixtures("no_bridge_threads")

looped = pytest.fixture(scope="module")(loop_threads)


def test_a_function_runs_on_a_thread_of_the_pool(looped: LoopThread) -> None:
    names: list[str] = []

    async def main() -> None:
        await run_in(disk, looped.mailbox, lambda: names.append(threading.current_thread().name))

    with disk_pool() as disk:
        looped.run(main())
    assert [name.rsplit("-", 1)[0] for name in names] == ["bridge-disk"]


def test_what_it_raises_is_raised_where_it_is_awaited(looped: LoopThread) -> None:
    def fail() -> None:
        raise KeyboardInterrupt

    async def main() -> None:
        with pytest.raises(KeyboardInterrupt):
            await run_in(disk, looped.mailbox, fail)

    with disk_pool() as disk:
        looped.run(main())


def test_the_error_is_in_no_circle(looped: LoopThread) -> None:
    class FailureError(Exception):
        pass

    failures: list[weakref.ref[FailureError]] = []

    def fail() -> None:
        error = FailureError()
        failures.append(weakref.ref(error))
        try:
            raise error
        finally:
            del error

    async def main() -> None:
        with pytest.raises(FailureError):
            await run_in(disk, looped.mailbox, fail)

    gc.disable()
    try:
        with disk_pool() as disk:
            looped.run(main())
        # The loop's thread may still be leaving main(). Without the GIL, it frees what it made when it next runs.
        until(lambda: looped.run(asyncio.sleep(0)) is None and failures[0]() is None)
    finally:
        gc.enable()


def test_a_function_that_nobody_waits_for_any_more_runs_all_the_same(looped: LoopThread) -> None:
    go = threading.Event()
    ran = threading.Event()

    def work() -> None:
        assert go.wait(HANG)
        ran.set()

    async def main() -> None:
        future = run_in(disk, looped.mailbox, work)
        future.cancel()
        go.set()
        assert await asyncio.to_thread(ran.wait, HANG)
        await run_in(disk, looped.mailbox, lambda: None)
        assert future.cancelled()

    with disk_pool() as disk:
        looped.run(main())


def test_a_function_for_which_no_thread_could_be_had(looped: LoopThread) -> None:
    class NoThreads(ThreadPool):
        def submit(self, job: Job) -> bool:
            job.abandon(MemoryError("no thread"))
            return False

    async def main() -> None:
        with pytest.raises(MemoryError, match="no thread"):
            await run_in(pool, looped.mailbox, lambda: pytest.fail("called"))

    pool = NoThreads(1, 0)
    looped.run(main())
    drain(pool)
