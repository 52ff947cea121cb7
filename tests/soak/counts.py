"""What the app's process counts, and what it looks like from inside: told by ``/counts``, asked by the checks.

Any thread counts; a lock guards the counts. What is looked at is the whole process: the server's part of it too.
"""

import asyncio
import collections
import ctypes
import gc
import inspect
import json
import os
import resource
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["COUNTS", "GATHERED", "Counts", "Gathered", "waits_in"]

_FILES = Path("/proc/self/fd")
#: Seconds, against hanging only: fewer than the clients of a peer have patience, so that none is lost by this wait.
_GATHER = 4.0
#: Coroutines of a task that are named.
_DEEP = 12


class Counts:
    """How often something has happened. Names end in "begun" and "ended" where each begin has to have its end."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: collections.Counter[str] = collections.Counter()

    def add(self, name: str) -> None:
        with self._lock:
            self._counts[name] += 1

    def report(self) -> bytes:
        """The counts, the process, and where its tasks wait, as JSON."""
        with self._lock:
            counts = dict(self._counts)
        gc.collect()
        objects = gc.get_objects()
        tasks = [item for item in objects if isinstance(item, asyncio.Task) and not item.done()]
        process = _process(objects) | {"tasks": len(tasks)}
        waiting = collections.Counter(map(waits_in, tasks))
        data = {"pid": os.getpid(), "counts": counts, "process": process, "waiting": waiting}
        return json.dumps(data).encode()


COUNTS = Counts()


class Gathered:
    """Calls that go on together, so many at a time: each asks until the last one has come. Any thread may ask.

    A peer that has lost a thread never serves so many: when one has waited too long, none of them waits any more.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._come = 0
        self._given_up = 0

    def come(self, number: int) -> Callable[[], bool]:
        """Return what says whether to go on."""
        with self._lock:
            goal = (self._come // number + 1) * number
            self._come += 1
        end = time.monotonic() + _GATHER

        def there() -> bool:
            with self._lock:
                if time.monotonic() > end:
                    self._given_up = max(self._given_up, goal)
                return goal <= max(self._come, self._given_up)

        return there


GATHERED = Gathered()


def waits_in(task: "asyncio.Task[Any]") -> str:
    """The coroutines in which a task waits, the outermost first, each with its line."""
    words: list[str] = []
    awaited: Any = task.get_coro()
    while awaited is not None and len(words) < _DEEP:
        kind = "gi" if inspect.isgenerator(awaited) else "cr"
        frame = getattr(awaited, f"{kind}_frame", None)
        name = getattr(awaited, "__qualname__", type(awaited).__name__)
        words.append(name if frame is None else f"{name}:{frame.f_lineno}")
        awaited = getattr(awaited, "gi_yieldfrom" if kind == "gi" else "cr_await", None)
    return " > ".join(words)


def _process(objects: list[Any]) -> dict[str, int]:
    files = _open_files()
    temporary = tempfile.gettempdir()
    return {
        "threads": len(os.listdir("/proc/self/task")),  # noqa: PTH208  # the kernel's own count
        "descriptors": len(files),
        # Open ones without a name, and those with one that nobody has open any more.
        "temporary files": len(
            {file for file in files if file.startswith(temporary)}.union(_named(temporary))
        ),
        "loops": sum(
            isinstance(item, asyncio.AbstractEventLoop) and not item.is_closed() for item in objects
        ),
        "objects": len(objects),
        "memory": _resident(),
    }


def _named(directory: str) -> list[str]:
    return [entry.path for entry in os.scandir(directory)]


def _open_files() -> list[str]:
    files: list[str] = []
    for file in _FILES.iterdir():
        try:
            files.append(str(file.readlink()))
        except FileNotFoundError:
            continue  # the one that lists them
    return files


def _resident() -> int:
    """Bytes that are in use, without what malloc has kept for later, where it can be asked to give that back."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()
