"""The hand-over between a worker and a loop: order, bounds, wake-ups, and that every wait ends."""

import asyncio
import contextlib
import functools
import threading
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge import ClientDisconnected
from bridge.to_asgi.channel import _ITEMS, Batch, Channel, End, Item, Mailbox
from tests.support.asgi import HANG

Outcome = list[Any]


def run(main: Callable[[], Any]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(HANG):
            await main()

    asyncio.run(limited())


def new_channel(limit: int = 100) -> Channel:
    return Channel(Mailbox(asyncio.get_running_loop()), limit)


class Worker(threading.Thread):
    """A thread that does one thing; ``result`` is what it returned or raised."""

    def __init__(self, function: Callable[[], object]) -> None:
        super().__init__(name="worker")
        self._function = function
        self.result: object = ...
        self.start()

    def run(self) -> None:
        try:
            self.result = self._function()
        except BaseException as error:
            self.result = error

    async def end(self) -> object:
        await asyncio.to_thread(self.join, HANG)
        assert not self.is_alive()
        return self.result


async def worker_waits(channel: Channel) -> None:
    """Return when the worker stands at the closed gate."""
    while True:
        with channel._lock:
            if channel._gate is not None:
                return
        await asyncio.sleep(0.001)


def finish(channel: Channel, *args: Any) -> None:
    tell = channel.finish(*args)
    if tell is not None:
        tell()


# Mailbox.


def test_many_posts_make_one_wake_up() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        mailbox = Mailbox(loop)
        seen: list[int] = []
        with patch.object(loop, "call_soon_threadsafe", wraps=loop.call_soon_threadsafe) as wake:
            # The loop is here, and can't look before all have posted.
            for number in range(100):
                mailbox.post(lambda number=number: seen.append(number))  # type: ignore[misc]
            assert wake.call_count == 1
            await asyncio.sleep(0)
            assert seen == list(range(100))
            mailbox.post(lambda: mailbox.post(lambda: seen.append(-1)))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert seen[-1] == -1, "posted by a callback: the loop is woken again"
            assert wake.call_count == 3

    run(main)


def test_posts_of_many_threads_all_arrive() -> None:
    async def main() -> None:
        mailbox = Mailbox(asyncio.get_running_loop())
        barrier = threading.Barrier(8)
        seen: list[tuple[int, int]] = []
        all_there = asyncio.Event()

        def arrive(item: tuple[int, int]) -> None:
            seen.append(item)
            if len(seen) == 8 * 500:
                all_there.set()

        def post(worker: int) -> None:
            barrier.wait(HANG)
            for number in range(500):
                mailbox.post(lambda item=(worker, number): arrive(item))  # type: ignore[misc]

        workers = [Worker(lambda index=index: post(index)) for index in range(8)]  # type: ignore[misc]
        await all_there.wait()
        for worker in workers:
            assert await worker.end() is None
        for index in range(8):
            assert [number for worker_, number in seen if worker_ == index] == list(range(500))

    run(main)


def test_a_post_to_a_closed_loop_is_lost_without_a_word() -> None:
    loop = asyncio.new_event_loop()
    mailbox = Mailbox(loop)
    loop.close()
    mailbox.post(lambda: pytest.fail("called"))
    mailbox.post(lambda: pytest.fail("called"))


# What is put is taken.


def test_what_is_there_goes_out_together_and_in_order() -> None:
    async def main() -> None:
        channel = new_channel()
        start: Item = {"type": "http.response.start"}
        channel.put([start, b"a"], 1)
        channel.put([b"b"], 1)
        finish(channel, [b"c"], 1)
        assert await channel.take() == Batch([start, b"a", b"b", b"c"], End.COMPLETE)

    run(main)


def test_a_response_costs_one_wake_up() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        channel = new_channel()
        with patch.object(loop, "call_soon_threadsafe", wraps=loop.call_soon_threadsafe) as wake:
            channel.put([b"a"], 1)
            channel.put([b"b"], 1)
            assert channel.finish() is None, "the loop is awake already"
            assert wake.call_count == 1
        assert (await channel.take()).end is End.COMPLETE

    run(main)


def test_the_end_is_not_seen_before_it_is_told() -> None:
    async def main() -> None:
        channel = new_channel()
        tell = channel.finish([b"a"], 1)
        assert tell is not None
        taking = asyncio.ensure_future(channel.take())
        for _ in range(10):
            await asyncio.sleep(0)
        assert not taking.done()
        tell()
        assert await taking == Batch([b"a"], End.COMPLETE)

    run(main)


def test_more_takes_what_came_while_the_loop_was_sending() -> None:
    async def main() -> None:
        channel = new_channel()
        channel.put([b"a"], 1)
        assert await channel.take() == Batch([b"a"], End.MORE)
        channel.put([b"b"], 1)
        assert channel.more() == Batch([b"b"], End.MORE)
        assert channel.more() is None
        taking = asyncio.ensure_future(channel.take())
        await asyncio.sleep(0)
        worker = Worker(lambda: finish(channel, [b"c"], 1))
        assert await taking == Batch([b"c"], End.COMPLETE)
        assert await worker.end() is None

    run(main)


def test_an_error_comes_after_what_was_put_before_it() -> None:
    async def main() -> None:
        channel = new_channel()
        error = LookupError("mine")
        channel.put([b"a"], 1)
        finish(channel, (), 0, error)
        assert await channel.take() == Batch([b"a"], End.BROKEN)
        assert channel.error is error

    run(main)


def test_the_first_finish_counts() -> None:
    async def main() -> None:
        channel = new_channel()
        finish(channel, [b"a"], 1)
        finish(channel, [b"b"], 1, LookupError("late"))
        assert await channel.take() == Batch([b"a"], End.COMPLETE)
        assert channel.error is None

    run(main)


# The worker waits.


@pytest.mark.parametrize("taken", [False, True], ids=["pending", "sending"])
def test_put_waits_over_the_limit_and_goes_on_when_it_is_sent(taken: bool) -> None:
    async def main() -> None:
        channel = new_channel(100)
        channel.put([b"x" * 99], 99)  # within the limit: does not wait
        if taken:
            await channel.take()
        worker = Worker(lambda: channel.put([b"y" * 2], 2))
        await worker_waits(channel)
        assert worker.is_alive()
        if not taken:
            await channel.take()
            assert worker.is_alive(), "taken is not sent"
        batch = channel.more()
        assert await worker.end() is None
        assert (batch is not None) is taken
        channel.abort()

    run(main)


@pytest.mark.parametrize("taken", [False, True], ids=["pending", "sending"])
def test_put_waits_over_a_number_of_items_however_small(taken: bool) -> None:
    async def main() -> None:
        channel = new_channel(1_000_000)
        for _ in range(_ITEMS):
            channel.put([b"x"], 1)  # within it: does not wait
        if taken:
            await channel.take()
        worker = Worker(lambda: channel.put([b"y"], 1))
        await worker_waits(channel)
        assert worker.is_alive()
        if not taken:
            assert len((await channel.take()).items) == _ITEMS + 1
            assert worker.is_alive(), "taken is not sent"
        batch = channel.more()
        assert await worker.end() is None
        assert (batch is not None) is taken
        channel.abort()

    run(main)


def test_a_worker_that_waited_goes_on_when_half_of_the_items_are_sent() -> None:
    """For each few items it would do nothing but wake and sleep."""

    async def main() -> None:
        channel = new_channel(1_000_000)
        channel.put([b"x"], 1)
        await channel.take()

        def work() -> None:
            for _ in range(_ITEMS):
                channel.put([b"y"], 1)

        worker = Worker(work)
        await worker_waits(channel)
        with channel._lock:
            gate = channel._gate
        batch = channel.more()
        assert batch is not None
        assert len(batch.items) == _ITEMS
        with channel._lock:
            assert channel._gate is gate, "it was let go on for a few"
        assert channel.more() is None
        assert await worker.end() is None
        channel.abort()

    run(main)


def test_an_item_larger_than_the_limit_passes_alone() -> None:
    async def main() -> None:
        channel = new_channel(10)
        worker = Worker(lambda: channel.put([b"x" * 1000], 1000))
        assert len((await channel.take()).items) == 1
        await worker_waits(channel)
        assert channel.more() is None
        assert await worker.end() is None
        channel.abort()

    run(main)


def test_finish_never_waits() -> None:
    async def main() -> None:
        channel = new_channel(10)
        finish(channel, [b"x" * 1000], 1000)
        assert (await channel.take()).end is End.COMPLETE

    run(main)


def test_flush_waits_until_all_is_sent() -> None:
    async def main() -> None:
        channel = new_channel()
        channel.flush()
        message: Item = {"type": "http.response.zerocopysend"}
        channel.put([message], 0)
        worker = Worker(channel.flush)
        await worker_waits(channel)
        assert await channel.take() == Batch([message], End.MORE)
        for _ in range(20):
            await asyncio.sleep(0)
        assert worker.is_alive(), "send() has not returned yet"
        assert channel.more() is None
        assert await worker.end() is None
        channel.abort()

    run(main)


# Several threads wait.


class GatedChannel(Channel):
    """Knows how many times a thread went to stand at the gate."""

    arrivals = 0

    def _close_gate(self) -> threading.Lock:
        self.arrivals += 1  # under the lock
        return super()._close_gate()

    async def wait_for_arrivals(self, count: int) -> None:
        while True:
            with self._lock:
                if self.arrivals >= count:
                    return
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("end", ["sent", "abort"])
@pytest.mark.parametrize("calls", [["put", "put", "put"], ["put", "flush"], ["flush", "put"], ["flush"] * 3])
def test_all_threads_that_wait_go_on(calls: list[str], end: str) -> None:
    async def main() -> None:
        channel = GatedChannel(Mailbox(asyncio.get_running_loop()), 10)
        channel.put([b"x" * 10], 10)
        assert await channel.take() == Batch([b"x" * 10], End.MORE)
        workers = []
        for number, call in enumerate(calls, 1):
            workers.append(Worker(channel.flush if call == "flush" else lambda: channel.put([b"y"], 1)))
            await channel.wait_for_arrivals(number)
        if end == "abort":
            channel.abort()
        else:
            while any(worker.is_alive() for worker in workers):
                if channel.more() is None:
                    # One in flush() looks again, and may come back to the gate.
                    await asyncio.sleep(0.001)
        for worker in workers:
            result = await worker.end()
            assert isinstance(result, ClientDisconnected) if end == "abort" else result is None
        channel.abort()

    run(main)


def test_many_threads_and_an_abort_at_any_moment() -> None:
    async def main() -> None:
        for turns in range(40):
            channel = new_channel(5)
            barrier = threading.Barrier(9)

            def work(
                use: Callable[[], None], channel: Channel = channel, barrier: threading.Barrier = barrier
            ) -> None:
                barrier.wait(HANG)
                while not channel.aborted:
                    use()

            def put(channel: Channel = channel) -> None:
                channel.put([b"xx"], 2)

            workers = [
                Worker(functools.partial(work, channel.flush if index % 4 == 0 else put))
                for index in range(8)
            ]
            await asyncio.to_thread(barrier.wait, HANG)
            for _ in range(turns):
                if channel.more() is None:
                    await channel.take()
            channel.abort()
            for worker in workers:
                assert isinstance(await worker.end(), ClientDisconnected | None)

    run(main)


# abort() ends every wait.


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
        assert (await channel.take()).end is End.BROKEN
        assert channel.error is None

    run(main)


def test_abort_wakes_the_loop() -> None:
    async def main() -> None:
        channel = new_channel()
        taking = asyncio.ensure_future(channel.take())
        await asyncio.sleep(0)
        channel.abort()
        assert await taking == Batch([], End.BROKEN)

    run(main)


def test_abort_after_more_ends_the_next_take() -> None:
    async def main() -> None:
        channel = new_channel()
        channel.put([b"x"], 1)
        await channel.take()
        assert channel.more() is None
        channel.abort()
        assert (await channel.take()).end is End.BROKEN

    run(main)


def test_a_cancelled_take_and_a_late_wake_up() -> None:
    """The worker has posted the wake-up when the task is cancelled."""

    async def main() -> None:
        channel = new_channel()
        taking = asyncio.ensure_future(channel.take())
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
            await channel.take()
            assert isinstance(await worker.end(), ClientDisconnected)

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
        assert (await channel.take()).end is End.COMPLETE
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


@pytest.mark.parametrize("seconds", [None, HANG])
def test_a_wake_up_that_is_late_is_not_the_end_of_the_call(seconds: float | None) -> None:
    """The worker has lost its turn in ``put()``, between the lock and the post."""

    class Late(Mailbox):
        def post(self, callback: Callable[[], None]) -> None:
            if threading.current_thread().name == "worker" and not posting.is_set():
                posting.set()
                assert go.wait(HANG)
            super().post(callback)

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
            await channel.take()
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
        assert await channel.take() == Batch([], End.MORE)
        assert channel.ask() is False
        assert channel.more() is None
        channel.put([b"x"], 1)
        assert await channel.take() == Batch([b"x"], End.MORE)
        channel.leave()
        assert channel.ask() is True
        assert channel.aborted

    run(main)


def test_who_asks_while_the_loop_sends() -> None:
    async def main() -> None:
        channel = new_channel()
        channel.put([b"x"], 1)
        await channel.take()
        assert channel.ask() is False
        assert channel.more() == Batch([], End.MORE)
        assert channel.more() is None
        channel.abort()
        assert channel.ask() is False, "the response is over, and its client was there"

    run(main)


# All of it.


@given(
    limit=st.sampled_from([1, 10, 100]),
    sizes=st.lists(st.integers(1, 30), max_size=60),
    yields=st.lists(st.integers(0, 3), min_size=1, max_size=20),
    breaks=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_everything_arrives_in_order_and_within_the_limit(
    limit: int, sizes: list[int], yields: list[int], breaks: bool
) -> None:
    error = LookupError("mine") if breaks else None

    async def main() -> None:
        channel = new_channel(limit)
        expected = [bytes([number % 256]) * size for number, size in enumerate(sizes)]

        def work() -> None:
            for chunk in expected:
                channel.put([chunk], len(chunk))
            finish(channel, (), 0, error)

        worker = Worker(work)
        received: list[Item] = []
        batch = await channel.take()
        turns = 0
        while True:
            assert sum(len(item) for item in batch.items) <= limit + 30
            received += batch.items
            for _ in range(yields[turns % len(yields)]):  # send() takes a while
                await asyncio.sleep(0)
                with channel._lock:
                    assert channel._pending + channel._sending <= limit + 31
            turns += 1
            if batch.end is not End.MORE:
                break
            batch = channel.more() or await channel.take()
        assert received == expected
        assert channel.error is error
        assert batch.end is (End.BROKEN if breaks else End.COMPLETE)
        assert await worker.end() is None

    run(main)
