"""Counts of what happens rarely: on ways that no usual request takes.

Any thread counts and any thread reads, under ``_lock``, which is held for one operation. A child made by ``fork()``
begins at 0: it has done nothing yet.
"""

from __future__ import annotations  # threading.Lock is no type before 3.13

import threading
from typing import Literal

from .fork import reset_after_fork

__all__ = ["Rare", "Tally"]

#: What is counted; ``to_asgi.stats`` and ``to_wsgi.stats`` say what each means there.
Rare = Literal["refused", "rejected", "clients_left", "bytes_spooled"]


class Tally:
    """Of one adapter, on all its threads and loops."""

    def __init__(self) -> None:
        self._reset()
        reset_after_fork(self)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[Rare, int] = {}

    def add(self, what: Rare, number: int = 1) -> None:
        """It has happened, ``number`` times."""
        with self._lock:
            self._counts[what] = self._counts.get(what, 0) + number

    def count(self, what: Rare) -> int:
        """How often it has happened."""
        with self._lock:
            return self._counts.get(what, 0)
