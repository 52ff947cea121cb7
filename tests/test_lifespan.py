"""Running an ASGI application's lifespan."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.applications import Starlette

from bridge._lifespan import Lifespan, LifespanMode
from bridge._types import Receive, Scope, Send
from bridge.errors import ApplicationError, LifespanError

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


@pytest.mark.parametrize("app", [raises, returns, asks_and_raises])
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
    ("app", "cause"), [(raises, KeyError), (returns, type(None)), (asks_and_raises, AssertionError)]
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


def test_an_app_that_asks_for_a_third_event_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge._lifespan._LINGER", 0.01)
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


@pytest.mark.parametrize(
    "kind", ["lifespan.shutdown.complete", "http.response.start", "lifespan.startup.complete"]
)
def test_what_is_out_of_order_is_refused(kind: str) -> None:
    errors: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        if kind == "lifespan.startup.complete":
            await send({"type": kind})
        with pytest.raises(ApplicationError, match=kind) as caught:
            await send({"type": kind})
        errors.append(str(caught.value))
        if kind != "lifespan.startup.complete":
            await send({"type": "lifespan.startup.complete"})
        await receive()

    async def main() -> None:
        lifespan = Lifespan(app, "on")
        await lifespan.startup()
        await lifespan.shutdown()

    run(main)
    assert len(errors) == 1


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
