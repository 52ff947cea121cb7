"""The end of a loop: whatever one task, generator or job does there, each of the others has its own end."""

import asyncio
import contextlib
import gc
import logging
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import uvloop

from bridge.to_wsgi.loops import kept as module
from bridge.to_wsgi.loops.kept import KeptLoop, close_loop, new_kept_loop
from tests.support.asgi import HANG
from tests.support.wsgi import call, environ_for
from tests.to_wsgi.apps import hello


@pytest.fixture(params=[None, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def kept(request: pytest.FixtureRequest) -> Iterator[KeptLoop]:
    kept = new_kept_loop(request.param)
    yield kept
    assert kept.loop.is_closed()


class Executor(ThreadPoolExecutor):
    """It has a job that ends when the executor does."""

    def __init__(self, job: Callable[[], None]) -> None:
        super().__init__(1)
        self._end = threading.Event()
        self.submit(self._wait, job)

    def _wait(self, job: Callable[[], None]) -> None:
        assert self._end.wait(HANG)
        job()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._end.set()
        super().shutdown(wait, cancel_futures=cancel_futures)


class Left:
    """What is left on a loop that is to be closed, and what of it has come to its end."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.ended: list[str] = []
        self.things: list[object] = []

    def begin(self, *works: Callable[[], Coroutine[Any, Any, None]]) -> None:
        async def run() -> None:
            await self.add(*works)

        self.loop.run_until_complete(run())

    async def add(self, *works: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """A task for each of ``works``; and one of each kind that ends well, but not at once."""
        self.loop.set_default_executor(Executor(self._job))
        for work in (*works, self._slow):
            await self.add_task(work)
        await self.add_generator()

    async def add_task(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """One that waits, and is at work from when it is cancelled."""
        began = asyncio.Event()

        async def waits() -> None:
            began.set()
            try:
                await self.loop.create_future()
            except asyncio.CancelledError:
                await work()
                raise

        self.things.append(self.loop.create_task(waits()))
        await began.wait()

    async def add_generator(self, work: Callable[[], Coroutine[Any, Any, None]] | None = None) -> None:
        async def generator() -> AsyncIterator[None]:
            try:
                yield
            finally:
                if work is not None:
                    await work()
                await asyncio.sleep(0)
                self.ended.append("generator")

        each = generator()
        self.things.append(each)
        await anext(each)

    async def _slow(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0.001)
        self.ended.append("task")

    def _job(self) -> None:
        # The last thing that is waited for.
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.ended.append("job")

    async def stop(self) -> None:
        self.loop.stop()
        await asyncio.sleep(0)
        self.loop.stop()

    def assert_all_ended(self, *more: str) -> None:
        assert sorted(self.ended) == sorted([*more, "generator", "job", "task"])


async def leave() -> None:
    raise SystemExit(3)


async def interrupt() -> None:
    raise KeyboardInterrupt


async def fail() -> None:
    raise ValueError("meant")


async def cancel_all() -> None:
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()


def test_a_task_that_stops_the_loop(kept: KeptLoop) -> None:
    left = Left(kept.loop)
    left.begin(left.stop, left.stop)
    close_loop(kept.loop)
    left.assert_all_ended()


@pytest.mark.parametrize(("work", "kind"), [(leave, SystemExit), (interrupt, KeyboardInterrupt)])
def test_tasks_that_end_the_process(
    kept: KeptLoop, work: Any, kind: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    """Each at once: the first of them is raised, when all is over, and the log has the others."""
    left = Left(kept.loop)
    left.begin(work, work, work)
    with pytest.raises(kind):
        close_loop(kept.loop)
    left.assert_all_ended()
    assert [record.exc_info is not None for record in caplog.records] == [True, True]


def test_a_task_that_fails_is_told_of(kept: KeptLoop, caplog: pytest.LogCaptureFixture) -> None:
    left = Left(kept.loop)
    left.begin(fail)
    close_loop(kept.loop)
    left.assert_all_ended()
    assert "ValueError: meant" in caplog.text


def test_a_task_that_begins_another(kept: KeptLoop) -> None:
    left = Left(kept.loop)

    async def first() -> None:
        await left.add_task(second)

    async def second() -> None:
        left.ended.append("second")

    left.begin(first)
    close_loop(kept.loop)
    left.assert_all_ended("second")


def test_a_task_that_always_begins_another(kept: KeptLoop, caplog: pytest.LogCaptureFixture) -> None:
    """What nobody could end is named by asyncio, and the loop is closed."""
    left = Left(kept.loop)

    async def again() -> None:
        await left.add_task(again)

    left.begin(again)
    close_loop(kept.loop)
    left.assert_all_ended()
    with caplog.at_level(logging.ERROR):
        left.things.clear()
        gc.collect()
    assert "Task was destroyed but it is pending" in caplog.text


@pytest.mark.parametrize("error", [None, SystemExit])
def test_a_generator_that_stops_the_loop(kept: KeptLoop, error: type[BaseException] | None) -> None:
    left = Left(kept.loop)

    async def stop() -> None:
        await left.stop()
        left.ended.append("stop")
        if error is not None:
            raise error

    left.begin()
    left.loop.run_until_complete(left.add_generator(stop))
    if error is None:
        close_loop(kept.loop)
        left.assert_all_ended("generator", "stop")
    else:
        with pytest.raises(error):
            close_loop(kept.loop)
        left.assert_all_ended("stop")


def test_a_generator_that_cancels_all(kept: KeptLoop) -> None:
    """The loop's own task, which ends the generators, is one of all; the executor has its end."""
    left = Left(kept.loop)
    left.begin()
    left.loop.run_until_complete(left.add_generator(cancel_all))
    close_loop(kept.loop)
    assert "job" in left.ended


def test_an_interrupt_waits_for_the_end_of_all(kept: KeptLoop) -> None:
    """Of a signal handler, which raises it in the middle of a run."""
    left = Left(kept.loop)

    async def interrupted() -> None:
        kept.loop.call_soon(sys.exit)
        await asyncio.sleep(0.001)

    left.begin(interrupted)
    with pytest.raises(SystemExit):
        close_loop(kept.loop)
    left.assert_all_ended()


def test_an_interrupt_at_the_end_of_a_task(kept: KeptLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes in the very callback that would have said that the task has ended."""
    left = Left(kept.loop)
    count = module._Ending._count
    interrupted: list[bool] = []

    def interrupt_once(self: Any, task: asyncio.Task[Any]) -> None:
        if not interrupted:
            interrupted.append(True)
            raise KeyboardInterrupt
        count(self, task)

    monkeypatch.setattr(module._Ending, "_count", interrupt_once)
    left.begin()
    with pytest.raises(KeyboardInterrupt):
        close_loop(kept.loop)
    left.assert_all_ended()


def test_a_second_interrupt_waits_for_nothing(kept: KeptLoop) -> None:
    """Somebody has seen that the first was of no use."""
    left = Left(kept.loop)

    async def hangs() -> None:
        for _ in range(2):
            kept.loop.call_soon(sys.exit)
            await asyncio.sleep(0.001)
        await kept.loop.create_future()

    left.begin(hangs)
    with pytest.raises(SystemExit):
        close_loop(kept.loop)
    assert kept.loop.is_closed()


def test_a_task_that_never_ends_is_not_waited_for(
    kept: KeptLoop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert module.CANCEL_LIMIT == 30.0
    monkeypatch.setattr(module, "CANCEL_LIMIT", 0.1)
    left = Left(kept.loop)
    gone = False

    async def hangs() -> None:
        while not gone:
            with contextlib.suppress(asyncio.CancelledError):
                await kept.loop.create_future()

    left.begin(hangs)
    close_loop(kept.loop)
    left.assert_all_ended()
    assert "is waited for no longer, after 0.1 s" in caplog.text
    gone = True
    left.things.clear()
    gc.collect()


def test_a_generator_that_hangs_is_cancelled(kept: KeptLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CANCEL_LIMIT", 0.1)
    left = Left(kept.loop)

    async def hangs() -> None:
        try:
            await kept.loop.create_future()
        finally:
            left.ended.append("cancelled")

    left.begin()
    left.loop.run_until_complete(left.add_generator(hangs))
    close_loop(kept.loop)
    left.assert_all_ended("cancelled")


@pytest.mark.parametrize("factory", [None, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_of_a_request(adapt: Any, mode: str, factory: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The server of the request is told, as of what a request itself raises. On the shared loop there is none."""
    lefts: list[Left] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        left = Left(asyncio.get_running_loop())
        lefts.append(left)
        await left.add(leave)
        await hello(scope, receive, send)

    adapter = adapt(app, loop_factory=factory)
    if mode == "request":
        with pytest.raises(SystemExit):
            call(adapter, environ_for())
    else:
        call(adapter, environ_for())
        adapter.close()
        (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
        assert "as the shared event loop was closed" in record.message
    lefts[0].assert_all_ended()
