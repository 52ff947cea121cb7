"""What thousands of requests leave on the loop that is kept for them: as much as the first one."""

import asyncio
import concurrent.futures
import contextvars
import gc
import io
import logging
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from fastapi import FastAPI

from bridge import AsgiToWsgi
from bridge.to_wsgi.loops.request_loop import RequestLoop
from bridge.types import Receive, Scope, Send
from tests.support.wsgi import Answer, call, environ_for
from tests.to_wsgi.apps import START, hello, last, part

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """Threads of anyio and of executors are told to end with their loop, and are not waited for."""
    before = threading.enumerate()
    yield
    for thread in threading.enumerate():
        if thread not in before:
            thread.join(30)
            assert not thread.is_alive()


MANY = 10_000
# How many the default executor may have. One would do for one job after the other; but a thread counts as idle only
# a moment after its job has ended, and if the next job comes first, another thread is started. Which one is quicker
# depends on the version of Python and on the machine.
EXECUTOR_THREADS = concurrent.futures.ThreadPoolExecutor()._max_workers


class Carried:
    """What a request has in its context."""


carried: contextvars.ContextVar[Carried] = contextvars.ContextVar("carried")
finished: list[asyncio.Task[None]] = []


async def timer() -> None:
    """Work that never polls, so that asyncio does not get to drop the timer."""
    async with asyncio.timeout(60):
        await asyncio.sleep(0)


async def many_timers() -> None:
    for _ in range(50):
        asyncio.get_running_loop().call_later(60, int).cancel()


async def anyio_timer() -> None:
    with anyio.fail_after(60):
        await anyio.lowlevel.checkpoint()


async def tasks() -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(asyncio.sleep(0))


async def task_that_is_remembered() -> None:
    task = asyncio.create_task(asyncio.sleep(0))
    finished.append(task)
    await task


async def anyio_tasks() -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(anyio.lowlevel.checkpoint)


async def generator() -> None:
    async def generate() -> AsyncIterator[int]:
        yield 1
        yield 2

    each = generate()
    await anext(each)
    await each.aclose()  # type: ignore[attr-defined] # it is a generator


async def call_from_itself() -> None:
    """A byte is written to the loop's own socket, and read when it polls."""
    asyncio.get_running_loop().call_soon_threadsafe(int)
    await asyncio.sleep(0)


async def debug_for_a_while() -> None:
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    await asyncio.sleep(0)
    loop.set_debug(False)
    await asyncio.sleep(0)


async def signal_handler_for_a_while() -> None:
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, int)
    assert loop.remove_signal_handler(signal.SIGUSR1)


async def default_executor() -> None:
    await asyncio.to_thread(int)


async def anyio_thread() -> None:
    await anyio.to_thread.run_sync(int)


async def connection() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        reader, writer = await asyncio.open_connection(sock=ours)
        theirs.send(b"x")
        assert await reader.read(1) == b"x"
        writer.close()
        await writer.wait_closed()


KINDS: dict[Callable[[], Awaitable[None]], int] = {
    **dict.fromkeys((timer, many_timers, anyio_timer, tasks, task_that_is_remembered), MANY),
    **dict.fromkeys((anyio_tasks, generator, call_from_itself, debug_for_a_while), MANY),
    **dict.fromkeys((signal_handler_for_a_while,), MANY),
    **dict.fromkeys((default_executor, anyio_thread, connection), 500),
}


def sizes(loop: asyncio.AbstractEventLoop) -> dict[str, object]:
    """Everything that the loop has: how many, or what."""
    slots = {name: getattr(loop, name) for name in RequestLoop.__slots__ if name != "_unpolled"}
    return {
        name: len(value) if hasattr(value, "__len__") else value
        for name, value in (vars(loop) | slots).items()
    } | {"watched": len(loop._selector.get_map())}  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_many_requests_leave_what_one_does(kind: Callable[[], Awaitable[None]]) -> None:
    alive: weakref.WeakSet[Carried] = weakref.WeakSet()
    loops: set[int] = set()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        mine = Carried()
        alive.add(mine)
        carried.set(mine)
        loops.add(id(asyncio.get_running_loop()))
        await kind()
        await hello(scope, receive, send)

    def serve() -> None:
        body: Any = adapter(environ, Answer().start_response)
        assert b"".join(body) == b"Hello"
        body.close()

    environ = environ_for()
    before = threading.enumerate()
    with AsgiToWsgi(app, loop="request", lifespan="off") as adapter:
        for _ in range(3):
            serve()
        gc.collect()
        (kept,) = adapter._runtime.pool._idle  # type: ignore[union-attr]
        assert isinstance(kept, RequestLoop)
        first = sizes(kept), sys.get_coroutine_origin_tracking_depth(), sys.get_asyncgen_hooks()
        threads = threading.active_count()
        assert threads <= len(before) + 3
        for _ in range(KINDS[kind]):
            serve()
        gc.collect()
        assert list(adapter._runtime.pool._idle) == [kept]  # type: ignore[union-attr]
        assert (sizes(kept), sys.get_coroutine_origin_tracking_depth(), sys.get_asyncgen_hooks()) == first
        assert len(loops) == 1
        assert threading.active_count() <= threads + (EXECUTOR_THREADS if kind is default_executor else 0)
        finished.clear()
        # A thread may still be putting down what it had of the last request.
        wait_until(lambda: not alive)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        gc.collect()
        time.sleep(0.001)


class TestTimeAndSockets:
    """An app that always has something to send has its timers and sockets all the same."""

    def test_a_timeout_ends_a_stream_that_never_waits(self) -> None:
        async def endless(send: Send) -> None:
            while True:
                await send(part(b"x"))
                await asyncio.sleep(0)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(START)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(endless(send), 0.01)
            await send(last())

        with AsgiToWsgi(app, loop="request", lifespan="off") as adapter:
            assert set(call(adapter, environ_for()).body) == set(b"x")

    def test_a_socket_ends_it(self) -> None:
        ours, theirs = socket.socketpair()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(START)
            arrived = asyncio.Event()
            asyncio.get_running_loop().add_reader(ours, arrived.set)
            theirs.send(b"x")
            while not arrived.is_set():
                await send(part(b"x" * 65_536))
            asyncio.get_running_loop().remove_reader(ours)
            await send(last())

        with ours, theirs, AsgiToWsgi(app, loop="request", lifespan="off") as adapter:
            call(adapter, environ_for())

    def test_timers_of_a_long_stream_do_not_pile_up(self) -> None:
        most = 0

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            nonlocal most
            await send(START)
            loop: Any = asyncio.get_running_loop()
            for _ in range(5_000):
                async with asyncio.timeout(60):
                    await send(part(b"x"))
                    await asyncio.sleep(0)
                most = max(most, len(loop._scheduled))
            await send(last())

        with AsgiToWsgi(app, loop="request", lifespan="off") as adapter:
            assert len(call(adapter, environ_for()).body) == 5_000
        # asyncio drops them when they are 100 and more; it does so as it polls.
        assert most < 300


class TestThreads:
    """Of anyio's for sync views, and of the default executor: they stay with a kept loop, and end with it."""

    def make_app(self, seen: set[threading.Thread]) -> FastAPI:
        app = FastAPI()

        @app.get("/view")
        def view() -> str:
            seen.add(threading.current_thread())
            return "view"

        @app.get("/executor")
        async def executor() -> str:
            seen.add(await asyncio.to_thread(threading.current_thread))
            return "executor"

        return app

    @pytest.mark.parametrize("path", ["/view", "/executor"])
    @pytest.mark.parametrize("end", ["close", "forget", "forget on a loop", "cancel", "leave a task"])
    def test_threads_serve_all_and_end_with_the_loop(self, path: str, end: str) -> None:
        seen: set[threading.Thread] = set()
        app = self.make_app(seen)
        left: list[asyncio.Task[None]] = []

        @app.get("/end")
        async def end_it() -> None:
            if end == "cancel":
                # As some do to be sure that nothing of theirs is left.
                for task in asyncio.all_tasks() - {asyncio.current_task()}:
                    task.cancel()
            else:
                left.append(asyncio.create_task(asyncio.sleep(100)))

        adapter = AsgiToWsgi(app, loop="request", lifespan="off")
        for _ in range(100):
            assert call(adapter, environ_for(path)).body == b'"%s"' % path[1:].encode()
        assert len(seen) <= (1 if path == "/view" else EXECUTOR_THREADS)
        assert all(thread.is_alive() for thread in seen)
        match end:
            case "close":
                adapter.close()
            case "forget":
                del adapter
                gc.collect()
            case "forget on a loop":

                async def forget() -> None:
                    nonlocal adapter
                    del adapter
                    gc.collect()

                asyncio.run(forget())
            case "cancel" | "leave a task":
                call(adapter, environ_for("/end"))
        for thread in seen:
            thread.join(30)
            assert not thread.is_alive()
        if end == "leave a task":
            assert left[0].cancelled()
        if end in ("cancel", "leave a task"):
            assert call(adapter, environ_for(path)).status == "200 OK"
            adapter.close()
            for thread in seen:
                thread.join(30)

    @pytest.mark.parametrize("path", ["/view", "/executor"])
    def test_a_loop_goes_without_the_garbage_collector(self, path: str) -> None:
        seen: set[threading.Thread] = set()
        adapter = AsgiToWsgi(self.make_app(seen), loop="request", lifespan="off")
        call(adapter, environ_for(path))
        call(adapter, environ_for(path))
        (kept,) = adapter._runtime.pool._idle  # type: ignore[union-attr]
        loop = weakref.ref(kept)
        gc.collect()
        gc.disable()
        try:
            del kept
            adapter.close()
            for thread in seen:
                thread.join(30)
            seen.clear()
            del thread
            assert loop() is None
        finally:
            gc.enable()

    @pytest.mark.parametrize("path", ["/view", "/executor"])
    def test_requests_at_once_have_threads_of_their_own(self, path: str) -> None:
        """Each of the views waits for the others."""
        meeting = threading.Barrier(4)
        app = FastAPI()

        @app.get("/view")
        def view() -> None:
            meeting.wait(30)

        @app.get("/executor")
        async def executor() -> None:
            await asyncio.to_thread(meeting.wait, 30)

        with AsgiToWsgi(app, loop="request", lifespan="off") as adapter:
            for _ in range(3):
                threads = [threading.Thread(target=call, args=(adapter, environ_for(path))) for _ in range(4)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join(30)
                    assert not thread.is_alive()

    @pytest.mark.parametrize("lifespan", ["off", "auto"])
    @pytest.mark.parametrize("path", ["/view", "/executor"])
    def test_the_interpreter_ends(self, path: str, lifespan: str) -> None:
        """anyio's threads are no daemons: the interpreter waits for them."""
        script = f"""
import threading
from bridge import AsgiToWsgi
from tests.support.wsgi import call, environ_for
from tests.to_wsgi.loops.test_kept import TestThreads

adapter = AsgiToWsgi(TestThreads().make_app(set()), loop="request", lifespan={lifespan!r})
call(adapter, environ_for({path!r}))
assert threading.active_count() == 2
"""
        subprocess.run([sys.executable, "-W", "error", "-c", script], cwd=REPOSITORY, check=True, timeout=60)

    def test_a_job_that_outlives_its_request_is_waited_for(self) -> None:
        """As asyncio.run() does at its end."""
        ended: list[str] = []
        began = threading.Event()

        def job() -> None:
            began.set()
            time.sleep(0.05)
            ended.append("job")

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            asyncio.get_running_loop().run_in_executor(None, job)
            began.wait(30)
            await hello(scope, receive, send)

        with AsgiToWsgi(app, loop="request", lifespan="off") as adapter:
            call(adapter, environ_for())
            assert ended == ["job"]

    def test_a_stream_that_is_read_by_a_thread(self, caplog: pytest.LogCaptureFixture) -> None:
        """Starlette's FileResponse and UploadFile: many small jobs in one request."""

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(START)
            with io.BytesIO(b"x" * 100) as file:
                while block := await anyio.to_thread.run_sync(file.read, 1):
                    await send(part(block))
            await send(last())

        with caplog.at_level(logging.INFO), AsgiToWsgi(app, loop="request", lifespan="off") as adapter:
            for _ in range(3):
                assert call(adapter, environ_for()).body == b"x" * 100
        assert [record for record in caplog.records if record.name in ("bridge", "asyncio")] == []
