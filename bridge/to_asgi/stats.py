"""``WsgiToAsgi.stats()``: what an adapter does at one moment, read from what is there anyway.

No request counts anything for it. Threads and what waits for them are counted by the pools, which need that; the loops
are those that the adapter knows. What is counted for these figures alone happens on rare ways: a refusal, a client that
leaves, a body too large for memory.

Any thread may ask, also one of the app's own, and on the server's loop. Each figure is read under the lock of the one
who has it, one after the other and never two at a time; no lock is held for longer than a few operations, or while
something is called. So each is right for its own moment, and those of one pool (``threads_busy``, ``threads_idle``,
``waiting``, ``requests``) are of the same one. Two others may be a few microseconds apart.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from ..threads.jobs import Load, Pool
from ..threads.tally import Tally

__all__ = ["WsgiToAsgiStats", "take_stats"]

_NOTHING = Load(0, 0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class WsgiToAsgiStats:
    """What a ``WsgiToAsgi`` does at one moment, in this process and on all loops that call it.

    What is counted since the process began, or since the fork that made it, never gets smaller.

    Not in here, for each request would pay for the counting: requests whose body is on its way to the bridge, or whose
    response is on its way to the client when the app's call has ended; the bytes that are held for either; how long
    anything took.

    Attributes:
        threads_busy: threads that run a request of the app; with ``executor``, those of it that do.
        threads_idle: threads that are there and free. ``None`` with ``executor``, which doesn't tell.
        threads_limit: threads there may be at most, ``threads``. ``None`` with ``executor``.
        waiting: requests, complete as far as ``request_body`` asks, that wait for a thread.
        backlog: how many may wait; one more is refused.
        requests: requests that were handed to the threads, since the process began. It counts those that wait and run,
            and no request that was refused or rejected.
        refused: requests and WebSockets that got 503, for all threads were busy; since the process began.
        rejected: requests that the bridge answered in place of the app for another reason, since the process began:
            400, 413, 501 and 507; and WebSockets, where there are none.
        clients_left: requests whose client had left before the app had made its response, or before its body was
            complete; and those that the server gave up meanwhile. Since the process began. A client that leaves a short
            response is not noticed, and one that closes its WebSocket is not counted.
        bytes_spooled: bytes of request bodies that were written whole to temporary files, since the process began.
        websockets_open: WebSockets whose app has not returned, with those that are in their handshake.
        websockets_limit: how many there may be at a time.
        websockets: WebSockets that reached the app, since the process began.
        loops: event loops that run, have called the adapter and have not shut it down.
    """

    threads_busy: int
    threads_idle: int | None
    threads_limit: int | None
    waiting: int
    backlog: int
    requests: int
    refused: int
    rejected: int
    clients_left: int
    bytes_spooled: int
    websockets_open: int
    websockets_limit: int
    websockets: int
    loops: int

    @property
    def in_flight(self) -> int:
        """Requests that have reached the adapter's threads: ``threads_busy`` and ``waiting``."""
        return self.threads_busy + self.waiting


def take_stats(
    pool: Pool | None,
    websockets: Pool | None,
    tally: Tally,
    *,
    threads: int | None,
    backlog: int,
    websocket_threads: int,
    loops: Iterable[bool],
) -> WsgiToAsgiStats:
    """``pool`` and ``websockets``: the threads, where there are any yet. ``threads``: at most, ``None`` of an executor.

    ``loops``: of each that has called and not left, whether it runs.
    """
    load = _NOTHING if pool is None else pool.load()
    sockets = _NOTHING if websockets is None else websockets.load()
    there = load.threads
    return WsgiToAsgiStats(
        threads_busy=load.running,
        threads_idle=None if threads is None or there is None else there - load.running,
        threads_limit=threads,
        waiting=load.waiting,
        backlog=backlog,
        requests=load.come,
        refused=tally.count("refused"),
        rejected=tally.count("rejected"),
        clients_left=tally.count("clients_left"),
        bytes_spooled=tally.count("bytes_spooled"),
        websockets_open=sockets.running + sockets.waiting,
        websockets_limit=websocket_threads,
        websockets=sockets.come,
        loops=sum(loops),
    )
