"""What the log says of an app that wants one lasting loop, where each request has a loop of its own.

Such an app fails in many ways: a session that is not found, a page that hangs, a queue that nobody takes from. Seldom
does the error name the cause, which can be seen from here:

- tasks that the startup has left on the lifespan's loop, which is not run between startup and shutdown;
- tasks that a request has left on its loop, which are cancelled at its end;
- an error that says itself that something belongs to another loop, of a request, a shutdown, or a startup that is
  tried again.

Each is said once for an adapter in a process. Two threads that meet in here may say it twice, which is harmless.
"""

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

from .app_errors import chain

__all__ = ["LoopHints", "names_of"]

logger = logging.getLogger("bridge")

_REMEDY = "AsgiToWsgi(app, loop='shared') has one loop for all"
# Names of tasks in one line.
_MOST = 5

# What asyncio and its users say when something of one loop is used on another.
_LOOP_BOUND = (
    "attached to a different loop",
    "Event loop is closed",
    "bound to a different loop",
    "different event loop",
)


class LoopHints:
    """Of one adapter with ``loop="request"``."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def _first(self, kind: str) -> bool:
        first = kind not in self._said
        self._said.add(kind)
        return first

    def error(self, error: BaseException, request: str) -> None:
        """An app raised ``error``; ``request``: in which one, or in which part of its lifespan."""
        if not self._is_loop_bound(error) or not self._first("error"):
            return
        logger.error(
            "%s: the application uses something on one event loop that belongs to another (%r). Each request has a "
            "loop of its own here; %s",
            request,
            error,
            _REMEDY,
        )

    def after_startup(self, tasks: Iterable["asyncio.Task[Any]"]) -> None:
        """The startup is complete, and has left ``tasks``."""
        if (names := names_of(tasks)) and self._first("startup"):
            logger.warning(
                "the application's startup has left tasks (%s), which do not run while requests are served: each "
                "request has a loop of its own here; %s",
                names,
                _REMEDY,
            )

    def after_request(self, tasks: Iterable["asyncio.Task[Any]"], request: str) -> None:
        """A request is over, and has left ``tasks``."""
        if (names := names_of(tasks)) and self._first("request"):
            logger.warning(
                "%s: the application has left tasks (%s), which are cancelled with the loop of their request; %s",
                request,
                names,
                _REMEDY,
            )

    @staticmethod
    def _is_loop_bound(error: BaseException) -> bool:
        return any(
            isinstance(exc, RuntimeError) and any(text in str(exc) for text in _LOOP_BOUND)
            for exc in chain(error)
        )


def names_of(tasks: Iterable["asyncio.Task[Any]"]) -> str:
    """What ``tasks`` run, for a log: the names of their coroutines."""
    names = sorted({getattr(task.get_coro(), "__qualname__", None) or task.get_name() for task in tasks})
    return ", ".join(names[:_MOST]) + (", ..." if len(names) > _MOST else "")
