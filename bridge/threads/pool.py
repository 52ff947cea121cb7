"""Worker threads: started when needed, capped, kept until the shutdown.

What it guarantees:

- No thread exists before the first job. One more is started only where a job waits and no thread is free. There are
  never more than ``threads``.
- A thread stays until ``drain()``. Apps keep things for each thread and count on threads that stay, as those of
  gunicorn, waitress and mod_wsgi do. Django keeps one connection to each database, in a circle of references: a thread
  that ended would leave it open until the garbage collector comes by, and the next thread would open another.
- The thread that was busy last works first. An app with little to do sees one thread, whose connections are fresh.
- Of each job one thing happens: one thread runs it, once; or its ``abandon()`` is called; or ``withdraw()`` takes it
  back. It never waits for ever in a pool that could run it.
- At most ``backlog`` jobs wait for a thread. ``submit()`` of one more raises ``Overloaded``, and changes nothing.
- Threads that sleep don't keep the pool alive. They end when it is collected: an adapter that is dropped without a
  shutdown, as tests and servers without lifespan do, leaves no thread.
- A child made by ``fork()`` starts with an empty pool: the parent's threads don't exist in it.

All pools of the adapters are of this one kind. The threads of WebSockets run the app too, which keeps the same things
for them. After a busy hour they sleep, at some 15 KiB each, and the next hour opens no connection anew. Of the threads
that write files there are two; to end them would gain nothing.

How jobs meet threads. All waiting jobs are in one queue. A thread that ends a job takes the next one from there itself,
without being woken; under load nearly all jobs are taken so. To wake a thread, or to start one, is left for when it is
needed. A thread is *searching* from when it was woken, was started, or ended a job, until it has looked at the queue.
As long as somebody is searching, ``submit()`` wakes nobody. A searching thread that takes a job and leaves others
behind recruits the next one. So, whenever nobody holds the lock:

    invariant: if a job waits, and a thread is idle or may be started, then somebody is searching;
               if a job waits, there is a thread.

So 32 short jobs cost two or three wake-ups rather than 32, and 32 long ones start one after the other, each by the one
before. A thread that finds the queue empty decides to sleep, or to end, in the same critical section, and counts itself
as idle, or out: a job that comes next sees it so. Where a thread can't be started, an idle one is woken in its place.
The busy ones take what waits when they have time. If there is no thread at all, the jobs are abandoned; the next
``submit()`` tries to start one again.

Who has a job. A job that waits is in ``_jobs``. Whoever takes it out of there, under the lock, has to settle it: the
thread that runs it, the one that abandons what no thread could be had for, or the caller of ``withdraw()``. The others
don't find it any more. A job that is withdrawn leaves at once: it counts no more for the backlog, and its memory is not
kept until its turn would have come. Nobody is woken or told. A queue that gets shorter can't break the invariant, and a
thread that was called up for that job finds none, and sleeps: that happens also where another thread was quicker.

Jobs may be withdrawn from anywhere in the queue, so they don't leave it in the order in which they came. Each has its
number for that. The number of the first one that waits tells how many came before it: ``Load.begun``. ``_jobs`` is an
``OrderedDict``: its first entry, and any other, is taken out at the same price, however many there are.

Who holds whom. A thread sleeps at a gate of its own, and holds nothing else. What comes through the gate is the pool,
for the thread to search in. So a pool with a job for somebody is held by that gate, and then by the thread, until the
thread sleeps again. Once nobody holds the pool, all its threads are asleep and no job waits. Then each gets ``None`` by
its weak reference. That happens wherever the garbage collector runs, perhaps within a critical section of another
pool or a ``put()`` to the same gate, so it takes no lock, and the gate is a ``SimpleQueue``, whose ``put()`` is made
for that.

Threads are daemons: ``drain()`` is the orderly end, and a job that hangs must not keep the process from ending.
All fields are guarded by ``_lock``, which is held for a few operations on them and never while anything is called.
"""

from __future__ import annotations  # threading.Lock is no type before 3.13

import contextvars
import logging
import threading
import weakref
from collections import OrderedDict
from contextlib import AbstractContextManager
from queue import SimpleQueue
from typing import Protocol

from ..errors import Overloaded
from .fork import reset_after_fork
from .jobs import After, Job, Load, call_after, run_job

__all__ = ["Gate", "ThreadPool"]

logger = logging.getLogger("bridge")


class Gate(Protocol):
    """A thread's place to sleep; each ``get()`` takes what one ``put()`` brought, or waits for it."""

    def put(self, item: ThreadPool | None, /) -> None: ...
    def get(self) -> ThreadPool | None: ...


def _work(gate: Gate) -> None:
    """A thread's life. The pool that it gets is counted on to search, and is not held while it sleeps."""
    pool = gate.get()
    if pool is None:
        return
    _end = weakref.ref(pool, lambda _: gate.put(None))
    while pool is not None and pool._serve(gate):
        pool = None
        pool = gate.get()


class ThreadPool:
    """At most ``threads`` threads, and at most ``backlog`` jobs that wait for one."""

    def __init__(self, threads: int, backlog: int, *, name: str = "bridge") -> None:
        self._limit = threads
        self._backlog = backlog
        self._name = name
        self._reset()
        reset_after_fork(self)

    def _reset(self) -> None:
        self._lock = self._make_lock()
        self._jobs: OrderedDict[Job, int] = OrderedDict()  # those that wait, each with its number
        self._idle: list[Gate] = []
        self._threads = 0  # counted in by whoever starts one, and out by itself, or where it can't be started
        self._searching = 0
        self._started = 0  # ever, for names
        self._come = 0  # jobs, ever: the number of the last one
        self._closing = False
        self._drained: list[After] = []

    # What it is made of. A test puts others in their place, which run in every possible order.

    def _make_lock(self) -> AbstractContextManager[object]:
        return threading.Lock()

    def _make_gate(self) -> Gate:
        return SimpleQueue()

    def _start(self, gate: Gate, name: str) -> None:
        thread = threading.Thread(target=_work, args=(gate,), name=name, daemon=True)
        # On free-threaded builds, from 3.14 on, a thread keeps a copy of the context that it is started in, which here
        # is that of one request.
        contextvars.Context().run(thread.start)

    def __repr__(self) -> str:
        with self._lock:
            return (
                f"<{type(self).__name__} {self._name!r}: {self._threads} of {self._limit} threads, "
                f"{len(self._idle)} idle, {len(self._jobs)} jobs waiting>"
            )

    def submit(self, job: Job) -> bool:
        """Has ``job`` run by a thread. ``True``: all are busy, and it waits for one of them.

        Where the system gives no thread, and there is none yet, the job is abandoned.

        Raises:
            Overloaded: ``backlog`` jobs wait already.
        """
        with self._lock:
            free = len(self._idle) + self._searching + self._limit - self._threads
            if len(self._jobs) >= free + self._backlog:
                raise Overloaded(f"{self._limit} threads are busy and {self._backlog} requests wait")
            waits = len(self._jobs) >= free
            self._come += 1
            self._jobs[job] = self._come
            recruit = self._recruit()
        if recruit is not None:
            self._call_up(recruit)
        return waits

    def withdraw(self, job: Job) -> bool:
        """Takes ``job`` back, if it still waits. ``True``: it will neither run nor be abandoned. The caller settles it.

        ``False``: it runs, has run, was abandoned or withdrawn, or was never submitted. Nothing changes.
        """
        with self._lock:
            return self._jobs.pop(job, None) is not None

    def open(self) -> None:
        """Keeps threads again, after a ``drain()``, or in the middle of one.

        Whoever waits for the end of that drain is told here. It would not come by itself, for threads stay.
        """
        with self._lock:
            self._closing = False
            drained, self._drained = self._drained, []
        for call in drained:
            call_after(call)

    def drain(self, drained: After) -> None:
        """Ends the threads as soon as no job is left. Then calls ``drained``, on the last of them or here.

        Jobs that wait are still run, and so are new ones; only no thread stays idle. An ``open()`` that comes before
        the end of the drain takes it back, and calls ``drained``.
        """
        with self._lock:
            self._closing = True
            woken, self._idle = self._idle, []
            self._searching += len(woken)
            done = self._threads == 0
            if not done:
                self._drained.append(drained)
        for gate in woken:
            gate.put(self)
        if done:
            drained()

    def unfinished(self) -> int:
        """How many jobs wait or run."""
        load = self.load()
        return load.running + load.waiting

    def load(self) -> Load:
        """What there is to do now."""
        with self._lock:
            running = self._threads - len(self._idle) - self._searching
            first = next(iter(self._jobs.values()), self._come + 1)
            return Load(running, len(self._jobs), first - 1, self._come, self._threads)

    def _recruit(self) -> Gate | str | None:
        """Under the lock: whom ``_call_up()`` has to call, outside it, so that the invariant holds.

        An idle thread is told by its gate, a new one by its name.
        """
        if self._searching or not self._jobs:
            return None
        if self._idle:
            self._searching = 1
            return self._idle.pop()
        if self._threads < self._limit:
            self._searching = 1
            self._threads += 1
            self._started += 1
            return f"{self._name}-{self._started}"
        return None

    def _call_up(self, recruit: Gate | str) -> None:
        if not isinstance(recruit, str):
            recruit.put(self)
            return
        gate = self._make_gate()
        gate.put(self)
        try:
            self._start(gate, recruit)
        except Exception as exc:  # the system's limit of threads, or of memory
            logger.exception("no new worker thread could be started")
            self._do_without(exc)

    def _do_without(self, error: Exception) -> None:
        """The thread that was to search could not be started."""
        idle: Gate | None = None
        stranded: OrderedDict[Job, int] = OrderedDict()
        with self._lock:
            self._searching -= 1
            drained = self._count_out()
            if self._threads == 0:
                stranded, self._jobs = self._jobs, stranded
            elif self._jobs and self._idle and not self._searching:
                # That one went to sleep while the new one was counted as searching.
                self._searching = 1
                idle = self._idle.pop()
        if idle is not None:
            idle.put(self)
        for job in stranded:
            job.abandon(error)
        for call in drained:
            call_after(call)

    def _count_out(self) -> list[After]:
        """Under the lock: there is one thread less. Returns what has to be called outside it."""
        self._threads -= 1
        if self._threads:
            return []
        drained, self._drained = self._drained, []
        return drained

    # The threads themselves.

    def _serve(self, gate: Gate) -> bool:
        """Runs what there is; the thread comes here counted in ``_searching``.

        ``True``: nothing is left, and it is counted as idle. ``False``: it is counted out, and has to end.
        """
        while True:
            with self._lock:
                self._searching -= 1
                if not self._jobs:
                    if not self._closing:
                        self._idle.append(gate)
                        return True
                    drained = self._count_out()
                    break
                job: Job | None = self._jobs.popitem(last=False)[0]
                recruit = self._recruit()
            if recruit is not None:
                self._call_up(recruit)
            while job is not None:
                after = run_job(job)
                with self._lock:
                    if self._jobs:
                        job = self._jobs.popitem(last=False)[0]
                    else:
                        job = None
                        self._searching += 1
                if after is not None:
                    call_after(after)
                    after = None  # it leads to the request, whose memory is not kept by the next one
        for call in drained:
            call_after(call)
        return False
