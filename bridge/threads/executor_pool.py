"""The user's own executor behind the interface of a pool. Its threads are the user's to start and to end.

Several may take a job: a thread of the executor; the pool, where the executor raises or is shut down; and the caller of
``withdraw()``. So each job has a ``_Turn``, and whoever takes the job out of there runs it, abandons it, or gives it
back. The same critical section takes it out of ``_turns``, where those that wait are counted: ``unfinished()`` is right
at any moment, and ``drain()`` ends. Nothing can be taken out of an executor's queue. The empty turn of a job that was
withdrawn stays there until a thread comes to it; the job does not.

All fields are guarded by ``_lock``, which is held for a few operations on them and never while anything is called.
"""

from __future__ import annotations  # threading.Lock is no type before 3.13

import functools
import threading
from collections import OrderedDict
from concurrent.futures import Executor, Future

from ..errors import Overloaded
from .fork import reset_after_fork
from .jobs import After, Job, Load, call_after, run_job

__all__ = ["ExecutorPool"]


class _Turn:
    """A job in the queue of an executor."""

    __slots__ = ("job", "number", "submitter")

    def __init__(self, job: Job, number: int) -> None:
        self.job: Job | None = job
        self.number = number
        # The thread that waits for submit(), which the job must not run on. Never changed.
        self.submitter = threading.get_ident()


class ExecutorPool:
    """At most ``backlog`` jobs, and one more, in the queue of ``executor``."""

    def __init__(self, executor: Executor, backlog: int) -> None:
        self._executor = executor
        self._backlog = backlog
        self._reset()
        reset_after_fork(self)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._turns: OrderedDict[Job, _Turn] = OrderedDict()  # of the jobs that wait
        self._running = 0
        self._come = 0  # jobs, ever: the number of the last one
        self._drained: list[After] = []

    def submit(self, job: Job) -> bool:
        """See ``ThreadPool.submit``. An executor does not tell how many threads are free, so what does not run waits.

        Raises:
            Overloaded: ``backlog`` jobs wait already.
            RuntimeError: the executor is shut down, or the system gives it no thread; or it runs jobs in ``submit()``,
                and does not keep what they raise.
        """
        with self._lock:
            if len(self._turns) > self._backlog:
                raise Overloaded(f"{self._backlog} requests wait for a thread of the executor")
            self._come += 1
            turn = self._turns[job] = _Turn(job, self._come)
        try:
            future = self._executor.submit(self._run, turn)
        except Exception:
            # The standard library's has queued the job when it finds that it can't start a thread for it.
            if self._take(turn) is None:
                return True  # and one of its threads has taken it, or it was withdrawn
            raise
        future.add_done_callback(functools.partial(self._settle, turn))
        return True

    def withdraw(self, job: Job) -> bool:
        """See ``ThreadPool.withdraw``."""
        with self._lock:
            turn = self._turns.get(job)
        return turn is not None and self._take(turn) is not None

    def open(self) -> None:
        """Ends each ``drain()`` that waits. Jobs come again, so it might never be without one."""
        with self._lock:
            drained, self._drained = self._drained, []
        for call in drained:
            call_after(call)

    def drain(self, drained: After) -> None:
        """Calls ``drained`` when no job is left, or by ``open()``."""
        with self._lock:
            self._drained.append(drained)
            calls = self._count()
        for call in calls:
            call_after(call)

    def unfinished(self) -> int:
        """How many jobs wait or run."""
        load = self.load()
        return load.running + load.waiting

    def load(self) -> Load:
        """What there is to do now."""
        with self._lock:
            first = next(iter(self._turns.values()), None)
            begun = self._come if first is None else first.number - 1
            return Load(self._running, len(self._turns), begun, self._come)

    def _count(self, running: int = 0) -> list[After]:
        """Under the lock: so many more run. Returns what has to be called outside it."""
        self._running += running
        if self._turns or self._running:
            return []
        drained, self._drained = self._drained, []
        return drained

    def _take(self, turn: _Turn, *, running: int = 0) -> Job | None:
        """The job, for the first who asks."""
        with self._lock:
            job, turn.job = turn.job, None
            if job is None:
                return None
            del self._turns[job]
            drained = self._count(running)
        for call in drained:
            call_after(call)
        return job

    # The threads of the executor.

    def _run(self, turn: _Turn) -> None:
        if threading.get_ident() == turn.submitter:
            # The submitter is a loop. A call on its thread would stop it, and wait for it for ever where the client
            # has to take something first. submit() raises this, or the executor keeps it for _settle().
            raise RuntimeError(
                "the executor ran the request inside its submit(), on the thread of the event loop; "
                "executor= has to be one whose threads run what is submitted"
            )
        job = self._take(turn, running=1)
        if job is None:
            return
        after = run_job(job)
        job = None  # who sees it counted out may look for what it has left
        with self._lock:
            drained = self._count(-1)
        for call in drained:
            call_after(call)
        if after is not None:
            call_after(after)

    def _settle(self, turn: _Turn, future: Future[None]) -> None:
        """The executor is done with the job, perhaps without running it: cancelled, or without a thread for it."""
        job = self._take(turn)
        if job is None:
            return
        error = None if future.cancelled() else future.exception()
        job.abandon(error or RuntimeError("the executor was shut down before it ran the request"))
