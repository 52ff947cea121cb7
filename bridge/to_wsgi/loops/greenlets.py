"""gevent and eventlet: processes in which greenlets have taken the place of threads.

All greenlets run in one thread, by turns: one that would block lets another run, because the library has patched what
blocks. asyncio keeps the running loop for each thread, so that a loop in one request's greenlet is in the way of all
other requests. One loop in a greenlet of its own is not, and what waits for it waits as greenlets do.

Neither library is imported here: who has patched a process has imported it.
"""

import asyncio
import select
import sys
from collections.abc import Callable
from typing import Any

from .asyncio_names import missing_names, running_loop

__all__ = ["GreenletLoop", "original_poll", "patched_by"]


def patched_by() -> str | None:
    """The library that has patched this process, ``"gevent"`` or ``"eventlet"``; ``None`` for one with threads."""
    monkey = sys.modules.get("gevent.monkey")
    # Without patched threads, a patched select() is enough for two requests to meet in one thread.
    if monkey is not None and any(map(monkey.is_module_patched, ("threading", "select"))):
        return "gevent"
    patcher = sys.modules.get("eventlet.patcher")
    if patcher is not None and any(map(patcher.is_monkey_patched, ("thread", "select"))):
        return "eventlet"
    return None


def original_poll() -> Callable[[], Any] | None:
    """``select.poll`` as the system has it; theirs knows some of the events alone, or is missing."""
    match patched_by():
        case "gevent":
            poll = sys.modules["gevent.monkey"].get_original("select", "poll")
        case "eventlet":
            poll = getattr(sys.modules["eventlet.patcher"].original("select"), "poll", None)
        case _:
            poll = getattr(select, "poll", None)
    found: Callable[[], Any] | None = poll
    return found


class GreenletLoop(asyncio.SelectorEventLoop):
    """asyncio's loop for a greenlet: the running loop in its own greenlet alone.

    To asyncio it would be that of the whole thread, while it waits and while a coroutine starts a thread or blocks. All
    that has its turn in the meantime would be told that it is in a coroutine of this loop: Django refuses the database
    there, asgiref's ``async_to_sync`` and ``asyncio.run()`` refuse at all.
    """

    def run_forever(self) -> None:
        if missing_names():
            super().run_forever()
            return
        turns = _Turns(self)
        turns.begin()
        try:
            super().run_forever()
        finally:
            turns.end()


class _Turns:
    """The turns of one loop's greenlet: what asyncio has for the thread goes along with it, the running loop and its
    current task.

    A thread's greenlets tell one function of each switch, after it; whose it was before is called as well. All of this
    belongs to the thread. Two loops never switch to each other: in between comes the library's hub.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._greenlets: Any = sys.modules["greenlet"]
        self._mine = self._greenlets.getcurrent()
        self._before: Callable[[str, Any], object] | None = None
        # The loop ran when its greenlet's turn was over, with this task.
        self._running = False
        self._task: asyncio.Task[Any] | None = None
        # What else runs in the thread meanwhile.
        self._other: asyncio.AbstractEventLoop | None = None

    def begin(self) -> None:
        self._before = self._greenlets.settrace(self._switched)

    def end(self) -> None:
        self._mine = None
        # Who has put another function in front of this one goes on calling it.
        if self._greenlets.gettrace() == self._switched:
            self._greenlets.settrace(self._before)

    def _switched(self, event: str, greenlets: tuple[object, object]) -> None:
        if self._before is not None:
            self._before(event, greenlets)
        origin, target = greenlets
        if origin is self._mine:
            self._step_aside()
        elif target is self._mine:
            self._come_back()

    def _step_aside(self) -> None:
        self._running = running_loop() is self._loop
        if self._running:
            self._task = asyncio.current_task(self._loop)
            if self._task is not None:
                asyncio._leave_task(self._loop, self._task)
            asyncio._set_running_loop(self._other)

    def _come_back(self) -> None:
        if self._running:
            self._other = running_loop()
            asyncio._set_running_loop(self._loop)
            if self._task is not None:
                asyncio._enter_task(self._loop, self._task)
                self._task = None
