"""The pool of the loops that serve one request at a time."""

import asyncio
import errno
import gc
import logging
import sys
import threading
import warnings
import weakref

import pytest

from bridge.to_wsgi.loops import pool as module
from bridge.to_wsgi.loops.kept import close_loop
from bridge.to_wsgi.loops.pool import LoopPool
from bridge.to_wsgi.loops.request_loop import RequestLoop
from bridge.to_wsgi.loops.shared import SharedLoop
from tests.to_wsgi.loops.steps import step_through


class TestPool:
    @pytest.mark.parametrize("lacking", ["selectors.DefaultSelector", "socket.socketpair"])
    def test_where_no_descriptors_are_left_the_error_says_so_and_nothing_else(
        self, lacking: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A loop that was not made is not closed: asyncio's own says that it has no such attribute."""

        def none_left(*_: object) -> None:
            raise OSError(errno.EMFILE, "Too many open files")

        close_loop(LoopPool(None).take().loop)  # the first one has asyncio's names looked over
        unraisable: list[object] = []
        monkeypatch.setattr("sys.unraisablehook", unraisable.append)
        with monkeypatch.context() as patch:
            patch.setattr(lacking, none_left)
            with pytest.raises(OSError, match="Too many") as failed:
                LoopPool(None).take()
        assert failed.value.__context__ is None
        del failed
        gc.collect()
        assert not unraisable

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

    def test_a_pool_that_is_garbage_together_with_its_loops_closes_them(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The collector ends objects in an order of its own, here the loop's sockets before the pool."""
        unraisable: list[object] = []
        monkeypatch.setattr("sys.unraisablehook", unraisable.append)
        pools = [LoopPool(None)]
        kept = pools[0].take()
        loop = weakref.ref(kept.loop)
        assert isinstance(kept, RequestLoop)
        pool = LoopPool(None)
        pool.give_back(kept)
        setattr(pool, "itself", pool)  # noqa: B010 - it has no such attribute
        del pool, kept
        gc.collect()
        assert loop() is None
        assert unraisable == []

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


def test_nothing_is_logged_when_loops_end_well(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        pool = LoopPool(None)
        pool.give_back(pool.take())
        pool.close()
        shared = SharedLoop.acquire(None)
        shared.release()
    assert [record for record in caplog.records if record.name == "bridge"] == []
