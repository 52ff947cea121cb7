"""Apps that end more than what is theirs: they stop their loop, cancel all its tasks, or mean to end the process."""

import asyncio
import contextlib
import gc
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

from bridge import AsgiToWsgi
from bridge.errors import ApplicationError, ClientDisconnected
from bridge.to_wsgi.loops.kept import KeptLoop
from bridge.to_wsgi.loops.pool import LoopPool
from bridge.types import Receive, Scope, Send
from tests.support.asgi import HANG
from tests.support.wsgi import call, environ_for
from tests.to_wsgi.apps import START, hello, last, part, read_body

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(params=[None, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def factory(request: pytest.FixtureRequest) -> Any:
    return request.param


async def stop() -> None:
    for _ in range(5):
        asyncio.get_running_loop().stop()
        await asyncio.sleep(0)


@pytest.mark.parametrize("when", ["starting", "started", "beside", "shutting down"])
def test_a_lifespan(adapt: Any, factory: Any, when: str) -> None:
    shut_down: list[bool] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await hello(scope, receive, send)
            return
        await receive()
        if when == "starting":
            await stop()
        beside = asyncio.create_task(stop() if when == "beside" else asyncio.sleep(0))
        await send({"type": "lifespan.startup.complete"})
        if when == "started":
            await stop()
        await receive()
        if when == "shutting down":
            await stop()
        await beside
        shut_down.append(True)
        await send({"type": "lifespan.shutdown.complete"})

    with adapt(app, lifespan="on", loop_factory=factory) as adapter:
        assert call(adapter, environ_for()).body == b"Hello"
    assert shut_down == [True]


async def cancel_all() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def test_a_shutdown_that_cancels_all_tasks(adapt: Any, factory: Any) -> None:
    """Many apps have it so; the task that shuts them down is one of these."""
    shut_down: list[bool] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await hello(scope, receive, send)
            return
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await cancel_all()
        await asyncio.sleep(0.01)
        shut_down.append(True)
        await send({"type": "lifespan.shutdown.complete"})

    with adapt(app, lifespan="on", loop_factory=factory) as adapter:
        assert call(adapter, environ_for()).body == b"Hello"
    assert shut_down == [True]


def test_a_startup_that_cancels_all_tasks(adapt: Any, factory: Any) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await cancel_all()

    with pytest.raises(ApplicationError, match="has cancelled the task that starts it"):
        call(adapt(app, lifespan="on", loop_factory=factory), environ_for())


@pytest.mark.parametrize("what", ["raise SystemExit(3)", "await cancel_all()", "loop.stop()"])
def test_at_exit_each_app_has_its_shutdown(what: str) -> None:
    """Whatever becomes of the others'."""
    script = f"""
import asyncio
from bridge import AsgiToWsgi
from tests.support.wsgi import call, environ_for
from tests.to_wsgi.apps import hello
from tests.to_wsgi.test_stopped_loops import cancel_all

def make(name):
    async def app(scope, receive, send):
        loop = asyncio.get_running_loop()
        if scope["type"] != "lifespan":
            return await hello(scope, receive, send)
        await receive()
        await send({{"type": "lifespan.startup.complete"}})
        await receive()
        print(name, flush=True)
        {what}
        await send({{"type": "lifespan.shutdown.complete"}})
    return AsgiToWsgi(app, loop="request", lifespan="on")

adapters = [make(name) for name in "abcde"]
for adapter in adapters:
    assert call(adapter, environ_for()).body == b"Hello"
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=REPOSITORY, check=True, timeout=60, capture_output=True, text=True
    )
    assert sorted(done.stdout.split()) == list("abcde")


async def begin(path: str, send: Send, waits: threading.Event) -> None:
    """Answer as far as ``path`` says; ``waits`` is set when the app has gone on to wait."""
    if path != "/nothing":
        await send(START)
    if path == "/body":
        await send(part(b"Hello"))
    asyncio.get_running_loop().call_soon(waits.set)


def close_beside(adapter: AsgiToWsgi, ask: Callable[[], None], waits: threading.Event) -> None:
    """Close the adapter while a thread is in ``ask()``, whose app waits."""
    thread = threading.Thread(target=ask)
    thread.start()
    assert waits.wait(HANG)
    adapter.close()
    thread.join(HANG)
    assert not thread.is_alive()


@pytest.mark.parametrize("path", ["/nothing", "/head", "/body"])
def test_a_request_is_waited_for_when_its_adapter_is_closed(
    factory: Any, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop of a request runs until its app has ended: who closes its pool waits for that run."""
    waits = threading.Event()
    seen: list[str] = []
    run = LoopPool.run

    def runs(pool: LoopPool, kept: KeptLoop, leave: Callable[[], object]) -> None:
        run(pool, kept, leave)
        if pool._closed:
            seen.append("the run is over")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await begin(path, send, waits)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            for _ in range(3):
                await asyncio.sleep(0)
            seen.append("the app has ended")

    def ask() -> None:
        with contextlib.suppress(ClientDisconnected):
            call(adapter, environ_for(path))

    monkeypatch.setattr(LoopPool, "run", runs)
    adapter = AsgiToWsgi(app, loop="request", loop_factory=factory, lifespan="off")
    close_beside(adapter, ask, waits)
    # The run that hands the body's part over may end, and be over, as the pool is closed: before the one that is meant.
    assert seen[-2:] == ["the app has ended", "the run is over"]
    assert seen.count("the app has ended") == 1


@pytest.mark.parametrize("path", ["/nothing", "/head", "/body"])
def test_a_request_that_never_ends_when_its_adapter_is_closed(
    adapt: Any, factory: Any, path: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its server's thread is free, with the error of a client that has left."""
    for name in ("loop_run.CANCEL_LIMIT", "loops.kept.CANCEL_LIMIT", "loops.pool._CLOSE_WAIT"):
        monkeypatch.setattr(f"bridge.to_wsgi.{name}", 0.1)
    for name in ("_WORK_LIMIT", "GRACE"):
        monkeypatch.setattr(f"bridge.to_wsgi.lifespan_loop.{name}", 0.1)
    waits = threading.Event()
    gone = False
    outcomes: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await begin(path, send, waits)
        while not gone:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.get_running_loop().create_future()

    def ask() -> None:
        try:
            call(adapter, environ_for(path))
        except ClientDisconnected as error:
            outcomes.append(str(error))

    adapter = adapt(app, loop_factory=factory)
    close_beside(adapter, ask, waits)
    assert outcomes == ["[Errno 32] the client left before the response was complete"]
    assert f"GET '{path}': the application was cancelled, and runs on; it is left behind" in caplog.text
    gone = True
    gc.collect()


def test_a_task_factory_that_fails(adapt: Any, factory: Any) -> None:
    """It stays on the shared loop. The request that can have no task is told of it, and does not wait for one."""

    def fail(*_: object, **__: object) -> Any:
        raise TypeError("no task")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        loop = asyncio.get_running_loop()
        loop.set_task_factory(fail if scope["path"] == "/fail" else None)
        await hello(scope, receive, send)

    adapter = adapt(app, loop_factory=factory)
    call(adapter, environ_for("/fail"))
    loop = adapter._runtime._shared.loop if adapter.loop == "shared" else None
    try:
        if loop is None:
            # The loop of the other request was not kept.
            assert call(adapter, environ_for()).body == b"Hello"
        else:
            with pytest.raises(TypeError, match="no task"):
                call(adapter, environ_for())
            assert adapter.stats().in_flight == 0
    finally:
        if loop is not None:
            loop.call_soon_threadsafe(loop.set_task_factory, None)


@pytest.mark.parametrize("when", ["begun", "read", "headed", "body", "answered", "beside"])
def test_a_request(adapt: Any, factory: Any, when: str) -> None:
    worked: list[bool] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def reach(moment: str) -> None:
            if when == moment:
                await stop()
                await asyncio.sleep(0.001)
                asyncio.get_running_loop().stop()

        beside = asyncio.create_task(stop() if when == "beside" else asyncio.sleep(0))
        await reach("begun")
        body, _ = await read_body(receive)
        await reach("read")
        await send(START)
        await reach("headed")
        await send(part(body))
        await reach("body")
        await send(last(b" world"))
        await reach("answered")
        await asyncio.sleep(0.001)
        await beside
        worked.append(True)

    with adapt(app, loop_factory=factory) as adapter:
        for _ in range(3):
            assert call(adapter, environ_for(method="POST", body=b"Hello")).body == b"Hello world"
    assert worked == [True] * 3
