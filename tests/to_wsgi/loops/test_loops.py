"""Loops for requests, the pool that keeps them, and the shared loop."""

import asyncio
import concurrent.futures
import contextvars
import gc
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
import sniffio
import uvloop

from bridge.to_wsgi.loops import loops as module
from bridge.to_wsgi.loops.kept import OtherLoop, RequestLoop, close_loop
from bridge.to_wsgi.loops.loops import LoopPool, SharedLoop
from tests.support.threads import wait_for_no_bridge_threads

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture
def loop() -> Iterator[RequestLoop]:
    loop = RequestLoop()
    yield loop
    if not loop.is_closed():
        close_loop(loop)


def step_through(loop: RequestLoop, function: Callable[[], Awaitable[object]]) -> asyncio.Task[object]:
    """Run ``function()`` by rounds alone."""

    async def body() -> object:
        return await function()

    task: asyncio.Task[object] = loop.create_task(body())
    for _ in range(100):
        if task.done():
            break
        loop.run_ready()
    return task


class TestRunReady:
    """Nothing that runs in a round can tell it from one of run_forever()."""

    def test_loop_task_thread_and_context_are_those_of_the_task(self, loop: RequestLoop) -> None:
        variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="outside")

        async def look() -> tuple[object, ...]:
            variable.set("inside")
            await asyncio.sleep(0)
            return (
                asyncio.get_running_loop() is loop,
                loop.is_running(),
                asyncio.current_task() is task,
                asyncio.current_task() in asyncio.all_tasks(),
                variable.get(),
                sniffio.current_async_library(),
            )

        task: asyncio.Task[object] = loop.create_task(look())
        while not task.done():
            loop.run_ready()
        assert task.result() == (True, True, True, True, "inside", "asyncio")
        assert variable.get() == "outside"
        assert not loop.is_running()
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()

    def test_timeouts_task_groups_and_gather(self, loop: RequestLoop) -> None:
        async def work() -> int:
            async with asyncio.timeout(10), asyncio.TaskGroup() as group:
                tasks = [group.create_task(asyncio.sleep(0, number)) for number in range(3)]
            return sum(task.result() for task in tasks) + sum(await asyncio.gather(asyncio.sleep(0, 4)))

        assert step_through(loop, work).result() == 7
        assert loop.settle()

    def test_a_timeout_that_is_over_cancels(self, loop: RequestLoop) -> None:
        async def work() -> None:
            async with asyncio.timeout(0):
                await asyncio.get_running_loop().create_future()

        with pytest.raises(TimeoutError):
            step_through(loop, work).result()

    def test_anyio(self, loop: RequestLoop) -> None:
        async def work() -> list[object]:
            found: list[object] = []
            async with anyio.create_task_group() as group:
                group.start_soon(anyio.lowlevel.checkpoint)
                with anyio.CancelScope() as scope:
                    scope.cancel()
                    await anyio.sleep(10)
            found.append(scope.cancelled_caught)
            with anyio.move_on_after(0):
                await anyio.sleep_forever()
            found.append(anyio.get_current_task().id == id(asyncio.current_task()))
            return found

        assert step_through(loop, work).result() == [True, True]
        assert loop.settle()

    def test_a_task_that_is_begun_in_a_round_goes_on_in_run_forever_and_back(self, loop: RequestLoop) -> None:
        seen: list[object] = []

        async def work() -> None:
            for _ in range(3):
                seen.append(asyncio.current_task())
                await asyncio.sleep(0)
                loop.stop()
                await asyncio.sleep(0.001)

        task = loop.create_task(work())
        loop.run_ready()
        while not task.done():
            loop.run_forever()
            loop.run_ready()
            task.add_done_callback(lambda _: loop.stop())
        assert seen == [task] * 3

    @pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
    def test_eager_tasks_are_eager(self, loop: RequestLoop) -> None:
        order: list[str] = []

        async def child() -> None:
            order.append("child")

        async def work() -> None:
            loop.set_task_factory(getattr(asyncio, "eager_task_factory"))  # noqa: B009 - not known to 3.11's types
            child_task = asyncio.create_task(child())
            order.append("parent")
            await child_task

        step_through(loop, work)
        assert order == ["child", "parent"]

    def test_async_generators_are_the_loops(self, loop: RequestLoop) -> None:
        closed: list[object] = []

        async def generate() -> AsyncIterator[int]:
            try:
                yield 1
                yield 2
            finally:
                await asyncio.sleep(0)
                closed.append(asyncio.get_running_loop())

        async def work() -> None:
            async for _ in generate():
                break

        hooks = sys.get_asyncgen_hooks()
        step_through(loop, work)
        gc.collect()
        assert sys.get_asyncgen_hooks() == hooks
        for _ in range(5):
            loop.run_ready()
        assert closed == [loop]

    def test_callbacks_that_raise_go_to_the_exception_handler(self, loop: RequestLoop) -> None:
        handled: list[object] = []
        loop.set_exception_handler(lambda _, context: handled.append(context["exception"]))
        error = ValueError()

        def fail() -> None:
            raise error

        loop.call_soon(fail)
        loop.run_ready()
        assert handled == [error]

    @pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
    def test_what_ends_a_loop_gets_out_and_leaves_it_usable(
        self, loop: RequestLoop, kind: type[BaseException]
    ) -> None:
        async def leave() -> None:
            raise kind

        task = loop.create_task(leave())
        with pytest.raises(kind):
            loop.run_ready()
        assert isinstance(task.exception(), kind)
        assert not loop.is_running()
        assert step_through(loop, lambda: asyncio.sleep(0, 5)).result() == 5

    @pytest.mark.parametrize("debug", [False, True])
    def test_it_runs_up_to_the_round_of_the_stop(self, loop: RequestLoop, debug: bool) -> None:
        loop.set_debug(debug)
        called: list[str] = []
        loop.call_soon(loop.stop)
        loop.call_soon(lambda: loop.call_soon(called.append, "next round"))
        loop.call_soon(called.append, "same round")
        assert loop.run_ready()
        assert called == ["same round"]
        assert not loop.run_ready()
        assert called == ["same round", "next round"]

    @pytest.mark.parametrize("debug", [False, True])
    def test_it_runs_up_to_the_round_of_the_tasks_end(self, loop: RequestLoop, debug: bool) -> None:
        loop.set_debug(debug)
        called: list[object] = []
        task = loop.create_task(asyncio.sleep(0))
        task.add_done_callback(called.append)
        assert loop.run_ready(task)
        assert task.done()
        assert not called
        assert not loop.run_ready()
        assert called == [task]

    @pytest.mark.parametrize("debug", [False, True])
    def test_callbacks_without_end_leave_time_for_the_poll(self, loop: RequestLoop, debug: bool) -> None:
        loop.set_debug(debug)
        handles: list[asyncio.Handle] = []

        def again() -> None:
            handles.append(loop.call_soon(again))

        again()
        assert not loop.run_ready()
        handles[-1].cancel()

    def test_a_stop_does_not_outlive_the_round(self, loop: RequestLoop) -> None:
        loop.call_soon(loop.stop)
        loop.run_ready()
        assert loop.run_until_complete(asyncio.sleep(0.001, 7)) == 7

    def test_cancelled_callbacks_do_not_run(self, loop: RequestLoop) -> None:
        loop.call_soon(pytest.fail, "called").cancel()
        loop.run_ready()

    def test_not_where_another_loop_is_running(self, loop: RequestLoop) -> None:
        async def nested() -> None:
            with pytest.raises(RuntimeError, match="another is running"):
                loop.run_ready()
            assert asyncio.get_running_loop() is not loop

        asyncio.run(nested())

    def test_debug_mode(self, loop: RequestLoop) -> None:
        loop.set_debug(True)
        assert step_through(loop, lambda: asyncio.sleep(0, 3)).result() == 3


async def nothing() -> None:
    pass


class TestSettle:
    def test_a_loop_that_ended_a_task_is_clean(self, loop: RequestLoop) -> None:
        step_through(loop, nothing)
        assert loop.settle()

    def test_callbacks_of_the_end_are_run(self, loop: RequestLoop) -> None:
        called: list[object] = []
        task = loop.create_task(nothing())
        task.add_done_callback(lambda done: loop.call_soon(called.append, done))
        loop.run_ready()
        assert loop.settle()
        assert called == [task]

    def test_a_cancelled_timer_is_nothing(self, loop: RequestLoop) -> None:
        loop.call_later(100, print).cancel()
        assert loop.settle()

    def leave_task(self, loop: RequestLoop) -> None:
        async def work() -> None:
            work.task = asyncio.create_task(asyncio.sleep(100))  # type: ignore[attr-defined] # keeps it alive

        step_through(loop, work)

    def leave_timer(self, loop: RequestLoop) -> None:
        loop.call_later(100, print)

    def leave_busy(self, loop: RequestLoop) -> None:
        loop.call_soon(self.leave_busy, loop)

    def leave_job(self, loop: RequestLoop) -> None:
        loop.run_in_executor(None, self.go.wait)

    def leave_executor(self, loop: RequestLoop) -> None:
        loop.set_default_executor(concurrent.futures.ThreadPoolExecutor())

    def leave_executor_ended(self, loop: RequestLoop) -> None:
        loop.run_until_complete(loop.shutdown_default_executor())

    def leave_asyncgens_ended(self, loop: RequestLoop) -> None:
        loop.run_until_complete(loop.shutdown_asyncgens())

    def leave_signal_handler(self, loop: RequestLoop) -> None:
        loop.add_signal_handler(signal.SIGUSR1, int)

    def leave_debug(self, loop: RequestLoop) -> None:
        loop.set_debug(not loop.get_debug())

    def leave_slow_callback_duration(self, loop: RequestLoop) -> None:
        loop.slow_callback_duration = 3.0

    def leave_root_cancelled(self, loop: RequestLoop) -> None:
        async def work() -> None:
            for task in asyncio.all_tasks():
                task.cancel()

        loop.run_ready(loop.create_task(work()))

    def leave_asyncgen(self, loop: RequestLoop) -> None:
        async def generate() -> AsyncIterator[int]:
            yield 1
            yield 2

        self.generator = generate()
        step_through(loop, lambda: anext(self.generator))

    def leave_transport(self, loop: RequestLoop) -> None:
        self.read, self.write = os.pipe()
        loop.add_reader(self.read, int)

    def leave_exception_handler(self, loop: RequestLoop) -> None:
        loop.set_exception_handler(lambda *_: None)

    def leave_task_factory(self, loop: RequestLoop) -> None:
        loop.set_task_factory(lambda loop, coro, **more: asyncio.Task(coro, loop=loop, **more))

    @pytest.mark.parametrize(
        "leave",
        [
            *("task", "timer", "busy", "job", "executor", "executor_ended", "asyncgen", "asyncgens_ended"),
            *("transport", "signal_handler", "exception_handler", "task_factory", "debug"),
            *("slow_callback_duration", "root_cancelled"),
        ],
    )
    def test_whatever_is_left_is_seen(self, loop: RequestLoop, leave: str) -> None:
        self.go = threading.Event()
        getattr(self, f"leave_{leave}")(loop)
        assert not loop.settle()
        self.go.set()
        close_loop(loop)
        if leave == "transport":
            os.close(self.read)
            os.close(self.write)


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


class TestPool:
    def test_a_clean_loop_is_used_again_and_the_last_one_first(self) -> None:
        pool = LoopPool(None)
        first, second = pool.take(), pool.take()
        assert first is not second
        pool.give_back(first)
        pool.give_back(second)
        assert [pool.take(), pool.take()] == [second, first]
        close_loop(first.loop)
        close_loop(second.loop)

    def test_one_that_is_not_is_closed_as_asyncio_run_does(self) -> None:
        pool = LoopPool(None)
        kept = pool.take()
        ended: list[str] = []

        async def child() -> None:
            try:
                await asyncio.sleep(100)
            finally:
                await asyncio.sleep(0)
                ended.append("child")

        async def work() -> asyncio.Task[None]:
            task = asyncio.create_task(child())
            await asyncio.sleep(0)
            return task

        assert isinstance(kept, RequestLoop)
        task = step_through(kept, work).result()
        pool.give_back(kept)
        assert kept.is_closed()
        assert ended == ["child"]
        assert isinstance(task, asyncio.Task)
        assert task.cancelled()
        pool.close()

    def test_no_more_are_kept_than_the_limit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "_MAX_IDLE", 1)
        pool = LoopPool(None)
        first, second = pool.take(), pool.take()
        pool.give_back(first)
        pool.give_back(second)
        assert not first.loop.is_closed()
        assert second.loop.is_closed()
        pool.close()
        assert first.loop.is_closed()

    def test_a_loop_that_comes_back_to_a_closed_pool_is_closed(self) -> None:
        pool = LoopPool(None)
        kept = pool.take()
        pool.close()
        pool.give_back(kept)
        assert kept.loop.is_closed()

    def test_a_pool_that_is_forgotten_closes_its_loops(self) -> None:
        pool = LoopPool(None)
        kept = pool.take()
        pool.give_back(kept)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            del pool
            gc.collect()
        assert kept.loop.is_closed()

    def test_closing_wakes_who_waits(self) -> None:
        pool = LoopPool(None)
        kept = pool.take()
        running = threading.Event()
        kept.loop.call_soon(running.set)
        thread = threading.Thread(target=pool.run, args=(kept, kept.loop.stop))
        thread.start()
        running.wait()
        pool.close()
        thread.join()
        pool.give_back(kept)

    def test_who_comes_to_wait_after_closing_is_told_at_once(self) -> None:
        pool = LoopPool(None)
        kept = pool.take()
        pool.close()
        pool.run(kept, kept.loop.stop)
        pool.give_back(kept)
        assert kept.loop.is_closed()

    def test_a_loop_whose_settling_fails_is_closed(self) -> None:
        pool = LoopPool(None)
        kept = pool.take()
        kept.loop.call_soon(sys.exit)
        with pytest.raises(SystemExit):
            pool.give_back(kept)
        assert kept.loop.is_closed()
        pool.close()


def test_a_forked_child_leaves_the_parents_loops_alone() -> None:
    """Closing one there would take the pipe that wakes it out of the epoll set, which the two share."""
    script = """
import asyncio, gc, os, threading
from bridge.to_wsgi.loops.loops import LoopPool, SharedLoop

pool = LoopPool(None)
kept = pool.take()
pool.give_back(kept)
shared = SharedLoop.acquire(None)
if (pid := os.fork()) == 0:
    status = 1
    try:
        del pool
        gc.collect()
        assert not kept.loop.is_closed()
        new = SharedLoop.acquire(None)
        assert new is not shared and new.pid == os.getpid()
        done = threading.Event()
        new.call_soon(done.set)
        assert done.wait(30)
        new.release()
        status = 0
    finally:
        os._exit(status)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
loop = pool.take().loop
timer = threading.Timer(0.01, loop.call_soon_threadsafe, (loop.stop,))
timer.start()
loop.call_later(30, os._exit, 3)
loop.run_forever()
timer.join()
done = threading.Event()
shared.call_soon(done.set)
assert done.wait(30)
shared.release()
loop.close()
"""
    subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", script],
        cwd=REPOSITORY,
        check=True,
        timeout=100,
    )


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


@pytest.mark.parametrize(
    "early",
    [
        pytest.param(
            True,
            marks=pytest.mark.skipif(
                sys.version_info[:2] == (3, 12), reason="3.12 starts no thread at exit, at whatever moment"
            ),
        ),
        False,
    ],
)
def test_what_is_registered_for_the_exit_can_use_threads_if_at_all_possible(early: bool) -> None:
    script = """
import asyncio, concurrent.futures.thread, threading
if not EARLY:
    del threading._register_atexit
from bridge.to_wsgi.loops.loops import at_exit

called = []
def end():
    if not called:
        called.append(asyncio.run(asyncio.to_thread(int)) if EARLY else 0)
        print("ended", called)
at_exit(end)
""".replace("EARLY", str(early))
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=REPOSITORY,
        check=True,
        timeout=100,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "ended [0]\n"
    assert done.stderr == ""


def test_nothing_is_logged_when_loops_end_well(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        pool = LoopPool(None)
        pool.give_back(pool.take())
        pool.close()
        shared = SharedLoop.acquire(None)
        shared.release()
    assert [record for record in caplog.records if record.name == "bridge"] == []
