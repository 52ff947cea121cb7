"""One thread at a time tries to start something that all others wait for; a failure is remembered for a while.

    phase      what comes next
    NEW        TRYING, by the first one that asks
    TRYING     STARTED; FAILED, by a ``LifespanError``; NEW, by another error; ENDING, by close()
    FAILED     TRYING, by who asks RETRY_AFTER seconds later
    ENDING     CLOSED, by who tries, who has been told to stop; LEFT, by close(), which waits END_LIMIT seconds for it
    LEFT       CLOSED, by who tries, and who then ends what it may have started
    NEW, STARTED, FAILED: CLOSED, by close()

So what was started is ended by one thread: the one that closes, or the one that tried where the other gave up.
Every wait ends: that of the others with the try, and with close(); that of close() by its limit.

All fields are guarded by ``_lock``, which is that of ``_changed``. What is called under it is the ``cancel`` of a try,
which must not wait, and may not come after the end of the try.
"""

import enum
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..errors import LifespanError

__all__ = ["Attempts", "closed_while"]

logger = logging.getLogger("bridge")

# Seconds in which nobody tries again after a failure.
RETRY_AFTER = 5.0
# Seconds that a try after a failure may take: an app that can be started once only may wait for ever, as some
# session managers do. hypercorn gives each startup as many.
RETRY_LIMIT = 60.0
# Seconds for a try to end that was told to.
END_LIMIT = 10.0


class _StartPhase(enum.Enum):
    NEW = enum.auto()
    TRYING = enum.auto()
    STARTED = enum.auto()
    FAILED = enum.auto()
    ENDING = enum.auto()
    LEFT = enum.auto()
    CLOSED = enum.auto()


class Attempts:
    """The tries to start one thing. Any thread may call any method."""

    def __init__(self) -> None:
        # Taken by itself: the interpreter may call a signal handler, which may raise, in a condition's __enter__() and
        # __exit__(), which are functions of Python. A lock's are in C.
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._phase = _StartPhase.NEW
        # How many have failed; how the first and the last one did; when the next one may come.
        self._failures = 0
        self._first = self._last = ""
        self._retry_at = 0.0
        self._cancel: Callable[[], object] | None = None

    def __repr__(self) -> str:
        return f"<Attempts {self._phase.name.lower()}>"

    def progress(self) -> tuple[str, int]:
        """The phase, as ``repr()`` has it; and how many tries have failed."""
        with self._lock:
            return self._phase.name.lower(), self._failures

    def make(self, attempt: Callable[[float | None], None], end: Callable[[], None]) -> None:
        """Have it started by ``attempt``, called here or by another thread.

        Args:
            attempt: gets the seconds that it has, ``None`` for any.
            end: ends what ``attempt`` has started; called where that comes too late.

        Raises:
            LifespanError: by ``attempt``, or another one's not long ago.
            RuntimeError: it is closed.
            BaseException: what ``attempt`` raises.
        """
        phase, failure = _StartPhase.NEW, ""
        tries = False
        try:
            with self._lock:
                self._changed.wait_for(lambda: self._phase is not _StartPhase.TRYING)
                if self._phase is _StartPhase.STARTED:
                    return
                if self._phase is _StartPhase.FAILED and time.monotonic() < self._retry_at:
                    raise LifespanError(f"{self._last} (it is not tried again for {RETRY_AFTER:g} s)")
                if self._phase not in {_StartPhase.NEW, _StartPhase.FAILED}:
                    raise closed_while("it had requests")
                limit = RETRY_LIMIT if self._failures else None
                self._phase, tries = _StartPhase.TRYING, True
            attempt(limit)
            phase = _StartPhase.STARTED
        except LifespanError as exc:
            phase, failure = _StartPhase.FAILED, str(exc)
            raise
        finally:
            # Also where a signal handler has raised before the attempt began.
            if tries and self._settle(phase, failure):
                end()
        with self._lock:
            if self._phase is not _StartPhase.STARTED:
                raise closed_while("it had requests")

    def _settle(self, phase: _StartPhase, failure: str) -> bool:
        """The end of a try. ``True``: whoever has made it ends what it has started."""
        with self._lock:
            if failure:
                self._failures += 1
                # Starlette's message is a traceback, which is in the log.
                self._last = failure if "Traceback" not in failure else _startup_failed(failure)
                self._first = self._first or self._last
                self._retry_at = time.monotonic() + RETRY_AFTER
            failures, first = self._failures, self._first
            left = self._phase is _StartPhase.LEFT
            self._phase = phase if self._phase is _StartPhase.TRYING else _StartPhase.CLOSED
            self._changed.notify_all()
        if failure and failures > 1:
            logger.error(
                "the startup failed again: this was try %d; the first one had this error: %s", failures, first
            )
        return left

    @contextmanager
    def cancelled_by(self, cancel: Callable[[], object]) -> Iterator[None]:
        """For ``attempt``: the block is told to end by ``cancel``, by the thread that closes."""
        with self._lock:
            self._cancel = cancel
            if self._phase is not _StartPhase.TRYING:
                cancel()
        try:
            yield
        finally:
            with self._lock:
                self._cancel = None

    def close(self) -> bool:
        """Nothing is started any more. ``True``: the caller ends what has been started; nobody else does."""
        with self._lock:
            if self._phase in {_StartPhase.NEW, _StartPhase.STARTED, _StartPhase.FAILED}:
                self._phase = _StartPhase.CLOSED
                return True
            if self._phase is not _StartPhase.TRYING:
                return False
            self._phase = _StartPhase.ENDING
            self._changed.notify_all()
            if self._cancel is not None:
                # With the lock: what it is for can't end meanwhile.
                self._cancel()
            if self._changed.wait_for(lambda: self._phase is _StartPhase.CLOSED, END_LIMIT):
                return True
            self._phase = _StartPhase.LEFT
        logger.error(
            "the application's startup was told to end, has not within %s s, and is left behind", END_LIMIT
        )
        return False


def closed_while(what: str) -> RuntimeError:
    """The error of a request whose adapter was closed; ``what`` went on then: "it had requests"."""
    return RuntimeError(f"the adapter was closed while {what}")


def _startup_failed(message: str) -> str:
    return f"the application's startup failed: {message.strip().splitlines()[-1].strip()}"
