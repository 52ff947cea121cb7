"""Any lifespan that an ASGI app may run, against a model of the specification ("Lifespan Protocol"), in ``lifespans``.

The loop's clock goes on where everybody waits, so that an app which never answers takes no time.
"""

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import AsgiToWsgi, LifespanError, WsgiToAsgi
from bridge.dispatch.lifespans import LifespanPart, run_lifespans
from bridge.lifespan import Lifespan
from bridge.types import Environ, Message, StartResponse
from tests.fuzz.lifespans import GIVEN_UP, IDLE, WAITS, App, Model, Plan, Step, plans
from tests.fuzz.profile import examples
from tests.support.asgi import HANG, Exchange, http_scope, request
from tests.support.hurried import HurriedLoop
from tests.support.lifespan import run_lifespan
from tests.support.threads import wait_for_no_bridge_threads
from tests.support.wsgi import call, environ_for


@contextmanager
def _log(caplog: pytest.LogCaptureFixture) -> Iterator[list[int]]:
    """The levels of what is logged, from warnings on."""
    caplog.clear()
    levels: list[int] = []
    yield levels
    levels += [r.levelno for r in caplog.records if r.name == "bridge" and r.levelno >= logging.WARNING]


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("WARNING", "bridge")


def _compare(app: App, model: Model) -> None:
    # Once the app has given its last answer, nothing that it does counts: how much of it comes is left open.
    assert app.received[: len(model.received)] == model.received
    assert app.refused[: len(model.refused)] == model.refused
    assert app.running == 0


def test_any_app(caplog: pytest.LogCaptureFixture) -> None:
    app = App()

    async def main(plan: Plan) -> tuple[str, bool]:
        lifespan = Lifespan(app, plan.mode)
        try:
            async with asyncio.timeout(GIVEN_UP):
                await lifespan.startup(plan.limit)
        except LifespanError:
            startup = "failed"
        except TimeoutError:
            startup = "cancelled"
        else:
            startup = "running" if lifespan.running else "none"
        await asyncio.sleep(IDLE)
        well = await lifespan.shutdown()
        await asyncio.sleep(0)  # who has just been cancelled ends
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return startup, well

    @examples(300)
    @given(plans(WAITS))
    def check(plan: Plan) -> None:
        app.begin(plan)
        model = Model(plan)
        startup, over = model.startup()
        well, _ = model.shutdown(over + IDLE)
        with _log(caplog) as levels, asyncio.Runner(loop_factory=HurriedLoop) as runner:
            assert runner.run(main(plan)) == (startup, well)
        _compare(app, model)
        assert levels.count(logging.ERROR) == model.errors
        assert levels.count(logging.WARNING) == model.warnings

    check()


def test_any_two_apps_of_a_site(caplog: pytest.LogCaptureFixture) -> None:
    first, second = App(), App()
    sent: list[str] = []

    async def send(message: Message) -> None:
        sent.append(message["type"])

    async def main(parts: list[LifespanPart]) -> None:
        events = iter(["lifespan.startup", "lifespan.shutdown"])

        async def receive() -> Message:
            if sent:
                await asyncio.sleep(IDLE)
            return {"type": next(events)}

        site = asyncio.create_task(run_lifespans(parts, receive, send, lambda _: None))
        handle = asyncio.get_running_loop().call_later(GIVEN_UP, lambda: sent or site.cancel())
        await asyncio.wait({site})
        handle.cancel()
        assert site.cancelled() or site.exception() is None
        await asyncio.sleep(0)  # who has just been cancelled ends
        assert asyncio.all_tasks() == {asyncio.current_task()}

    @examples(200)
    @given(plans(WAITS), plans(WAITS))
    def check(one: Plan, other: Plan) -> None:
        # Never at the same time as the first one.
        other = other._replace(steps=[Step("wait", 0.125), *other.steps])
        sent.clear()
        first.begin(one)
        second.begin(other)
        models = [Model(plan._replace(limit=None)) for plan in (one, other)]
        expected = _site(models)
        parts = [LifespanPart("/a", first, one.mode), LifespanPart("/b", second, other.mode)]
        with _log(caplog) as levels, asyncio.Runner(loop_factory=HurriedLoop) as runner:
            runner.run(main(parts))
        assert sent == expected
        for app, model in zip((first, second), models, strict=True):
            _compare(app, model)
        assert levels.count(logging.ERROR) == sum(model.errors for model in models)
        assert levels.count(logging.WARNING) == sum(model.warnings for model in models)

    check()


def _site(models: list[Model]) -> list[str]:
    """What the site tells its server: they start one after the other, and end the other way about."""
    sent = []
    now = 0.0
    running: list[Model] = []
    for model in models:
        outcome, now = model.startup(now)
        if outcome == "running":
            running.append(model)
        elif outcome != "none":
            sent = ["lifespan.startup.failed"] if outcome == "failed" else []
            break
    else:
        sent = ["lifespan.startup.complete"]
        now += IDLE
    well = True
    for model in reversed(running):
        ended_well, now = model.shutdown(now)
        well = well and ended_well
    if sent == ["lifespan.startup.complete"]:
        sent.append("lifespan.shutdown.complete" if well else "lifespan.shutdown.failed")
    return sent


@pytest.mark.parametrize("mode", ["request", "shared"])
def test_any_app_on_a_wsgi_server(
    mode: Literal["request", "shared"], caplog: pytest.LogCaptureFixture
) -> None:
    app = App()

    @examples(100)
    @given(plans(WAITS[1:]))
    def check(plan: Plan) -> None:
        app.begin(plan)
        model = Model(plan._replace(limit=None))
        startup, over = model.startup()
        # The loop of requests of their own stands still until the shutdown.
        model.shutdown(over if mode == "request" else over + GIVEN_UP)
        with _log(caplog) as levels:
            adapter = AsgiToWsgi(app, loop=mode, lifespan=plan.mode, loop_factory=HurriedLoop)
            with futures.ThreadPoolExecutor(1) as server:
                try:
                    answer = server.submit(call, adapter, environ_for())
                    if startup == "cancelled":
                        assert app.called.wait(HANG)
                    else:
                        error = answer.exception(HANG)
                        assert isinstance(error, LifespanError) if startup == "failed" else error is None
                        if startup == "running" and mode == "shared" and app.running:
                            assert app.loop is not None
                            asyncio.run_coroutine_threadsafe(asyncio.sleep(GIVEN_UP), app.loop).result(HANG)
                finally:
                    adapter.close()
                if startup == "cancelled":
                    assert isinstance(answer.exception(HANG), RuntimeError)
        if startup == "cancelled":
            assert app.running == 0
            return
        _compare(app, model)
        assert levels.count(logging.ERROR) == model.errors
        assert levels.count(logging.WARNING) == model.warnings

    check()
    wait_for_no_bridge_threads()


class _GivenUpError(Exception):
    """The server ends without a shutdown."""


def test_any_server_of_a_wsgi_app() -> None:
    """Each event is answered once, requests are served at any time, and the threads end with a shutdown."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("204 No Content", [])
        return []

    async def main(adapter: WsgiToAsgi, events: list[str]) -> None:
        lifespan = Exchange(adapter, {"type": "lifespan"})
        expected: list[str] = []
        with contextlib.suppress(_GivenUpError):
            async with lifespan:
                for event in events:
                    if event == "request":
                        exchange = Exchange(adapter, http_scope(), [request()])
                        await exchange.run()
                        assert exchange.status == 204
                    elif "lifespan.shutdown.complete" not in expected:
                        lifespan.feed({"type": event})
                        expected.append(f"{event}.complete")
                        await lifespan.wait_for(expected[-1], expected.count(expected[-1]))
                if "lifespan.shutdown.complete" not in expected:
                    raise _GivenUpError
        assert [message["type"] for message in lifespan.messages] == expected
        await run_lifespan(adapter)  # for the threads of a request after the shutdown, or without one

    with asyncio.Runner() as runner:

        @examples(50)
        @given(st.lists(st.sampled_from(["lifespan.startup", "lifespan.shutdown", "request"]), max_size=5))
        def check(events: list[str]) -> None:
            adapter = WsgiToAsgi(app, threads=1)
            runner.run(main(adapter, events))
            stats = adapter.stats()
            assert (stats.threads_busy, stats.threads_idle) == (0, 0)

        check()
    wait_for_no_bridge_threads()
