"""A channel in every order of its critical sections: nobody waits for ever, and the end counts once."""

from collections.abc import Callable, Coroutine, Generator
from typing import Any

import pytest

from bridge import ClientDisconnected
from bridge.to_asgi.channel import Channel, End, Item
from tests.support.channels import take
from tests.support.orders import Order, explore


class Future:
    """In place of an asyncio future."""

    def __init__(self, loop: "Loop") -> None:
        self._loop = loop
        self._done = False
        self._callbacks: list[Callable[[Any], None]] = []

    def __await__(self) -> Generator[Any, None, None]:
        if not self._done:
            yield self

    def done(self) -> bool:
        return self._done

    def set_result(self, result: None) -> None:
        assert not self._done
        self._done = True
        for callback in self._callbacks:
            callback(self)

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        self._callbacks.append(callback)

    def remove_done_callback(self, callback: Callable[[Any], None]) -> None:
        self._callbacks.remove(callback)

    def get_loop(self) -> "Loop":
        return self._loop


class Loop:
    """In place of an event loop with one task."""

    def __init__(self, order: Order) -> None:
        self._order = order

    def create_future(self) -> Future:
        return Future(self)

    def drive(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        while True:
            try:
                future = coroutine.send(None)
            except StopIteration as stop:
                return stop.value
            self._order.sleep(future.done)


class Mailbox:
    """In place of the mailbox; what is posted is settled at once, which is early in all that may happen."""

    def __init__(self, order: Order) -> None:
        self.loop = Loop(order)

    def post(self, future: Future, error: None = None) -> None:
        if not future.done():
            future.set_result(None)


class Gate:
    """In place of a closed lock at which threads wait."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._open = False

    def __enter__(self) -> None:
        if not self._open:
            self._order.sleep(lambda: self._open)

    def __exit__(self, *_: object) -> None:
        """It stays open."""

    def release(self) -> None:
        self._open = True


class Explored(Channel):
    """The real class, on the lock, gates and futures of an ``Order``."""

    def __init__(self, order: Order, limit: int) -> None:
        mailbox: Any = Mailbox(order)
        super().__init__(mailbox, limit)
        lock: Any = order.lock()
        self._lock = lock
        self.order = order

    def _close_gate(self) -> Any:
        if self._gate is None:
            gate: Any = Gate(self.order)
            self._gate = gate
        return self._gate


def scenario(
    kind: type[Explored], *, ends: bool, puts: int, others: tuple[str, ...], leaves: bool
) -> Callable[[Order], Callable[[], None]]:
    """A worker that puts so many items and finishes, and other threads that each do one thing.

    ``leaves``: the client may leave while the loop sends.
    """

    def begin(order: Order) -> Callable[[], None]:
        channel = kind(order, 0)
        over: list[str] = []
        received: list[Item] = []
        last: list[End] = []

        def work() -> None:
            tell = None
            try:
                if channel.begin():
                    for _ in range(puts):
                        channel.put([b"w"], 1)
                    tell = channel.finish([b"e"], 1, ends=ends)
            except ClientDisconnected:
                pass
            if tell is not None:
                tell()
            if tell is None or not ends:
                channel.end()
            over.append("worker")

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
            over.append(name)

        def loop() -> None:
            drive = channel.loop.drive  # type: ignore[attr-defined]
            batch = drive(take(channel))
            while True:
                received.extend(batch.items)
                last.append(batch.end)
                if batch.end is not End.MORE:
                    break
                order.pause()  # send() takes a while
                if leaves and order.choose(2):
                    channel.leave()
                    break
                batch = drive(channel.following())
            order.pause()
            channel.close()
            assert channel.aborted
            drive(channel.until_ended())
            over.append("loop")

        order.spawn(work, "worker")
        order.spawn(loop, "loop")
        for name in others:
            order.spawn(lambda name=name: other(name), name)  # type: ignore[misc]

        def check() -> None:
            assert sorted(over) == sorted(["worker", "loop", *others]), "somebody waits for ever"
            assert last[:-1] == [End.MORE] * (len(last) - 1)
            assert channel._gate is None
            if last[-1] is End.COMPLETE:
                assert [item for item in received if item != b"o"] == [b"w"] * puts + [b"e"]
                assert received[-1] == b"e", "nothing comes after the end"
            else:
                assert leaves

        return check

    return begin


@pytest.mark.parametrize("leaves", [False, True], ids=["stays", "may leave"])
@pytest.mark.parametrize("ends", [False, True], ids=["closes", "ends"])
@pytest.mark.parametrize(
    ("puts", "others"), [(0, ()), (1, ()), (0, ("put",)), (0, ("flush",)), (0, ("ask",)), (1, ("put",))]
)
def test_every_order(puts: int, others: tuple[str, ...], ends: bool, leaves: bool) -> None:
    assert explore(scenario(Explored, ends=ends, puts=puts, others=others, leaves=leaves)) >= 2


def test_every_order_of_two_threads_beside_the_worker() -> None:
    assert explore(scenario(Explored, ends=True, puts=0, others=("put", "flush"), leaves=False)) > 100


# That it finds what it is for.


class ForgetsTheGate(Explored):
    """A close() that does not look whether a thread stands at the gate."""

    def _take(self) -> Any:
        batch = super()._take()
        self._quiet = batch.end is not End.MORE
        return batch


class TakesPutsAfterTheEnd(Explored):
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


@pytest.mark.parametrize("kind", [ForgetsTheGate, TakesPutsAfterTheEnd])
def test_a_channel_with_a_gap_is_found_out(kind: type[Explored]) -> None:
    with pytest.raises(AssertionError):
        explore(scenario(kind, ends=True, puts=0, others=("put",), leaves=False))
