"""What becomes of loops when the interpreter exits, and in a forked child.

At exit they are ended early enough: ``at_exit()``.

After a fork no loop of the parent is alive in the child: the parent's epoll descriptor is shared with it, and a thread
is not copied. A child leaves what it inherited alone, by ``leave_alone()``, and starts anew: closing an inherited loop
would take the parent's wake-up pipe out of the parent's epoll set.
"""

import atexit
import os
import threading
from collections.abc import Callable

__all__ = ["at_exit", "in_forked_child", "leave_alone"]

# What a parent process had, kept from being collected, which would close it.
_inherited: list[object] = []


def leave_alone(inherited: object) -> None:
    """Keep, in a forked child, what has the parent's loops."""
    _inherited.append(inherited)


def in_forked_child(callback: Callable[[], object]) -> None:
    """Call ``callback`` in each child that the process forks, before anything else runs there."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=callback)


def at_exit(callback: Callable[[], object]) -> None:
    """Call ``callback`` when the interpreter exits, while threads can still be started if at all possible.

    What atexit has runs after ``concurrent.futures`` was shut down, so that a lifespan that closes a pool
    with ``asyncio.to_thread()`` would fail there; and after the wait for threads, which a request that waits
    for an event would make endless. ``threading`` has an earlier moment, which ``concurrent.futures`` itself
    uses: private, and present in each supported version. Not every server that embeds Python gets there, so
    that ``callback`` is called at both, and has to bear it.
    """
    getattr(threading, "_register_atexit", atexit.register)(callback)
    atexit.register(callback)
