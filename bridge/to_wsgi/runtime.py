"""What an adapter has in one process for longer than a request: its loops, and its app's lifespan."""

import asyncio
import inspect
import logging
import os
import threading
from collections.abc import Mapping
from typing import Any, Literal

from ..errors import LifespanError
from ..lifespan import Lifespan, LifespanMode
from ..threads.tally import Tally
from ..types import ASGIApp
from .app_call import works_for
from .attempts import Attempts, closed_while
from .exchange import Exchange
from .lifespan_loop import shut_down_on_own, shut_down_on_shared, start_on_own, start_on_shared
from .loop_hints import LoopHints
from .loops.exit_and_fork import at_exit, in_forked_child
from .loops.kept import LoopFactory
from .loops.mode import LoopMode
from .loops.pool import LoopPool
from .loops.shared import SharedLoop
from .shared_loop import Running

__all__ = ["LifespanState", "Runtime"]

logger = logging.getLogger("bridge")

#: How far the app's lifespan is in this process; ``to_wsgi.stats`` says what each means.
LifespanState = Literal["off", "new", "starting", "running", "none", "failed", "closed"]


class Runtime:
    """What an adapter has in one process: its loops and the lifespan.

    The lifespan and its loop belong to the thread that tries to start the app, until the try is over. Then they belong
    to the one thread that ends everything; ``to_wsgi.attempts`` decides which one that is. ``started`` becomes true
    once, after everything that requests read here was set.
    """

    def __init__(
        self,
        app: ASGIApp,
        mode: LoopMode,
        loop_factory: LoopFactory | None,
        lifespan: LifespanMode,
        tally: Tally,
    ) -> None:
        self.pid = os.getpid()
        self.pool = LoopPool(loop_factory, tally) if mode == "request" else None
        self.started = False
        self.state: dict[str, Any] = {}
        self._app = app
        self._lifespan_mode: LifespanMode = lifespan
        self._loop_factory = loop_factory
        self._attempts = Attempts()
        self._shared: SharedLoop | None = None
        # Requests on the shared loop. Its thread alone changes the set.
        self.running = Running(tally)
        # Marks all work for this runtime: see ``to_wsgi.app_call.works_for()``.
        self._owner: object = self.running if self.pool is None else self.pool
        self._lifespan: Lifespan | None = None
        self._lifespan_loop: asyncio.AbstractEventLoop | None = None
        self.hints = LoopHints()

    def check_close(self) -> None:
        """Refuse a ``close()`` that would wait for its own caller.

        Raises:
            RuntimeError: as ``AsgiToWsgi.close()``.
        """
        if (
            (self._shared is not None and self._shared.is_current())
            or works_for(self._owner)
            or _interrupts(self, self._owner)
        ):
            raise RuntimeError(
                "an adapter can't be closed from inside one of its requests or its lifespan: it waits for them to "
                "end. Call close() when they have ended"
            )

    def shared_loop(self) -> SharedLoop:
        if self._shared is None:
            raise closed_while("it had requests")
        return self._shared

    @property
    def has_shared_loop(self) -> bool:
        """Whether it uses the process' shared loop now."""
        return self._shared is not None

    def progress(self) -> tuple[LifespanState, int]:
        """Any thread: how far the lifespan is, and how many tries to start it have failed."""
        phase, failures = self._attempts.progress()
        if phase != "started":
            return _LIFESPAN[phase], failures
        lifespan = self._lifespan  # taken away by the thread that has closed meanwhile
        return ("closed" if lifespan is None else "running" if lifespan.running else "none"), failures

    def start(self) -> None:
        """Start the loop and the lifespan, or wait until another request has.

        Raises:
            LifespanError: the startup failed.
            RuntimeError: the adapter is closed.
        """
        self._attempts.make(self._start, self._end)
        self.started = True

    def _start(self, limit: float | None) -> None:
        with _lock:
            # From here on there may be something to end at the interpreter's exit; close() takes it out again.
            _runtimes.add(self)
        if self.pool is None and self._shared is None:
            self._shared = SharedLoop.acquire(self._loop_factory)
        if self._lifespan_mode != "off":
            self._lifespan = lifespan = Lifespan(self._app, self._lifespan_mode)
            if self._shared is not None:
                start_on_shared(lifespan, self._shared, self._attempts, limit, self._owner)
            else:
                try:
                    started = start_on_own(lifespan, self._loop_factory, self._attempts, limit, self._owner)
                except LifespanError as exc:
                    # A second try is on another loop than the first.
                    self.hints.error(exc, "lifespan.startup")
                    raise
                if started is not None:
                    self._lifespan_loop, left = started
                    self.hints.after_startup(left)
            self.state = lifespan.state
        if self._lifespan_loop is None and self._shared is None:
            # The loops close themselves with their pool.
            with _lock:
                _runtimes.discard(self)

    def close(self) -> None:
        """End everything; a second call does nothing. A startup that is under way is told to end."""
        if self.pid == os.getpid() and self._attempts.close():
            self._end()

    def _end(self) -> None:
        lifespan, loop, shared = self._lifespan, self._lifespan_loop, self._shared
        self._lifespan = self._lifespan_loop = self._shared = None
        try:
            if self.pool is not None:
                self.pool.close()
            if shared is not None:
                shut_down_on_shared(lifespan, shared, self.running)
            elif lifespan is not None and loop is not None:
                shut_down_on_own(lifespan, loop)
                if lifespan.error is not None:
                    self.hints.error(lifespan.error, "lifespan.shutdown")
        finally:
            if shared is not None:
                shared.release()
            with _lock:
                _runtimes.discard(self)


def _interrupts(runtime: Runtime, owner: object) -> bool:
    """Whether this call was made from within the adapter's own work in this thread, as a signal handler's is."""
    frame = inspect.currentframe()
    # Two things that would keep what is not ours. A variable with this frame itself, which would then keep itself and
    # all its callers. And f_locals of a frame of others: before Python 3.13 its variables live on in it to its end.
    while frame is not None:
        frame = frame.f_back
        if frame is None or not str(frame.f_globals.get("__name__")).startswith(_PACKAGE):
            continue
        caller = frame.f_locals.get("self")
        if isinstance(caller, Exchange):
            if caller.owner is owner:
                return True
        elif caller is runtime and frame.f_code.co_name == "start":
            return True
    return False


_PACKAGE = f"{__package__}."

#: The phases of ``to_wsgi.attempts`` in which the app is not served.
_LIFESPAN: Mapping[str, LifespanState] = {
    "new": "new",
    "trying": "starting",
    "failed": "failed",
    "ending": "closed",
    "left": "closed",
    "closed": "closed",
}

# Guards _runtimes. It may be held by a thread that does not exist in a forked child. It is reentrant, for a signal
# handler that closes another adapter may have interrupted the thread that holds it.
_lock = threading.RLock()
# What is to be ended at the interpreter's exit.
_runtimes: set[Runtime] = set()


def _close_all() -> None:
    with _lock:
        runtimes = list(_runtimes)
    for runtime in runtimes:
        try:
            runtime.close()
        except (Exception, SystemExit):
            # The others have their shutdown all the same; the process ends anyway.
            logger.exception("an application's shutdown failed at exit")


def _after_fork() -> None:
    global _lock  # noqa: PLW0603
    _lock = threading.RLock()


at_exit(_close_all)
in_forked_child(_after_fork)
