"""The worker threads: how many there are, who is woken, what is refused, and that nothing is left."""

import concurrent.futures
import gc
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge import Overloaded
from bridge._pool import After, ExecutorPool, ThreadPool, _after_fork_in_child
from tests.support.asgi import HANG
from tests.support.threads import bridge_threads, wait_for_no_bridge_threads

pytestmark = pytest.mark.usefixtures("no_bridge_threads")


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
    drained = threading.Event()
    pool.drain(drained.set)
    assert drained.wait(HANG)


@pytest.fixture
def make() -> Iterator[Callable[..., ThreadPool]]:
    pools: list[ThreadPool] = []

    def make_pool(threads: int, backlog: int = 100, **options: Any) -> ThreadPool:
        pools.append(ThreadPool(threads, backlog, name="bridge-test", **options))
        return pools[-1]

    yield make_pool
    for pool in pools:
        drain(pool)


Make = Callable[..., ThreadPool]


def idle(pool: ThreadPool) -> int:
    with pool._lock:
        return len(pool._idle)


def test_no_thread_before_the_first_job(make: Make) -> None:
    pool = make(4)
    assert not bridge_threads()
    assert pool.unfinished() == 0
    assert "0 of 4 threads" in repr(pool)


def test_a_thread_for_each_job_up_to_the_limit(make: Make) -> None:
    pool = make(3)
    jobs = [Work() for _ in range(5)]
    for job in jobs:
        pool.submit(job)
    for job in jobs[:3]:
        job.wait_for_arrival()
    assert len(bridge_threads()) == 3
    assert pool.unfinished() == 5
    assert not jobs[3].runs
    assert "3 of 3 threads" in repr(pool)
    assert "2 jobs waiting" in repr(pool)
    jobs[1].finish()
    jobs[3].wait_for_arrival()
    assert jobs[3].runs == jobs[1].runs, "a thread that ends a job takes the next one itself"
    assert not jobs[4].runs
    for job in jobs:
        job.finish()
    until(lambda: idle(pool) == 3)
    assert pool.unfinished() == 0
    assert [len(job.runs) for job in jobs] == [1] * 5


def test_jobs_run_in_their_order_on_one_thread(make: Make) -> None:
    pool = make(1)
    order: list[int] = []
    jobs = [Work(held=number == 0, after=lambda number=number: order.append(number)) for number in range(50)]  # type: ignore[misc]
    for job in jobs:
        pool.submit(job)
    for job in jobs:
        job.finish()
    assert order == list(range(50))
    assert len({job.runs[0] for job in jobs}) == 1


def test_the_thread_that_was_idle_last_works_first(make: Make) -> None:
    pool = make(3)
    jobs = [Work() for _ in range(3)]
    for job in jobs:
        pool.submit(job)
    for job in jobs:
        job.wait_for_arrival()
    for count, job in enumerate(jobs, 1):
        job.finish()
        until(lambda count=count: idle(pool) == count)  # type: ignore[misc]
    for _ in range(5):
        again = Work(held=False)
        pool.submit(again)
        assert again.done.wait(HANG)
        assert again.runs == jobs[2].runs
        until(lambda: idle(pool) == 3)


def test_what_after_submits_finds_its_thread_free(make: Make) -> None:
    pool = make(4)
    second = Work(held=False)
    first = Work(held=False, after=lambda: pool.submit(second))
    pool.submit(first)
    assert second.done.wait(HANG)
    assert second.runs == first.runs
    assert len(bridge_threads()) == 1


def test_a_burst_of_short_jobs_wakes_few(make: Make) -> None:
    """As long as one thread is on its way to the queue, nobody else is woken."""
    pool = make(8)
    started = threading.Event()
    hold = threading.Event()
    real_start = threading.Thread.start

    def slow_start(thread: threading.Thread) -> None:
        started.set()
        assert hold.wait(HANG)
        real_start(thread)

    jobs = [Work(held=False) for _ in range(32)]
    with patch.object(threading.Thread, "start", slow_start):
        # A bare thread that submits the first and is held in the middle of starting a worker for it.
        submitter = threading.Thread(target=pool.submit, args=(jobs[0],), name="submitter")
        real_start(submitter)
        assert started.wait(HANG)
        for job in jobs[1:]:
            pool.submit(job)  # waits for nothing, and starts nothing
        assert not bridge_threads()
        hold.set()
        submitter.join(HANG)
        for job in jobs:
            assert job.done.wait(HANG)


# The backlog.


@pytest.mark.parametrize("backlog", [0, 1, 5])
@pytest.mark.parametrize("threads", [1, 3])
def test_the_backlog(make: Make, threads: int, backlog: int) -> None:
    pool = make(threads, backlog)
    running = [Work() for _ in range(threads)]
    for job in running:
        pool.submit(job)
    for job in running:
        job.wait_for_arrival()
    waiting = [Work() for _ in range(backlog)]
    for job in waiting:
        pool.submit(job)
    for _ in range(3):
        refused = Work()
        with pytest.raises(Overloaded, match=f"{threads} threads are busy and {backlog} requests wait"):
            pool.submit(refused)
        assert not refused.runs
        assert not refused.abandoned
    assert pool.unfinished() == threads + backlog
    for job in (*running, *waiting):
        job.finish()
    until(lambda: idle(pool) == len(bridge_threads()))
    again = Work(held=False)
    pool.submit(again)
    assert again.done.wait(HANG)


def test_a_burst_fills_the_threads_and_the_backlog_before_any_has_begun(make: Make) -> None:
    pool = make(4, 3)
    jobs = [Work() for _ in range(7)]
    for job in jobs:
        pool.submit(job)
    with pytest.raises(Overloaded):
        pool.submit(Work())
    for job in jobs:
        job.finish()
    assert all(len(job.runs) == 1 for job in jobs)


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


# The invariant.


def holds(pool: ThreadPool) -> bool:
    """If a job waits, and a thread is idle or may be started, then somebody is searching."""
    with pool._lock:
        assert pool._threads <= pool._limit
        assert 0 <= pool._searching <= pool._threads
        assert len(pool._idle) + pool._searching <= pool._threads
        could = bool(pool._idle) or pool._threads < pool._limit
        return not pool._jobs or not could or pool._searching > 0


@given(
    threads=st.integers(1, 4),
    backlog=st.integers(0, 4),
    script=st.lists(
        st.one_of(st.just("submit"), st.just("burst"), st.just("drain"), st.integers(0, 7)), max_size=30
    ),
)
@settings(max_examples=120, deadline=None)
def test_any_order_of_jobs_and_ends(threads: int, backlog: int, script: list[Any]) -> None:
    """What can run does run, in any order of submitting, ending and draining; what is refused changes nothing."""
    pool = ThreadPool(threads, backlog, name="bridge-test")
    held: list[Work] = []
    jobs: list[Work] = []
    drains: list[threading.Event] = []

    def submit() -> None:
        job = Work()
        try:
            pool.submit(job)
        except Overloaded:
            assert len(held) == threads + backlog
            return
        held.append(job)
        jobs.append(job)
        assert len(held) <= threads + backlog

    for step in script:
        if step == "submit":
            submit()
        elif step == "burst":
            for _ in range(4):
                submit()
        elif step == "drain":
            drains.append(threading.Event())
            pool.drain(drains[-1].set)
        elif held:
            job = held.pop(step % min(len(held), threads))  # one of those that run
            job.finish()
            # The thread counts itself free before it tells, so that what follows here finds it free.
        assert holds(pool)
        for job in held[:threads]:
            job.wait_for_arrival()
        assert sum(bool(job.runs) for job in held) == min(len(held), threads)
        assert pool.unfinished() == len(held)
    for job in held:
        job.go.set()
    for job in jobs:
        assert job.done.wait(HANG)
    drain(pool)
    assert all(event.wait(HANG) for event in drains)
    wait_for_no_bridge_threads()
    assert all(len(job.runs) == 1 and not job.abandoned for job in jobs)


def test_many_submitters_at_once(make: Make) -> None:
    pool = make(5, 10_000, idle=0.0001)  # threads end and start all the time
    barrier = threading.Barrier(8)
    jobs = [[Work(held=False) for _ in range(200)] for _ in range(8)]

    def submit(mine: list[Work]) -> None:
        barrier.wait(HANG)
        for job in mine:
            pool.submit(job)

    submitters = [threading.Thread(target=submit, args=(mine,)) for mine in jobs]
    for submitter in submitters:
        submitter.start()
    for submitter in submitters:
        submitter.join(HANG)
    for mine in jobs:
        for job in mine:
            assert job.done.wait(HANG)
            assert len(job.runs) == 1
    until(lambda: pool.unfinished() == 0)


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
