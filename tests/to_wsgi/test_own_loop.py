"""What holds for a loop of the request's own alone."""

import asyncio
import contextlib
import gc
import io
import logging
import signal
import sys
import threading
import time
import warnings
from types import SimpleNamespace
from typing import Any

import pytest
import uvloop
from gunicorn.workers.base import Worker

from bridge.errors import ClientDisconnected
from bridge.to_wsgi import loop_run, own_loop
from bridge.to_wsgi.loops import kept, pool
from bridge.to_wsgi.loops.kept import close_loop
from bridge.to_wsgi.loops.mode import LoopMode
from bridge.types import Receive, Scope, Send
from tests.support.wsgi import Answer, call, environ_for
from tests.to_wsgi.apps import START, hello, last, part, read_body


class TestRequestMode:
    """What holds for a loop of the request's own alone."""

    @pytest.fixture(params=["request"])
    def mode(self, request: pytest.FixtureRequest) -> LoopMode:
        mode: LoopMode = request.param
        return mode

    def test_it_runs_in_the_callers_thread_and_keeps_a_clean_loop(self, adapt: Any) -> None:
        seen: list[Any] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            seen.append((threading.current_thread(), asyncio.get_running_loop()))
            await hello(scope, receive, send)

        adapter = adapt(app)
        call(adapter, environ_for())
        call(adapter, environ_for())
        assert seen == [seen[0]] * 2
        assert seen[0][0] is threading.current_thread()

    def test_tasks_that_are_left_over_are_cancelled_and_the_loop_is_closed(self, adapt: Any) -> None:
        loops: list[asyncio.AbstractEventLoop] = []
        ended: list[str] = []

        async def child() -> None:
            try:
                await asyncio.sleep(100)
            finally:
                ended.append("child")

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            loops.append(asyncio.get_running_loop())
            task = asyncio.create_task(child())
            await asyncio.sleep(0)
            await hello(scope, receive, send)
            assert not task.done()

        adapter = adapt(app)
        call(adapter, environ_for())
        assert ended == ["child"]
        assert loops[0].is_closed()

    @pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
    @pytest.mark.parametrize("where", ["before", "middle", "after"])
    def test_what_ends_a_process_passes_through_and_leaves_no_loop(
        self, adapt: Any, kind: type[BaseException], where: str
    ) -> None:
        loops: list[asyncio.AbstractEventLoop] = []
        ended: list[str] = []

        async def child() -> None:
            try:
                await asyncio.sleep(100)
            finally:
                ended.append("child")

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            loops.append(asyncio.get_running_loop())
            task = asyncio.create_task(child())
            await asyncio.sleep(0)
            if where == "before":
                raise kind
            await send(START)
            await send(part(b"x", more=where == "middle"))
            await asyncio.sleep(0.001)
            assert not task.done()
            raise kind

        with pytest.raises(kind):
            call(adapt(app), environ_for())
        assert loops[0].is_closed()
        assert ended == ["child"]

    @pytest.mark.parametrize("factory", [None, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
    @pytest.mark.parametrize("how", ["close", "fail"])
    def test_an_app_that_never_ends_holds_no_thread(
        self,
        adapt: Any,
        factory: Any,
        how: str,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        for module in (loop_run, kept):
            monkeypatch.setattr(module, "CANCEL_LIMIT", 0.1)
        gone = False
        loops: list[asyncio.AbstractEventLoop] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            loop = asyncio.get_running_loop()
            loops.append(loop)
            await send(START)
            await send(part(b"Hello"))
            while not gone:
                with contextlib.suppress(asyncio.CancelledError):
                    await loop.create_future()

        body: Any = adapt(app, loop_factory=factory)(environ_for(), Answer().start_response)
        assert next(body) == b"Hello"
        if how == "fail":
            loops[0].call_soon(sys.exit)  # it runs while its response is asked for
            with pytest.raises(SystemExit):
                next(body)
        body.close()
        assert "GET '/': the application was cancelled, and runs on; it is left behind" in caplog.text
        gone = True
        gc.collect()

    @pytest.mark.parametrize("of_gunicorn", [False, True])
    def test_an_exit_after_the_response_on_gunicorn(self, adapt: Any, of_gunicorn: bool) -> None:
        """Its worker that is told to quit raises one wherever it is, and ends by itself."""
        loops: list[asyncio.AbstractEventLoop] = []
        worker = SimpleNamespace(alive=True, cfg=SimpleNamespace(worker_abort=repr))

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            loop = asyncio.get_running_loop()
            loops.append(loop)
            await hello(scope, receive, send)
            if of_gunicorn:
                loop.call_soon(Worker.handle_abort, worker, signal.SIGABRT, None)
            else:
                loop.call_soon(sys.exit, 3)
            await loop.create_future()

        body: Any = adapt(app)(environ_for() | {"gunicorn.socket": None}, Answer().start_response)
        assert list(body) == [b"Hello"]
        with contextlib.nullcontext() if of_gunicorn else pytest.raises(SystemExit):
            body.close()
        assert loops[0].is_closed()
        assert worker.alive is not of_gunicorn

    def test_an_interrupt_in_a_read_passes_through(self, adapt: Any) -> None:
        class Interrupted(io.BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                raise SystemExit(1)

        loops: list[asyncio.AbstractEventLoop] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            loops.append(asyncio.get_running_loop())
            await receive()

        with pytest.raises(SystemExit):
            call(adapt(app), environ_for(method="POST", body=b"x") | {"wsgi.input": Interrupted()})
        assert loops[0].is_closed()

    def test_a_thread_whose_loop_is_running_is_told(self, adapt: Any) -> None:
        adapter = adapt(hello)

        async def wrong() -> None:
            with pytest.raises(RuntimeError, match="called in a thread whose event loop is running"):
                adapter(environ_for(), Answer().start_response)

        asyncio.run(wrong())

    @pytest.mark.parametrize("from_handler", [True, False])
    def test_a_hint_for_what_belongs_to_another_loop(
        self, adapt: Any, from_handler: bool, caplog: pytest.LogCaptureFixture
    ) -> None:
        other = asyncio.new_event_loop()
        future = other.create_future()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await future
            except RuntimeError as error:
                if from_handler:
                    raise ExceptionGroup("group", [ValueError("view")]) from error
                raise

        adapter = adapt(app)
        for _ in range(2):
            with pytest.raises(ExceptionGroup if from_handler else RuntimeError):
                call(adapter, environ_for())
        other.close()
        hints = [record.getMessage() for record in caplog.records if "loop='shared'" in record.getMessage()]
        assert len(hints) == 1

    @pytest.mark.parametrize("leaves", ["an error", "a task"])
    def test_a_log_that_fails_leaves_no_loop(
        self, adapt: Any, monkeypatch: pytest.MonkeyPatch, leaves: str
    ) -> None:
        closed: list[object] = []

        def refuse(record: logging.LogRecord) -> bool:
            raise LookupError("the app's filter")

        def close(loop: asyncio.AbstractEventLoop) -> None:
            closed.append(loop)
            close_loop(loop)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(START)
            await send(last(b"x"))
            if leaves == "an error":
                raise ValueError("after the response")
            tasks.append(asyncio.ensure_future(asyncio.sleep(60)))

        tasks: list[object] = []
        adapter = adapt(app)
        monkeypatch.setattr(pool, "close_loop", close)
        body = adapter(environ_for(), Answer().start_response)
        monkeypatch.setattr(logging.getLogger("bridge"), "filters", [refuse])
        with pytest.raises(LookupError, match="the app's filter"):
            body.close()
        assert len(own_loop._unclosed) == 0
        assert len(closed) + len(adapter._runtime.pool._idle) == 1
        body.close()

    def test_closing_the_adapter_ends_requests_that_wait(self, adapt: Any) -> None:
        waiting = threading.Event()
        results: list[object] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            waiting.set()
            results.append(await receive())

        def serve() -> None:
            try:
                call(adapter, environ_for())
            except ClientDisconnected:
                results.append("left")

        adapter = adapt(app)
        thread = threading.Thread(target=serve)
        thread.start()
        assert waiting.wait(60)
        adapter.close()
        thread.join()
        assert results == [{"type": "http.disconnect"}, "left"]

    def test_the_shutdown_comes_after_the_requests_that_closing_ends(self, adapt: Any) -> None:
        waiting = threading.Event()
        events: list[str] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "lifespan":
                await receive()
                await send({"type": "lifespan.startup.complete"})
                events.append((await receive())["type"])
                await send({"type": "lifespan.shutdown.complete"})
                return
            waiting.set()
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                for _ in range(20):
                    await asyncio.sleep(0.001)
                events.append("ended")

        def serve() -> None:
            with pytest.raises(ClientDisconnected):
                call(adapter, environ_for())

        adapter = adapt(app, lifespan="on")
        thread = threading.Thread(target=serve)
        thread.start()
        assert waiting.wait(60)
        # The app is on its way to the wait; close() ends requests that have come there.
        while not adapter._runtime.pool._waiting:
            time.sleep(0)
        adapter.close()
        thread.join()
        assert events == ["ended", "lifespan.shutdown"]

    def test_uvloop(self, adapt: Any) -> None:
        seen: list[object] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            seen.append(asyncio.get_running_loop())
            body, _ = await read_body(receive)
            await send(START)
            await send(part(body))
            await asyncio.sleep(0.001)
            await send(last(b"!"))

        adapter = adapt(app, loop_factory=uvloop.new_event_loop)
        for _ in range(2):
            assert call(adapter, environ_for(method="POST", body=b"abc")).body == b"abc!"
        assert isinstance(seen[0], uvloop.Loop)
        assert seen[0] is seen[1]

    def test_debug_mode_has_nothing_to_say(
        self, adapt: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A read or a write that blocks is not a callback that takes long: it happens outside the loop."""
        monkeypatch.setenv("PYTHONASYNCIODEBUG", "1")
        loops: list[DebugLoop] = []

        def make_loop() -> DebugLoop:
            loops.append(DebugLoop())
            return loops[-1]

        class Slow(io.BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                loops[0].ahead += 2 * DebugLoop.LONG
                return super().read(size)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            body, _ = await read_body(receive)
            await send(START)
            await send(part(body))
            await asyncio.sleep(0)
            await send(last(b"!"))

        environ = environ_for(method="POST", body=b"abc") | {"wsgi.input": Slow(b"abc")}
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert call(adapt(app, loop_factory=make_loop), environ).body == b"abc!"
        assert loops[0].ahead
        assert [record for record in caplog.records if record.name in {"asyncio", "bridge"}] == []


class DebugLoop(asyncio.SelectorEventLoop):
    """In debug mode. What takes long by its clock, the test decides; a slow machine never needs so much."""

    LONG = 60.0

    def __init__(self) -> None:
        self.ahead = 0.0
        super().__init__()
        self.set_debug(True)
        self.slow_callback_duration = self.LONG

    def time(self) -> float:
        return super().time() + self.ahead
