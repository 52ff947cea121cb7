"""What worker threads run, what the adapters need of those who have the threads, and a function as a job."""

import asyncio
import logging
from collections.abc import Callable
from typing import NamedTuple, Protocol

from .mailbox import Mailbox

__all__ = ["After", "Job", "Load", "Pool", "call_after", "run_in", "run_job"]

logger = logging.getLogger("bridge")

#: What is called after a job, when its thread is free again.
After = Callable[[], None]


class Job(Protocol):
    """What a pool runs; neither method may raise. It is submitted once, and equals no other one."""

    def run(self) -> After | None:
        """Does the work. What it returns is called when the thread has counted itself free.

        That is the place to tell others that the work is done: what they submit in answer finds this thread free,
        and no second one is woken for it.
        """

    def abandon(self, error: BaseException) -> None:
        """Is called instead of ``run()`` where no thread could be had."""


class Load(NamedTuple):
    """What a pool has to do at one moment."""

    #: Jobs that run.
    running: int
    #: Jobs that wait for a thread.
    waiting: int
    #: Jobs that came before the first one that waits, ever; all that came, where none waits. It never gets smaller.
    begun: int
    #: Jobs that came, ever.
    come: int
    #: Threads that are there, busy or not. ``None``: an executor has them, which doesn't tell.
    threads: int | None = None


class Pool(Protocol):
    """What the adapters need of a pool; ``ThreadPool`` says what each method does."""

    def submit(self, job: Job) -> bool: ...
    def withdraw(self, job: Job) -> bool: ...
    def open(self) -> None: ...
    def drain(self, drained: After) -> None: ...
    def unfinished(self) -> int: ...
    def load(self) -> Load: ...


# For the pools.


def run_job(job: Job) -> After | None:
    """Runs ``job``, and logs it if it breaks the rule that it may not raise."""
    try:
        return job.run()
    except BaseException:
        # The counts must stay right, and the other requests have a thread.
        logger.exception("a job raised, which is a fault of the bridge: %r", job)
        return None


def call_after(after: After) -> None:
    """Calls what a job has returned, in the same way."""
    try:
        after()
    except BaseException:
        logger.exception("what tells that a job is done raised, which is a fault of the bridge: %r", after)


# For those who have work.


class _Run:
    """A job that calls ``function``; ``future`` gets its end."""

    __slots__ = ("_error", "_function", "_future", "_mailbox")

    def __init__(
        self, function: Callable[[], None], future: "asyncio.Future[None]", mailbox: Mailbox
    ) -> None:
        self._function = function
        self._future: asyncio.Future[None] | None = future
        self._mailbox = mailbox
        self._error: BaseException | None = None

    def __repr__(self) -> str:
        # It writes to the disk, and knows no request.
        return f"<_Run {self._function!r}>"

    def run(self) -> After:
        try:
            self._function()
        except BaseException as exc:  # noqa: BLE001  # it is raised where the future is awaited
            self._error = exc
        return self._tell

    def abandon(self, error: BaseException) -> None:
        self._error = error
        self._tell()

    def _tell(self) -> None:
        # The error's traceback leads to this object, by the frame of run(). From here nothing may lead to the error.
        future, self._future = self._future, None
        error, self._error = self._error, None
        if future is not None:
            self._mailbox.post(future, error)


def run_in(pool: Pool, mailbox: Mailbox, function: Callable[[], None]) -> "asyncio.Future[None]":
    """On the loop of ``mailbox``: has a thread of ``pool`` call ``function``; the future has its end there."""
    future: asyncio.Future[None] = mailbox.loop.create_future()
    pool.submit(_Run(function, future, mailbox))
    return future
