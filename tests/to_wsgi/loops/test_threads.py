"""The threads that stay with a kept loop: when it may be kept, and that they end with it."""

import asyncio
import gc
import threading
from concurrent.futures import Future
from typing import Any

import pytest

from bridge.to_wsgi.loops.threads import KeptExecutor, RootTask
from tests.support.asgi import HANG


def test_an_executor_is_idle_when_no_job_is_under_way() -> None:
    executor = KeptExecutor()
    go = threading.Event()
    before = executor.idle
    assert before
    jobs: list[Future[Any]] = [executor.submit(go.wait, HANG), executor.submit(go.wait, HANG)]
    assert not executor.idle
    # A callback of the job's own comes after the one that counts.
    seen: list[bool] = []
    jobs[1].add_done_callback(lambda _: seen.append(jobs[0].done() and executor.idle))
    go.set()
    for job in jobs:
        assert job.result(HANG)
    executor.shutdown()
    assert len(seen) == 1
    assert not executor.idle, "it would take no other job"


def test_a_job_that_fails_or_is_cancelled_is_over() -> None:
    executor = KeptExecutor()
    go = threading.Event()
    running = [executor.submit(go.wait, HANG) for _ in range(executor._max_workers)]
    waiting = executor.submit(go.wait)
    assert waiting.cancel()
    go.set()
    for job in running:
        job.result(HANG)
    failed = executor.submit(lambda: 1 / 0)
    assert isinstance(failed.exception(HANG), ZeroDivisionError)
    assert executor.idle
    executor.shutdown()


def test_a_job_that_is_refused_does_not_count() -> None:
    executor = KeptExecutor()
    executor.shutdown()
    with pytest.raises(RuntimeError):
        executor.submit(print)
    assert executor._jobs == 0


# The root task.


def root_task(loop: asyncio.AbstractEventLoop) -> tuple[RootTask, list[str]]:
    called: list[str] = []
    root = RootTask(loop, lambda _: called.append("marked"))
    loop.call_soon(loop.stop)
    loop.run_forever()  # it has begun to wait
    return root, called


def test_who_waits_for_its_end_is_told_without_a_run_of_the_loop() -> None:
    loop = asyncio.new_event_loop()
    root, called = root_task(loop)
    (task,) = asyncio.all_tasks(loop)
    task.add_done_callback(lambda _: called.append("told"))
    assert not root.ended()
    root.drop()
    loop.close()
    assert called == ["told"], "the loop's own mark is for an end that an app brings about"


def test_an_app_that_cancels_it_ends_it() -> None:
    loop = asyncio.new_event_loop()
    root, called = root_task(loop)
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert root.ended()
    assert called == ["marked"]
    root.drop()
    loop.close()


def test_a_dropped_one_leaves_nothing() -> None:
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        loop = asyncio.new_event_loop()
        root, _ = root_task(loop)
        root.drop()
        loop.close()
        del root, loop
        gc.collect()
        assert not [found for found in gc.garbage if isinstance(found, asyncio.Task | asyncio.Future)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
