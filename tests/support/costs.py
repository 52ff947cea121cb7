"""What a request costs, counted: nothing of it depends on how fast a machine is, or on what else it does.

``Counter`` counts, while it is entered, what happens in the package's own code on any thread:

- calls: its functions called (a coroutine or a generator counts each time it is entered);
- builtins: functions of C that they call;
- locks: the locks that they take.

and of a loop made by ``CountingLoop``:

- callbacks: what was scheduled on it, by whomever;
- wakeups: writes to its self-pipe, each of which costs two system calls and, as a rule, a change of threads.
"""

import asyncio
import os
import sys
import threading
from collections import Counter as Numbers
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

import bridge

__all__ = ["Counter", "CountingLoop", "counting_lock"]

_PACKAGE = f"{Path(bridge.__file__).parent}{os.sep}"
_real_lock = threading.Lock


class Counter:
    """Counts from ``__enter__`` to ``__exit__``, of all threads that begin in between and of the one that enters.

    ``numbers`` is only to be read when no other thread runs the package's code.
    """

    def __init__(self) -> None:
        self.numbers: Numbers[str] = Numbers()
        self._guard = _real_lock()

    def add(self, what: str) -> None:
        with self._guard:
            self.numbers[what] += 1

    def _profile(self, frame: FrameType, event: str, arg: Any) -> None:
        if frame.f_code.co_filename.startswith(_PACKAGE):
            if event == "call":
                self.add("calls")
            elif event == "c_call":
                self.add("builtins")

    def __enter__(self) -> Self:
        threading.setprofile(self._profile)
        sys.setprofile(self._profile)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        sys.setprofile(None)
        stop: Any = None  # as documented; typeshed knows it from Python 3.12 on
        threading.setprofile(stop)


class _Lock:
    """A lock that counts how often the package's code takes it."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._lock = _real_lock()
        self.release = self._lock.release
        self.locked = self._lock.locked

    def _count(self) -> None:
        if sys._getframe(2).f_code.co_filename.startswith(_PACKAGE):
            self._counter.add("locks")

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        self._count()
        return self._lock.acquire(blocking, timeout)

    def __enter__(self) -> bool:
        self._count()
        return self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def counting_lock(counter: Counter) -> Any:
    """In place of ``threading.Lock``."""
    return lambda: _Lock(counter)


class CountingLoop(asyncio.SelectorEventLoop):
    """A loop that counts its callbacks and its wake-ups."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        super().__init__()

    def call_soon(  # type: ignore[override]  # typeshed: with a type for each argument
        self, *args: Any, **kwargs: Any
    ) -> asyncio.Handle:
        self._counter.add("callbacks")
        return super().call_soon(*args, **kwargs)

    def call_at(  # type: ignore[override]  # typeshed: with a type for each argument
        self, *args: Any, **kwargs: Any
    ) -> asyncio.TimerHandle:
        self._counter.add("callbacks")
        return super().call_at(*args, **kwargs)

    def call_soon_threadsafe(  # type: ignore[override]  # typeshed: with a type for each argument
        self, *args: Any, **kwargs: Any
    ) -> asyncio.Handle:
        self._counter.add("callbacks")
        return super().call_soon_threadsafe(*args, **kwargs)

    def _write_to_self(self) -> None:
        self._counter.add("wakeups")
        super()._write_to_self()  # type: ignore[misc]  # asyncio's own; typeshed doesn't have it
