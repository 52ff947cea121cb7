"""How worker threads end: idle, drained, never started, after a fork; and the threads of an executor."""

import concurrent.futures
import gc
import os
import threading
import weakref
from typing import Any
from unittest.mock import patch

import pytest

from bridge import Overloaded
from bridge._pool import After, ExecutorPool, ThreadPool, _after_fork_in_child
from tests.support.asgi import HANG
from tests.support.jobs import Make, Work, drain, idle, pools, until
from tests.support.threads import wait_for_no_bridge_threads

pytestmark = pytest.mark.usefixtures("no_bridge_threads")

make = pytest.fixture(pools)


# Ends.


def test_idle_threads_end_and_come_back(make: Make) -> None:
    pool = make(4, idle=0.01)
    for _ in range(3):
        jobs = [Work() for _ in range(4)]
        for job in jobs:
            pool.submit(job)
        for job in jobs:
            job.wait_for_arrival()
        for job in jobs:
            job.finish()
        wait_for_no_bridge_threads()
        assert "0 of 4 threads, 0 idle" in repr(pool)


def test_a_thread_called_up_at_the_moment_it_gives_up_takes_the_job(make: Make) -> None:
    """Its sleep has timed out, and before it can leave the list of the idle it is taken from there."""
    pool = make(1, idle=0.01)
    timed_out = threading.Event()
    submitted = threading.Event()
    real = ThreadPool._called_up

    def late(self: ThreadPool, me: Any) -> bool:
        if not timed_out.is_set():
            timed_out.set()
            assert submitted.wait(HANG)
        return real(self, me)

    with patch.object(ThreadPool, "_called_up", late):
        first = Work(held=False)
        pool.submit(first)
        assert timed_out.wait(HANG)
        second = Work(held=False)
        pool.submit(second)
        submitted.set()
        assert second.done.wait(HANG)
    assert second.runs == first.runs
    wait_for_no_bridge_threads()
    assert pool.unfinished() == 0


def test_drain_without_threads_calls_back_at_once(make: Make) -> None:
    calls: list[int] = []
    make(4).drain(lambda: calls.append(threading.get_ident()))
    assert calls == [threading.get_ident()]


def test_drain_runs_what_waits_and_what_comes(make: Make) -> None:
    pool = make(1)
    jobs = [Work() for _ in range(3)]
    for job in jobs[:2]:
        pool.submit(job)
    jobs[0].wait_for_arrival()
    drained = threading.Event()
    pool.drain(drained.set)
    pool.submit(jobs[2])
    assert not drained.is_set()
    for job in jobs:
        assert not drained.is_set()
        job.finish()
    assert drained.wait(HANG)
    wait_for_no_bridge_threads()
    assert [len(job.runs) for job in jobs] == [1, 1, 1]


def test_drain_wakes_the_idle(make: Make) -> None:
    pool = make(3, idle=1000.0)
    jobs = [Work() for _ in range(3)]
    for job in jobs:
        pool.submit(job)
    for job in jobs:
        job.wait_for_arrival()
    for job in jobs:
        job.finish()
    until(lambda: idle(pool) == 3)
    drain(pool)
    drain(pool)
    wait_for_no_bridge_threads()


def test_a_drained_pool_works_without_idling_and_opens_again(make: Make) -> None:
    pool = make(2)
    drain(pool)
    job = Work(held=False)
    pool.submit(job)
    assert job.done.wait(HANG)
    wait_for_no_bridge_threads()
    pool.open()
    job = Work(held=False)
    pool.submit(job)
    assert job.done.wait(HANG)
    until(lambda: idle(pool) == 1)


def test_a_finished_job_is_not_kept_by_a_sleeping_thread(make: Make) -> None:
    pool = make(1)
    job = Work(held=False)
    pool.submit(job)
    assert job.done.wait(HANG)
    until(lambda: idle(pool) == 1)
    reference = weakref.ref(job)
    del job
    gc.collect()
    assert reference() is None


def test_a_job_that_raises_does_not_take_its_thread_along(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    pool = make(1)

    class Bad(Work):
        def run(self) -> After:
            super().run()
            raise SystemExit(3)

    bad, good = Bad(held=False), Work(held=False)
    pool.submit(bad)
    pool.submit(good)
    assert good.done.wait(HANG)
    assert good.runs == bad.runs
    assert "a job raised" in caplog.text
    until(lambda: pool.unfinished() == 0)


# No thread to be had.


def test_jobs_are_abandoned_where_no_thread_can_be_had(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    pool = make(2)
    job = Work()
    with patch.object(threading.Thread, "start", side_effect=RuntimeError("can't start new thread")):
        pool.submit(job)
    assert [str(error) for error in job.abandoned] == ["can't start new thread"]
    assert not job.runs
    assert pool.unfinished() == 0
    assert "no new worker thread" in caplog.text
    again = Work(held=False)
    pool.submit(again)
    assert again.done.wait(HANG)
    assert again.runs


def test_a_job_waits_for_the_threads_there_are_where_no_other_can_be_had(make: Make) -> None:
    pool = make(2)
    first, second, third = Work(), Work(held=False), Work(held=False)
    pool.submit(first)
    first.wait_for_arrival()
    with patch.object(threading.Thread, "start", side_effect=RuntimeError("can't start new thread")):
        pool.submit(second)
        pool.submit(third)
    assert not second.abandoned
    assert not second.runs
    first.finish()
    assert second.done.wait(HANG)
    assert third.done.wait(HANG)
    assert second.runs == third.runs == first.runs


# Fork.


def test_a_child_starts_with_an_empty_pool(make: Make) -> None:
    """What the hook does in the child; test_to_asgi_threads forks for real."""
    pool = make(1)
    job = Work()
    pool.submit(job)
    job.wait_for_arrival()
    lock = pool._lock
    fields = dict(vars(pool))
    with lock:  # another thread held it while the parent forked
        _after_fork_in_child()
        assert pool.unfinished() == 0
        assert "0 of 1 threads" in repr(pool)
        vars(pool).update(fields)  # the parent again
    job.finish()
    assert hasattr(os, "register_at_fork")


# The user's own executor.


def test_an_executor_pool() -> None:
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        pool = ExecutorPool(executor, 1)
        first, second = Work(), Work(held=False)
        pool.submit(first)
        first.wait_for_arrival()
        pool.submit(second)
        third = Work(held=False)
        pool.submit(third)  # an executor does not tell how many are free
        with pytest.raises(Overloaded, match="1 requests wait"):
            pool.submit(Work())
        assert pool.unfinished() == 3
        drained = threading.Event()
        pool.drain(drained.set)
        assert not drained.is_set()
        first.finish()
        assert drained.wait(HANG)
        assert second.runs
        assert third.done.wait(HANG)
        assert pool.unfinished() == 0
        pool.open()
        calls: list[int] = []
        pool.drain(lambda: calls.append(1))
        assert calls == [1]


def test_an_executor_that_drops_its_jobs_has_them_abandoned() -> None:
    executor = concurrent.futures.ThreadPoolExecutor(1)
    pool = ExecutorPool(executor, 5)
    first, second = Work(), Work()
    pool.submit(first)
    first.wait_for_arrival()
    pool.submit(second)
    executor.shutdown(wait=False, cancel_futures=True)
    assert second.done.wait(HANG)
    assert ["shut down before" in str(error) for error in second.abandoned] == [True]
    assert not second.runs
    first.finish()
    executor.shutdown()
    assert pool.unfinished() == 0
    with pytest.raises(RuntimeError):
        pool.submit(Work())
    assert pool.unfinished() == 0


def test_an_executor_whose_job_raises_has_its_counts_right() -> None:
    class Bad(Work):
        def run(self) -> After:
            super().run()
            raise LookupError("against the rule")

    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        pool = ExecutorPool(executor, 0)
        pool.submit(Bad(held=False))
        drained = threading.Event()
        pool.drain(drained.set)
        assert drained.wait(HANG)
        assert pool.unfinished() == 0
