"""Waking a loop from other threads: once for many posts, and what becomes of each future."""

import asyncio
import threading
from unittest.mock import patch

import pytest

from bridge.threads.mailbox import Mailbox, settle
from tests.support.asgi import HANG
from tests.support.channels import run
from tests.support.worker import Worker


def noted(seen: list[int], number: int) -> "asyncio.Future[None]":
    """Return a future that puts ``number`` into ``seen`` when it is settled."""
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.add_done_callback(lambda _: seen.append(number))
    return future


def test_many_posts_make_one_wake_up() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        mailbox = Mailbox(loop)
        seen: list[int] = []
        with patch.object(loop, "call_soon_threadsafe", wraps=loop.call_soon_threadsafe) as wake:
            # The loop is here, and can't look before all have posted.
            futures = [noted(seen, number) for number in range(100)]
            for future in futures:
                mailbox.post(future)
            assert wake.call_count == 1
            await futures[-1]
            assert seen == list(range(100))
            last = noted(seen, -1)
            first = noted(seen, -2)
            first.add_done_callback(lambda _: mailbox.post(last))
            mailbox.post(first)
            await last
            assert seen[-2:] == [-2, -1]
            assert wake.call_count == 3, "posted when the loop had looked: it is woken again"

    run(main)


def test_posts_of_many_threads_all_arrive_in_their_order() -> None:
    async def main() -> None:
        mailbox = Mailbox(asyncio.get_running_loop())
        barrier = threading.Barrier(8)
        seen: list[list[int]] = [[] for _ in range(8)]
        futures = [[noted(mine, number) for number in range(500)] for mine in seen]

        def post(mine: list[asyncio.Future[None]]) -> None:
            barrier.wait(HANG)
            for future in mine:
                mailbox.post(future)

        workers = [Worker(lambda mine=mine: post(mine)) for mine in futures]  # type: ignore[misc]
        for mine in futures:
            for future in mine:
                await future
        for worker in workers:
            assert await worker.end() is None
        assert seen == [list(range(500))] * 8

    run(main)


def test_an_error_is_raised_where_the_future_is_awaited() -> None:
    async def main() -> None:
        mailbox = Mailbox(asyncio.get_running_loop())
        future: asyncio.Future[None] = mailbox.loop.create_future()
        worker = Worker(lambda: mailbox.post(future, LookupError("mine")))
        with pytest.raises(LookupError, match="mine"):
            await future
        assert await worker.end() is None

    run(main)


@pytest.mark.parametrize("error", [None, LookupError("late")])
def test_a_future_that_is_done_stays_as_it_is(error: LookupError | None) -> None:
    async def main() -> None:
        mailbox = Mailbox(asyncio.get_running_loop())
        cancelled: asyncio.Future[None] = mailbox.loop.create_future()
        twice: asyncio.Future[None] = mailbox.loop.create_future()
        last: asyncio.Future[None] = mailbox.loop.create_future()
        cancelled.cancel()
        mailbox.post(cancelled, error)
        mailbox.post(twice)
        mailbox.post(twice, error)
        mailbox.post(last)
        await last
        assert cancelled.cancelled()
        assert twice.result() is None
        settle(twice, error)
        assert twice.exception() is None

    run(main)


def test_a_post_to_a_closed_loop_is_lost_without_a_word() -> None:
    loop = asyncio.new_event_loop()
    mailbox = Mailbox(loop)
    future: asyncio.Future[None] = loop.create_future()
    loop.close()
    mailbox.post(future)
    mailbox.post(future)
    assert not future.done()


def test_what_the_loop_raises_for_another_reason_is_raised() -> None:
    loop = asyncio.new_event_loop()
    mailbox = Mailbox(loop)
    with (
        patch.object(loop, "call_soon_threadsafe", side_effect=RuntimeError("of its own")),
        pytest.raises(RuntimeError, match="of its own"),
    ):
        mailbox.post(loop.create_future())
    loop.close()
