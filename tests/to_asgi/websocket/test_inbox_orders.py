"""An inbox in every order: each message goes to one thread, in its order, and every wait ends."""

import asyncio
import threading
from typing import Any

import pytest

import bridge.threads.mailbox
import bridge.to_asgi.websocket.inbox
from bridge import ConnectionClosed
from bridge.threads.mailbox import Mailbox
from bridge.to_asgi.websocket.inbox import Inbox
from tests.support.orders import Check, Fields, Loop, Order, Scenario, explore, guarded

MODULES = (bridge.to_asgi.websocket.inbox, bridge.threads.mailbox)
FIELDS = Fields("_changed", constant=frozenset({"_mailbox", "_limit"}))

#: What a thread does that asks for a message: waits, waits for so many seconds, or closes the inbox.
WAIT, LIMITED, CLOSE = "wait", "limited", "close"


def scenario(
    kind: type[Inbox],
    messages: int,
    threads: tuple[tuple[str, ...], ...],
    *,
    cancels: bool = False,
    early: int = 0,
) -> Scenario:
    """A client that sends so many messages and leaves, and threads that each do some things.

    ``cancels``: the listening task may be cancelled, after which the loop's side closes. ``early``: so many timeouts
    may be over while others could go on.
    """

    def begin(order: Order) -> Check:
        order.early = early
        loop: Any = Loop(order)
        inbox = guarded(kind, FIELDS, order)(Mailbox(loop), 0)
        got: list[list[str | bytes]] = [[] for _ in threads]
        ends: list[ConnectionClosed] = []

        async def listen() -> None:
            for number in range(messages):
                await inbox.put(str(number))

        async def serve() -> None:
            task = asyncio.ensure_future(listen())
            if cancels:
                order.spawn(lambda: loop.tell(task.cancel), "server")
            await asyncio.wait([task])
            inbox.close(1001, "gone")
            assert inbox.stuck() is None

        def use(does: tuple[str, ...], mine: list[str | bytes]) -> None:
            for what in does:
                if what == CLOSE:
                    inbox.close(1000, "enough")
                    continue
                try:
                    mine.append(inbox.get(None if what == WAIT else 5.0))
                except ConnectionClosed as closed:
                    ends.append(closed)
                except TimeoutError:
                    assert what == LIMITED

        order.spawn(lambda: loop.run(serve()), "loop")
        for number, does in enumerate(threads):
            order.spawn(lambda does=does, mine=got[number]: use(does, mine), f"thread-{number}")  # type: ignore[misc]

        def check() -> None:
            taken = [message for mine in got for message in mine]
            assert len(set(taken)) == len(taken), "a message came twice"
            assert all(mine == sorted(mine) for mine in got)
            # Those that were taken are the first that were put, and those that wait follow them.
            rest = [str(message) for message in inbox._messages]
            assert sorted(map(str, taken)) + rest == [str(n) for n in range(len(taken) + len(rest))]
            assert not (rest and ends), "a thread was told of the end while a message waited"
            assert inbox._pending == sum(len(message) + 64 for message in rest)
            assert {end.code for end in ends} <= {1000, 1001}
            assert len({end.code for end in ends}) <= 1, "the first close counts"

        return check

    return begin


@pytest.mark.parametrize(
    ("messages", "threads", "cancels", "early"),
    [
        (1, ((WAIT, WAIT),), False, 0),
        (2, ((WAIT,), (WAIT,)), False, 0),
        (2, ((WAIT, WAIT), (CLOSE,)), False, 0),
        (2, ((WAIT, WAIT), (LIMITED,)), False, 1),
        (1, ((LIMITED,), (WAIT,), (WAIT,)), False, 1),
        (2, ((WAIT, LIMITED), (WAIT,)), True, 1),
        (3, ((LIMITED, CLOSE),), True, 1),
    ],
)
def test_every_order(messages: int, threads: tuple[tuple[str, ...], ...], cancels: bool, early: int) -> None:
    count = explore(scenario(Inbox, messages, threads, cancels=cancels, early=early), *MODULES, preemptions=1)
    assert count > 5
    assert not [
        thread for thread in threading.enumerate() if thread.name.startswith(("loop", "thread-", "server"))
    ]


class ClosesForOne(Inbox):
    """Of the threads that wait it wakes one."""

    def close(self, code: int, reason: str) -> None:
        with self._changed:
            if self._end is None:
                self._end = (code, reason)
            room, self._room = self._room, None
            self._changed.notify()
        self._settle(room)


class LooksBeforeItWaits(Inbox):
    """It decides to wait for room in one step, and waits in another."""

    async def put(self, message: str | bytes) -> None:
        with self._changed:
            if self._end is not None:
                return
            self._messages.append(message)
            self._pending += len(message) + 64
            full = self._pending > self._limit
            self._changed.notify()
        if full:
            with self._changed:
                room = self._room = self._mailbox.loop.create_future()
            await room


@pytest.mark.parametrize(
    ("kind", "messages", "words"),
    [(ClosesForOne, 0, "wait for ever: thread-"), (LooksBeforeItWaits, 1, "wait for ever: loop")],
)
def test_an_inbox_with_a_gap_is_found_out(kind: type[Inbox], messages: int, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        explore(scenario(kind, messages, ((WAIT,), (WAIT,))), *MODULES, preemptions=2)
