"""Worker threads: started when needed, capped, drained at shutdown.

What it guarantees:

- No thread exists before the first job; there are never more than ``threads``; one that has had nothing to do for
  ``idle`` seconds ends. The thread that was idle last works first, so that the others can end.
- A job runs once, on one thread, or its ``abandon()`` is called; it never waits for ever in a pool that could run it.
- At most ``backlog`` jobs wait for a thread; ``submit()`` of one more raises ``Overloaded``, and changes nothing.
- A child made by ``fork()`` starts with an empty pool: the parent's threads don't exist in it.

How jobs meet threads. All waiting jobs are in one queue, and a thread that ends a job takes the next one from there
itself, without being woken: under load that is how nearly all jobs are taken. Waking (or starting) a thread is left for
when it is needed: a thread is "searching" from when it was woken, started, or ended a job, until it has looked at the
queue, and as long as somebody is searching, ``submit()`` wakes nobody. A searching thread that takes a job and leaves
others behind recruits the next one. So:

    invariant: if a job waits, and a thread is idle or may be started, then somebody is searching.

It makes 32 short jobs cost two or three wake-ups rather than 32, and 32 long ones start one after the other, each by
the one before.

Threads are daemons: ``drain()`` is the orderly end, and a job that hangs must not keep the process from ending.
All fields are guarded by ``_lock``, which is held for a few operations on them and never while anything is called.
"""

from __future__ import annotations  # threading.Lock is no type before 3.13

import logging
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Final, Literal, Protocol

from .errors import Overloaded

__all__ = ["ExecutorPool", "Job", "Pool", "ThreadPool"]

logger = logging.getLogger("bridge")

After = Callable[[], None]


class Job(Protocol):
    """What a pool runs; neither method may raise."""

    def run(self) -> After | None:
        """Does the work. What it returns is called when the thread has counted itself free.

        That is the place to tell others that the work is done: what they submit in answer finds this thread free,
        and no second one is woken for it.
        """

    def abandon(self, error: BaseException) -> None:
        """Called instead of ``run()`` where no thread could be had."""


class Pool(Protocol):
    """What the adapters need of a pool."""

    def submit(self, job: Job) -> bool: ...
    def open(self) -> None: ...
    def drain(self, drained: After) -> None: ...
    def unfinished(self) -> int: ...


class _Worker:
    """A thread's place to sleep. The gate is closed but between ``wake()`` and the end of ``sleep()``."""

    __slots__ = ("_gate",)

    def __init__(self) -> None:
        self._gate = threading.Lock()
        self._gate.acquire()

    def wake(self) -> None:
        self._gate.release()

    def sleep(self, timeout: float = -1) -> bool:
        """Until woken; ``False`` if that did not happen within ``timeout`` seconds."""
        return self._gate.acquire(timeout=timeout)


_NEW: Final = "new"


class ThreadPool:
    """At most ``threads`` threads, and at most ``backlog`` jobs that wait for one."""

    def __init__(self, threads: int, backlog: int, *, name: str = "bridge", idle: float = 10.0) -> None:
        self._limit = threads
        self._backlog = backlog
        self._name = name
        self._idle_seconds = idle
        self._reset()
        _pools.add(self)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._jobs: deque[Job] = deque()
        self._idle: list[_Worker] = []
        self._threads = 0  # started and not ended
        self._searching = 0
        self._started = 0  # ever, for names
        self._closing = False
        self._drained: list[After] = []

    def __repr__(self) -> str:
        with self._lock:
            return (
                f"<{type(self).__name__} {self._name!r}: {self._threads} of {self._limit} threads, "
                f"{len(self._idle)} idle, {len(self._jobs)} jobs waiting>"
            )

    def submit(self, job: Job) -> bool:
        """Has ``job`` run by a thread. ``True``: all are busy, and it waits for one of them.

        Raises:
            Overloaded: ``backlog`` jobs wait already.
            RuntimeError: the system gives no thread, and there is none yet.
        """
        with self._lock:
            free = len(self._idle) + self._searching + self._limit - self._threads
            if len(self._jobs) >= free + self._backlog:
                raise Overloaded(f"{self._limit} threads are busy and {self._backlog} requests wait")
            waits = len(self._jobs) >= free
            self._jobs.append(job)
            recruit = self._recruit()
        if recruit is not None:
            self._call_up(recruit)
        return waits

    def open(self) -> None:
        """Keeps idle threads again, after a ``drain()``."""
        with self._lock:
            self._closing = False

    def drain(self, drained: After) -> None:
        """Ends the threads as soon as no job is left, and then calls ``drained``, on the last of them or here.

        Jobs that wait are still run, and so are new ones; only no thread stays idle.
        """
        with self._lock:
            self._closing = True
            woken, self._idle = self._idle, []
            self._searching += len(woken)
            done = self._threads == 0
            if not done:
                self._drained.append(drained)
        for worker in woken:
            worker.wake()
        if done:
            drained()

    def unfinished(self) -> int:
        """How many jobs wait or run."""
        with self._lock:
            return len(self._jobs) + self._threads - len(self._idle) - self._searching

    def _recruit(self) -> _Worker | Literal["new"] | None:
        """Under the lock: who has to be called up, outside it, for the invariant to hold."""
        if self._searching or not self._jobs:
            return None
        if self._idle:
            self._searching = 1
            return self._idle.pop()
        if self._threads < self._limit:
            self._searching = 1
            self._threads += 1
            self._started += 1
            return _NEW
        return None

    def _call_up(self, recruit: _Worker | Literal["new"]) -> None:
        if isinstance(recruit, _Worker):
            recruit.wake()
            return
        thread = threading.Thread(target=self._work, name=f"{self._name}-{self._started}", daemon=True)
        try:
            thread.start()
        except RuntimeError as exc:  # the system's limit of threads
            with self._lock:
                self._threads -= 1
                self._searching -= 1
                # With threads at work, they take what waits. With none, nobody would.
                stranded = [] if self._threads else list(self._jobs)
                if stranded:
                    self._jobs.clear()
            logger.exception("no new worker thread")
            for job in stranded:
                job.abandon(exc)

    # The threads themselves.

    def _work(self) -> None:
        """A thread's life; it comes here counted in ``_threads`` and in ``_searching``."""
        me = _Worker()
        while True:
            job = recruit = None
            with self._lock:
                self._searching -= 1
                if self._jobs:
                    job = self._jobs.popleft()
                    recruit = self._recruit()
                elif not self._closing:
                    self._idle.append(me)
                else:
                    break
            if job is not None:
                if recruit is not None:
                    self._call_up(recruit)
                self._run(job)
                del job  # the request's memory is not kept while this thread sleeps
            elif not me.sleep(self._idle_seconds) and not self._called_up(me):
                break
        self._leave()

    def _run(self, job: Job | None) -> None:
        """Runs ``job`` and then what waits; at the end this thread is searching."""
        while job is not None:
            try:
                after = job.run()
            except BaseException:
                # Against the rule; but the counts must stay right, and the other requests have a thread.
                logger.exception("a job raised")
                after = None
            with self._lock:
                if self._jobs:
                    job = self._jobs.popleft()
                else:
                    job = None
                    self._searching += 1
            if after is not None:
                after()
                del after

    def _called_up(self, me: _Worker) -> bool:
        """Slept long enough; ``True`` if somebody has called us up at this very moment."""
        with self._lock:
            if me in self._idle:
                self._idle.remove(me)
                return False
        me.sleep()  # whoever took us from the list opens the gate
        return True

    def _leave(self) -> None:
        drained: list[After] = []
        with self._lock:
            self._threads -= 1
            if self._threads == 0:
                drained, self._drained = self._drained, drained
        for call in drained:
            call()


class ExecutorPool:
    """The user's own executor behind the interface of a pool; its threads are the user's to end."""

    def __init__(self, executor: Executor, backlog: int) -> None:
        self._executor = executor
        self._backlog = backlog
        self._reset()
        _pools.add(self)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._waiting = 0
        self._running = 0
        self._drained: list[After] = []

    def submit(self, job: Job) -> bool:
        """See ``ThreadPool.submit``. An executor does not tell how many threads are free: what does not run, waits.

        Raises:
            Overloaded: ``backlog`` jobs wait already.
            RuntimeError: the executor is shut down.
        """
        with self._lock:
            if self._waiting > self._backlog:
                raise Overloaded(f"{self._backlog} requests wait for a thread of the executor")
            self._waiting += 1
        try:
            future = self._executor.submit(self._run, job)
        except BaseException:
            self._count(waiting=-1)
            raise

        def settle(future: Future[None]) -> None:
            # Jobs don't raise, so only one that never ran ends otherwise than well: cancelled by
            # shutdown(cancel_futures=True), or given to an executor whose threads can't start.
            if future.cancelled():
                error: BaseException | None = RuntimeError(
                    "the executor was shut down before it ran the request"
                )
            else:
                error = future.exception()
            if error is not None:
                self._count(waiting=-1)
                job.abandon(error)

        future.add_done_callback(settle)
        return True

    def _run(self, job: Job) -> None:
        self._count(waiting=-1, running=1)
        try:
            after = job.run()
        except BaseException:
            # As in ThreadPool; and settle() would take it for one that never ran.
            logger.exception("a job raised")
            after = None
        self._count(running=-1)
        if after is not None:
            after()

    def open(self) -> None:
        """Nothing to keep."""

    def drain(self, drained: After) -> None:
        """Calls ``drained`` when no job is left."""
        with self._lock:
            self._drained.append(drained)
        self._count()

    def unfinished(self) -> int:
        """How many jobs wait or run."""
        with self._lock:
            return self._waiting + self._running

    def _count(self, *, waiting: int = 0, running: int = 0) -> None:
        drained: list[After] = []
        with self._lock:
            self._waiting += waiting
            self._running += running
            if self._waiting == self._running == 0:
                drained, self._drained = self._drained, drained
        for call in drained:
            call()


_pools: weakref.WeakSet[ThreadPool | ExecutorPool] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    # Only this thread exists here, and another one may have held a lock when the parent forked.
    for pool in list(_pools):
        pool._reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
