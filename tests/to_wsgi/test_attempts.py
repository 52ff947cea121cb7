"""``to_wsgi.attempts``: who starts, who waits, what a failure means, and that every wait ends."""

import threading
from collections.abc import Callable

import pytest

from bridge import LifespanError
from bridge.to_wsgi import attempts as module
from bridge.to_wsgi.attempts import Attempts
from tests.support.asgi import HANG


class Try:
    """An attempt that is held until it is let go, and then ends as it was told."""

    def __init__(self, attempts: Attempts, *, held: bool = True) -> None:
        self.attempts = attempts
        self.error: BaseException | None = None
        self.limits: list[float | None] = []
        self.arrived = threading.Event()
        self.go = threading.Event()
        self.cancelled = threading.Event()
        self.ended = 0
        if not held:
            self.go.set()

    def __call__(self, limit: float | None) -> None:
        self.limits.append(limit)
        with self.attempts.cancelled_by(self.cancel):
            self.arrived.set()
            assert self.go.wait(HANG)
        if self.error is not None:
            raise self.error

    def cancel(self) -> None:
        self.cancelled.set()

    def end(self) -> None:
        self.ended += 1

    def make(self) -> None:
        self.attempts.make(self, self.end)


class Caller(threading.Thread):
    """Calls ``function``; ``outcome`` is what it raised or returned."""

    def __init__(self, function: Callable[[], object]) -> None:
        super().__init__()
        self._function = function
        self.outcome: object = ...
        self.start()

    def run(self) -> None:
        try:
            self.outcome = self._function()
        except BaseException as error:
            self.outcome = error

    def result(self) -> object:
        self.join(HANG)
        assert not self.is_alive()
        return self.outcome


@pytest.fixture
def attempts() -> Attempts:
    return Attempts()


@pytest.fixture(autouse=True)
def retry_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_AFTER", 0.0)


def test_it_is_started_once(attempts: Attempts) -> None:
    first = Try(attempts)
    callers = [Caller(first.make) for _ in range(4)]
    assert first.arrived.wait(HANG)
    first.go.set()
    assert [caller.result() for caller in callers] == [None] * 4
    first.make()
    assert first.limits == [None]
    assert attempts.close()
    assert not attempts.close()
    assert first.ended == 0, "it is the closing one's"


def test_a_failure_is_remembered(attempts: Attempts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_AFTER", 1000.0)
    attempt = Try(attempts)
    attempt.error = LifespanError("no database")
    callers = [Caller(attempt.make) for _ in range(4)]
    assert attempt.arrived.wait(HANG)
    attempt.go.set()
    outcomes = [str(caller.result()) for caller in callers]
    assert outcomes.count("no database") == 1
    assert outcomes.count("no database (it is not tried again for 1000 s)") == 3
    with pytest.raises(LifespanError, match="it is not tried again"):
        attempt.make()
    assert attempt.limits == [None]
    assert attempts.close()


def test_a_second_try_has_a_limit_and_the_first_error_stays_known(
    attempts: Attempts, caplog: pytest.LogCaptureFixture
) -> None:
    attempt = Try(attempts, held=False)
    for error in ("Traceback\n  at home\nOSError: no database\n", "it can be started once only"):
        attempt.error = LifespanError(error)
        with pytest.raises(LifespanError):
            attempt.make()
    (record,) = caplog.records
    assert record.getMessage().startswith("the startup failed again: this was try 2; the first one had")
    assert record.getMessage().endswith("OSError: no database")
    attempt.error = None
    attempt.make()
    assert attempt.limits == [None, module.RETRY_LIMIT, module.RETRY_LIMIT]


@pytest.mark.parametrize("error", [RuntimeError("no thread"), KeyboardInterrupt()])
def test_what_is_no_failure_of_the_app_is_not_remembered(attempts: Attempts, error: BaseException) -> None:
    """Who waited tries next, without a limit: the app has not been started."""
    first, second = Try(attempts), Try(attempts, held=False)
    first.error = error
    caller = Caller(first.make)
    assert first.arrived.wait(HANG)
    waiting = Caller(second.make)
    first.go.set()
    assert caller.result() is error
    assert waiting.result() is None
    assert second.limits == [None]


@pytest.mark.parametrize("outcome", [None, LifespanError("no"), RuntimeError("cancelled")])
def test_close_tells_a_try_to_end_and_then_owns_what_it_has_made(
    attempts: Attempts, outcome: BaseException | None
) -> None:
    attempt = Try(attempts)
    attempt.error = outcome
    trying = Caller(attempt.make)
    assert attempt.arrived.wait(HANG)
    waiting = Caller(attempt.make)
    closing = Caller(attempts.close)
    assert attempt.cancelled.wait(HANG)
    assert not attempts.close(), "one closes"
    assert isinstance(waiting.result(), RuntimeError), "who waits need not wait for the end of the try"
    attempt.go.set()
    assert closing.result() is True
    result = trying.result()
    assert result is outcome if outcome is not None else "was closed" in str(result)
    assert attempt.ended == 0
    with pytest.raises(RuntimeError, match="was closed"):
        attempt.make()


def test_a_try_that_does_not_end_is_left_to_itself(
    attempts: Attempts, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "END_LIMIT", 0.0)
    attempt = Try(attempts)
    trying = Caller(attempt.make)
    assert attempt.arrived.wait(HANG)
    assert not attempts.close()
    assert "told to end" in caplog.text
    assert attempt.ended == 0
    attempt.go.set()
    assert "was closed" in str(trying.result())
    assert attempt.ended == 1, "nobody else does it"


def test_a_try_that_can_be_told_after_the_close(attempts: Attempts) -> None:
    """It was closed before the try had come so far."""
    told: list[str] = []
    reached, go = threading.Event(), threading.Event()

    def attempt(limit: float | None) -> None:
        reached.set()
        assert go.wait(HANG)
        with attempts.cancelled_by(lambda: told.append("to end")):
            pass

    trying = Caller(lambda: attempts.make(attempt, lambda: None))
    assert reached.wait(HANG)
    closing = Caller(attempts.close)
    while "ending" not in repr(attempts):
        threading.Event().wait(0.001)
    go.set()
    assert closing.result() is True
    assert isinstance(trying.result(), RuntimeError)
    assert told == ["to end"]
