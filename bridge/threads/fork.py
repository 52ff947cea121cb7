"""What has to start empty in a child made by ``fork()``: the threads and the loops of the parent don't exist there."""

import os
import weakref
from typing import Protocol

__all__ = ["reset_after_fork"]


class Forking(Protocol):
    """What is empty in a child."""

    def _reset(self) -> None: ...


_all: weakref.WeakSet[Forking] = weakref.WeakSet()


def reset_after_fork(thing: Forking) -> None:
    """Has ``_reset()`` of ``thing`` called in each child, as long as ``thing`` lives.

    It takes no lock: only one thread exists in a child, and another one may have held it when the parent forked.
    """
    _all.add(thing)


def _after_fork_in_child() -> None:
    for thing in list(_all):
        thing._reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
