"""The user's executor in every order: of each job one thing happens, and a drain ends, whatever the executor does."""

import threading
from collections import deque
from concurrent.futures import Executor, Future
from typing import Any

import pytest

import bridge.threads.executor_pool
from bridge.threads.executor_pool import ExecutorPool
from bridge.threads.jobs import After
from tests.support.orders import Check, Fields, Order, Scenario, explore, guarded

FIELDS = Fields("_lock", constant=frozenset({"_executor", "_backlog"}))


class Job:
    """Counts what becomes of it."""

    def __init__(self) -> None:
        self.ends: list[str] = []
        self.told = 0

    def run(self) -> After:
        self.ends.append("run")
        return self._tell

    def abandon(self, error: BaseException) -> None:
        self.ends.append("abandoned")

    def _tell(self) -> None:
        self.told += 1


class Explored(Executor):
    """An executor of one thread; ``failures``: so often it may queue a job and say that it has no thread for it.

    ``concurrent.futures`` does that (``ThreadPoolExecutor.submit()`` starts its thread when the job is in the queue).
    """

    def __init__(self, order: Order, failures: int) -> None:
        self._order = order
        self._failures = failures
        self._queue: deque[tuple[Future[Any], Any]] = deque()
        self._closed = False
        order.spawn(self._work, "executor", may_sleep=True)

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        self._order.pause()
        if self._closed:
            raise RuntimeError("cannot schedule new futures after shutdown")
        future: Future[Any] = Future()
        self._queue.append((future, lambda: fn(*args, **kwargs)))
        self._order.pause()
        if self._failures and self._order.choose(2):
            self._failures -= 1
            raise RuntimeError("can't start new thread")
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._order.pause()
        self._closed = True
        while cancel_futures and self._queue:
            self._queue.popleft()[0].cancel()

    def _work(self) -> None:
        while True:
            self._order.sleep(lambda: bool(self._queue))
            future, call = self._queue.popleft()
            if future.set_running_or_notify_cancel():
                future.set_result(call())


def scenario(
    kind: type[ExecutorPool],
    submits: tuple[int, ...],
    *,
    failures: int = 0,
    withdraws: bool = False,
    drains: bool = False,
    opens: bool = False,
    stops: bool = False,
) -> Scenario:
    """Each submitter submits so many jobs. Others withdraw the first one; drain, and perhaps open; shut down."""

    def begin(order: Order) -> Check:
        executor = Explored(order, failures)
        pool = guarded(kind, FIELDS, order)(executor, 100)
        jobs = [[Job() for _ in range(count)] for count in submits]
        drained: list[int] = []

        def submit(mine: list[Job]) -> None:
            for job in mine:
                try:
                    pool.submit(job)
                except RuntimeError:
                    job.ends.append("refused")

        def withdraw() -> None:
            if pool.withdraw(jobs[0][0]):
                jobs[0][0].ends.append("withdrawn")

        def drain() -> None:
            pool.drain(lambda: drained.append(1))
            if opens:
                pool.open()

        for number, mine in enumerate(jobs):
            order.spawn(lambda mine=mine: submit(mine), f"submitter-{number}")  # type: ignore[misc]
        if withdraws:
            order.spawn(withdraw, "withdraws")
        if drains:
            order.spawn(drain, "drains")
        if stops:
            order.spawn(lambda: executor.shutdown(cancel_futures=True), "stops")

        def holds() -> None:
            load = pool.load()
            assert load.running >= 0
            assert load.begun + load.waiting <= load.come

        def check() -> None:
            holds()
            assert pool.unfinished() == 0
            every = [job for mine in jobs for job in mine]
            assert [len(job.ends) for job in every] == [1] * len(every), [job.ends for job in every]
            assert [job.told for job in every] == [job.ends.count("run") for job in every]
            assert drained == [1] * drains

        return check

    return begin


@pytest.mark.parametrize("failures", [0, 1])
@pytest.mark.parametrize(
    ("submits", "others"),
    [
        ((2,), {}),
        ((1, 1), {"drains": True}),
        ((1,), {"drains": True, "opens": True}),
        ((2,), {"withdraws": True}),
        ((1,), {"withdraws": True, "drains": True}),
        ((2,), {"stops": True}),
        ((1,), {"stops": True, "drains": True, "withdraws": True}),
    ],
)
def test_every_order(submits: tuple[int, ...], others: dict[str, bool], failures: int) -> None:
    begin = scenario(ExecutorPool, submits, failures=failures, **others)
    assert explore(begin, bridge.threads.executor_pool, preemptions=1) >= 2
    assert not [
        thread for thread in threading.enumerate() if thread.name.startswith(("executor", "submitter"))
    ]


class TakesInTwoSteps(ExecutorPool):
    """Who takes a job looks whether it is there, and takes it later."""

    def _take(self, turn: Any, *, running: int = 0) -> Any:
        with self._lock:
            job = turn.job
        if job is None:
            return None
        with self._lock:
            self._turns.pop(job, None)
            turn.job = None
            self._count(running)
        return job


class ForgetsTheDrain(ExecutorPool):
    """A job that is withdrawn counts as none that has ended."""

    def withdraw(self, job: Any) -> bool:
        with self._lock:
            turn = self._turns.pop(job, None)
            if turn is not None:
                turn.job = None
        return turn is not None


@pytest.mark.parametrize("kind", [TakesInTwoSteps, ForgetsTheDrain])
def test_a_pool_with_a_gap_is_found_out(kind: type[ExecutorPool]) -> None:
    with pytest.raises(AssertionError):
        explore(
            scenario(kind, (1,), withdraws=True, drains=True), bridge.threads.executor_pool, preemptions=2
        )
