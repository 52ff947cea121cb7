"""How worker threads end: drained, with their pool, never started, after a fork."""

import gc
import os
import threading
import weakref
from unittest.mock import patch

import pytest

from bridge.threads.fork import _after_fork_in_child
from bridge.threads.jobs import After
from bridge.threads.pool import ThreadPool
from tests.support.asgi import HANG
from tests.support.jobs import Make, Work, drain, idle, pools, until
from tests.support.threads import bridge_threads, wait_for_no_bridge_threads

pytestmark = pytest.mark.usefixtures("no_bridge_threads")

make = pytest.fixture(pools)


# Ends.


def test_threads_stay_and_no_more_are_started_than_work_at_once(make: Make) -> None:
    """An app's things of each thread, as Django's connections, are made once for each thread that load needed."""
    pool = make(8)
    seen: set[int] = set()
    for _ in range(5):
        jobs = [Work() for _ in range(3)]
        for job in jobs:
            pool.submit(job)
        for job in jobs:
            job.wait_for_arrival()
        for job in jobs:
            job.finish()
        until(lambda: idle(pool) == 3)
        seen.update(run for job in jobs for run in job.runs)
    assert len(seen) == 3
    assert "3 of 8 threads, 3 idle" in repr(pool)


def busy(pool: ThreadPool, count: int) -> None:
    """Has ``count`` threads, all of them asleep."""
    jobs = [Work() for _ in range(count)]
    for job in jobs:
        pool.submit(job)
    for job in jobs:
        job.wait_for_arrival()
    for job in jobs:
        job.finish()
    until(lambda: idle(pool) == count)


def test_threads_of_a_pool_that_nobody_holds_end() -> None:
    for _ in range(20):
        pool = ThreadPool(4, 0, name="bridge-test")
        busy(pool, 4)
        assert len(bridge_threads()) == 4
        del pool
        wait_for_no_bridge_threads()


def test_the_end_of_a_pool_needs_no_lock() -> None:
    """The garbage collector runs anywhere, also where a thread holds it."""
    pool = ThreadPool(2, 0, name="bridge-test")
    busy(pool, 2)
    circle = [pool]
    circle.append(circle)  # type: ignore[arg-type]
    with pool._lock:
        del pool, circle
        gc.collect()
        wait_for_no_bridge_threads()


def test_a_pool_that_nobody_holds_runs_what_it_has_been_given() -> None:
    for held in (False, True):
        pool = ThreadPool(1, 10, name="bridge-test")
        if held:
            busy(pool, 1)
        jobs = [Work() for _ in range(3)]
        for job in jobs:
            pool.submit(job)
        reference = weakref.ref(pool)
        del pool
        gc.collect()
        for job in jobs:
            job.finish()
            assert job.runs
        wait_for_no_bridge_threads()
        assert reference() is None


def test_a_job_is_not_kept_while_its_thread_runs_the_next(make: Make) -> None:
    pool = make(1)
    first, second = Work(), Work()
    pool.submit(first)
    pool.submit(second)
    first.finish()
    second.wait_for_arrival()
    reference = weakref.ref(first)
    del first
    assert reference() is None
    second.finish()


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
    pool = make(3)
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


def test_a_drain_ends_where_the_pool_is_opened_again(make: Make) -> None:
    """Its threads stay then, so that nothing else would tell who waits."""
    pool = make(1)
    job = Work()
    pool.submit(job)
    job.wait_for_arrival()
    drains: list[int] = []

    def drained() -> None:
        pool.load()  # the lock is free
        drains.append(pool.unfinished())

    pool.drain(drained)
    pool.drain(drained)
    assert not drains
    pool.open()
    assert drains == [1, 1]
    job.finish()
    until(lambda: idle(pool) == 1)
    assert drains == [1, 1]


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
    assert "a job raised, which is a fault of the bridge: <" in caplog.text
    until(lambda: pool.unfinished() == 0)


def test_telling_that_raises_does_not_take_the_thread_along(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    pool = make(1)

    def fail() -> None:
        raise LookupError("against the rule")

    bad, good = Work(held=False, after=fail), Work(held=False)
    pool.submit(bad)
    pool.submit(good)
    assert good.done.wait(HANG)
    assert good.runs == bad.runs
    assert "what tells that a job is done raised, which is a fault of the bridge: " in caplog.text
    until(lambda: idle(pool) == 1)


# No thread to be had.


def test_jobs_are_abandoned_where_no_thread_can_be_had(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    pool = make(2)
    job = Work()
    with patch.object(threading.Thread, "start", side_effect=RuntimeError("can't start new thread")):
        pool.submit(job)
    assert [str(error) for error in job.abandoned] == ["can't start new thread"]
    assert not job.runs
    assert pool.unfinished() == 0
    assert "no new worker thread could be started" in caplog.text
    again = Work(held=False)
    pool.submit(again)
    assert again.done.wait(HANG)
    assert again.runs


def test_a_drain_ends_where_its_last_thread_can_not_be_started(make: Make) -> None:
    pool = make(1)
    job = Work()
    drained = threading.Event()

    def start(thread: threading.Thread) -> None:
        pool.drain(drained.set)
        raise MemoryError

    with patch.object(threading.Thread, "start", start):
        pool.submit(job)
    assert [type(error) for error in job.abandoned] == [MemoryError]
    assert drained.is_set()


def test_an_idle_thread_takes_the_job_for_which_none_can_be_started(make: Make) -> None:
    pool = make(2)
    first, second, third = Work(), Work(held=False), Work(held=False)
    pool.submit(first)
    first.wait_for_arrival()

    def start(thread: threading.Thread) -> None:
        # Meanwhile the other thread has done all there was, and sleeps; and one more job comes.
        first.finish()
        assert second.done.wait(HANG)
        until(lambda: idle(pool) == 1)
        pool.submit(third)
        assert not third.runs
        raise RuntimeError("can't start new thread")

    with patch.object(threading.Thread, "start", start):
        pool.submit(second)
    assert third.done.wait(HANG)
    assert third.runs == first.runs


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
