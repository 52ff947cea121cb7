"""A signal handler that raises, after each call that is made: no lock stays held, and nobody waits for ever.

gunicorn's sync worker serves in the main thread, and raises SystemExit there where it is told to quit or is too late;
applications put time limits on requests in the same way.
"""

import asyncio
import ctypes
import functools
import signal
import threading
from collections.abc import Callable, Iterator

import pytest

from bridge.mapping.scope import build_scope
from bridge.threads.tally import Tally
from bridge.to_wsgi.attempts import Attempts
from bridge.to_wsgi.loops import pool, shared
from bridge.to_wsgi.loops.pool import LoopPool
from bridge.to_wsgi.loops.shared import SharedLoop
from bridge.to_wsgi.request_body import find_body
from bridge.to_wsgi.shared_loop import Running, SharedExchange
from bridge.types import Receive, Scope, Send
from tests.support.faults import hold
from tests.support.interrupts import Interrupt, interrupted
from tests.support.threads import wait_for_no_bridge_threads
from tests.support.wsgi import environ_for


async def waits(scope: Scope, receive: Receive, send: Send) -> None:
    await asyncio.sleep(0.001)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"ok"})


def within(call: Callable[[], object]) -> None:
    """Another thread calls it, and comes back."""
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive(), "it waits for ever"


def places(call: Callable[[int], str | None]) -> Iterator[str]:
    """Each place in which ``call`` was interrupted, until it has not so many."""
    for at in range(2000):
        place = call(at)
        if place is None:
            assert at > 2
            return
        yield place
    raise AssertionError("it has no end")


def test_tries_to_start() -> None:
    """The next one tries anew, and ``close()`` ends."""
    modules = ("bridge.to_wsgi.attempts", "threading")
    all_attempts: list[Attempts] = []

    def ask(at: int) -> str | None:
        attempts = Attempts()
        all_attempts.append(attempts)
        return interrupted(lambda: attempts.make(lambda limit: None, lambda: None), at, modules)

    for place in places(ask):
        attempts = all_attempts[-1]
        started: list[float | None] = []
        within(lambda attempts=attempts, started=started: attempts.make(started.append, lambda: None))  # type: ignore[misc]
        assert attempts.progress()[0] == "started", place
        within(attempts.close)


def test_the_lock_of_an_end_of_a_request_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pool's other threads take its lock, and ``close()`` waits for nobody."""
    monkeypatch.setattr(pool, "_CLOSE_WAIT", 60.0)
    pools: list[LoopPool] = []

    def run(at: int) -> str | None:
        mine = LoopPool(None)
        pools.append(mine)
        kept = mine.take()
        kept.loop.call_soon(kept.loop.stop)
        try:
            return interrupted(
                lambda: mine.run(kept, kept.loop.stop), at, ("bridge.to_wsgi.loops.pool", "threading")
            )
        finally:
            kept.loop.close()

    for place in places(run):
        within(pools[-1].load)
        within(pools[-1].close)
        assert not pools[-1]._waiting, place


def test_the_shared_loop_is_left_to_nobody() -> None:
    """Whoever comes next has one that runs, and the last one ends it."""

    def use() -> None:
        shared_loop = SharedLoop.acquire(None)
        done = threading.Event()
        shared_loop.call_soon(done.set)
        assert done.wait(10)
        shared_loop.release()
        used.append("")

    used: list[str] = []

    def acquire(at: int) -> str | None:
        # Its own points: threading and asyncio have theirs as it starts.
        got: list[SharedLoop] = []
        try:
            return interrupted(
                lambda: got.append(SharedLoop.acquire(None)), at, ("bridge.to_wsgi.loops.shared",)
            )
        finally:
            for shared_loop in got:
                shared_loop.release()

    for place in places(acquire):
        used.clear()
        within(use)
        assert used, place
        assert None not in shared._shared.loops, place
        wait_for_no_bridge_threads()


def test_the_lock_of_a_request_on_the_shared_loop_is_free() -> None:
    """The loop takes it too: it would wait for ever, and with it all requests."""
    environ = environ_for()
    exchanges: list[SharedExchange] = []
    loop = SharedLoop.acquire(None)

    def ask(at: int) -> str | None:
        running = Running(Tally())
        exchanges.append(
            SharedExchange(waits, build_scope(environ, {}), environ, find_body(environ), loop, running)
        )
        return interrupted(exchanges[-1].abandon, at, ("bridge.to_wsgi.shared_loop", "threading"))

    try:
        for _ in places(ask):
            within(exchanges[-1].unsent)
    finally:
        loop.release()
    wait_for_no_bridge_threads()


def test_it_raises_at_each_call() -> None:
    """What the other tests stand on."""

    def three() -> None:
        len("")
        len("")
        len("")

    places_of = [interrupted(three, at, (__name__,)) for at in range(6)]
    assert None in places_of
    lines = [place for place in places_of if place]
    assert len(lines) == 3  # one for each call
    assert all(place.startswith(f"{__name__}.test_it_raises_at_each_call") for place in lines)
    assert issubclass(Interrupt, BaseException)


def test_python_leaves_no_lock_that_a_with_statement_has_taken() -> None:
    """What the product stands on: a signal that comes in an ``__enter__()`` of C is handled in the block, or later."""
    library = ctypes.CDLL(None)
    left: list[object] = []

    class Lock:
        # In C, as that of a lock; the signal is there when it returns.
        __enter__ = staticmethod(functools.partial(getattr(library, "raise"), signal.SIGUSR1))

        def __exit__(self, *error: object) -> None:
            left.append(error)

    def handler(*_: object) -> None:
        raise Interrupt

    def take() -> None:
        with Lock():
            len("")

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        with pytest.raises(Interrupt):
            take()
    finally:
        signal.signal(signal.SIGUSR1, before)
    seen = "called" if left else "left"
    hold("signal handler that raises as a lock is taken", "gunicorn-sync", seen, right="called")
