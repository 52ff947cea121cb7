"""The private names of asyncio that the bridge uses, as data, and whether this Python has them.

``RequestLoop`` is asyncio's own loop, run a round at a time, and asyncio has no public way to that. So what it leans on
is listed here and nowhere else. The list is compared once with what asyncio has; where a name is missing or is
something else than it was, the bridge runs loops in asyncio's public way (``OtherLoop``), which is slower.

Read in the sources of CPython 3.11 to 3.15: all of them have each of these.
"""

import asyncio
import asyncio.base_events
import functools
import logging
import threading
import weakref
from collections import deque
from collections.abc import Callable
from types import NoneType
from typing import Any, Protocol, runtime_checkable

__all__ = ["LOOP", "missing_names", "root_mark", "running_loop"]

logger = logging.getLogger("bridge")


@runtime_checkable
class _Selector(Protocol):
    """eventlet has a module ``selectors`` of its own."""

    def select(self, timeout: float | None = None) -> object: ...
    def get_map(self) -> object: ...


#: Of a new ``asyncio.SelectorEventLoop``: what each attribute is.
LOOP: dict[str, type] = {
    # What is to be called: now, later.
    "_ready": deque,
    "_scheduled": list,
    "_timer_cancelled_count": int,
    # The state of a run.
    "_selector": _Selector,
    "_stopping": bool,
    "_thread_id": NoneType,
    "_asyncgen_firstiter_hook": Callable,  # type: ignore[dict-item] # isinstance() takes it
    "_asyncgen_finalizer_hook": Callable,  # type: ignore[dict-item]
    # What a request can leave behind or change.
    "_asyncgens": weakref.WeakSet,
    "_asyncgens_shutdown_called": bool,
    "_closed": bool,
    "_debug": bool,
    "_default_executor": NoneType,
    "_exception_handler": NoneType,
    "_executor_shutdown_called": bool,
    "_signal_handlers": dict,
    "_task_factory": NoneType,
    "slow_callback_duration": float,
}
# Of a timer, which is a handle.
_HANDLE: dict[str, type] = {
    "_cancelled": bool,
    "_run": Callable,  # type: ignore[dict-item]
    "_scheduled": bool,
}
# Of asyncio itself.
_MODULE = ("_get_running_loop", "_set_running_loop", "_enter_task", "_leave_task")
# For a root task alone, which a loop can be without: of a task; of asyncio.base_events; of threading.
_TASK = ("_callbacks", "_log_destroy_pending")
_MARK = "_run_until_complete_cb"
_AT_EXIT = "_register_atexit"

_NOTHING = object()


@functools.cache
def missing_names() -> tuple[str, ...]:
    """The names of asyncio that are not what they were; they are logged, once."""
    missing = _compare()
    if missing:
        logger.warning(
            "the asyncio of this Python has no %s as the bridge knows it: a loop for each request is run in "
            "asyncio's public way, which takes longer",
            ", ".join(missing),
        )
    return missing


def _compare() -> tuple[str, ...]:
    loop = sample()
    try:
        timer = loop.call_later(1, int)
        timer.cancel()
        missing = [
            *_unlike(loop, LOOP),
            *_unlike(timer, _HANDLE),
            *(name for name in _MODULE if not callable(getattr(asyncio, name, None))),
        ]
    finally:
        loop.close()
    return tuple(missing)


def sample() -> Any:
    """A loop to look at."""
    return asyncio.SelectorEventLoop()


def _unlike(thing: object, names: dict[str, type]) -> list[str]:
    return [name for name, kind in names.items() if not isinstance(getattr(thing, name, _NOTHING), kind)]


def root_mark() -> Callable[[asyncio.Task[Any]], object] | None:
    """The callback by which anyio tells a loop's root task; ``None`` where asyncio has no such thing.

    anyio takes the task for it that ``run_until_complete()`` runs. Without a root task nothing but time is lost; with
    one, anyio's threads have to be ended before the interpreter waits for them at its exit, and only ``threading``
    knows that moment.
    """
    if not (all(hasattr(asyncio.Task, name) for name in _TASK) and hasattr(threading, _AT_EXIT)):
        return None
    mark: Callable[[asyncio.Task[Any]], object] | None
    mark = getattr(asyncio.base_events, _MARK, None)
    return mark


def _get_running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


#: The loop that runs in this thread, or ``None``. asyncio's own says it without an exception.
running_loop: Callable[[], asyncio.AbstractEventLoop | None]
running_loop = getattr(asyncio, "_get_running_loop", _get_running_loop)
