"""The shared loop in every order of its users: whoever has it has one that runs, and the last one ends it.

A user comes, has a callback called, and lets go; the loop's thread is started by the first of them. To start that
thread and to make the loop may fail, and whoever waits may be interrupted, as a signal handler that raises does it.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest

from bridge.to_wsgi.loops import shared as module
from bridge.to_wsgi.loops.shared import SharedLoop
from tests.support.orders import Check, Fields, Loop, Order, Scenario, explore, guarded

FIELDS = Fields(
    "_lock",
    constant=frozenset({"pid", "_factory", "_end", "_ready", "_thread"}),
    free=frozenset({"_failure"}),
    read=frozenset({"loop"}),
)


#: What a factory makes has to be a loop of asyncio's interface; this one has what is called of it.
ServedLoop: Any = type("ServedLoop", (Loop, asyncio.AbstractEventLoop), {})


class FailedError(Exception):
    """What a factory raises, or the start of a thread."""


@pytest.fixture(autouse=True)
def _apart(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The process' own loops are not those of the orders."""
    monkeypatch.setattr(module, "_shared", module._shared)
    yield
    assert not [
        thread for thread in threading.enumerate() if thread.name.startswith(("user", "bridge-shared"))
    ]


def scenario(
    kind: type[SharedLoop], users: int, *, times: int = 1, fails: str = "", interrupts: int = 0
) -> Scenario:
    """So many users come so many times.

    ``fails``: "thread" or "factory", the first one to be made. ``interrupts``: so many may be interrupted, as they have
    started the thread or as they wait for it.
    """

    def begin(order: Order) -> Check:
        module._shared = module._Shared()
        loops: list[Any] = []
        failed: list[str] = []
        taken: list[object] = []
        called: list[object] = []
        ends: list[str] = []
        left_to_interrupt = [interrupts]

        def factory() -> asyncio.AbstractEventLoop:
            if fails == "factory" and not failed:
                failed.append(fails)
                raise FailedError
            loop: asyncio.AbstractEventLoop = ServedLoop(order)
            loops.append(loop)
            return loop

        class Used(guarded(kind, FIELDS, order)):  # type: ignore[misc]  # a class that is made here
            made: ClassVar[list[Any]] = []

            def __init__(self, factory: Any) -> None:
                super().__init__(factory)
                self.made.append(self)

            def start(self) -> None:
                begins = self._thread.start

                def start() -> None:
                    if fails == "thread" and not failed:
                        failed.append(fails)
                        raise FailedError
                    begins()
                    self._interrupt()

                self._thread.start = start
                super().start()

            def wait_until_ready(self) -> None:
                self._interrupt()
                super().wait_until_ready()

            def _interrupt(self) -> None:
                if left_to_interrupt[0] and order.choose(2):
                    left_to_interrupt[0] -= 1
                    raise KeyboardInterrupt

        def use() -> None:
            for _ in range(times):
                try:
                    shared = Used.acquire(factory)
                except (
                    FailedError,
                    KeyboardInterrupt,
                ) as error:  # who waits gets what the one that started it got
                    ends.append(type(error).__name__)
                    continue
                token = object()
                # It is refused only where the loop is closed, which it is not for somebody who has it.
                shared.call_soon(called.append, token)
                taken.append(token)
                shared.release()
                ends.append("used")

        for number in range(users):
            order.spawn(use, f"user-{number}")

        def holds() -> None:
            assert len(module._shared.loops) <= 1
            for shared, count in module._shared.loops.values():
                assert 0 < count <= users, "a loop is kept that nobody uses"
                assert shared in Used.made

        order.invariant = holds

        def check() -> None:
            assert len(ends) == users * times
            assert called == taken or sorted(map(id, called)) == sorted(map(id, taken))
            assert not module._shared.loops, "a loop is kept that nobody uses"
            assert all(loop._closed for loop in loops), "a loop is left open"
            assert not any(shared._thread.is_alive() for shared in Used.made), "a thread is left"
            # All who had come by then learn of it, and the next one tries anew.
            assert len(failed) == ("FailedError" in ends)
            assert len(Used.made) <= users * times
            assert ("KeyboardInterrupt" in ends) == (left_to_interrupt[0] < interrupts)

        return check

    return begin


@pytest.mark.parametrize(
    ("users", "more", "preemptions"),
    [
        (2, {}, 1),
        (1, {"times": 2}, 1),
        (2, {"times": 2}, 0),
        (2, {"fails": "thread"}, 1),
        (2, {"fails": "factory"}, 1),
        (3, {"fails": "factory"}, 0),
        (1, {"interrupts": 1}, 1),
        (2, {"interrupts": 2}, 0),
    ],
    ids=str,
)
def test_every_order(users: int, more: dict[str, Any], preemptions: int) -> None:
    assert explore(scenario(SharedLoop, users, **more), module, preemptions=preemptions) >= 2


# That it finds what it is for.


class LooksInTwoSteps(SharedLoop):
    """Who lets go counts in one step, and takes the loop out in another: somebody may have come in between."""

    def release(self) -> None:
        with module._shared.lock:
            _, users = module._shared.loops.get(self._factory, (None, 0))
        with module._shared.lock:
            if users == 1:
                module._shared.loops.pop(self._factory, None)
            elif users:
                module._shared.loops[self._factory] = self, users - 1
        if users == 1:
            self.close()


class StartsInTwoSteps(SharedLoop):
    """Who comes looks whether there is a loop, and puts his own there later."""

    @classmethod
    def acquire(cls, factory: Any) -> SharedLoop:
        with module._shared.lock:
            loop, _ = module._shared.loops.get(factory, (None, 0))
        if loop is not None:
            return super().acquire(factory)
        with module._shared.lock:
            loop = cls(factory)
            module._shared.loops[factory] = loop, 1
        loop.start()
        loop.wait_until_ready()
        return loop


class FailsInSilence(SharedLoop):
    """Who starts it learns that it failed, and nobody else."""

    def _fail(self, error: BaseException) -> None:
        ready, self._ready.set = self._ready.set, lambda: None  # type: ignore[method-assign]
        super()._fail(error)
        self._ready.set = ready  # type: ignore[method-assign]


class ForgetsWhoHasNoLoop(SharedLoop):
    """A loop that ends before it is there is not remembered as one that has to end."""

    def _end_loop(self) -> None:
        if self._has_loop:
            super()._end_loop()


class TellsWithoutTheLock(SharedLoop):
    """A callback is handed over after a look whether the loop is closed."""

    def call_soon(self, callback: Callable[..., object], *args: Any) -> None:
        if not self._closing:
            self.loop.call_soon_threadsafe(callback, *args)


@pytest.mark.parametrize(
    ("kind", "users", "more", "words"),
    [
        (LooksInTwoSteps, 2, {}, "closed|nobody uses|left open"),
        (StartsInTwoSteps, 2, {}, "nobody uses|wait for ever: bridge-shared-loop"),
        (FailsInSilence, 2, {"fails": "thread"}, "wait for ever: user"),
        (FailsInSilence, 1, {"fails": "factory"}, "wait for ever: user"),
        (ForgetsWhoHasNoLoop, 1, {"interrupts": 1}, "wait for ever|left"),
        (TellsWithoutTheLock, 2, {}, "touches _closing without _lock"),
    ],
)
def test_a_loop_with_a_gap_is_found_out(
    kind: type[SharedLoop], users: int, more: dict[str, Any], words: str
) -> None:
    with pytest.raises((AssertionError, RuntimeError), match=words):
        explore(scenario(kind, users, **more), module, preemptions=1)
