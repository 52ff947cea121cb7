"""The end of a channel: abort() ends every wait, the end of the call is waited for, and who asks is answered."""

import asyncio
import contextlib
import threading
from typing import Any
from unittest.mock import patch

import pytest

from bridge import ClientDisconnected
from bridge.threads.mailbox import Mailbox
from bridge.to_asgi.channel import Batch, Channel, End
from tests.support.asgi import HANG
from tests.support.channels import finish, new_channel, run, take, worker_waits
from tests.support.worker import Worker


@pytest.mark.parametrize("call", ["put", "flush"])
def test_abort_wakes_the_worker(call: str) -> None:
    async def main() -> None:
        channel = new_channel(10)
        channel.put([b"x"], 1)
        worker = Worker(channel.flush if call == "flush" else lambda: channel.put([b"x" * 10], 10))
        await worker_waits(channel)
        channel.abort()
        assert isinstance(await worker.end(), ClientDisconnected)
        assert channel.aborted

    run(main)


def test_nothing_is_taken_after_abort() -> None:
    async def main() -> None:
        channel = new_channel()
        channel.abort()
        channel.abort()
        with pytest.raises(ClientDisconnected):
            channel.put([b"x"], 1)
        with pytest.raises(ClientDisconnected):
            channel.flush()
        assert channel.finish([b"x"], 1, LookupError("nobody hears it")) is None
        assert (await take(channel)).end is End.BROKEN
        assert channel.error is None

    run(main)


def test_abort_wakes_the_loop() -> None:
    async def main() -> None:
        channel = new_channel()
        taking = asyncio.ensure_future(take(channel))
        await asyncio.sleep(0)
        channel.abort()
        assert await taking == Batch([], End.BROKEN)

    run(main)


def test_abort_after_more_ends_the_next_take() -> None:
    async def main() -> None:
        channel = new_channel()
        channel.put([b"x"], 1)
        await take(channel)
        assert channel.more() is None
        channel.abort()
        assert (await take(channel)).end is End.BROKEN

    run(main)


def test_a_cancelled_take_and_a_late_wake_up() -> None:
    """The worker has posted the wake-up when the task is cancelled."""

    async def main() -> None:
        channel = new_channel()
        taking = asyncio.ensure_future(take(channel))
        await asyncio.sleep(0)
        channel.put([b"x"], 1)
        taking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await taking
        channel.abort()
        await asyncio.sleep(0)
        with pytest.raises(ClientDisconnected):
            channel.put([b"x"], 1)

    run(main)


def test_abort_in_a_race_with_put() -> None:
    """Whichever comes first, the worker ends, and so does the loop's wait."""

    async def main() -> None:
        for _ in range(300):
            channel = new_channel(5)
            barrier = threading.Barrier(2)

            def work(channel: Channel = channel, barrier: threading.Barrier = barrier) -> None:
                barrier.wait(HANG)
                for _ in range(10):
                    channel.put([b"xx"], 2)

            worker = Worker(work)
            barrier.wait(HANG)
            channel.abort()
            await take(channel)
            assert isinstance(await worker.end(), ClientDisconnected)

    run(main)


# After the end of the response.


class CountingLock:
    """In place of a channel's lock."""

    def __init__(self) -> None:
        self.count = 0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self.count += 1
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


@pytest.mark.parametrize("error", [None, LookupError("mine")])
def test_a_response_that_ends_with_its_call_takes_the_lock_twice(error: LookupError | None) -> None:
    async def main() -> None:
        channel = new_channel()
        lock: Any = CountingLock()
        channel._lock = lock
        assert channel.begin()
        tell = channel.finish([b"x"], 1, error, ends=True)
        assert tell is not None
        tell()
        assert (await take(channel)).items == [b"x"]
        assert channel.close() == (error, False)
        assert lock.count == 2
        assert channel.error is None
        assert channel.aborted

    run(main)


@pytest.mark.parametrize("ends", [False, True], ids=["it goes on", "with its call"])
def test_what_comes_after_the_end_is_dropped_and_never_waits(ends: bool) -> None:
    """An app may have given write(), or a WebSocket, to another thread."""

    async def main() -> None:
        channel = new_channel(10)
        assert channel.begin()
        tell = channel.finish([b"x"], 1, ends=ends)
        assert tell is not None
        channel.put([b"y" * 1000], 1000)
        with pytest.raises(ClientDisconnected):
            channel.flush()
        tell()
        assert await take(channel) == Batch([b"x"], End.COMPLETE)
        channel.put([b"y" * 1000], 1000)
        with pytest.raises(ClientDisconnected):
            channel.flush()
        assert channel.ask() is False
        assert channel.close() == (None, not ends)
        with pytest.raises(ClientDisconnected):
            channel.put([b"y"], 1)
        assert channel.ask() is False

    run(main)


@pytest.mark.parametrize("taken", [False, True], ids=["before it is taken", "after it is taken"])
def test_a_thread_that_stands_at_the_gate_at_the_end_is_let_go(taken: bool) -> None:
    async def main() -> None:
        channel = new_channel(10)
        assert channel.begin()
        worker = Worker(lambda: channel.put([b"x" * 11], 11))
        await worker_waits(channel)
        if taken:
            assert await take(channel) == Batch([b"x" * 11], End.MORE)
        assert channel.finish([b"y"], 1, ends=True) is None
        batch = channel.more() if taken else await take(channel)
        assert batch is not None
        assert batch.end is End.COMPLETE
        if taken:
            assert await worker.end() is None, "more() counts the other one as sent"
        assert channel.close() == (None, False)
        assert isinstance(await worker.end(), type(None) if taken else ClientDisconnected)

    run(main)


def test_a_job_that_begins_after_the_loop_has_ended_the_response_is_refused() -> None:
    """A server that stops closes a WebSocket whose job has no thread yet."""

    async def main() -> None:
        channel = new_channel()
        finish(channel, [{"type": "websocket.close"}])
        assert (await take(channel)).end is End.COMPLETE
        lock: Any = CountingLock()
        channel._lock = lock
        assert channel.close() == (None, False)
        assert lock.count == 1, "begin() may run at this moment"
        assert not channel.begin()

    run(main)


# The end of the call, and the client's leaving.


def test_a_call_that_has_not_begun_is_not_waited_for() -> None:
    async def main() -> None:
        channel = new_channel()
        channel.abort()
        await channel.until_ended()
        assert channel.begin() is False
        await channel.until_ended()

    run(main)


@pytest.mark.parametrize("first", ["worker", "loop"])
def test_the_end_of_the_call_is_waited_for(first: str) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        channel = new_channel()
        assert channel.begin()
        finish(channel, [b"x"], 1)
        assert (await take(channel)).end is End.COMPLETE
        channel.abort()
        with patch.object(loop, "call_soon_threadsafe", wraps=loop.call_soon_threadsafe) as wake:
            if first == "worker":
                channel.end()
                await channel.until_ended()
                assert wake.call_count == 0
            else:
                await channel.until_ended(0.001)
                waiting = asyncio.ensure_future(channel.until_ended())
                await asyncio.sleep(0)
                assert not waiting.done()
                channel.end()
                await waiting
                assert wake.call_count == 1

    run(main)


@pytest.mark.parametrize("again", ["abort", "leave", "close"])
def test_who_waits_for_the_end_of_the_call_hears_of_it_whatever_comes_between(again: str) -> None:
    async def main() -> None:
        channel = new_channel()
        assert channel.begin()
        assert channel.close() == (None, True)
        waiting = asyncio.ensure_future(channel.until_ended())
        await asyncio.sleep(0)
        getattr(channel, again)()
        worker = Worker(channel.end)
        await waiting
        assert await worker.end() is None

    run(main)


@pytest.mark.parametrize("seconds", [None, HANG])
def test_a_wake_up_that_is_late_is_not_the_end_of_the_call(seconds: float | None) -> None:
    """The worker has lost its turn in ``put()``, between the lock and the post."""

    class Late(Mailbox):
        def post(self, future: asyncio.Future[None], error: BaseException | None = None) -> None:
            if threading.current_thread().name == "worker" and not posting.is_set():
                posting.set()
                assert go.wait(HANG)
            super().post(future, error)

    posting, go, closing, closed = (threading.Event() for _ in range(4))

    async def main() -> None:
        channel = Channel(Late(asyncio.get_running_loop()), 100)

        def work() -> None:
            assert channel.begin()
            channel.put([b"x"], 1)
            closing.set()
            assert closed.wait(HANG)
            channel.end()

        worker = Worker(work)
        assert await asyncio.to_thread(posting.wait, HANG)
        channel.abort()  # the client has left
        waiting = asyncio.ensure_future(channel.until_ended(seconds))
        await asyncio.sleep(0)
        go.set()
        assert await asyncio.to_thread(closing.wait, HANG)
        for _ in range(20):
            await asyncio.sleep(0)
        assert not waiting.done()
        closed.set()
        await waiting
        assert await worker.end() is None

    run(main)


def test_the_end_of_the_call_in_a_race() -> None:
    async def main() -> None:
        for _ in range(300):
            channel = new_channel()
            assert channel.begin()
            finish(channel)
            await take(channel)
            barrier = threading.Barrier(2)

            def work(channel: Channel = channel, barrier: threading.Barrier = barrier) -> None:
                barrier.wait(HANG)
                channel.end()

            worker = Worker(work)
            barrier.wait(HANG)
            await channel.until_ended()
            assert await worker.end() is None

    run(main)


def test_who_asks_has_the_loop_told_once() -> None:
    async def main() -> None:
        channel = new_channel()
        assert channel.ask() is False
        assert await take(channel) == Batch([], End.MORE)
        assert channel.ask() is False
        assert channel.more() is None
        channel.put([b"x"], 1)
        assert await take(channel) == Batch([b"x"], End.MORE)
        channel.leave()
        assert channel.ask() is True
        assert channel.aborted

    run(main)


def test_who_asks_while_the_loop_sends() -> None:
    async def main() -> None:
        channel = new_channel()
        channel.put([b"x"], 1)
        await take(channel)
        assert channel.ask() is False
        assert channel.more() == Batch([], End.MORE)
        assert channel.more() is None
        channel.abort()
        assert channel.ask() is False, "the response is over, and its client was there"

    run(main)
