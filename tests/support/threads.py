"""Which of bridge's threads are alive. They are all named ``bridge-...``."""

import sys
import threading
import time

__all__ = ["FREE_THREADED", "bridge_threads", "wait_for_no_bridge_threads"]

#: Without the GIL, what another thread lets go of is freed by the thread that made it, when that one next runs.
FREE_THREADED = not getattr(sys, "_is_gil_enabled", lambda: True)()


def bridge_threads() -> list[threading.Thread]:
    """Return bridge's living threads of this process."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("bridge")]


def _join(thread: threading.Thread, timeout: float) -> None:
    """Join one that another thread may be about to start: until it runs, there is nothing to join."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            thread.join(max(deadline - time.monotonic(), 0.0))
        except RuntimeError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.001)
        else:
            return


def wait_for_no_bridge_threads(timeout: float = 10.0) -> None:
    """Join every thread of bridge; ``AssertionError`` for one alive after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    for thread in bridge_threads():
        _join(thread, max(deadline - time.monotonic(), 0.0))
    assert not bridge_threads(), f"still alive: {bridge_threads()}"
