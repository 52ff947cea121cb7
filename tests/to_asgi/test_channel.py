"""The hand-over between a worker and a loop: what is put is taken, in order, by few wake-ups."""

import asyncio
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.to_asgi.channel import Batch, End, Item
from tests.support.channels import finish, new_channel, run, take
from tests.support.worker import Worker


def test_what_is_there_goes_out_together_and_in_order() -> None:
    async def main() -> None:
        channel = new_channel()
        start: Item = {"type": "http.response.start"}
        channel.put([start, b"a"], 1)
        channel.put([b"b"], 1)
        finish(channel, [b"c"], 1)
        assert await take(channel) == Batch([start, b"a", b"b", b"c"], End.COMPLETE)

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
        assert (await take(channel)).end is End.COMPLETE

    run(main)


def test_the_end_is_not_seen_before_it_is_told() -> None:
    async def main() -> None:
        channel = new_channel()
        tell = channel.finish([b"a"], 1)
        assert tell is not None
        taking = asyncio.ensure_future(take(channel))
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
        assert await take(channel) == Batch([b"a"], End.MORE)
        channel.put([b"b"], 1)
        assert channel.more() == Batch([b"b"], End.MORE)
        assert channel.more() is None
        taking = asyncio.ensure_future(take(channel))
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
        assert await take(channel) == Batch([b"a"], End.BROKEN)
        assert channel.error is error

    run(main)


def test_the_first_finish_counts() -> None:
    async def main() -> None:
        channel = new_channel()
        finish(channel, [b"a"], 1)
        finish(channel, [b"b"], 1, LookupError("late"))
        assert await take(channel) == Batch([b"a"], End.COMPLETE)
        assert channel.error is None

    run(main)


# All of it.


@given(
    limit=st.sampled_from([1, 10, 100]),
    sizes=st.lists(st.integers(1, 30), max_size=60),
    yields=st.lists(st.integers(0, 3), min_size=1, max_size=20),
    breaks=st.booleans(),
)
@settings(max_examples=150)
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
        batch = await take(channel)
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
            batch = await channel.following()
        assert received == expected
        assert channel.error is error
        assert batch.end is (End.BROKEN if breaks else End.COMPLETE)
        assert await worker.end() is None

    run(main)
