"""The process forks at any point of another thread's work: in the child, what starts empty can be used at once."""

import inspect
import logging
import re
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import pytest

import bridge.threads.executor_pool
import bridge.threads.pool
import bridge.threads.tally
import bridge.to_asgi.busy
import bridge.to_asgi.wires
from bridge import Overloaded
from bridge.threads.executor_pool import ExecutorPool
from bridge.threads.pool import Gate, ThreadPool, _work
from bridge.threads.tally import Tally
from bridge.to_asgi.busy import BusyLog
from bridge.to_asgi.wires import Loops
from tests.layers import PACKAGE
from tests.support import orders
from tests.support.orders import Check, Loop, Order, Scenario, explore
from tests.support.orders.forks import at_each_touch, forked

MODULES = (
    bridge.threads.executor_pool,
    bridge.threads.pool,
    bridge.threads.tally,
    bridge.to_asgi.busy,
    bridge.to_asgi.wires,
)


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "bridge")


class Job:
    ran = False

    def run(self) -> None:
        self.ran = True

    def abandon(self, error: BaseException) -> None:
        raise error


class Spawning(ThreadPool):
    """Its threads are of the order of the thread that calls."""

    def __init__(self) -> None:
        super().__init__(1, 100)

    def _make_gate(self) -> Gate:
        return orders.Gate(order_of_caller())

    def _start(self, gate: Gate, name: str) -> None:
        order_of_caller().spawn(lambda: _work(gate), name, may_sleep=True)


class Starting(Executor):
    """It starts a thread for each job."""

    def submit(self, function: Callable[..., Any], /, *args: Any, **more: Any) -> Future[Any]:
        order_of_caller().spawn(lambda: function(*args, **more), "executor")
        return Future()


class Pooled(ExecutorPool):
    def __init__(self) -> None:
        super().__init__(Starting(), 100)


class Logging(BusyLog):
    def __init__(self) -> None:
        super().__init__("more threads")


def order_of_caller() -> Order:
    actor = Order.actor()
    assert actor is not None
    return actor._order


# What is done with each, by a thread of the parent, and in the child; and what a child has of it that has done it once.


def count(tally: Tally) -> object:
    tally.add("refused")
    return tally.count("refused")


def submit(pool: ThreadPool | ExecutorPool) -> object:
    job = Job()
    pool.submit(job)
    order_of_caller().pause(lambda: job.ran)
    return pool.load().come


def connect(loops: Loops) -> object:
    loop: Any = Loop(order_of_caller())
    loops.connect(loop)
    return len(loops.wires), loops.leave(loop)


def refuse(busy: BusyLog) -> object:
    busy.refused(Overloaded("all are taken"))
    return [count for count, _ in busy._refusals.values()], len(busy._marks)


USES: dict[type[Any], tuple[Callable[[Any], object], object]] = {
    Tally: (count, 1),
    Spawning: (submit, 1),
    Pooled: (submit, 1),
    Loops: (connect, (1, True)),
    Logging: (refuse, ([0], 0)),
}


def scenario(kind: type[Any], use: Callable[[Any], object], right: object) -> Scenario:
    """A thread uses it; the process forks meanwhile, and the child's only thread uses it."""

    def begin(order: Order) -> Check:
        thing = at_each_touch(kind, order)()
        seen: list[object] = []

        def fork() -> None:
            child = forked(thing)
            child.__class__ = kind  # nobody looks at it but this thread
            child._reset()
            seen.append(use(child))

        order.spawn(lambda: use(thing), "parent")
        order.spawn(fork, "child")

        def check() -> None:
            assert seen == [right], "it did not start empty"

        return check

    return begin


@pytest.mark.parametrize("kind", USES, ids=lambda kind: kind.__name__)
def test_a_fork_at_any_point(kind: type[Any]) -> None:
    assert explore(scenario(kind, *USES[kind]), *MODULES, preemptions=1) >= 5


def test_all_that_are_reset_are_here() -> None:
    files = {Path(inspect.getfile(base)) for kind in USES for base in kind.__mro__[:-1]}
    registered = {
        path
        for path in PACKAGE.rglob("*.py")
        if re.search(r"^ +reset_after_fork\(", path.read_text(), re.MULTILINE)
    }
    assert registered
    assert registered <= files


# That it finds what it is for.


class KeepsItsLock(Tally):
    def _reset(self) -> None:
        lock = vars(self).get("_lock")
        super()._reset()
        self._lock = lock or self._lock


class KeepsItsCounts(Tally):
    def _reset(self) -> None:
        counts = vars(self).get("_counts")
        super()._reset()
        self._counts = counts or self._counts


class KeepsItsThreads(Spawning):
    def _reset(self) -> None:
        threads, idle = vars(self).get("_threads", 0), vars(self).get("_idle", [])
        super()._reset()
        self._threads, self._idle = threads, idle


@pytest.mark.parametrize(
    ("kind", "use", "words"),
    [
        (KeepsItsLock, count, "wait for ever: child"),
        (KeepsItsCounts, count, "did not start empty"),
        (KeepsItsThreads, submit, "wait for ever: child"),
    ],
)
def test_a_reset_with_a_gap_is_found_out(kind: type[Any], use: Callable[[Any], object], words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        explore(scenario(kind, use, 1), *MODULES, preemptions=1)
