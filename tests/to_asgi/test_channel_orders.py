"""A channel in every order of its critical sections: nobody waits for ever, and the end counts once."""

import asyncio
from typing import Any

import pytest

import bridge.threads.mailbox
import bridge.to_asgi.channel
from bridge import ClientDisconnected
from bridge.threads.mailbox import Mailbox
from bridge.to_asgi.channel import Channel, End, Item
from tests.support.orders import Check, Fields, Loop, Order, Scenario, explore, guarded

MODULES = (bridge.to_asgi.channel, bridge.threads.mailbox)

#: As the module's text has it.
FIELDS = Fields(
    "_lock",
    owned={"loop": frozenset({"_waiter", "_quiet"}), "worker": frozenset({"_told"})},
    constant=frozenset({"_mailbox", "_limit"}),
    # close() of a quiet channel; ``aborted``.
    free=frozenset({"_aborted", "error", "_context"}),
    # take() of a whole response.
    read=frozenset({"_whole", "_items", "_end", "_pending"}),
)
MAILBOX = Fields("_lock", constant=frozenset({"loop"}))


class Ending:
    """How the loop's side ends, where it does not come to the end of the response."""

    #: It takes all there is.
    STAYS = "stays"
    #: The client may leave while the loop sends.
    LEAVES = "may leave"
    #: The server may cancel the request, wherever it waits.
    CANCELLED = "may be cancelled"


def scenario(
    kind: type[Channel] = Channel,
    *,
    ends: bool,
    puts: int,
    others: tuple[str, ...] = (),
    ending: str = Ending.STAYS,
    error: bool = False,
    seconds: float | None = None,
    early: int = 0,
) -> Scenario:
    """A worker that puts so many items and finishes, and other threads that each do one thing.

    ``error``: it finishes by one. ``seconds``: so long the loop waits for the end of the call;
    ``early``: so often that time may be over while others could go on.
    """

    def begin(order: Order) -> Check:
        order.early = early
        loop: Any = Loop(order)
        mailbox = guarded(Mailbox, MAILBOX, order)(loop)
        channel = guarded(kind, FIELDS, order)(mailbox, 0)
        received: list[Item] = []
        last: list[End] = []
        failed: list[BaseException | None] = []
        running: list[bool] = []

        def work() -> None:
            tell = None
            try:
                if channel.begin():
                    for _ in range(puts):
                        channel.put([b"w"], 1)
                    end: Any = ([], 0, OSError()) if error else ([b"e"], 1)
                    tell = channel.finish(*end, ends=ends)
            except ClientDisconnected:
                pass
            if tell is not None:
                tell()
            if tell is None or not ends:
                channel.end()

        def other(name: str) -> None:
            try:
                if name == "put":
                    channel.put([b"o"], 1)
                elif name == "flush":
                    channel.flush()
                else:
                    channel.ask()
            except ClientDisconnected:
                pass

        async def forward() -> None:
            await channel.waiter
            batch = channel.take()
            while True:
                received.extend(batch.items)
                last.append(batch.end)
                if batch.end is not End.MORE:
                    return
                order.pause()  # send() takes a while
                if ending is Ending.LEAVES and order.choose(2):
                    channel.leave()
                    return
                batch = await channel.following()

        async def request() -> None:
            try:
                await forward()
            finally:
                lost, still = channel.close()
                failed.append(lost)
                running.append(still)
                assert channel.aborted
            await channel.until_ended(seconds)

        async def serve() -> None:
            task = asyncio.ensure_future(request())
            if ending is Ending.CANCELLED:
                order.spawn(lambda: loop.tell(task.cancel), "server")
            await asyncio.wait([task])
            assert ending is Ending.CANCELLED or not task.cancelled()
            if not task.cancelled():
                task.result()

        order.spawn(work, "worker")
        order.spawn(lambda: loop.run(serve()), "loop")
        for name in others:
            order.spawn(lambda name=name: other(name), name)  # type: ignore[misc]

        def check() -> None:
            assert last[:-1] == [End.MORE] * (len(last) - 1)
            assert channel._gate is None
            assert channel._aborted
            assert channel.error is None, "the channel keeps the error, and with it the call's frames"
            assert len(failed) == 1
            if last and last[-1] is End.COMPLETE:
                assert [item for item in received if item != b"o"] == [b"w"] * puts + [b"e"]
                assert received[-1] == b"e", "nothing comes after the end"
            elif last and last[-1] is End.BROKEN:
                assert error
                assert isinstance(failed[0], OSError)
            else:
                assert ending is not Ending.STAYS

        return check

    return begin


@pytest.mark.parametrize("ending", [Ending.STAYS, Ending.LEAVES, Ending.CANCELLED])
@pytest.mark.parametrize("ends", [False, True], ids=["closes", "ends"])
@pytest.mark.parametrize(("puts", "error"), [(0, False), (0, True), (1, False)])
def test_every_order_of_the_worker_and_the_loop(puts: int, error: bool, ends: bool, ending: str) -> None:
    begin = scenario(ends=ends, puts=puts, error=error, ending=ending)
    assert explore(begin, *MODULES, preemptions=2) >= 5


@pytest.mark.parametrize("ending", [Ending.STAYS, Ending.LEAVES])
@pytest.mark.parametrize("ends", [False, True], ids=["closes", "ends"])
@pytest.mark.parametrize(("puts", "other"), [(0, "put"), (0, "flush"), (0, "ask"), (1, "put")])
def test_every_order_of_another_thread(puts: int, other: str, ends: bool, ending: str) -> None:
    begin = scenario(ends=ends, puts=puts, others=(other,), ending=ending)
    assert explore(begin, *MODULES, preemptions=1) >= 40


@pytest.mark.parametrize("other", ["put", "flush", "ask"])
def test_every_order_of_another_thread_where_the_server_cancels(other: str) -> None:
    begin = scenario(ends=False, puts=0, others=(other,), ending=Ending.CANCELLED)
    assert explore(begin, *MODULES, preemptions=1) >= 40


def test_every_order_of_two_threads_beside_the_worker() -> None:
    begin = scenario(ends=True, puts=0, others=("put", "flush"))
    assert explore(begin, *MODULES, preemptions=1) > 100


def test_every_order_of_a_limited_wait_for_the_end() -> None:
    begin = scenario(ends=False, puts=1, ending=Ending.LEAVES, seconds=1.0, early=1)
    assert explore(begin, *MODULES, preemptions=2) > 20


# That it finds what it is for.


class ForgetsTheGate(Channel):
    """A close() that does not look whether a thread stands at the gate."""

    def _take(self) -> Any:
        batch = super()._take()
        self._quiet = batch.end is not End.MORE
        return batch


class TakesPutsAfterTheEnd(Channel):
    """What is put after the end is kept, and waits."""

    def put(self, items: Any, size: int) -> None:
        with self._lock:
            if self._aborted:
                raise ClientDisconnected
            self._items = [*self._items, *items]
            self._pending += size
            gate = self._close_gate() if self._pending + self._sending > self._limit else None
        if gate is not None:
            self._pass(gate)


class WakesNobody(Channel):
    """An end() that trusts in the loop to look again."""

    def end(self) -> None:
        with self._lock:
            self._work = bridge.to_asgi.channel._Work.OVER


class LooksWithoutTheLock(Channel):
    """It is right wherever the GIL happens to hold the other thread up."""

    def ask(self) -> bool:
        return self._left or super().ask()


@pytest.mark.parametrize(
    ("kind", "other", "words"),
    [
        (ForgetsTheGate, "put", "wait for ever: put at"),
        (TakesPutsAfterTheEnd, "put", "wait for ever: put at"),
        (WakesNobody, "put", "wait for ever: loop at"),
        (LooksWithoutTheLock, "ask", "ask touches _left without _lock"),
    ],
)
def test_a_channel_with_a_gap_is_found_out(kind: type[Channel], other: str, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        explore(
            scenario(kind, ends=kind is not WakesNobody, puts=0, others=(other,)), *MODULES, preemptions=1
        )
