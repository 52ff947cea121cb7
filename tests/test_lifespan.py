"""Running an ASGI application's lifespan."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.applications import Starlette

from bridge import lifespan as module
from bridge.errors import ApplicationError, LifespanError
from bridge.lifespan import Lifespan, LifespanMode
from bridge.types import Receive, Scope, Send
from tests.support.asgi import HANG

BOTH: tuple[LifespanMode, ...] = ("auto", "on")


def run(main: Callable[[], Awaitable[None]]) -> None:
    """Run on a loop in debug mode, where a callback that never returns would be seen."""

    async def body() -> None:
        await main()

    asyncio.run(body())


class App:
    """An application that answers lifespan, and notes what it sees."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "lifespan"
        assert scope["asgi"] == {"version": "3.0", "spec_version": "2.0"}
        self.seen.append((await receive())["type"])
        scope["state"]["pool"] = self
        await send({"type": "lifespan.startup.complete"})
        self.seen.append((await receive())["type"])
        await send({"type": "lifespan.shutdown.complete"})
        self.seen.append("returned")


@pytest.mark.parametrize("mode", BOTH)
def test_startup_and_shutdown(mode: LifespanMode, caplog: pytest.LogCaptureFixture) -> None:
    app = App()

    async def main() -> None:
        lifespan = Lifespan(app, mode)
        running = [lifespan.running]
        await lifespan.startup()
        running.append(lifespan.running)
        assert app.seen == ["lifespan.startup"]
        assert lifespan.state == {"pool": app}
        await lifespan.shutdown()
        running.append(lifespan.running)
        assert running == [False, True, False]
        assert app.seen == ["lifespan.startup", "lifespan.shutdown", "returned"]
        await lifespan.shutdown()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    with caplog.at_level(logging.DEBUG, "bridge"):
        run(main)
    assert [record for record in caplog.records if record.name == "bridge"] == []


def test_starlettes_lifespan_with_its_state() -> None:
    seen: list[str] = []

    @asynccontextmanager
    async def lifespan_of(app: Starlette) -> Any:
        seen.append("up")
        yield {"number": 1}
        seen.append("down")

    async def main() -> None:
        lifespan = Lifespan(Starlette(lifespan=lifespan_of), "on")
        await lifespan.startup()
        assert lifespan.state == {"number": 1}
        await lifespan.shutdown()
        assert seen == ["up", "down"]

    run(main)


async def raises(scope: Scope, receive: Receive, send: Send) -> None:
    raise KeyError(scope["type"])


async def returns(scope: Scope, receive: Receive, send: Send) -> None:
    pass


async def asks_and_raises(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    raise AssertionError("http only")


async def answers_http(scope: Scope, receive: Receive, send: Send) -> None:
    """It never looks at the type of its scope, and has somebody listen for the client's leaving."""

    async def listen() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    listening = asyncio.create_task(listen())
    try:
        await send({"type": "http.response.start", "status": 200, "headers": []})
    finally:
        await listening


async def swallows(scope: Scope, receive: Receive, send: Send) -> None:
    """As a middleware that answers an error by a response of its own."""
    await receive()
    for _ in range(2):
        with contextlib.suppress(ApplicationError):
            await send({"type": "http.response.start", "status": 500, "headers": []})
    with pytest.raises(ApplicationError, match="ended"):
        await send({"type": "lifespan.startup.complete"})
    await receive()


async def closes(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    with contextlib.suppress(ApplicationError):
        await send({"type": "websocket.close"})
    await receive()


NO_LIFESPAN = [raises, returns, asks_and_raises, answers_http, swallows, closes]


@pytest.mark.parametrize("app", NO_LIFESPAN)
def test_auto_goes_on_without(app: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        lifespan = Lifespan(app, "auto")
        await lifespan.startup()
        assert not lifespan.running
        await lifespan.shutdown()

    with caplog.at_level(logging.INFO, "bridge"):
        run(main)
    (record,) = (record for record in caplog.records if record.name == "bridge")
    assert record.levelno == logging.INFO
    assert "going on without" in record.getMessage()


@pytest.mark.parametrize(
    ("app", "cause"),
    [
        (raises, KeyError),
        (returns, type(None)),
        (asks_and_raises, AssertionError),
        (answers_http, type(None)),
        (swallows, type(None)),
        (closes, type(None)),
    ],
)
def test_on_does_not(app: Any, cause: type, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        with pytest.raises(LifespanError, match="does not answer lifespan") as caught:
            await Lifespan(app, "on").startup()
        assert isinstance(caught.value.__cause__, cause)

    run(main)
    assert "does not answer lifespan" in caplog.text


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize("then", ["returns", "raises"])
def test_a_startup_that_fails_fails_loudly(
    mode: LifespanMode, then: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})
        if then == "raises":
            raise OSError("refused")

    async def main() -> None:
        lifespan = Lifespan(app, mode)
        with pytest.raises(LifespanError, match="no database") as caught:
            await lifespan.startup()
        assert isinstance(caught.value.__cause__, OSError if then == "raises" else type(None))
        assert not lifespan.running
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(main)
    assert "no database" in caplog.text


def test_a_starlette_startup_that_raises_has_its_traceback_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def connect() -> None:
        raise OSError("no database")

    @asynccontextmanager
    async def lifespan_of(app: Starlette) -> Any:
        await connect()
        yield

    async def main() -> None:
        with pytest.raises(LifespanError, match="no database"):
            await Lifespan(Starlette(lifespan=lifespan_of), "auto").startup()

    run(main)
    assert "in lifespan_of" in caplog.text


@pytest.mark.parametrize("how", ["failed", "raises"])
def test_a_shutdown_that_fails_is_logged(how: str, caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        if how == "raises":
            raise OSError("not flushed")
        await send({"type": "lifespan.shutdown.failed", "message": "not flushed"})

    async def main() -> None:
        lifespan = Lifespan(app, "auto")
        await lifespan.startup()
        await lifespan.shutdown()

    run(main)
    assert "shutdown" in caplog.text
    assert "not flushed" in caplog.text


def test_an_app_that_ends_in_between_is_logged_at_shutdown(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        raise OSError("gone")

    async def main() -> None:
        lifespan = Lifespan(app, "auto")
        await lifespan.startup()
        await lifespan.shutdown()

    run(main)
    assert "gone" in caplog.text


@pytest.mark.parametrize(
    ("says", "raises"), [(True, False), (False, True), (True, True)], ids=["says so", "raises", "both"]
)
def test_an_app_that_fails_in_between_is_logged_at_once(
    says: bool, raises: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """As on uvicorn: its shutdown may be weeks away. Starlette says so where a task of the lifespan fails."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await fails.wait()
        if says:
            await send({"type": "lifespan.shutdown.failed", "message": "the queue is gone"})
        if raises:
            raise OSError("the queue is gone")

    fails = asyncio.Event()

    async def main() -> None:
        lifespan = Lifespan(app, "auto", "/api: ")
        await lifespan.startup()
        fails.set()
        async with asyncio.timeout(10):
            while not caplog.records:  # noqa: ASYNC110 - nothing to be told by
                await asyncio.sleep(0)
        assert lifespan.running  # requests are served on
        assert not await lifespan.shutdown()

    run(main)
    [record] = [record for record in caplog.records if record.name == "bridge"]
    assert record.getMessage().startswith("/api: the application's lifespan failed before its shutdown")
    assert "the queue is gone" in caplog.text


def test_an_app_that_asks_for_a_third_event_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.lifespan._LINGER", 0.01)
    ended: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            while True:
                event = (await receive())["type"]
                await send({"type": f"{event}.complete"})
        finally:
            ended.append("ended")

    async def main() -> None:
        lifespan = Lifespan(app, "auto")
        await lifespan.startup()
        await lifespan.shutdown()
        assert ended == ["ended"]

    run(main)


def test_a_cancelled_startup_cancels_the_app() -> None:
    ended: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await asyncio.sleep(100)
        finally:
            ended.append("ended")

    async def main() -> None:
        task = asyncio.create_task(Lifespan(app, "on").startup())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0)
        assert ended == ["ended"]

    run(main)


# Silence.


class Silent:
    """It answers an event when it is let, or never; it notes its end."""

    def __init__(self, *answered: str) -> None:
        self.answered = answered
        self.go = asyncio.Event()
        self.ended = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            for kind in ("startup", "shutdown"):
                await receive()
                if kind not in self.answered:
                    await self.go.wait()
                await send({"type": f"lifespan.{kind}.complete"})
        finally:
            self.ended = True


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]


async def warned(caplog: pytest.LogCaptureFixture) -> None:
    async with asyncio.timeout(HANG):
        while not warnings(caplog):  # noqa: ASYNC110 - nothing to be told by
            await asyncio.sleep(0)


@pytest.mark.parametrize("kind", ["startup", "shutdown"])
def test_silence_is_named_once_and_waited_for(
    kind: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "SILENCE", 0.0)

    async def main() -> None:
        app = Silent("startup" if kind == "shutdown" else "shutdown")
        lifespan = Lifespan(app, "auto", label="/api: ")
        if kind == "shutdown":
            monkeypatch.setattr(module, "SILENCE", HANG)
            await lifespan.startup()
            monkeypatch.setattr(module, "SILENCE", 0.0)
        step = asyncio.create_task(lifespan.startup() if kind == "startup" else lifespan.shutdown())
        await warned(caplog)
        for _ in range(10):
            await asyncio.sleep(0)
        assert not step.done()
        app.go.set()
        await step
        if kind == "startup":
            assert lifespan.running
            monkeypatch.setattr(module, "SILENCE", HANG)
            assert await lifespan.shutdown()
        assert app.ended

    run(main)
    (warning,) = warnings(caplog)
    assert warning.startswith(f"/api: the application has not answered lifespan.{kind} for 0.0 s")
    assert ("lifespan='off'" in warning) is (kind == "startup")


def test_a_startup_with_a_limit(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        app = Silent()
        with pytest.raises(LifespanError, match=r"has not answered lifespan\.startup for 0\.0 s"):
            await Lifespan(app, "auto").startup(0.0)
        assert app.ended
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(main)
    assert not warnings(caplog), "the error says it all"


def test_a_shutdown_that_never_ends_is_cancelled(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "SHUTDOWN_LIMIT", 0.0)

    async def main() -> None:
        app = Silent("startup")
        lifespan = Lifespan(app, "on")
        await lifespan.startup()
        assert not await lifespan.shutdown()
        assert app.ended
        assert await lifespan.shutdown(), "nothing is left to do"

    run(main)
    assert "has not answered lifespan.shutdown for 0.0 s" in caplog.text


def test_an_app_that_can_not_be_cancelled_is_left_behind(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_LINGER", 0.0)

    async def main() -> None:
        go = asyncio.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.get_running_loop().create_future()
            await go.wait()

        monkeypatch.setattr(module, "SHUTDOWN_LIMIT", 0.0)
        lifespan = Lifespan(app, "on")
        await lifespan.startup()
        assert not await lifespan.shutdown()
        go.set()
        (task,) = asyncio.all_tasks() - {asyncio.current_task()}
        await task

    run(main)
    assert "runs on; it is left behind" in caplog.text
