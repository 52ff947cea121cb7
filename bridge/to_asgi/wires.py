"""What a ``WsgiToAsgi`` has for each loop that calls it.

As a rule there is one loop. A program may run several with one adapter, each in a thread of its own; they share the
app, the threads and the limits.

Who owns what: only its loop's thread touches a ``Wires``. All loops read ``Loops.wires`` at each request, without a
lock. So it is never changed, but replaced by another one, under ``lock``.
"""

from __future__ import annotations  # threading.Lock is no type before 3.13

import threading
from asyncio import AbstractEventLoop
from collections.abc import Mapping
from typing import Protocol

from ..threads.fork import reset_after_fork
from ..threads.mailbox import Mailbox
from .watch import PATIENCE, Watches

__all__ = ["Loops", "OpenWebSocket", "Wires"]


class OpenWebSocket(Protocol):
    """What the shutdown knows of one."""

    def close(self, code: int, reason: str) -> None: ...


class Wires:
    """What the requests on one loop share."""

    __slots__ = ("mailbox", "sessions", "waiting", "watches")

    def __init__(self, loop: AbstractEventLoop) -> None:
        self.mailbox = Mailbox(loop)
        self.watches = Watches(loop)
        #: The requests that wait for a thread.
        self.waiting = Watches(loop, PATIENCE)
        self.sessions: set[OpenWebSocket] = set()


class Loops:
    """The loops that call one adapter. Its ``lock`` also guards the making of what they share."""

    def __init__(self) -> None:
        self._reset()
        reset_after_fork(self)

    def _reset(self) -> None:
        # The parent's loops don't run in a child, though they say so.
        self.wires: Mapping[AbstractEventLoop, Wires] = {}
        self.lock = threading.Lock()

    def connect(self, loop: AbstractEventLoop) -> Wires:
        """Loop side: what it has, made where it has nothing yet."""
        with self.lock:
            wires = self.wires.get(loop)
            if wires is None:
                wires = Wires(loop)
                self.wires = {**self._others(loop), loop: wires}
            return wires

    def leave(self, loop: AbstractEventLoop) -> bool:
        """Loop side: forgets what it has. ``True``: it was the last one, no other loop that has called runs still.

        Of two that leave at the same time, one is the last.
        """
        with self.lock:
            self.wires = self._others(loop)
            return not self._any_runs()

    def any_runs(self) -> bool:
        """Whether a loop that has called, and has not left, runs still.

        The last one to leave ends what they share, and asks again after it, for another one may have come in between.
        A loop that comes connects first, and then opens what is shared. Either it connects after the question, and
        opens what has ended; or the answer is yes, and the one that leaves opens it again.
        """
        with self.lock:
            return self._any_runs()

    def _any_runs(self) -> bool:
        """Under the lock."""
        return any(other.is_running() for other in self.wires)

    def _others(self, loop: AbstractEventLoop) -> dict[AbstractEventLoop, Wires]:
        """Under the lock: without ``loop``, and without those that are closed, which may not have left."""
        return {
            other: wires for other, wires in self.wires.items() if other is not loop and not other.is_closed()
        }
