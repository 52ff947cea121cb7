"""Waiting for a future that others wait for too."""

import asyncio
import gc
import weakref
from typing import Any

import pytest

from bridge.threads.waiting import until_done
from tests.support.channels import run


def new_future() -> "asyncio.Future[Any]":
    return asyncio.get_running_loop().create_future()


def test_a_future_that_is_done_is_not_waited_for() -> None:
    async def main() -> None:
        future = new_future()
        future.set_result(1)
        waiting = until_done(future)
        with pytest.raises(StopIteration) as stop:  # it ends at its first step
            waiting.send(None)
        assert stop.value.value is True

    run(main)


@pytest.mark.parametrize("seconds", [None, 3600.0])
@pytest.mark.parametrize("end", ["result", "error", "cancelled"])
def test_however_it_ends_it_is_done(end: str, seconds: float | None) -> None:
    async def main() -> None:
        future = new_future()
        waiting = [asyncio.ensure_future(until_done(future, seconds)) for _ in range(3)]
        await asyncio.sleep(0)
        if end == "result":
            future.set_result(None)
        elif end == "error":
            future.set_exception(LookupError("its own"))
        else:
            future.cancel()
        assert await asyncio.gather(*waiting) == [True] * 3
        assert future.cancelled() or future.exception() is None or end == "error"

    run(main)


def test_a_future_that_takes_too_long_is_left_alone() -> None:
    async def main() -> None:
        future = new_future()
        assert not await until_done(future, 0.001)
        assert not future.done()
        assert not future._callbacks, "nothing of the wait is left"
        future.set_result(None)
        assert await until_done(future, 0.001)

    run(main)


def test_who_is_cancelled_leaves_it_alone() -> None:
    async def main() -> None:
        future = new_future()
        first, second = (asyncio.ensure_future(until_done(future, 3600.0)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert not future.done()
        future.set_result(None)
        assert await second

    run(main)


def test_a_wait_that_was_cancelled_is_in_no_circle() -> None:
    async def main() -> None:
        future = new_future()
        task = asyncio.ensure_future(until_done(future))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        reference = weakref.ref(task)
        del task
        assert reference() is None
        future.cancel()

    gc.disable()
    try:
        run(main)
    finally:
        gc.enable()
