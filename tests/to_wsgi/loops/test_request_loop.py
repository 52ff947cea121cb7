"""``RequestLoop``: a round of it is one of asyncio's own, and what a request leaves is seen."""

import asyncio
import concurrent.futures
import contextvars
import gc
import os
import signal
import sys
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Iterator

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
import sniffio

from bridge.to_wsgi.loops.kept import close_loop
from bridge.to_wsgi.loops.request_loop import RequestLoop
from tests.to_wsgi.loops.steps import nothing, step_through


@pytest.fixture
def loop() -> Iterator[RequestLoop]:
    loop = RequestLoop()
    yield loop
    if not loop.is_closed():
        close_loop(loop)


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

    def test_a_callback_that_runs_the_others_itself(self, loop: RequestLoop) -> None:
        """As one that calls ``run_until_complete()`` under nest_asyncio."""
        called: list[str] = []

        def run_the_others() -> None:
            while loop._ready:
                loop._ready.popleft()._run()

        loop.call_soon(run_the_others)
        loop.call_soon(called.append, "same round")
        loop.call_soon(loop.stop)
        assert loop.run_ready()
        assert called == ["same round"]

    def test_cancelled_callbacks_do_not_run(self, loop: RequestLoop) -> None:
        loop.call_soon(pytest.fail, "called").cancel()
        loop.run_ready()

    def test_not_where_another_loop_is_running(self, loop: RequestLoop) -> None:
        async def nested() -> None:
            with pytest.raises(RuntimeError, match="another is running"):
                loop.run_ready()
            assert asyncio.get_running_loop() is not loop

        asyncio.run(nested())

    def test_a_closed_loop_takes_no_callback(self, loop: RequestLoop) -> None:
        loop.close()
        with pytest.raises(RuntimeError, match="closed"):
            loop.call_soon(int)

    def test_a_callback_has_its_arguments_and_its_context(self, loop: RequestLoop) -> None:
        variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="outside")
        context = contextvars.copy_context()
        context.run(variable.set, "inside")
        seen: list[tuple[str, int]] = []
        loop.call_soon(lambda number: seen.append((variable.get(), number)), 1, context=context)
        loop.call_soon(lambda number: seen.append((variable.get(), number)), 2)
        loop.run_ready()
        assert seen == [("inside", 1), ("outside", 2)]

    def test_debug_mode_looks_at_callbacks(self, loop: RequestLoop) -> None:
        loop.set_debug(True)
        with pytest.raises(TypeError, match="callable"):
            loop.call_soon(None)  # type: ignore[arg-type] # what is tested

    def test_debug_mode(self, loop: RequestLoop) -> None:
        loop.set_debug(True)
        assert step_through(loop, lambda: asyncio.sleep(0, 3)).result() == 3


class TestBegin:
    """A request's task: from Python 3.12 on its first step comes at once, and can't be told from any other."""

    @pytest.mark.parametrize("debug", [False, True])
    def test_its_steps_are_the_loops(self, loop: RequestLoop, debug: bool) -> None:
        loop.set_debug(debug)
        variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="outside")
        seen: list[tuple[object, ...]] = []

        async def generate() -> AsyncGenerator[int, None]:
            yield 1

        async def work() -> None:
            variable.set("inside")
            generator = generate()
            await anext(generator)
            for _ in range(2):
                running = asyncio.get_running_loop() is loop and loop.is_running()
                task = asyncio.current_task()
                seen.append(
                    (running, task, task in asyncio.all_tasks(), variable.get(), len(loop._asyncgens))
                )
                await asyncio.sleep(0)
            await generator.aclose()

        hooks = sys.get_asyncgen_hooks()
        task = loop.begin(work())
        assert len(seen) == (1 if sys.version_info >= (3, 12) and not debug else 0)
        assert (loop.is_running(), sys.get_asyncgen_hooks(), variable.get()) == (False, hooks, "outside")
        while not task.done():
            loop.run_ready(task)
        assert seen == [(True, task, True, "inside", 1)] * 2
        loop.set_debug(False)
        assert loop.settle()

    def test_a_stop_does_not_outlive_it(self, loop: RequestLoop) -> None:
        async def work() -> None:
            loop.stop()
            await asyncio.sleep(0)

        task = loop.begin(work())
        loop.run_ready(task)
        loop.run_ready(task)
        assert task.done()
        assert loop.run_until_complete(asyncio.sleep(0.001, 7)) == 7

    def test_what_ends_a_process_gets_out_and_leaves_it_usable(self, loop: RequestLoop) -> None:
        async def leave() -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            loop.run_ready(loop.begin(leave()))
        assert not loop.is_running()
        assert step_through(loop, lambda: asyncio.sleep(0, 5)).result() == 5


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
