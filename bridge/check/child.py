"""A process of its own, of which nothing is left, whenever a signal comes."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

__all__ = ["ENDINGS", "child", "end_group"]

#: What ends the check: SIGINT is Ctrl-C, SIGHUP that of a terminal that is closed. The exit status is a shell's.
ENDINGS = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
_END = 10.0


@contextlib.contextmanager
def child(words: list[str], **options: Any) -> "Iterator[subprocess.Popen[bytes]]":
    """Start a process that leads a session; at the end of the block, nothing of its process group is left.

    A handler that raises in the middle of ``Popen()`` would leave a process that nobody knows of. So the signals wait
    until there is one that can be ended. The child doesn't inherit that: ``exec`` puts back what has a handler.
    """
    process: subprocess.Popen[bytes] | None = None
    try:
        with _signals_wait():
            process = subprocess.Popen(words, start_new_session=True, **options)  # noqa: S603 - the caller's words
        yield process
    finally:
        if process is not None:
            end_group(process)


@contextlib.contextmanager
def _signals_wait() -> Iterator[None]:
    """What comes of ``ENDINGS`` in the block is handled at its end. Python handles signals in the main thread alone."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[tuple[int, FrameType | None]] = []
    handlers = {number: signal.getsignal(number) for number in ENDINGS}
    ours = {number: handler for number, handler in handlers.items() if callable(handler)}
    try:
        for number in ours:
            signal.signal(number, lambda number, frame: came.append((number, frame)))
        yield
    finally:
        for number, handler in ours.items():
            signal.signal(number, handler)
    for came_number, frame in came:
        ours[signal.Signals(came_number)](came_number, frame)


def end_group(process: "subprocess.Popen[bytes]") -> None:
    """End a process that leads a session: by SIGTERM, and what is left of its group after that by SIGKILL.

    An exception in between, such as that of a second Ctrl-C, leaves nothing of it either.
    """
    try:
        with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
            process.send_signal(signal.SIGTERM)
            process.wait(_END)
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if sys.platform != "win32":
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()
