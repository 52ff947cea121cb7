"""What is left after many requests, after the objects, and after a fork: nothing."""

import asyncio
import contextlib
import contextvars
import gc
import logging
import os
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest
import uvloop
from asgiref.sync import sync_to_async

from bridge.errors import ApplicationError, ClientDisconnected
from bridge.to_wsgi.adapter import AsgiToWsgi
from bridge.to_wsgi.loops.mode import LoopMode
from bridge.types import Receive, Scope, Send
from tests.support.asgi import HANG
from tests.support.threads import wait_for_no_bridge_threads
from tests.support.wsgi import Answer, call, environ_for
from tests.to_wsgi.apps import START, hello, last, part, until

REPOSITORY = Path(__file__).resolve().parents[2]
PATHS = ("/hello", "/close", "/error", "/late", "/deaf")


class Alive(NamedTuple):
    """What this process has, as far as the adapter could leave it."""

    loops: int
    tasks: int
    threads: int
    descriptors: int


def alive() -> Alive:
    gc.collect()
    # By type(): objects that pretend to be of another class are none of the adapter's.
    objects = [(type(each), each) for each in gc.get_objects()]
    loops: list[Any] = [each for kind, each in objects if issubclass(kind, asyncio.AbstractEventLoop)]
    tasks: list[Any] = [each for kind, each in objects if issubclass(kind, asyncio.Task)]
    return Alive(
        sum(not loop.is_closed() for loop in loops),
        sum(not task.done() for task in tasks),
        threading.active_count(),
        psutil.Process().num_fds(),
    )


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Fail, leave a task behind, or wait for a server that has closed the response."""
    path = scope["path"]
    if path == "/task":
        scope["state"]["tasks"].append(asyncio.create_task(asyncio.sleep(1000)))
    if path == "/error":
        raise KeyError(path)
    await send(START)
    if path == "/close":
        await send(part(b"x"))
        await asyncio.sleep(0)
        await send(part(b"x" * 70_000))
    if path == "/deaf":
        await send(part(b"x"))
        await asyncio.get_running_loop().create_future()
    await send(last(b"x"))
    if path == "/late":
        raise KeyError(path)


def serve(adapter: AsgiToWsgi, path: str) -> None:
    """As a server does, which closes some responses early."""
    try:
        body: Any = adapter(environ_for(path), Answer().start_response)
    except KeyError:
        assert path == "/error"
        return
    if path in ("/close", "/deaf"):
        next(iter(body))
    else:
        assert b"".join(body) == b"x"
    getattr(body, "close", int)()


@pytest.mark.parametrize("debug", [False, True], ids=["plain", "debug"])
def test_ten_thousand_requests_leave_nothing(
    mode: LoopMode, debug: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With early closes, errors and left-over tasks. In asyncio's debug mode they are fewer, being slower."""
    if debug:
        monkeypatch.setenv("PYTHONASYNCIODEBUG", "1")
    caplog.set_level(logging.CRITICAL, logger="bridge")
    tasks: list[asyncio.Task[None]] = []

    async def with_tasks(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["tasks"] = tasks
        await app(scope, receive, send)

    before = alive()
    adapter = AsgiToWsgi(with_tasks, loop=mode, lifespan="off")
    serve(adapter, "/hello")
    running = alive()
    for number in range(1_000 if debug else 10_000):
        serve(adapter, "/task" if number % 100 == 99 else PATHS[number % 5])
    serve(adapter, "/hello")  # the last one's loop was not kept
    if mode == "request":
        assert all(task.cancelled() for task in tasks)
        assert alive() == running
    assert len(tasks) == (10 if debug else 100)
    adapter.close()
    wait_for_no_bridge_threads()
    assert all(task.cancelled() for task in tasks)
    tasks.clear()
    assert alive() == before
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []


class Caller:
    """What a WSGI middleware knows of a request."""


@pytest.mark.parametrize("factory", [None, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_nothing_that_outlives_a_request_is_in_its_context(adapt: Any, factory: Any) -> None:
    """Neither the lifespan, nor what keeps the loop."""
    caller: contextvars.ContextVar[Caller] = contextvars.ContextVar("caller")
    seen: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append((scope["type"], type(caller.get(None))))
        if scope["type"] == "http":
            await hello(scope, receive, send)
            return
        for event in ("startup", "shutdown"):
            await receive()
            seen.append((event, type(caller.get(None))))
            await send({"type": f"lifespan.{event}.complete"})

    def ask() -> weakref.ref[Caller]:
        own = Caller()
        caller.set(own)
        assert call(adapter, environ_for()).body == b"Hello"
        return weakref.ref(own)

    adapter = adapt(app, lifespan="on", loop_factory=factory)
    asked = [contextvars.Context().run(ask) for _ in range(3)]
    # The shared loop's thread lets go some time after the server has the response.
    asyncio.run(asyncio.wait_for(until(lambda: not any(own() for own in asked)), 10))
    adapter.close()
    nothing = type(None)
    requests = [("http", Caller)] * 3
    assert seen == [("lifespan", nothing), ("startup", nothing), *requests, ("shutdown", nothing)]


def test_adapters_share_one_loop_and_its_thread() -> None:
    before = alive()
    adapters = [AsgiToWsgi(hello, loop="shared", lifespan="off") for _ in range(50)]
    for adapter in adapters:
        assert call(adapter, environ_for()).body == b"Hello"
    during = alive()
    assert (during.loops, during.threads) == (before.loops + 1, before.threads + 1)
    for adapter in adapters:
        adapter.close()
    wait_for_no_bridge_threads()
    assert alive() == before


def test_adapters_that_are_forgotten_leave_nothing() -> None:
    before = alive()
    for _ in range(50):
        assert call(AsgiToWsgi(hello, lifespan="off"), environ_for()).body == b"Hello"
    assert alive() == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_an_adapter_that_was_used_before_a_fork(mode: LoopMode) -> None:
    """The child has a loop and a lifespan of its own; the parent keeps its."""
    script = """
import os, sys
from bridge import AsgiToWsgi
from tests.support.wsgi import call, environ_for
from tests.to_wsgi.apps import START, last

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        scope["state"]["pid"] = os.getpid()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        print("shutdown", "child" if os.getpid() != parent else "parent", flush=True)
        await send({"type": "lifespan.shutdown.complete"})
    else:
        await send(START)
        await send(last(b"%d" % scope["state"]["pid"]))

def check():
    for _ in range(3):
        assert call(adapter, environ_for()).body == b"%d" % os.getpid()

parent = os.getpid()
adapter = AsgiToWsgi(app, loop=sys.argv[1], lifespan="on")
check()
if (child := os.fork()) == 0:
    check()
    sys.exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
check()
"""
    # Python 3.12 warns of any fork of a process with threads, which is what servers do.
    command = [sys.executable, "-W", "error::ResourceWarning", "-c", script, mode]
    done = subprocess.run(command, cwd=REPOSITORY, check=True, timeout=100, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["shutdown child", "shutdown parent"]
    assert "Traceback" not in done.stderr


def test_a_thread_that_a_client_left_at_work_holds_no_other_request(adapt: Any) -> None:
    """asgiref's context of the request ends when its thread does. It may not be waited for on everybody's loop."""
    working, go, left, ended = (threading.Event() for _ in range(4))

    def work() -> None:
        working.set()
        assert go.wait(HANG)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/":
            await hello(scope, receive, send)
            return
        job = asyncio.ensure_future(sync_to_async(work)())
        while (await receive())["type"] != "http.disconnect":
            pass
        job.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await job
        # The loop turns no more before the context ends.
        ended.set()

    def ask() -> None:
        environ = environ_for("/work") | {"waitress.client_disconnected": left.is_set}
        with contextlib.suppress(ClientDisconnected, ApplicationError):
            call(adapter, environ)

    adapter = adapt(app)
    asking = threading.Thread(target=ask)
    asking.start()
    assert working.wait(HANG)
    left.set()
    assert ended.wait(HANG)
    other = threading.Thread(target=call, args=(adapter, environ_for()))
    other.start()
    other.join(HANG / 2)  # the thread at work gives up after HANG
    held = other.is_alive()
    go.set()
    for thread in (other, asking):
        thread.join(HANG)
        assert not thread.is_alive()
    assert not held
