"""The tries to start one thing in every order: one at a time, and what was started is ended once."""

import contextlib
import logging
import threading
from collections.abc import Callable

import pytest

import bridge.to_wsgi.attempts
from bridge import LifespanError
from bridge.to_wsgi.attempts import Attempts
from tests.support.orders import Check, Fields, Order, Scenario, explore, guarded

FIELDS = Fields("_lock", constant=frozenset({"_changed"}))


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Hundreds of starts that are left behind log hundreds of lines."""
    caplog.set_level(logging.CRITICAL, "bridge")


def scenario(
    kind: type[Attempts], askers: int, *, fails: int = 0, closers: int = 0, hears: bool = True, early: int = 0
) -> Scenario:
    """So many threads ask, and so many close.

    ``fails``: so many tries fail. ``hears``: a try that is told to end does. ``early``: so often a time limit may be
    over while others could go on.
    """

    def begin(order: Order) -> Check:
        order.early = early
        attempts = guarded(kind, FIELDS, order)()
        trying: list[int] = []
        left_to_fail = [fails]
        started: list[str] = []
        ended: list[str] = []
        outcomes: list[str] = []

        def attempt(limit: float | None) -> None:
            assert not trying, "two try at once"
            trying.append(1)
            order.pause()
            told: list[int] = []
            try:
                with attempts.cancelled_by(lambda: told.append(1)):
                    order.pause()
                    if hears and told:
                        raise RuntimeError("told to end")
                if left_to_fail[0]:
                    left_to_fail[0] -= 1
                    raise LifespanError("no database")
                started.append("started")
            finally:
                trying.pop()

        def end() -> None:
            # It comes also where the try has failed after it was left behind.
            if started:
                ended.append("by who tried")

        def ask() -> None:
            try:
                attempts.make(attempt, end)
                outcomes.append("started")
            except LifespanError:
                outcomes.append("failed")
            except RuntimeError:
                outcomes.append("closed")

        def close() -> None:
            if attempts.close() and started:
                ended.append("by who closed")

        for number in range(askers):
            order.spawn(ask, f"asker-{number}")
        for number in range(closers):
            order.spawn(close, f"closer-{number}")

        def check() -> None:
            assert len(outcomes) == askers
            assert len(started) <= 1, "two have started it"
            if closers:
                assert ended == ["by who closed"] * len(started) or ended == ["by who tried"]
                assert len(ended) == len(started), "what was started is ended once"
                assert "left" not in repr(attempts)
            else:
                assert not ended
                assert "closed" not in outcomes
                assert outcomes.count("failed") >= fails

        return check

    return begin


@pytest.mark.parametrize(
    ("askers", "more"),
    [
        (2, {}),
        (3, {}),
        (2, {"fails": 1}),
        (2, {"closers": 1}),
        (2, {"closers": 1, "early": 1}),
        (1, {"closers": 2, "early": 1}),
        (2, {"closers": 1, "hears": False, "early": 1}),
        (2, {"closers": 2, "fails": 1}),
    ],
)
def test_every_order(askers: int, more: dict[str, int]) -> None:
    begin = scenario(Attempts, askers, **more)  # type: ignore[arg-type]  # hears is a bool
    assert explore(begin, bridge.to_wsgi.attempts, preemptions=2) >= 2


class LooksInTwoSteps(Attempts):
    """Who asks looks whether somebody has tried, and begins later."""

    def make(self, attempt: Callable[[float | None], None], end: Callable[[], None]) -> None:
        with self._changed:
            new = self._phase is bridge.to_wsgi.attempts._StartPhase.NEW
        if new:
            with self._changed:
                self._phase = bridge.to_wsgi.attempts._StartPhase.TRYING
            attempt(None)
            self._settle(bridge.to_wsgi.attempts._StartPhase.STARTED, "")


class ForgetsWhoWaits(Attempts):
    """The end of a try wakes one of those who wait for it."""

    def _settle(self, phase: object, failure: str) -> bool:
        notify_all, self._changed.notify_all = self._changed.notify_all, self._changed.notify  # type: ignore[method-assign]
        with contextlib.ExitStack() as stack:
            stack.callback(lambda: setattr(self._changed, "notify_all", notify_all))
            return super()._settle(phase, failure)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "words"),
    [(LooksInTwoSteps, "two try at once|two have started it"), (ForgetsWhoWaits, "wait for ever: asker")],
)
def test_attempts_with_a_gap_are_found_out(kind: type[Attempts], words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        explore(scenario(kind, 3), bridge.to_wsgi.attempts, preemptions=2)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("asker", "closer"))]
