"""A mailbox in every order: each future is settled, in the order of the posts, and each wake-up has a post."""

import asyncio
import contextlib
from typing import Any

import pytest

import bridge.threads.mailbox
from bridge.threads.mailbox import Mailbox
from tests.support.orders import Check, Fields, Loop, Order, Scenario, explore, guarded

FIELDS = Fields("_lock", constant=frozenset({"loop"}))


class Counting(Loop):
    """Counts how often it is woken."""

    woken = 0

    def call_soon_threadsafe(self, *args: Any, **kwargs: Any) -> asyncio.Handle:
        handle = super().call_soon_threadsafe(*args, **kwargs)
        self.woken += 1
        return handle


def scenario(kind: type[Mailbox], posts: tuple[int, ...], *, leaves: bool = False) -> Scenario:
    """Each thread posts so many futures, and the loop waits for all; ``leaves``: it may be closed before."""

    def begin(order: Order) -> Check:
        loop: Any = Counting(order)
        mailbox = guarded(kind, FIELDS, order)(loop)
        futures = [[loop.create_future() for _ in range(count)] for count in posts]
        every = [future for mine in futures for future in mine]
        settled: list[asyncio.Future[None]] = []
        for future in every:
            future.add_done_callback(settled.append)

        def post(mine: list[asyncio.Future[None]]) -> None:
            for future in mine:
                mailbox.post(future)

        async def wait() -> None:
            if not (leaves and order.choose(2)):
                for future in every:
                    await future

        for number, mine in enumerate(futures):
            order.spawn(lambda mine=mine: post(mine), f"thread-{number}")  # type: ignore[misc]
        order.spawn(lambda: loop.run(wait()), "loop")

        def check() -> None:
            assert leaves or len(settled) == len(every)
            for mine in futures:
                assert [f for f in settled if f in mine] == [f for f in mine if f in settled]
            assert loop.woken <= len(every)

        return check

    return begin


@pytest.mark.parametrize("leaves", [False, True], ids=["stays", "may be closed"])
@pytest.mark.parametrize("posts", [(1,), (2,), (1, 1), (2, 1)])
def test_every_order(posts: tuple[int, ...], leaves: bool) -> None:
    assert explore(scenario(Mailbox, posts, leaves=leaves), bridge.threads.mailbox) >= 2


class WakesTooEarly(Mailbox):
    """It takes note of having woken the loop after the loop may have looked."""

    woken = False

    def post(self, future: Any, error: BaseException | None = None) -> None:
        with self._lock:
            self._posted.append((future, error))
            woken = self.woken
        if not woken:
            with contextlib.suppress(RuntimeError):
                self.loop.call_soon_threadsafe(self._deliver)
            with self._lock:
                self.woken = True

    def _deliver(self) -> None:
        with self._lock:
            self.woken = False
        super()._deliver()


def test_a_mailbox_with_a_gap_is_found_out() -> None:
    with pytest.raises(AssertionError, match="wait for ever: loop"):
        explore(scenario(WakesTooEarly, (2,)), bridge.threads.mailbox)
