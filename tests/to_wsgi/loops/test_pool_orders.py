"""The loops for requests in every order: each is one request's at a time, and is closed once, also where the pool is.

A request takes a loop, runs it until it has ended or is told to leave, and gives it back. The loops here are stand-ins:
what is looked at is who has them.
"""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bridge.to_wsgi.loops import pool as module
from bridge.to_wsgi.loops.pool import LoopPool
from tests.support.orders import Check, Fields, Loop, Order, Scenario, explore, guarded

#: The deque is touched without the lock, and its methods need none; so is ``_closed``, which is set under it.
FIELDS = Fields(
    "_lock",
    constant=frozenset({"_changed", "_factory", "tally", "pid"}),
    free=frozenset({"_idle"}),
    read=frozenset({"_closed"}),
)


class Kept(Loop):
    """A kept loop, and the event loop in one."""

    def __init__(self, order: Order) -> None:
        super().__init__(order)
        self.user: str | None = None
        self.running = False
        #: The request was told to leave; it ends by itself; it leaves nothing behind.
        self.told = False
        self.ends = False
        self.clean = True
        self.closes = 0

    @property
    def loop(self) -> "Kept":
        return self

    def settle(self) -> bool:
        assert not self.closes, "a closed loop is used"
        # As it is run to its end: what was told too late is told now, and does nothing.
        while self._ready:
            self._ready.popleft()._run()
        self.told = False
        return self.clean

    def unfinished(self) -> set[Any]:
        return set()

    def leave(self) -> None:
        self.told = True

    def run_request(self) -> None:
        self.running = True
        while not (self.told or self.ends):
            self._step()
        self.running = False

    def close(self) -> None:
        assert not self.running, "a loop is closed that runs"
        super().close()
        self.closes += 1


@pytest.fixture(autouse=True)
def _no_threads_left() -> Iterator[None]:
    yield
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("request", "closer"))]


def scenario(
    kind: type[LoopPool],
    requests: tuple[str, ...],
    *,
    closers: int = 0,
    idle: int = 64,
    early: int = 0,
) -> Scenario:
    """A thread for each item, which has a request for each letter of it; and so many who close the pool.

    The letters: ``e``: it ends by itself; ``l``: it leaves something on its loop; ``w``: it waits until it is told that
    the pool is closed. ``early``: so often the time of ``close()`` may be over while others could go on.
    """

    def begin(order: Order) -> Check:
        order.early = early
        loops: list[Kept] = []
        over: list[str] = []

        def new(factory: object) -> Kept:
            loops.append(Kept(order))
            return loops[-1]

        vars(module).update(new_kept_loop=new, close_loop=Kept.close, _MAX_IDLE=idle)

        class Explored(guarded(kind, FIELDS, order)):  # type: ignore[misc]  # a class that is made here
            def __del__(self) -> None:
                """It has its ``close()``: the collector would come in any thread, and after the order."""

        pool = Explored(None)

        def serve(what: str) -> None:
            mine = threading.current_thread().name
            for letter in what:
                kept: Any = pool.take()
                assert kept.user is None, "a loop has two requests"
                assert not kept.closes, "a closed loop is used"
                kept.user, kept.ends, kept.clean = mine, letter != "w", letter != "l"
                kept.run = kept.run_request
                pool.run(kept, kept.leave)
                kept.user = None
                pool.give_back(kept)
                over.append(letter)

        def close() -> None:
            pool.close()
            if not early:
                assert not any(kept.running for kept in loops), "close() has not waited"
            closed.append(1)

        closed: list[int] = []
        for number, what in enumerate(requests):
            order.spawn(lambda what=what: serve(what), f"request-{number}")  # type: ignore[misc]
        for number in range(closers):
            order.spawn(close, f"closer-{number}")

        def check() -> None:
            assert len(over) == sum(map(len, requests))
            assert len(closed) == closers
            assert not pool._waiting
            assert early or not order.now, "close() was not told, and has waited for all of its time"
            left = [kept for kept in loops if not kept.closes]
            assert all(kept.closes <= 1 for kept in loops), "a loop is closed twice"
            if closers:
                assert not left, "a loop is left open"
                assert not pool._idle
            else:
                assert set(left) == set(pool._idle)
                assert len(left) == len(pool._idle), "a loop is kept twice"
                assert not any("l" in what for what in requests) or len(left) < len(loops)

        return check

    return begin


@pytest.fixture(autouse=True)
def _loops(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the scenarios put in their place is taken back."""
    for name in ("new_kept_loop", "close_loop", "_MAX_IDLE"):
        monkeypatch.setattr(module, name, getattr(module, name))


@pytest.mark.parametrize(
    ("requests", "more"),
    [
        (("ee", "ee"), {}),
        (("el", "le"), {}),
        (("e", "e"), {"idle": 1}),
        (("e",), {"closers": 1}),
        (("w",), {"closers": 1}),
        (("we",), {"closers": 1}),
        (("l", "w"), {"closers": 1}),
        (("e", "w"), {"closers": 1}),
        (("w",), {"closers": 2}),
        (("e",), {"closers": 2, "early": 1}),
        (("w",), {"closers": 1, "early": 1}),
    ],
    ids=str,
)
def test_every_order(requests: tuple[str, ...], more: dict[str, int]) -> None:
    assert explore(scenario(LoopPool, requests, **more), module, preemptions=2) >= 2


# That it finds what it is for.


class KeepsInTwoSteps(LoopPool):
    """It looks whether the pool is closed, and keeps the loop later."""

    def give_back(self, kept: Any, left: Any = None) -> None:
        if not kept.settle() or self._closed:
            kept.close()
        else:
            self._idle.append(kept)


class WaitsUntold(LoopPool):
    """Who comes to wait does not look whether the pool was closed."""

    def run(self, kept: Any, leave: Callable[[], object]) -> None:
        with self._lock:
            self._waiting[kept.loop] = leave
        try:
            kept.run()
        finally:
            with self._lock:
                del self._waiting[kept.loop]
                self._changed.notify_all()


class EndsInSilence(LoopPool):
    """Who closes is not told that a request has ended."""

    def run(self, kept: Any, leave: Callable[[], object]) -> None:
        notify_all, self._changed.notify_all = self._changed.notify_all, lambda: None  # type: ignore[method-assign]
        super().run(kept, leave)
        self._changed.notify_all = notify_all  # type: ignore[method-assign]


class TellsWithoutTheLock(LoopPool):
    """It looks who waits, and tells them later: their loops may be closed, or be others' by then."""

    def close(self) -> None:
        with self._lock:
            self._closed = True
            waiting = dict(self._waiting)
        for loop, leave in waiting.items():
            loop.call_soon_threadsafe(leave)
        with self._lock:
            self._changed.wait_for(lambda: not self._waiting, 5)
        self._close_idle()


class TakesInTwoSteps(LoopPool):
    """It looks at the last loop, and takes it out later."""

    def take(self) -> Any:
        if self._idle:
            kept = self._idle[-1]
            self._idle.remove(kept)
            return kept
        return super().take()


@pytest.mark.parametrize(
    ("kind", "requests", "closers", "words"),
    [
        (KeepsInTwoSteps, ("e",), 1, "left open"),
        (WaitsUntold, ("w",), 1, "wait for ever: request"),
        (EndsInSilence, ("e",), 1, "was not told"),
        (TellsWithoutTheLock, ("l",), 1, "loop is closed"),
        (TakesInTwoSteps, ("ee", "ee"), 0, "two requests|not in deque|index out of range"),
    ],
)
def test_a_pool_with_a_gap_is_found_out(
    kind: type[LoopPool], requests: tuple[str, ...], closers: int, words: str
) -> None:
    with pytest.raises((AssertionError, RuntimeError, ValueError, IndexError), match=f"(?i){words}"):
        explore(scenario(kind, requests, closers=closers), module, preemptions=2)
