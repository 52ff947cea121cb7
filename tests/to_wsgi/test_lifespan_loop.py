"""Starting and ending an adapter: startups that fail, hang, or can't be repeated; and threads whose loop is running."""

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from bridge import AsgiToWsgi, Dispatcher
from bridge import lifespan as lifespan_module
from bridge.errors import LifespanError
from bridge.to_wsgi import attempts
from bridge.to_wsgi.loops.kept import close_loop
from bridge.to_wsgi.loops.mode import LoopMode
from bridge.types import ASGIApp, Receive, Scope, Send
from tests.support.asgi import HANG
from tests.support.threads import wait_for_no_bridge_threads
from tests.support.wsgi import Answer, call, environ_for
from tests.to_wsgi.apps import START, hello, last, part, until


def connect() -> None:
    raise OSError("no database")


class Once:
    """An app that can be started once, as a session manager; its first startup fails."""

    def __init__(self, second: str) -> None:
        self.second = second
        self.starts = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await hello(scope, receive, send)
            return
        await receive()
        self.starts += 1
        if self.starts == 1:
            await send({"type": "lifespan.startup.failed", "message": "no database"})
        elif self.second == "waits":
            await asyncio.get_running_loop().create_future()
        else:
            await send({"type": "lifespan.startup.failed", "message": "it can be started once only"})


class TestRetry:
    def test_a_failure_is_remembered_for_a_while(
        self, adapt: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        app = Once("fails")
        adapter = adapt(app, lifespan="auto")
        for _ in range(3):
            with pytest.raises(LifespanError, match="no database"):
                call(adapter, environ_for())
        assert app.starts == 1
        assert caplog.text.count("no database") == 1
        monkeypatch.setattr(adapter._runtime._attempts, "_retry_at", 0.0)
        with pytest.raises(LifespanError, match="once only"):
            call(adapter, environ_for())
        assert app.starts == 2
        assert "the first one had this error: the application's startup failed: no database" in caplog.text

    @pytest.mark.parametrize("mode", ["shared"], indirect=True)
    def test_one_that_means_to_end_the_process_has_failed(
        self, adapt: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        """On a loop of its own it ends the worker, as on an ASGI server. Everybody's loop goes on after it."""

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "lifespan":
                await receive()
                raise SystemExit("no database")
            await hello(scope, receive, send)

        with pytest.raises(LifespanError, match="no database"):
            call(adapt(app, lifespan="auto"), environ_for())
        assert "the application's startup raised SystemExit('no database')" in caplog.text

    def test_a_second_startup_that_never_ends_is_given_up(
        self, adapt: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(attempts, "RETRY_AFTER", 0.0)
        monkeypatch.setattr(attempts, "RETRY_LIMIT", 0.05)
        app = Once("waits")
        adapter = adapt(app, lifespan="auto")
        with pytest.raises(LifespanError, match="no database"):
            call(adapter, environ_for())
        for _ in range(2):
            with pytest.raises(LifespanError, match=r"has not answered lifespan\.startup for 0\.05 s"):
                call(adapter, environ_for())
        assert app.starts == 3

    def test_starlettes_with_what_can_run_once(
        self, adapt: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(attempts, "RETRY_AFTER", 0.0)
        ran: list[int] = []

        @asynccontextmanager
        async def lifespan(app: Starlette) -> Any:
            if ran:
                raise RuntimeError("run() can only be called once per instance")
            ran.append(1)
            connect()
            yield

        adapter = adapt(Starlette(lifespan=lifespan), lifespan="auto")
        with pytest.raises(LifespanError, match="no database"):
            call(adapter, environ_for())
        with pytest.raises(LifespanError, match="only be called once"):
            call(adapter, environ_for())
        assert (
            "try 2; the first one had this error: the application's startup failed: OSError: no database"
            in (caplog.text)
        )


class Held:
    """An app whose startup waits, and which notes its end."""

    def __init__(self) -> None:
        self.starting = threading.Event()
        self.ended: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "lifespan"
        try:
            await receive()
            self.starting.set()
            await asyncio.get_running_loop().create_future()
        finally:
            self.ended.append("ended")


class TestClose:
    def test_a_startup_that_is_under_way_is_told_to_end(self, adapt: Any) -> None:
        app = Held()
        adapter = adapt(app, lifespan="on")
        outcomes: list[BaseException] = []

        def ask() -> None:
            try:
                call(adapter, environ_for())
            except RuntimeError as error:
                outcomes.append(error)

        asking = [threading.Thread(target=ask) for _ in range(3)]
        for thread in asking:
            thread.start()
        assert app.starting.wait(HANG)
        adapter.close()
        for thread in asking:
            thread.join(HANG)
        assert not any(thread.is_alive() for thread in asking)
        assert app.ended == ["ended"]
        assert len(outcomes) == 3
        assert all("was closed" in str(error) for error in outcomes)

    @pytest.mark.parametrize("mode", ["request"])
    def test_one_that_is_cut_off_after_its_startup_is_shut_down(self, adapt: Any) -> None:
        """By a task that it has left, in the rounds in which those are looked for."""
        seen: list[str] = []

        async def leaves() -> None:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            raise SystemExit(3)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "lifespan":
                await hello(scope, receive, send)
                return
            seen.append((await receive())["type"])
            task = asyncio.create_task(leaves()) if len(seen) == 1 else None
            await send({"type": "lifespan.startup.complete"})
            seen.append((await receive())["type"])
            await send({"type": "lifespan.shutdown.complete"})
            del task

        adapter = adapt(app, lifespan="on")
        with pytest.raises(SystemExit):
            call(adapter, environ_for())
        assert seen == ["lifespan.startup", "lifespan.shutdown"]
        assert call(adapter, environ_for()).body == b"Hello"
        adapter.close()
        assert seen == ["lifespan.startup", "lifespan.shutdown"] * 2

    @pytest.mark.parametrize("mode", ["request"])
    def test_a_startup_that_blocks_is_ended_by_its_own_thread(
        self, adapt: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """close() does not wait for it."""
        monkeypatch.setattr(attempts, "END_LIMIT", 0.0)
        starting, go = threading.Event(), threading.Event()
        seen: list[str] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            starting.set()
            assert go.wait(HANG)
            try:
                await send({"type": "lifespan.startup.complete"})
                await receive()
                await send({"type": "lifespan.shutdown.complete"})
            finally:
                seen.append("ended")

        adapter = adapt(app, lifespan="on")
        outcomes: list[BaseException] = []

        def ask() -> None:
            try:
                call(adapter, environ_for())
            except BaseException as error:
                outcomes.append(error)

        asking = threading.Thread(target=ask)
        asking.start()
        assert starting.wait(HANG)
        adapter.close()
        assert "told to end" in caplog.text
        go.set()
        asking.join(HANG)
        assert not asking.is_alive()
        (error,) = outcomes
        assert "was closed" in str(error)
        assert seen == ["ended"]

    def test_an_app_that_can_not_be_cancelled_leaves_a_loop_behind(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(lifespan_module, "SHUTDOWN_LIMIT", 0.0)
        monkeypatch.setattr(lifespan_module, "_LINGER", 0.0)
        left: list[Any] = []
        monkeypatch.setattr("bridge.to_wsgi.lifespan_loop.leave_alone", left.append)
        go: list[asyncio.Event] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "lifespan":
                await hello(scope, receive, send)
                return
            await receive()
            await send({"type": "lifespan.startup.complete"})
            go.append(asyncio.Event())
            while not go[0].is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await go[0].wait()

        adapter = AsgiToWsgi(app)
        call(adapter, environ_for())
        adapter.close()
        assert "it is left behind" in caplog.text
        (loop,) = left
        go[0].set()
        close_loop(loop)

    def test_a_shared_loop_that_is_blocked_is_left_behind(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr("bridge.to_wsgi.lifespan_loop._LIMIT", 0.05)
        monkeypatch.setattr("bridge.to_wsgi.loops.shared._JOIN", 0.05)
        blocked, go = threading.Event(), threading.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await hello(scope, receive, send)
            blocked.set()
            assert go.wait(HANG)

        adapter = AsgiToWsgi(app, loop="shared", lifespan="off")
        assert call(adapter, environ_for()).body == b"Hello"
        assert blocked.wait(HANG)
        adapter.close()
        assert "the shared event loop is blocked" in caplog.text
        assert "its thread is left behind" in caplog.text
        go.set()
        wait_for_no_bridge_threads()

    @pytest.mark.parametrize("how", ["waits", "swallows"])
    def test_a_shutdown_that_hangs_ends(
        self, adapt: Any, how: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(lifespan_module, "SHUTDOWN_LIMIT", 0.0)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "lifespan":
                await hello(scope, receive, send)
                return
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                if how == "waits":
                    raise
                await asyncio.sleep(0)

        adapter = adapt(app, lifespan="on")
        call(adapter, environ_for())
        adapter.close()
        assert "has not answered lifespan.shutdown" in caplog.text

    def test_in_a_thread_whose_loop_is_running(self, adapt: Any) -> None:
        seen: list[str] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "lifespan":
                await hello(scope, receive, send)
                return
            for _ in range(2):
                seen.append((await receive())["type"])
                await send({"type": f"{seen[-1]}.complete"})

        async def main() -> None:
            with Dispatcher({"/": adapt(app, lifespan="on")}) as dispatcher:
                answer = await asyncio.to_thread(call, dispatcher, environ_for())
                assert answer.body == b"Hello"

        asyncio.run(main())
        assert seen == ["lifespan.startup", "lifespan.shutdown"]


def on_a_loop(function: Callable[[], object]) -> None:
    async def main() -> None:
        function()

    asyncio.run(main())


@pytest.fixture(params=["itself", "in a dispatcher"])
def wrap(request: pytest.FixtureRequest) -> Callable[[AsgiToWsgi], Any]:
    if request.param == "itself":
        return lambda adapter: adapter
    return lambda adapter: Dispatcher({"/": adapter})


class TestRunningLoop:
    """A call in a thread whose event loop is running."""

    @pytest.mark.parametrize("mode", ["request"])
    def test_it_is_refused_before_anything_is_started(self, adapt: Any, wrap: Any) -> None:
        kinds: list[str] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            kinds.append(scope["type"])
            await hello(scope, receive, send)

        adapter = adapt(app, lifespan="auto")

        def wrong() -> None:
            for _ in range(2):
                with pytest.raises(RuntimeError, match=r"event loop is running.*asyncio\.to_thread"):
                    wrap(adapter)(environ_for(), Answer().start_response)

        on_a_loop(wrong)
        assert kinds == []
        assert adapter._runtime is None
        assert call(wrap(adapter), environ_for()).body == b"Hello"

    @pytest.mark.parametrize("mode", ["shared"])
    def test_the_shared_loop_is_another_one_and_can_be_waited_for(self, adapt: Any, wrap: Any) -> None:
        adapter = adapt(hello, lifespan="auto")
        on_a_loop(lambda: call(wrap(adapter), environ_for()))

    @pytest.mark.parametrize("mode", ["shared"])
    @pytest.mark.parametrize("another", [False, True])
    def test_the_shared_loop_itself(self, adapt: Any, wrap: Any, another: bool) -> None:
        """It is the same for all adapters, also for one that has not been started."""
        errors: list[str] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            with pytest.raises(RuntimeError, match=r"wait for ever.*asyncio\.to_thread") as raised:
                wrap(other)(environ_for(), Answer().start_response)
            errors.append(str(raised.value))
            await hello(scope, receive, send)

        adapter = adapt(app)
        other = adapt(hello, lifespan="auto") if another else adapter
        assert call(adapter, environ_for()).body == b"Hello"
        assert len(errors) == 1
        if another:
            assert other._runtime is None

    def test_iteration(self, adapt: Any, mode: LoopMode) -> None:
        ended: list[str] = []
        go = threading.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await send(START)
                await send(part(b"one"))
                await until(go.is_set)
                await send(last(b"two"))
            finally:
                ended.append("ended")

        body: Any = adapt(app)(environ_for(), Answer().start_response)
        assert next(body) == b"one"

        def wrong() -> None:
            with pytest.raises(RuntimeError, match="event loop"):
                next(body)

        go.set()
        if mode == "shared":
            done = threading.Event()

            def on_shared_loop() -> None:
                try:
                    wrong()
                finally:
                    done.set()

            body._exchange._shared.call_soon(on_shared_loop)
            assert done.wait(HANG)
        else:
            on_a_loop(wrong)
        assert next(body) == b"two", "nothing is lost"
        assert list(body) == []
        body.close()
        assert ended == ["ended"]

    @pytest.mark.parametrize("complete", [False, True])
    def test_close_of_a_response(self, adapt: Any, complete: bool) -> None:
        """PEP 3333 wants it called; what comes after the response runs, in another thread."""
        ended = threading.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await send(START)
                await send(part(b"one", more=not complete))
                await asyncio.sleep(0 if complete else 100)
            finally:
                ended.set()

        body: Any = adapt(app)(environ_for(), Answer().start_response)
        on_a_loop(getattr(body, "close", lambda: None))
        assert ended.wait(HANG)


def test_a_view_may_block_on_another_adapter(adapt: Any) -> None:
    """By another thread, as the error says."""
    inner = adapt(hello)

    async def view(request: Any) -> PlainTextResponse:
        answer = await asyncio.to_thread(call, inner, environ_for())
        return PlainTextResponse(answer.body)

    app: ASGIApp = Starlette(routes=[Route("/", view)])
    assert call(adapt(app), environ_for()).body == b"Hello"


request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="")


def test_the_app_is_started_in_no_requests_context(adapt: Any) -> None:
    """The first request starts it; but what it starts is of the process, as it is on an ASGI server."""
    seen: dict[str, str] = {}

    async def work() -> None:
        seen["a task"] = request_id.get()

    @asynccontextmanager
    async def lifespan(_: Any) -> Any:
        seen["startup"] = request_id.get()
        await asyncio.create_task(work())
        yield
        seen["shutdown"] = request_id.get()

    async def view(request: Any) -> PlainTextResponse:
        seen["a request"] = request_id.get()
        return PlainTextResponse("Hello")

    adapter = adapt(Starlette(routes=[Route("/", view)], lifespan=lifespan), lifespan="on")

    def middleware() -> None:
        request_id.set("first")
        assert call(adapter, environ_for()).body == b"Hello"
        adapter.close()

    contextvars.Context().run(middleware)
    assert seen == {"startup": "", "a task": "", "a request": "first", "shutdown": ""}
