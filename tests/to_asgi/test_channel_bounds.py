"""A channel that is full: who waits, for how long, and who goes on."""

import asyncio
import functools
import threading
from collections.abc import Callable

import pytest

from bridge import ClientDisconnected
from bridge.threads.mailbox import Mailbox
from bridge.to_asgi.channel import _ITEMS, Batch, Channel, End, Item
from tests.support.asgi import HANG
from tests.support.channels import finish, new_channel, run, take, worker_waits
from tests.support.worker import Worker


@pytest.mark.parametrize("taken", [False, True], ids=["pending", "sending"])
def test_put_waits_over_the_limit_and_goes_on_when_it_is_sent(taken: bool) -> None:
    async def main() -> None:
        channel = new_channel(100)
        channel.put([b"x" * 99], 99)  # within the limit: does not wait
        if taken:
            await take(channel)
        worker = Worker(lambda: channel.put([b"y" * 2], 2))
        await worker_waits(channel)
        assert worker.is_alive()
        if not taken:
            await take(channel)
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
            await take(channel)
        worker = Worker(lambda: channel.put([b"y"], 1))
        await worker_waits(channel)
        assert worker.is_alive()
        if not taken:
            assert len((await take(channel)).items) == _ITEMS + 1
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
        await take(channel)

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
        assert len((await take(channel)).items) == 1
        await worker_waits(channel)
        assert channel.more() is None
        assert await worker.end() is None
        channel.abort()

    run(main)


def test_finish_never_waits() -> None:
    async def main() -> None:
        channel = new_channel(10)
        finish(channel, [b"x" * 1000], 1000)
        assert (await take(channel)).end is End.COMPLETE

    run(main)


def test_flush_waits_until_all_is_sent() -> None:
    async def main() -> None:
        channel = new_channel()
        channel.flush()
        message: Item = {"type": "http.response.zerocopysend"}
        channel.put([message], 0)
        worker = Worker(channel.flush)
        await worker_waits(channel)
        assert await take(channel) == Batch([message], End.MORE)
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
        assert await take(channel) == Batch([b"x" * 10], End.MORE)
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
                    await take(channel)
            channel.abort()
            for worker in workers:
                assert isinstance(await worker.end(), ClientDisconnected | None)

    run(main)
