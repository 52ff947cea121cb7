"""``AsgiToWsgi.stats()``: each figure, brought about and looked at, on both kinds of loop."""

import asyncio
import dataclasses
import os
import pickle
import threading

import cloudpickle
import pytest

from bridge import AsgiToWsgi, AsgiToWsgiStats, LifespanError
from bridge.to_wsgi import attempts
from bridge.to_wsgi.loops.mode import LoopMode
from bridge.types import Environ, Receive, Scope, Send
from tests.support.asgi import HANG
from tests.support.wsgi import call, environ_for, started
from tests.to_wsgi.apps import START, hello, last, part

pytestmark = pytest.mark.usefixtures("no_bridge_threads")

both_loops = pytest.mark.parametrize("loop", ["request", "shared"])


class Waits:
    """An app with a lifespan, whose requests wait until they are let go, after a part of the body if they are told."""

    def __init__(self, first: bytes = b"") -> None:
        self.first = first
        self.arrived = threading.Semaphore(0)
        self.go = threading.Semaphore(0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        await send(START)
        if self.first:
            await send(part(self.first))
        self.arrived.release()
        assert await asyncio.to_thread(self.go.acquire, timeout=HANG)
        await send(last(b"end"))


def nothing(loop: LoopMode | None) -> AsgiToWsgiStats:
    return AsgiToWsgiStats(
        loop=loop,
        in_flight=0,
        bytes_buffered=None if loop == "request" else 0,
        loops=0,
        loops_idle=0,
        lifespan="new",
        startup_failures=0,
        rejected=0,
        clients_left=0,
    )


@pytest.mark.parametrize("loop", [None, "request", "shared"])
def test_an_adapter_that_was_never_called(loop: LoopMode | None) -> None:
    adapter = AsgiToWsgi(hello, loop=loop)
    stats = adapter.stats()
    assert stats == nothing(loop)
    assert pickle.loads(pickle.dumps(stats)) == stats
    assert pickle.loads(cloudpickle.dumps(adapter)).stats() == stats
    with pytest.raises(dataclasses.FrozenInstanceError):
        stats.loops = 1  # type: ignore[misc]


@both_loops
def test_requests_under_way(loop: LoopMode) -> None:
    app = Waits()
    with AsgiToWsgi(app, loop=loop) as adapter:
        threads = [threading.Thread(target=call, args=(adapter, environ_for())) for _ in range(3)]
        for thread in threads:
            thread.start()
        for _ in threads:
            assert app.arrived.acquire(timeout=HANG)
        until_in_flight(adapter, 3)
        stats = adapter.stats()
        assert (stats.loop, stats.lifespan) == (loop, "running")
        assert (stats.loops, stats.loops_idle) == ((3, 0) if loop == "request" else (1, 0))
        app.go.release(3)
        for thread in threads:
            thread.join(HANG)
        until_in_flight(adapter, 0)
        stats = adapter.stats()
        assert (stats.loops, stats.loops_idle) == ((3, 3) if loop == "request" else (1, 0))
        assert stats.clients_left == 0
    assert adapter.stats() == nothing(loop), "after close() the next request starts anew"


def until_in_flight(adapter: AsgiToWsgi, count: int) -> None:
    """An app's own signal may come a moment before its loop waits, or after its response before it ends."""
    done = threading.Event()
    timer = threading.Timer(HANG, done.set)
    timer.start()
    try:
        while adapter.stats().in_flight != count:
            assert not done.wait(0.001), adapter.stats()
    finally:
        timer.cancel()
        timer.join()


@both_loops
def test_a_response_that_the_server_has(loop: LoopMode) -> None:
    app = Waits(b"first")
    with AsgiToWsgi(app, loop=loop) as adapter, started(adapter, environ_for()) as (_, body):
        chunks = iter(body)
        if loop == "shared":
            assert app.arrived.acquire(timeout=HANG)
            assert adapter.stats().bytes_buffered == len(b"first"), "its server has not asked for it"
        assert next(chunks) == b"first"
        stats = adapter.stats()
        assert stats.in_flight == 1
        assert stats.bytes_buffered == (None if loop == "request" else 0)
        app.go.release()
        assert list(chunks) == [b"end"]


@both_loops
def test_each_adapter_tells_of_its_own_requests(loop: LoopMode) -> None:
    app = Waits(b"first")
    with AsgiToWsgi(hello, loop=loop) as other, AsgiToWsgi(app, loop=loop) as adapter:
        call(other, environ_for())
        with started(adapter, environ_for()) as (_, body):
            assert next(iter(body)) == b"first"
            until_in_flight(other, 0)
            assert adapter.stats().in_flight == 1
            app.go.release()


@both_loops
def test_a_server_that_closes_early(loop: LoopMode) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await send(part(b"first"))
        await asyncio.get_running_loop().create_future()

    with AsgiToWsgi(app, loop=loop, lifespan="off") as adapter:
        with started(adapter, environ_for()) as (_, body):
            assert next(iter(body)) == b"first"
        assert adapter.stats().clients_left == 1
    assert adapter.stats().clients_left == 1, "close() counts nobody twice"


@both_loops
def test_a_whole_response_is_of_nobody_who_left(loop: LoopMode) -> None:
    with AsgiToWsgi(hello, loop=loop, lifespan="off") as adapter:
        assert call(adapter, environ_for()).body == b"Hello"
        stats = adapter.stats()
        assert (stats.clients_left, stats.lifespan) == (0, "off")


@pytest.mark.parametrize(
    ("environ", "status"),
    [
        (environ_for(HTTP_UPGRADE="websocket"), "501"),
        (environ_for(CONTENT_LENGTH="five"), "400"),
        (environ_for(method="POST", HTTP_TRANSFER_ENCODING="chunked"), "411"),
    ],
)
def test_what_the_bridge_rejects(environ: Environ, status: str) -> None:
    with AsgiToWsgi(hello, lifespan="off") as adapter:
        assert call(adapter, environ, validate=False).status.startswith(status)
        assert adapter.stats().rejected == 1


@both_loops
def test_the_states_of_a_lifespan(loop: LoopMode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "RETRY_AFTER", 0.0)
    seen: list[str] = []
    fails = True

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await hello(scope, receive, send)
            return
        await receive()
        seen.append(adapter.stats().lifespan)
        if fails:
            await send({"type": "lifespan.startup.failed", "message": "no database"})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        seen.append(adapter.stats().lifespan)
        await send({"type": "lifespan.shutdown.complete"})

    with AsgiToWsgi(app, loop=loop) as adapter:
        with pytest.raises(LifespanError):
            call(adapter, environ_for())
        stats = adapter.stats()
        assert (stats.lifespan, stats.startup_failures) == ("failed", 1)
        fails = False
        call(adapter, environ_for())
        assert adapter.stats().lifespan == "running"
    assert seen == ["starting", "starting", "new"]


@both_loops
def test_an_app_without_a_lifespan(loop: LoopMode) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        await hello(scope, receive, send)

    with AsgiToWsgi(app, loop=loop) as adapter:
        call(adapter, environ_for())
        assert adapter.stats().lifespan == "none"


@both_loops
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork()")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_has_done_nothing(loop: LoopMode) -> None:
    with AsgiToWsgi(hello, loop=loop) as adapter:
        call(adapter, environ_for(HTTP_UPGRADE="websocket"))
        call(adapter, environ_for())
        pid = os.fork()
        if pid == 0:
            os._exit(0 if adapter.stats() == nothing(loop) else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert adapter.stats().rejected == 1
