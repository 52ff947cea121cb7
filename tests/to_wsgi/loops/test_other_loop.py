"""``OtherLoop``: what can be seen of a loop of any kind."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
import uvloop

from bridge.to_wsgi.loops.kept import close_loop
from bridge.to_wsgi.loops.other_loop import OtherLoop
from tests.to_wsgi.loops.steps import nothing


class TestOtherLoop:
    @pytest.fixture(params=[uvloop.new_event_loop, asyncio.new_event_loop])
    def kept(self, request: pytest.FixtureRequest) -> Iterator[OtherLoop]:
        kept = OtherLoop(request.param())
        yield kept
        close_loop(kept.loop)

    def run(self, kept: OtherLoop, function: Callable[[], Awaitable[object]]) -> None:
        async def body() -> None:
            await function()
            kept.loop.stop()

        task = kept.loop.create_task(body())
        kept.run()
        task.result()

    def test_clean(self, kept: OtherLoop) -> None:
        async def generate() -> AsyncIterator[int]:
            yield 1

        async def work() -> None:
            async for _ in generate():
                pass
            await asyncio.create_task(nothing())

        self.run(kept, work)
        assert kept.settle()

    def test_a_task_is_left(self, kept: OtherLoop) -> None:
        async def work() -> None:
            self.task = asyncio.create_task(asyncio.sleep(100))

        self.run(kept, work)
        assert not kept.settle()

    def test_the_executor_was_used(self, kept: OtherLoop) -> None:
        self.run(kept, lambda: asyncio.to_thread(int))
        assert kept.settle()

    def test_a_job_is_left(self, kept: OtherLoop) -> None:
        go = threading.Event()

        async def work() -> None:
            asyncio.get_running_loop().run_in_executor(None, go.wait)

        self.run(kept, work)
        assert not kept.settle()
        go.set()

    def test_the_executor_was_ended(self, kept: OtherLoop) -> None:
        self.run(kept, lambda: asyncio.get_running_loop().shutdown_default_executor())
        assert not kept.settle()

    def test_a_setting_was_changed(self, kept: OtherLoop) -> None:
        async def work() -> None:
            asyncio.get_running_loop().set_exception_handler(lambda *_: None)

        self.run(kept, work)
        assert not kept.settle()

    def test_an_async_generator_is_left(self, kept: OtherLoop) -> None:
        async def generate() -> AsyncIterator[int]:
            yield 1
            yield 2

        self.generator = generate()
        self.run(kept, lambda: anext(self.generator))
        assert not kept.settle()
