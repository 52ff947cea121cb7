"""What the app's process counts, and what it looks like from inside: told by ``/counts``, asked by the checks.

Any thread counts; a lock guards the counts. What is looked at is the whole process: the server's part of it too.
"""

import asyncio
import collections
import ctypes
import gc
import json
import os
import resource
import tempfile
import threading
from pathlib import Path

__all__ = ["COUNTS", "Counts"]

_FILES = Path("/proc/self/fd")


class Counts:
    """How often something has happened. Names end in "begun" and "ended" where each begin has to have its end."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: collections.Counter[str] = collections.Counter()

    def add(self, name: str) -> None:
        with self._lock:
            self._counts[name] += 1

    def report(self) -> bytes:
        """The counts and the process, as JSON."""
        with self._lock:
            counts = dict(self._counts)
        return json.dumps({"pid": os.getpid(), "counts": counts, "process": _process()}).encode()


COUNTS = Counts()


def _process() -> dict[str, int]:
    gc.collect()
    objects = gc.get_objects()
    files = _open_files()
    return {
        "threads": len(os.listdir("/proc/self/task")),  # noqa: PTH208  # the kernel's own count
        "descriptors": len(files),
        "temporary files": sum(file.startswith(tempfile.gettempdir()) for file in files),
        "tasks": sum(isinstance(item, asyncio.Task) and not item.done() for item in objects),
        "loops": sum(
            isinstance(item, asyncio.AbstractEventLoop) and not item.is_closed() for item in objects
        ),
        "objects": len(objects),
        "memory": _resident(),
    }


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
