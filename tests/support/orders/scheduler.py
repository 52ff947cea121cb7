"""Who takes the next step, and going through all orders.

The threads are real, but one runs at a time. A step goes from one use of a lock, a gate or a loop to the next, or to a
sleep. What a thread does in between is seen by nobody else, if fields are touched as ``fields`` has it.

``explore()`` goes depth first through all choices of who takes the next step, and through those that the scenario makes
itself (``Order.choose``), as loom and CHESS do. It runs the scenario anew for each list of choices. Where those are too
many, ``preemptions`` bounds how often a thread is held up that could go on: most faults need one or two.

Time has no length. A sleep with a time limit ends by it where nobody else can go on; and ``order.early`` times where
somebody else could, as on a machine that is busy with something else.

A thread that nothing can wake any more is a failure, unless it was spawned with ``may_sleep``. A failure has the
choices, by which ``replay()`` runs it again, and all steps: who, and at which line.
"""

import gc
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, NoReturn

from tests.support.asgi import HANG

__all__ = ["Check", "Order", "Scenario", "explore", "replay"]

#: What holds when nobody can go on.
Check = Callable[[], None]

#: So often nothing happens but that time passes: then a scenario goes round in a circle.
_IDLE_LIMIT = 50

#: Preemptions beyond those that a test asks for.
_MORE = int(os.environ.get("MORE_PREEMPTIONS", "0"))
#: Orders of a scenario that are gone through with those: about a minute. The largest one has many times as many.
_MOST = 30_000


class _Over(BaseException):
    """Ends a thread that sleeps when the scenario is over."""


def _always() -> bool:
    return True


def _never() -> bool:
    return False


class _Actor(threading.Thread):
    def __init__(self, order: "Order", work: Callable[[], object], name: str, may_sleep: bool) -> None:
        super().__init__(name=name, daemon=True)
        self._order = order
        self._work = work
        self.may_sleep = may_sleep
        self.turn = threading.Semaphore(0)
        #: Where it sleeps. It says so itself: nobody can look at the frames of a thread that may be at work.
        self.place = "its begin"
        #: Nothing was done in this step yet, so it need not end.
        self.fresh = True
        #: Whether it could go on; when time alone would let it.
        self.ready: Callable[[], bool] = _always
        self.deadline: float | None = None
        self.finished = False

    def run(self) -> None:
        try:
            self.wait()
            self._work()
        except _Over:
            return
        except BaseException as error:
            self._order.errors.append(error)
        self.ready, self.deadline, self.finished = _never, None, True
        self._order.next(self)

    def wait(self) -> None:
        # What is cleaned up on its way out may wait again.
        if not self._order.over:
            assert self.turn.acquire(timeout=HANG)
        if self._order.over:
            raise _Over


class Order:
    """One order: the choices made so far, and then the first of those there are."""

    def __init__(self, choices: list[int], preemptions: int | None = None) -> None:
        self.choices = choices
        self.options: list[int] = []
        self.errors: list[BaseException] = []
        self.over = False
        #: Who took each step, and where it began.
        self.steps: list[str] = []
        #: Called before each step.
        self.invariant: Callable[[], None] = lambda: None
        self.looking = False
        #: Time limits that may still be over before anybody else goes on; what ``time.monotonic()`` is.
        self.early = 0
        self.now = 0.0
        self._idle = 0
        self._preemptions = preemptions
        self._actors: list[_Actor] = []
        self._done = threading.Event()

    def spawn(self, work: Callable[[], object], name: str, *, may_sleep: bool = False) -> _Actor:
        """Add a thread; it takes its first step when it is chosen. ``may_sleep``: it need not end."""
        actor = _Actor(self, work, name, may_sleep)
        self._actors.append(actor)
        actor.start()
        return actor

    def choose(self, options: int) -> int:
        """Return a number below ``options``; another one in another order."""
        place = len(self.options)
        self.options.append(options)
        if place == len(self.choices):
            self.choices.append(0)
        return self.choices[place]

    def fail(self, words: str) -> NoReturn:
        """Raise, and have it known where the code under test handles what is raised."""
        error = AssertionError(words)
        self.errors.append(error)
        raise error

    @staticmethod
    def actor() -> "_Actor | None":
        """The thread that calls, if it is one of an order's."""
        thread = threading.current_thread()
        return thread if isinstance(thread, _Actor) else None

    def pause(self, ready: Callable[[], bool] = _always) -> None:
        """What others can see begins here, in a step of its own. Of no effect outside of the scenario."""
        actor = self.actor()
        if actor is None:
            assert ready(), "nobody is there to let the test itself go on"
            return
        if not actor.fresh or not ready():
            self.sleep(ready)
        actor.fresh = False

    def sleep(self, ready: Callable[[], bool], seconds: float | None = None) -> bool:
        """End the step of the thread that calls; return in the next one. ``False``: ``seconds`` were over before.

        The next one needs ``ready()``, or time.
        """
        actor = self.actor()
        assert actor is not None
        if self.over:
            raise _Over
        actor.ready = ready
        actor.deadline = None if seconds is None else self.now + seconds
        actor.place = _place()
        self.next(actor)
        actor.wait()
        actor.fresh = True
        actor.ready, deadline, actor.deadline = _always, actor.deadline, None
        if ready():
            return True
        assert deadline is not None
        self.now = max(self.now, deadline)
        return False

    def next(self, last: _Actor | None) -> None:
        """Let somebody take a step."""
        if last is not None and not self.errors:
            self.looking = True
            try:
                self.invariant()
            except AssertionError as error:
                self.errors.append(error)
            self.looking = False
        # The one that is at work comes first: going on costs no change of threads.
        able = sorted((a for a in self._actors if a.ready()), key=lambda a: a is not last)
        late = [a for a in self._actors if a.deadline is not None and a not in able]
        if able and able[0] is last and self._preemptions == 0:
            del able[1:]
        if self.errors or not (able or late) or self._idle == _IDLE_LIMIT:
            self._done.set()
            return
        options = able + late if self.early or not able else able
        chosen = options[self.choose(len(options)) if len(options) > 1 else 0]
        if not able:
            self._idle += 1
        elif chosen in late:
            self.early -= 1
        elif able[0] is last and chosen is not last and self._preemptions:
            self._preemptions -= 1
        self.steps.append(f"{chosen.name}: {chosen.place}")
        chosen.turn.release()

    def run(self, check: Check) -> None:
        """Go through it, call ``check``, and raise what went wrong."""
        self.next(None)
        assert self._done.wait(HANG)
        try:
            if not self.errors:
                stuck = [a for a in self._actors if not a.finished and not a.may_sleep]
                assert not stuck, f"wait for ever: {', '.join(f'{a.name} at {a.place}' for a in stuck)}"
                check()
        finally:
            self.over = True
            for actor in self._actors:
                actor.turn.release()
            for actor in self._actors:
                actor.join(HANG)
        for error in self.errors:
            raise error


def _place() -> str:
    """Where the thread that calls is, below what stands in for its locks."""
    frame: Any = sys._getframe()
    here = __name__.rpartition(".")[0]
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if not module.startswith((here, "threading", "asyncio")):
            return f"{module}.{frame.f_code.co_name}:{frame.f_lineno}"
        frame = frame.f_back
    return "its begin"


Scenario = Callable[[Order], Check]

#: Orders between two collections of garbage.
_COLLECT = 500


@contextmanager
def _patched(order: Order, modules: tuple[ModuleType, ...]) -> Iterator[None]:
    """``threading`` and ``time`` of the modules are those of ``order``."""
    from .stand_ins import Threading, Time

    before = [
        (m, name, getattr(m, name)) for m in modules for name in ("threading", "time") if hasattr(m, name)
    ]
    try:
        for module, name, _ in before:
            setattr(module, name, Threading(order) if name == "threading" else Time(order))
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)


def _run(order: Order, scenario: Scenario, modules: tuple[ModuleType, ...]) -> None:
    with _patched(order, modules):
        try:
            order.run(scenario(order))
        except BaseException as error:
            steps = "\n".join(f"  {step}" for step in order.steps)
            error.add_note(f"replay() with {order.choices}\n{steps}")
            raise


def explore(scenario: Scenario, *modules: ModuleType, preemptions: int | None = None) -> int:
    """Run ``scenario`` in all orders, or in those with so many ``preemptions``; return how many there are.

    What ``modules`` take from ``threading`` and ``time`` is the order's. ``make fuzz`` explores with more preemptions,
    and leaves out what is beyond ``_MOST`` orders: a test has to ask for what it can't do without.
    """
    if preemptions is not None:
        preemptions += _MORE
    choices: list[int] | None = []
    count = 0
    most = _MOST if _MORE and preemptions is not None else None
    collects = gc.isenabled()
    # It would end what earlier orders have left at any moment of this one, in whichever thread.
    gc.disable()
    try:
        while choices is not None and count != most:
            order = Order(choices, preemptions)
            _run(order, scenario, modules)
            count += 1
            choices = _after(order.choices, order.options)
            if count % _COLLECT == 0:
                gc.collect()
    finally:
        if collects:
            gc.enable()
    return count


def replay(scenario: Scenario, *modules: ModuleType, choices: list[int]) -> None:
    """Run ``scenario`` in the order of a failure."""
    _run(Order(choices), scenario, modules)


def _after(choices: list[int], options: list[int]) -> list[int] | None:
    """The choices of the next order: the last one that can be made in another way is, and those after it are open."""
    for place in reversed(range(len(choices))):
        if choices[place] + 1 < options[place]:
            return [*choices[:place], choices[place] + 1]
    return None
