"""``AsgiToWsgi.stats()``: what an adapter does at one moment, read from what is there anyway.

No request counts anything for it. The loops that wait, and the requests that run, are known to those who have to end
them; what is counted for these figures alone happens on rare ways: a refusal, a client that leaves.

Any thread may ask, also one of the app's own, and on the shared loop. Nothing waits for it, and no two locks are held
at a time. How each figure is read:

- The phase of the start, under the lock of ``Attempts``. The lifespan object is set by the thread that tries to start
  the app, before the phase says that it has, and is taken away after the phase has gone on. So where the phase is
  STARTED, it is there or was just taken away.
- With ``loop="request"`` the loops that wait are read under the lock of their pool, and those that have handed a
  response over from ``own_loop``. A request is in both, or moves from one to the other meanwhile: they are joined by
  their loop, so that none counts twice. One that moves at that very moment may be missing.
- With ``loop="shared"`` the requests are a set that the loop's thread changes. Python copies a set as a whole, on
  free-threaded builds under the set's own lock. The bytes of each are read under the lock of that request, as the
  server's thread and the loop read them.
"""

import os
from dataclasses import dataclass

from ..lifespan import LifespanMode
from ..threads.tally import Tally
from .loops.mode import LoopMode
from .own_loop import unclosed_on
from .runtime import LifespanState, Runtime

__all__ = ["AsgiToWsgiStats", "take_stats"]


@dataclass(frozen=True, slots=True)
class AsgiToWsgiStats:
    """What an ``AsgiToWsgi`` does at one moment, in this process.

    What is counted since the process began, or since the fork that made it, never gets smaller.

    Not in here, for each request would pay for the counting: how many requests there were, and how long anything took;
    with ``loop="request"``, requests that come and go without ever waiting. The threads are the server's.

    Attributes:
        loop: ``"request"`` or ``"shared"``; ``None``: it is not known before the first request.
        in_flight: requests under way. With ``loop="shared"``: those whose app has not returned, work after the response
            included. With ``"request"``: those whose app waits for something, or whose response the server has and has
            not closed.
        bytes_buffered: bytes of responses that wait for their servers' threads, with ``loop="shared"``. ``None`` with
            ``"request"``, where the server takes what there is before the app goes on.
        loops: event loops that this adapter has, idle or not. With ``loop="shared"`` it is one, which adapters share.
        loops_idle: those of ``loops`` that are kept for the next request, with ``loop="request"``.
        lifespan: ``"off"``: it is not asked. ``"new"``: before the first request, and after ``close()``.
            ``"starting"``: requests wait for it. ``"running"``: its startup is complete. ``"none"``: the app has no
            lifespan, and is served. ``"failed"``: the last try to start it failed, and the next one is to come.
            ``"closed"``: the adapter is being closed.
        startup_failures: tries to start the app that have failed, since the process began or since ``close()``.
        rejected: requests that the bridge answered in place of the app, since the process began: 400, 411, 507, and
            501 to the handshake of a WebSocket and to a Transfer-Encoding other than chunked.
        clients_left: requests whose response was not complete when their client was known to have left, or when the
            server or ``close()`` ended them, since the process began.
    """

    loop: LoopMode | None
    in_flight: int
    bytes_buffered: int | None
    loops: int
    loops_idle: int
    lifespan: LifespanState
    startup_failures: int
    rejected: int
    clients_left: int


def take_stats(
    runtime: Runtime | None, mode: LoopMode | None, lifespan: LifespanMode, tally: Tally
) -> AsgiToWsgiStats:
    """``runtime``: what the adapter has in a process, if it has anything. ``mode``, ``lifespan``: its options."""
    in_flight = loops = idle = failures = 0
    buffered: int | None = None if mode == "request" else 0
    state: LifespanState = "off" if lifespan == "off" else "new"
    if runtime is not None and runtime.pid == os.getpid():
        pool = runtime.pool
        if pool is not None:
            mode, buffered = "request", None
            waiting, idle = pool.load()
            in_flight = len(waiting | unclosed_on(pool))
            loops = in_flight + idle
        else:
            mode = "shared"
            running = set(runtime.running)
            in_flight, buffered = len(running), sum(exchange.unsent() for exchange in running)
            loops = int(runtime.has_shared_loop)
        phase, failures = runtime.progress()
        if lifespan != "off":
            state = phase
    return AsgiToWsgiStats(
        loop=mode,
        in_flight=in_flight,
        bytes_buffered=buffered,
        loops=loops,
        loops_idle=idle,
        lifespan=state,
        startup_failures=failures,
        rejected=tally.count("rejected"),
        clients_left=tally.count("clients_left"),
    )
