"""Processes that a test, or a library in it, has started."""

import contextlib
from collections.abc import Iterable

import psutil

__all__ = ["alive"]


def alive(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Those that run still; one that has ended and that nobody has waited for does not."""
    living = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                living.append(process)
    return living
