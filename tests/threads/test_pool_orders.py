"""The worker threads in every order of their critical sections: no job waits for ever, and no thread is lost."""

import logging
import threading
from typing import Any

import pytest

import bridge.threads.pool
from bridge.threads.jobs import After
from bridge.threads.pool import Gate, ThreadPool, _work
from tests.support import orders
from tests.support.orders import Check, Fields, Order, Scenario, explore, guarded


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Thousands of starts that fail log thousands of lines."""
    caplog.set_level(logging.CRITICAL, "bridge")


#: The module's text: "All fields are guarded by ``_lock``". The last ones are of the class below.
FIELDS = Fields(
    "_lock", constant=frozenset({"_limit", "_backlog", "_name", "order", "failures", "failed", "alive"})
)


class Job:
    """Counts what becomes of it."""

    def __init__(self) -> None:
        self.runs = 0
        self.abandoned = 0
        self.told = 0
        self.withdrawn = 0

    def run(self) -> After:
        self.runs += 1
        return self._tell

    def abandon(self, error: BaseException) -> None:
        assert "no thread" in str(error)
        self.abandoned += 1

    def _tell(self) -> None:
        self.told += 1


class Explored(ThreadPool):
    """The real class, on the locks, gates and threads of an ``Order``; ``failures`` starts of a thread may fail."""

    def __init__(self, order: Order, threads: int, failures: int = 0) -> None:
        self.order = order
        self.failures = failures
        self.failed = False
        self.alive: set[str] = set()
        super().__init__(threads, 100)
        order.invariant = self.holds

    #: pytest shows the pool of an assertion that fails; the pool's own takes the lock, which is a step.
    __repr__ = object.__repr__

    def _make_gate(self) -> Gate:
        return orders.Gate(self.order)

    def _start(self, gate: Gate, name: str) -> None:
        if self.failures and self.order.choose(2):
            self.failures -= 1
            self.failed = True
            raise RuntimeError("no thread to be had")
        self.alive.add(name)
        self.order.spawn(lambda: self.live(gate, name), name, may_sleep=True)

    def live(self, gate: Gate, name: str) -> None:
        _work(gate)
        self.alive.remove(name)

    def holds(self) -> None:
        """The invariant, as the module states it."""
        assert 0 <= self._searching <= self._threads <= self._limit
        assert len(self._idle) + self._searching <= self._threads
        if self._jobs:
            assert self._threads, "a job waits, and there is no thread"
            could = self._idle or (self._threads < self._limit and not self.failed)
            assert self._searching or not could, "a job waits, and nobody looks"

    def settled(self, jobs: list[Job], drains: list[int], *, opened: bool = False) -> None:
        """What holds when nobody can go on."""
        assert [job.runs + job.abandoned + job.withdrawn for job in jobs] == [1] * len(jobs)
        assert [job.told for job in jobs] == [job.runs for job in jobs]
        assert all(drain == 1 for drain in drains)
        assert not self._searching
        assert len(self.alive) == self._threads == len(self._idle)
        if opened:
            assert not self._drained
        elif drains:
            assert self._threads == 0
        elif not self.failed:
            assert self._threads >= 1, "a thread that has nothing to do stays"


def scenario(
    kind: type[Explored],
    threads: int,
    submits: tuple[int, ...],
    *,
    drain: bool = False,
    opens: bool = False,
    failures: int = 0,
    withdraws: tuple[tuple[int, int], ...] = (),
) -> Scenario:
    """Each of the submitters submits so many jobs, one after the other; ``drain``: a thread drains.

    ``opens``: it opens the pool again. ``withdraws``: for each, a thread withdraws that job of that submitter, perhaps
    before it is there.
    """

    def begin(order: Order) -> Check:
        pool = guarded(kind, FIELDS, order)(order, threads, failures)
        jobs = [[Job() for _ in range(count)] for count in submits]
        drains = [0] if drain else []

        def submit(mine: list[Job]) -> None:
            for job in mine:
                pool.submit(job)

        def drained() -> None:
            assert opens or not vars(pool)["_threads"]
            drains[0] += 1

        def end() -> None:
            pool.drain(drained)
            if opens:
                pool.open()

        def withdraw(job: Job) -> None:
            job.withdrawn += pool.withdraw(job)

        for number, mine in enumerate(jobs):
            order.spawn(lambda mine=mine: submit(mine), f"submitter-{number}")  # type: ignore[misc]
        for place, (number, index) in enumerate(withdraws):
            order.spawn(lambda job=jobs[number][index]: withdraw(job), f"submitter-withdraws-{place}")  # type: ignore[misc]
        if drain:
            order.spawn(end, "drain")
        return lambda: pool.settled([job for mine in jobs for job in mine], drains, opened=opens)

    return begin


def explore_pool(begin: Scenario) -> int:
    return explore(begin, bridge.threads.pool)


@pytest.mark.parametrize("failures", [0, 1, 2])
@pytest.mark.parametrize("drain", [False, True], ids=["open", "drained"])
@pytest.mark.parametrize(("threads", "submits"), [(1, (1, 1)), (1, (2, 1)), (2, (1, 1))])
def test_every_order(threads: int, submits: tuple[int, ...], drain: bool, failures: int) -> None:
    count = explore_pool(scenario(Explored, threads, submits, drain=drain, failures=failures))
    assert count >= 8
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("bridge", "submitter"))]


@pytest.mark.parametrize(("threads", "submits"), [(1, (1, 1)), (2, (1,))])
def test_every_order_of_a_drain_that_is_taken_back(threads: int, submits: tuple[int, ...]) -> None:
    assert explore_pool(scenario(Explored, threads, submits, drain=True, opens=True, failures=1)) >= 8


def test_every_order_of_three_jobs_and_two_threads() -> None:
    assert explore_pool(scenario(Explored, 2, (2, 1), failures=1)) > 500


@pytest.mark.parametrize("failures", [0, 1])
@pytest.mark.parametrize("drain", [False, True], ids=["open", "drained"])
@pytest.mark.parametrize(
    ("threads", "submits", "withdraws"),
    [
        (1, (1,), ((0, 0),)),
        (1, (1,), ((0, 0), (0, 0))),
        (1, (2,), ((0, 0),)),
        (1, (2,), ((0, 1),)),
        (1, (1, 1), ((0, 0),)),
    ],
)
def test_every_order_of_jobs_that_are_withdrawn(
    threads: int, submits: tuple[int, ...], withdraws: tuple[tuple[int, int], ...], drain: bool, failures: int
) -> None:
    begin = scenario(Explored, threads, submits, drain=drain, failures=failures, withdraws=withdraws)
    assert explore_pool(begin) >= 5


@pytest.mark.parametrize("failures", [0, 1])
def test_every_order_of_two_threads_and_a_job_that_is_withdrawn(failures: int) -> None:
    assert explore_pool(scenario(Explored, 2, (2,), failures=failures, withdraws=((0, 1),))) > 100


# That it finds what it is for.


class WithdrawsInTwoSteps(Explored):
    """It looks whether the job waits, and takes it out later."""

    def withdraw(self, job: Any) -> bool:
        with self._lock:
            waits = job in self._jobs
        with self._lock:
            self._jobs.pop(job, None)
        return waits


class LooksWithoutTheLock(Explored):
    """It spares itself the lock where no job waits."""

    def withdraw(self, job: Any) -> bool:
        return bool(self._jobs) and super().withdraw(job)


class ClaimsWhatRuns(Explored):
    """It says that a job that runs was withdrawn."""

    def withdraw(self, job: Any) -> bool:
        return super().withdraw(job) or bool(job.runs)


class LeavesInTwoSteps(Explored):
    """A thread that finds nothing to do is counted out later."""

    def _count_out(self) -> list[After]:
        return []

    def live(self, gate: Gate, name: str) -> None:
        super().live(gate, name)
        with self._lock:
            drained = super()._count_out()
        for call in drained:
            call()


class GivesUp(Explored):
    """Where a thread can't be started, those that went to sleep meanwhile sleep on, and nobody tells of the end."""

    def _do_without(self, error: Exception) -> None:
        with self._lock:
            self._searching -= 1
            self._threads -= 1
            stranded = [] if self._threads else list(self._jobs)
            if stranded:
                self._jobs.clear()
        for job in stranded:
            job.abandon(error)


@pytest.mark.parametrize(
    ("kind", "threads", "submits", "drain", "failures"),
    [
        (LeavesInTwoSteps, 1, (1, 1), True, 0),
        (GivesUp, 2, (2, 1), False, 1),
        (GivesUp, 1, (1,), True, 1),
    ],
)
def test_a_pool_with_a_gap_is_found_out(
    kind: type[Explored], threads: int, submits: tuple[int, ...], drain: bool, failures: int
) -> None:
    with pytest.raises(AssertionError):
        explore_pool(scenario(kind, threads, submits, drain=drain, failures=failures))


@pytest.mark.parametrize("kind", [WithdrawsInTwoSteps, ClaimsWhatRuns, LooksWithoutTheLock])
def test_a_withdrawal_with_a_gap_is_found_out(kind: type[Explored]) -> None:
    with pytest.raises(AssertionError):
        explore_pool(scenario(kind, 1, (1,), withdraws=((0, 0),)))
