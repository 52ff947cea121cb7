"""Runs a scenario of several threads once for each order in which they can take their steps.

The threads are real, but one runs at a time. A step goes from one critical section to the next, or to a sleep: what a
thread does between two critical sections is seen by nobody else. ``explore()`` goes depth first through all choices of
who takes the next step, and through those that the scenario makes itself (``Order.choose``), as loom and CHESS do.

    def scenario(order: Order) -> Callable[[], None]:
        lock = order.lock()             # in place of threading.Lock()
        order.spawn(something, ...)
        return check                    # called when nobody can go on

    explore(scenario)
"""

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

from tests.support.asgi import HANG

__all__ = ["Order", "explore"]


class _Over(BaseException):
    """Ends a thread that sleeps when the scenario is over."""


class _Actor(threading.Thread):
    def __init__(self, order: "Order", work: Callable[[], object], name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._order = order
        self._work = work
        self.turn = threading.Semaphore(0)
        #: Nothing was done in this step yet, so it need not end.
        self.fresh = True
        #: Whether it could go on.
        self.ready: Callable[[], bool] = lambda: True

    def run(self) -> None:
        try:
            self.wait()
            self._work()
        except _Over:
            return
        except BaseException as error:
            self._order.errors.append(error)
        self.ready = lambda: False
        self._order.next(self)

    def wait(self) -> None:
        assert self.turn.acquire(timeout=HANG)
        if self._order.over:
            raise _Over


class _Lock:
    """A lock that is taken at the beginning of a step, so nobody ever waits for it."""

    def __init__(self, order: "Order") -> None:
        self._order = order
        self._held = False

    def __enter__(self) -> None:
        self._order.pause()
        assert not self._held, "a step began within a critical section"
        self._held = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._held = False


class _Gate:
    """In place of a ``queue.SimpleQueue``."""

    def __init__(self, order: "Order") -> None:
        self._order = order
        self._items: list[Any] = []

    def put(self, item: Any, /) -> None:
        self._items.append(item)

    def get(self) -> Any:
        if not self._items:
            self._order.sleep(lambda: bool(self._items))
        return self._items.pop(0)


class Order:
    """One order: the choices made so far, and then the first of those there are."""

    def __init__(self, choices: list[int]) -> None:
        self.choices = choices
        self.options: list[int] = []
        self.errors: list[BaseException] = []
        self.over = False
        #: Called before each step.
        self.invariant: Callable[[], None] = lambda: None
        self._actors: list[_Actor] = []
        self._done = threading.Event()

    def spawn(self, work: Callable[[], object], name: str) -> None:
        """Add a thread; it takes its first step when it is chosen."""
        actor = _Actor(self, work, name)
        self._actors.append(actor)
        actor.start()

    def lock(self) -> _Lock:
        """Return what stands for a ``threading.Lock``."""
        return _Lock(self)

    def gate(self) -> _Gate:
        """Return what stands for a ``queue.SimpleQueue``."""
        return _Gate(self)

    def choose(self, options: int) -> int:
        """Return a number below ``options``; another one in another order."""
        place = len(self.options)
        self.options.append(options)
        if place == len(self.choices):
            self.choices.append(0)
        return self.choices[place]

    def pause(self) -> None:
        """A critical section begins here, with a step of its own. Of no effect outside of the scenario."""
        actor = threading.current_thread()
        if isinstance(actor, _Actor):
            if not actor.fresh:
                self.sleep(lambda: True)
            actor.fresh = False

    def sleep(self, ready: Callable[[], bool]) -> None:
        """End the step of the thread that calls; return in the next one, which needs ``ready()``."""
        actor = threading.current_thread()
        assert isinstance(actor, _Actor)
        actor.ready = ready
        self.next(actor)
        actor.wait()
        actor.fresh = True

    def next(self, last: _Actor) -> None:
        """Let somebody take a step."""
        if not self.errors:
            try:
                self.invariant()
            except AssertionError as error:
                self.errors.append(error)
        # The one that is at work comes first: going on costs no change of threads.
        able = sorted((a for a in self._actors if a.ready()), key=lambda a: a is not last)
        if self.errors or not able:
            self._done.set()
            return
        able[self.choose(len(able)) if len(able) > 1 else 0].turn.release()

    def run(self, check: Callable[[], None]) -> None:
        """Go through it, call ``check``, and raise what went wrong."""
        able = [actor for actor in self._actors if actor.ready()]
        able[self.choose(len(able))].turn.release()
        assert self._done.wait(HANG)
        try:
            if not self.errors:
                check()
        finally:
            self.over = True
            for actor in self._actors:
                actor.turn.release()
            for actor in self._actors:
                actor.join(HANG)
        for error in self.errors:
            raise error


def explore(scenario: Callable[[Order], Callable[[], None]]) -> int:
    """Run ``scenario`` in all orders; return how many there are. What fails says by which choices."""
    choices: list[int] | None = []
    count = 0
    while choices is not None:
        order = Order(choices)
        try:
            order.run(scenario(order))
        except BaseException as error:
            error.add_note(f"in order {count}: {order.choices}")
            raise
        count += 1
        choices = _after(order.choices, order.options)
    return count


def _after(choices: list[int], options: list[int]) -> list[int] | None:
    """The choices of the next order: the last one that can be made in another way is, and those after it are open."""
    for place in reversed(range(len(choices))):
        if choices[place] + 1 < options[place]:
            return [*choices[:place], choices[place] + 1]
    return None
