"""The worker threads: how many there are, who is woken, what is refused, and which orders are possible."""

import sys
import threading
import weakref
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge import Overloaded
from bridge.threads.pool import ThreadPool
from tests.support.asgi import HANG
from tests.support.jobs import Make, Work, drain, idle, pools, until
from tests.support.threads import bridge_threads, wait_for_no_bridge_threads

pytestmark = pytest.mark.usefixtures("no_bridge_threads")

make = pytest.fixture(pools)


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


# Jobs that are withdrawn.


def busy(pool: ThreadPool, threads: int = 1) -> list[Work]:
    """Has all threads hold a job."""
    jobs = [Work() for _ in range(threads)]
    for job in jobs:
        pool.submit(job)
    for job in jobs:
        job.wait_for_arrival()
    return jobs


def test_a_job_that_waits_can_be_withdrawn(make: Make) -> None:
    pool = make(1)
    [running] = busy(pool)
    jobs = [Work(held=False) for _ in range(5)]
    for job in jobs:
        pool.submit(job)
    assert pool.withdraw(jobs[1])
    assert pool.withdraw(jobs[3])
    assert not pool.withdraw(jobs[3]), "it is the caller's already"
    assert not pool.withdraw(running), "it runs"
    assert not pool.withdraw(Work()), "it was never submitted"
    assert pool.unfinished() == 4
    running.finish()
    assert jobs[4].done.wait(HANG)
    assert [len(job.runs) for job in jobs] == [1, 0, 1, 0, 1]
    assert not any(job.abandoned for job in jobs)
    assert not pool.withdraw(jobs[0]), "it has run"
    until(lambda: pool.load() == (0, 0, 6, 6, 1))


def test_a_full_backlog_that_is_withdrawn_takes_as_many_new_jobs(make: Make) -> None:
    pool = make(1, 500)
    [running] = busy(pool)
    for _ in range(3):
        gone = [Work() for _ in range(500)]
        for job in gone:
            pool.submit(job)
        with pytest.raises(Overloaded):
            pool.submit(Work())
        assert all(pool.withdraw(job) for job in gone)
        assert pool.unfinished() == 1
    jobs = [Work(held=False) for _ in range(500)]
    for job in jobs:
        pool.submit(job)
    running.finish()
    assert jobs[-1].done.wait(HANG)
    assert all(len(job.runs) == 1 for job in jobs)


def test_a_job_that_is_withdrawn_is_not_kept(make: Make) -> None:
    """It may have a request's whole body, and the threads may be busy for long."""
    pool = make(1)
    [running] = busy(pool)
    job = Work()
    pool.submit(job)
    assert pool.withdraw(job)
    reference = weakref.ref(job)
    del job
    assert reference() is None
    running.finish()


def test_the_load_tells_how_many_came_before_the_first_that_waits(make: Make) -> None:
    pool = make(2)
    assert pool.load() == (0, 0, 0, 0, 0)
    running = busy(pool, 2)
    assert pool.load() == (2, 0, 2, 2, 2)
    jobs = [Work(held=False) for _ in range(4)]
    for job in jobs:
        pool.submit(job)
    assert pool.load() == (2, 4, 2, 6, 2)
    pool.withdraw(jobs[2])
    assert pool.load() == (2, 3, 2, 6, 2), "the first one waits as before"
    pool.withdraw(jobs[0])
    assert pool.load() == (2, 2, 3, 6, 2)
    pool.withdraw(jobs[1])
    assert pool.load() == (2, 1, 5, 6, 2), "the third is gone already"
    pool.withdraw(jobs[3])
    assert pool.load() == (2, 0, 6, 6, 2)
    for job in running:
        job.finish()


def test_a_drain_ends_where_all_that_waits_is_withdrawn(make: Make) -> None:
    pool = make(1)
    [running] = busy(pool)
    job = Work()
    pool.submit(job)
    drained = threading.Event()
    pool.drain(drained.set)
    assert pool.withdraw(job)
    assert not drained.is_set()
    running.finish()
    assert drained.wait(HANG)
    assert not job.runs


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
        st.one_of(
            st.just("submit"),
            st.just("burst"),
            st.just("drain"),
            st.tuples(st.just("withdraw"), st.integers(0, 7)),
            st.integers(0, 7),
        ),
        max_size=30,
    ),
)
@settings(max_examples=120)
def test_any_order_of_jobs_and_ends(threads: int, backlog: int, script: list[Any]) -> None:
    """What can run does run, in any order of submitting, withdrawing, ending and draining.

    What is refused changes nothing.
    """
    pool = ThreadPool(threads, backlog, name="bridge-test")
    held: list[Work] = []
    jobs: list[Work] = []
    drains: list[threading.Event] = []
    seen = 0

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
        elif isinstance(step, tuple):
            if held:
                place = step[1] % len(held)
                waits = place >= threads
                assert pool.withdraw(held[place]) is waits
                if waits:
                    jobs.remove(held.pop(place))
        elif held:
            job = held.pop(step % min(len(held), threads))  # one of those that run
            job.finish()
            # The thread counts itself free before it tells, so that what follows here finds it free.
        assert holds(pool)
        for job in held[:threads]:
            job.wait_for_arrival()
        assert sum(bool(job.runs) for job in held) == min(len(held), threads)
        assert pool.unfinished() == len(held)
        load = pool.load()
        assert seen <= load.begun <= load.come - load.waiting
        seen = load.begun
    for job in held:
        job.go.set()
    for job in jobs:
        assert job.done.wait(HANG)
    drain(pool)
    assert all(event.wait(HANG) for event in drains)
    wait_for_no_bridge_threads()
    assert all(len(job.runs) == 1 and not job.abandoned for job in jobs)


def test_many_submitters_at_once(make: Make) -> None:
    """A stress run beside the orders of ``test_pool_orders``: threads end and start all the time."""
    pool = make(5, 10_000)
    barrier = threading.Barrier(9)
    jobs = [[Work(held=False) for _ in range(200)] for _ in range(8)]
    drains = [threading.Event() for _ in range(100)]
    withdrawn: list[Work] = []

    def submit(mine: list[Work]) -> None:
        barrier.wait(HANG)
        for number, job in enumerate(mine):
            pool.submit(job)
            if number % 3 == 0 and pool.withdraw(job):
                withdrawn.append(job)
                job.done.set()

    def end() -> None:
        barrier.wait(HANG)
        for drained in drains:
            pool.drain(drained.set)
            assert drained.wait(HANG)
            pool.open()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        submitters = [threading.Thread(target=submit, args=(mine,)) for mine in jobs]
        submitters.append(threading.Thread(target=end))
        for submitter in submitters:
            submitter.start()
        for submitter in submitters:
            submitter.join(HANG)
    finally:
        sys.setswitchinterval(interval)
    for mine in jobs:
        for job in mine:
            assert job.done.wait(HANG)
            assert len(job.runs) == (job not in withdrawn)
    assert all(drained.is_set() for drained in drains)
    until(lambda: pool.unfinished() == 0)
