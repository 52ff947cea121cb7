"""The user's own executor behind the interface of a pool: what is counted, refused, and given up."""

import concurrent.futures
import threading
import weakref
from typing import Any
from unittest.mock import patch

import pytest

from bridge import Overloaded
from bridge.threads.executor_pool import ExecutorPool
from bridge.threads.jobs import After
from tests.support.asgi import HANG
from tests.support.jobs import Work


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


def test_a_drain_ends_where_the_pool_is_opened_again() -> None:
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        pool = ExecutorPool(executor, 1)
        job = Work()
        pool.submit(job)
        job.wait_for_arrival()
        calls: list[int] = []
        pool.drain(lambda: calls.append(pool.unfinished()))
        assert not calls
        pool.open()
        assert calls == [1]
        job.finish()
    assert calls == [1]


def test_a_job_that_waits_can_be_withdrawn() -> None:
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        pool = ExecutorPool(executor, 3)
        running = Work()
        pool.submit(running)
        running.wait_for_arrival()
        for _ in range(3):
            gone = [Work() for _ in range(4)]
            for job in gone:
                pool.submit(job)
            with pytest.raises(Overloaded):
                pool.submit(Work())
            assert all(pool.withdraw(job) for job in gone)
            assert not any(pool.withdraw(job) for job in gone)
        references = [weakref.ref(job) for job in gone]
        del gone, job
        assert [reference() for reference in references] == [None] * 4, (
            "the executor's queue does not keep them"
        )
        jobs = [Work(held=False) for _ in range(4)]
        for job in jobs:
            pool.submit(job)
        assert pool.load() == (1, 4, 13, 17, None)
        assert pool.withdraw(jobs[1])
        assert pool.load() == (1, 3, 13, 17, None)
        assert pool.withdraw(jobs[0])
        assert pool.load() == (1, 2, 15, 17, None), "the second is gone already"
        assert not pool.withdraw(running), "it runs"
        assert not pool.withdraw(Work()), "it was never submitted"
        running.finish()
        assert jobs[3].done.wait(HANG)
        assert [len(job.runs) for job in jobs] == [0, 0, 1, 1]
        assert not any(job.abandoned for job in jobs)
        assert not pool.withdraw(jobs[3]), "it has run"


def test_a_drain_ends_where_the_last_job_is_withdrawn() -> None:
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        held = Work()
        executor.submit(held.run)  # the user's own
        held.wait_for_arrival()
        pool = ExecutorPool(executor, 1)
        job = Work()
        pool.submit(job)
        calls: list[int] = []
        pool.drain(lambda: calls.append(pool.unfinished()))
        assert not calls
        assert pool.withdraw(job)
        assert calls == [0]
        held.go.set()
    assert not job.runs
    assert not job.abandoned


def test_a_job_is_withdrawn_or_begun_or_abandoned() -> None:
    """Withdrawn in the very moments in which its executor has it in its hands."""
    took: list[str] = []

    class Hands(concurrent.futures.Executor):
        """Withdraws the job before, and after, it ends otherwise."""

        def submit(self, call: Any, /, *args: Any, **kwargs: Any) -> Any:
            future: concurrent.futures.Future[None] = concurrent.futures.Future()
            if how == "before it runs":
                took.append(str(pool.withdraw(job)))
            if how == "before it raises":
                took.append(str(pool.withdraw(job)))
                raise RuntimeError("no thread")
            if how == "before it is dropped":
                took.append(str(pool.withdraw(job)))
                future.cancel()
                return future
            thread = threading.Thread(target=call, args=args)
            thread.start()
            thread.join(HANG)
            took.append(str(pool.withdraw(job)))
            future.set_result(None)
            return future

    for how in ("before it runs", "before it raises", "before it is dropped", "after it ran"):
        took.clear()
        job = Work(held=False)
        pool = ExecutorPool(Hands(), 1)
        assert pool.submit(job)
        withdrawn = how != "after it ran"
        assert took[0] == str(withdrawn)
        assert len(job.runs) == (not withdrawn)
        assert not job.abandoned
        assert pool.load() == (0, 0, 1, 1, None)


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


def test_a_job_that_an_executor_has_queued_before_it_raised_is_given_up() -> None:
    """The standard library's queues a job, and then starts a thread for it, which may not be possible."""
    with concurrent.futures.ThreadPoolExecutor(2) as executor:
        pool = ExecutorPool(executor, 5)
        first, second, third = Work(), Work(held=False), Work(held=False)
        pool.submit(first)
        first.wait_for_arrival()
        error = RuntimeError("can't start new thread")
        with patch.object(threading.Thread, "start", side_effect=error), pytest.raises(RuntimeError):
            pool.submit(second)
        assert pool.unfinished() == 1
        first.finish()
        pool.submit(third)
        assert third.done.wait(HANG)
        assert not second.runs, "its request has been answered with the error"
    assert not second.abandoned
    assert pool.load() == (0, 0, 3, 3, None)


def test_a_job_that_runs_though_its_executor_raised_counts_as_taken() -> None:
    with concurrent.futures.ThreadPoolExecutor(2) as executor:
        pool = ExecutorPool(executor, 5)
        first, second = Work(), Work()
        pool.submit(first)
        first.wait_for_arrival()

        def start(thread: threading.Thread) -> None:
            first.finish()
            second.wait_for_arrival()
            raise RuntimeError("can't start new thread")

        with patch.object(threading.Thread, "start", start):
            assert pool.submit(second)
        assert pool.unfinished() == 1
        second.finish()
    assert len(second.runs) == 1
    assert not second.abandoned
    assert pool.load() == (0, 0, 2, 2, None)


def test_telling_that_raises_is_logged_and_no_job_is_abandoned(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise LookupError("against the rule")

    job = Work(held=False, after=fail)
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        pool = ExecutorPool(executor, 5)
        pool.submit(job)
    assert not job.abandoned
    assert "what tells that a job is done raised, which is a fault of the bridge: " in caplog.text
    assert pool.load() == (0, 0, 1, 1, None)
