"""A loop of any kind for one request at a time, with no more than the interface to look at."""

import asyncio
import contextvars
import sys
import weakref
from collections.abc import AsyncGenerator, Coroutine
from typing import Any, TypeVar

from .threads import KeptExecutor

__all__ = ["OtherLoop"]

_T = TypeVar("_T")


class OtherLoop:
    """A loop of which nothing but the interface is known: of the user's ``loop_factory``, uvloop's for example, or
    asyncio's own where ``RequestLoop`` can't be.

    It can be told whether tasks, async generators, jobs of the default executor and settings are left on it. Timers,
    open transports and signal handlers can't be seen: they stay on the loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        # Any: the type of async generators does not have their frame.
        self._asyncgens: weakref.WeakSet[Any] = weakref.WeakSet()
        # asyncio would make one when it is first needed, and not tell.
        self._executor = KeptExecutor()
        loop.set_default_executor(self._executor)
        self._as_new = self._settings()
        self._note_at_begin()

    def begin(self, coro: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        """As ``RequestLoop.begin()``."""
        return self.loop.create_task(coro)

    def run_ready(self, task: asyncio.Task[Any] | None = None) -> bool:  # noqa: ARG002 - see below
        """As ``RequestLoop.run_ready()``: an unknown loop does not show what is ready."""
        return False

    def run(self) -> None:
        """``run_forever()``, and keep an eye on what it leaves."""
        self.loop.run_forever()
        self._note_at_begin()

    def _note_at_begin(self) -> None:
        """Have the next run begin with it, before any task, and keep nothing of the request until then."""
        self.loop.call_soon(self._note_asyncgens, context=contextvars.Context())

    def _note_asyncgens(self) -> None:
        # The loop has put its own hooks in place for this run, and takes them away at its end.
        hooks = sys.get_asyncgen_hooks()

        def firstiter(generator: AsyncGenerator[Any, Any]) -> None:
            self._asyncgens.add(generator)
            if hooks.firstiter is not None:
                hooks.firstiter(generator)

        sys.set_asyncgen_hooks(firstiter=firstiter)

    def settle(self) -> bool:
        """As ``RequestLoop.settle()``."""
        self.loop.call_soon(self.loop.stop)
        self.run()
        return not (
            not self._executor.idle
            or any(generator.ag_frame is not None for generator in self._asyncgens)
            or self._settings() != self._as_new
            or asyncio.all_tasks(self.loop)
        )

    def unfinished(self) -> set[asyncio.Task[Any]]:
        """As ``RequestLoop.unfinished()``."""
        return asyncio.all_tasks(self.loop)

    def _settings(self) -> tuple[object, ...]:
        loop = self.loop
        return loop.get_debug(), loop.get_task_factory(), loop.get_exception_handler()
