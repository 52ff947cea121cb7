"""The loop that serves all requests."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
import uvloop

from bridge.to_wsgi.loops import shared as module
from bridge.to_wsgi.loops.pool import LoopPool
from bridge.to_wsgi.loops.shared import SharedLoop
from tests.support.threads import wait_for_no_bridge_threads


class TestShared:
    def test_users_of_one_factory_share_a_loop_and_the_last_one_ends_it(self) -> None:
        first, second = SharedLoop.acquire(None), SharedLoop.acquire(None)
        other = SharedLoop.acquire(uvloop.new_event_loop)
        assert first is second
        assert first is not other
        assert isinstance(other.loop, uvloop.Loop)
        other.release()
        first.release()
        assert first.loop.is_running()
        second.release()
        assert first.loop.is_closed()
        wait_for_no_bridge_threads()

    def test_tasks_are_cancelled_and_awaited_at_the_end(self) -> None:
        shared = SharedLoop.acquire(None)
        began = threading.Event()
        ended: list[str] = []

        async def work() -> None:
            try:
                began.set()
                await asyncio.sleep(100)
            finally:
                ended.append("ended")

        asyncio.run_coroutine_threadsafe(work(), shared.loop)
        began.wait()
        shared.release()
        assert ended == ["ended"]

    @pytest.mark.parametrize("factory", [None, uvloop.new_event_loop])
    def test_a_task_that_stops_the_loop_at_the_end_keeps_no_other_from_ending(
        self, factory: Callable[[], asyncio.AbstractEventLoop] | None
    ) -> None:
        shared = SharedLoop.acquire(factory)
        began = threading.Barrier(2)
        ended: list[str] = []

        async def stops() -> None:
            began.wait(30)
            try:
                await asyncio.sleep(100)
            finally:
                asyncio.get_running_loop().stop()
                asyncio.get_running_loop().stop()

        async def takes_its_time() -> None:
            began.wait(30)
            try:
                await asyncio.sleep(100)
            finally:
                for _ in range(5):
                    await asyncio.sleep(0)
                ended.append("ended")

        async def generator() -> AsyncIterator[None]:
            try:
                yield
            finally:
                ended.append("generator")

        async def begin() -> AsyncIterator[None]:
            left = generator()
            await anext(left)
            return left

        left = asyncio.run_coroutine_threadsafe(begin(), shared.loop).result(30)
        tasks = []
        for work in (takes_its_time, stops):
            tasks.append(asyncio.run_coroutine_threadsafe(work(), shared.loop))
            began.wait(30)
        shared.release()
        assert ended == ["ended", "generator"]
        assert all(task.cancelled() for task in tasks)
        assert shared.loop.is_closed()
        del left
        wait_for_no_bridge_threads()

    def test_a_closed_loop_refuses(self) -> None:
        shared = SharedLoop.acquire(None)
        shared.release()
        with pytest.raises(RuntimeError, match="closed"):
            shared.call_soon(print)
        shared.close()

    @pytest.mark.parametrize("factory", [None, uvloop.new_event_loop])
    @pytest.mark.parametrize("how", ["exit", "stop", "cancel", "cancel and exit"])
    def test_a_task_can_not_end_everybodys_loop(
        self,
        how: str,
        factory: Callable[[], asyncio.AbstractEventLoop] | None,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        shared = SharedLoop.acquire(factory)

        async def leave() -> None:
            if "cancel" in how:
                for task in asyncio.all_tasks() - {asyncio.current_task()}:
                    task.cancel()
            if how == "stop":
                asyncio.get_running_loop().stop()
            if "exit" in how:
                raise SystemExit(3)

        for _ in range(3):
            asyncio.run_coroutine_threadsafe(leave(), shared.loop)
            done = threading.Event()
            shared.call_soon(lambda done=done: shared.loop.call_later(0.001, done.set))
            assert done.wait(30)
        shared.release()
        assert "it goes on" in caplog.text
        wait_for_no_bridge_threads()

    @pytest.mark.parametrize("factory", [None, uvloop.new_event_loop])
    def test_anyios_threads_are_those_of_the_loop(
        self, factory: Callable[[], asyncio.AbstractEventLoop] | None
    ) -> None:
        """As on a server, whose own task they belong to: one after the other, all jobs have the same."""
        shared = SharedLoop.acquire(factory)

        async def job() -> threading.Thread:
            return await anyio.to_thread.run_sync(threading.current_thread)

        threads = {asyncio.run_coroutine_threadsafe(job(), shared.loop).result(30) for _ in range(50)}
        assert len(threads) == 1
        shared.release()
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive()

    def test_who_waits_for_a_loop_to_start_holds_up_no_other_loop(self) -> None:
        go = threading.Event()

        def slow() -> asyncio.AbstractEventLoop:
            go.wait(30)
            return asyncio.new_event_loop()

        loops: list[SharedLoop] = []
        waiting = [threading.Thread(target=lambda: loops.append(SharedLoop.acquire(slow))) for _ in range(2)]
        for thread in waiting:
            thread.start()
        other = SharedLoop.acquire(None)
        other.release()
        go.set()
        for thread in waiting:
            thread.join(30)
        assert loops[0] is loops[1]
        for loop in loops:
            loop.release()
        assert loops[0].loop.is_closed()

    def test_a_thread_that_can_not_be_started(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", fail)
            for _ in range(2):
                with pytest.raises(RuntimeError, match="can't start new thread"):
                    SharedLoop.acquire(None)
        shared = SharedLoop.acquire(None)
        shared.release()

    def test_all_who_waited_for_a_start_learn_that_it_failed(self) -> None:
        go = threading.Event()
        made: list[None] = []
        errors: list[Exception] = []

        def fail() -> asyncio.AbstractEventLoop:
            made.append(None)
            go.wait(30)
            raise OSError("no descriptors")

        def acquire() -> None:
            try:
                SharedLoop.acquire(fail)
            except OSError as error:
                errors.append(error)

        threads = [threading.Thread(target=acquire) for _ in range(3)]
        for thread in threads:
            thread.start()
        while module._shared.loops[fail][1] < 3:
            time.sleep(0)
        go.set()
        for thread in threads:
            thread.join(30)
        assert (len(errors), len(made)) == (3, 1)
        assert fail not in module._shared.loops
        wait_for_no_bridge_threads()

    def test_who_is_interrupted_as_it_waits_leaves_no_loop(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupted(shared: SharedLoop) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(SharedLoop, "wait_until_ready", interrupted)
            with pytest.raises(KeyboardInterrupt):
                SharedLoop.acquire(None)
        wait_for_no_bridge_threads()
        assert None not in module._shared.loops

    @pytest.mark.parametrize("ready", [False, True], ids=["before its loop", "with its loop"])
    def test_who_is_interrupted_as_its_thread_begins_leaves_no_loop(
        self, monkeypatch: pytest.MonkeyPatch, ready: bool
    ) -> None:
        monkeypatch.setattr(module, "_JOIN", 5.0)
        made = threading.Event()

        def make() -> asyncio.AbstractEventLoop:
            assert made.wait(30)
            return asyncio.new_event_loop()

        def interrupted() -> None:
            begin()
            if ready:
                made.set()
                shared.wait_until_ready()
            raise KeyboardInterrupt

        shared = SharedLoop(make)
        begin = shared._thread.start
        monkeypatch.setattr(shared._thread, "start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            shared.start()
        made.set()
        shared.close()
        assert not shared._thread.is_alive()

    def test_a_factory_of_another_library(self) -> None:
        class Trio:
            pass

        with pytest.raises(TypeError, match=r"doesn't serve those of trio"):
            SharedLoop.acquire(Trio)  # type: ignore[arg-type] # what is tested
        with pytest.raises(TypeError, match=r"Trio.*asyncio.AbstractEventLoop"):
            LoopPool(Trio).take()  # type: ignore[arg-type]

    def test_each_callback_that_was_taken_is_called(self) -> None:
        shared = SharedLoop.acquire(None)
        taken: list[int] = []
        called: list[int] = []
        start = threading.Barrier(3)

        def hand_over(numbers: range) -> None:
            start.wait()
            for number in numbers:
                try:
                    shared.call_soon(called.append, number)
                except RuntimeError:
                    return
                taken.append(number)

        threads = [threading.Thread(target=hand_over, args=(range(k, 20_000, 2),)) for k in range(2)]
        for thread in threads:
            thread.start()
        start.wait()
        shared.release()
        for thread in threads:
            thread.join()
        assert sorted(called) == sorted(taken)

    def test_a_factory_that_fails(self) -> None:
        def fail() -> asyncio.AbstractEventLoop:
            raise OSError("no descriptors")

        with pytest.raises(OSError, match="no descriptors"):
            SharedLoop.acquire(fail)
        wait_for_no_bridge_threads()

    def test_it_knows_its_own_thread(self) -> None:
        shared = SharedLoop.acquire(None)
        done = threading.Event()
        answers: list[bool] = []

        def ask() -> None:
            answers.append(shared.is_current())
            done.set()

        shared.call_soon(ask)
        done.wait()
        assert answers == [True]
        assert not shared.is_current()
        shared.release()
