"""A body that still arrives, in every order: the reader has each byte or an error, and neither side waits for ever."""

import asyncio
from typing import Any

import pytest

import bridge.threads.mailbox
import bridge.to_asgi.body
from bridge import ClientDisconnected
from bridge.threads.mailbox import Mailbox
from bridge.to_asgi.body import Stream
from tests.support.orders import Check, Fields, Loop, Order, Scenario, explore, guarded

MODULES = (bridge.to_asgi.body, bridge.threads.mailbox)

#: As the class says: ``_released``, ``_allowed`` and ``_patience`` are the loop's; so is ``_waiter``, but that the
#: reader reads it under the lock, where ``_wanted`` says that it may.
FIELDS = Fields(
    "_lock",
    owned={"loop": frozenset({"_released", "_allowed", "_patience"})},
    constant=frozenset({"_mailbox", "_limit"}),
    free=frozenset({"_waiter"}),
)


def scenario(
    kind: type[Stream],
    blocks: int,
    reads: int | None,
    *,
    ends: bool = True,
    cancels: bool = False,
    early: int = 0,
) -> Scenario:
    """A client that sends so many blocks and ends the body, or leaves before (``ends``); an app that reads so often.

    ``reads``: ``None`` for all of it. After that the app is done, and the loop's side releases the stream. ``cancels``:
    the feeding may be cancelled, as at the end of a request. ``early``: so often the feeder's patience may be at its
    end while others could go on.
    """

    def begin(order: Order) -> Check:
        order.early = early
        loop: Any = Loop(order)
        stream = guarded(kind, FIELDS, order)(Mailbox(loop), 1)
        got: list[bytes] = []
        errors: list[BaseException] = []
        done = loop.create_future()

        async def feed() -> None:
            for number in range(blocks):
                await stream.room()
                stream.feed(b"%02d" % number)
            stream.end(None if ends else ClientDisconnected("gone"))
            await stream.until_released()

        def read() -> None:
            try:
                while reads is None or len(got) < reads:
                    buffer = bytearray(2)
                    size = stream.readinto(buffer)
                    if not size:
                        break
                    got.append(bytes(buffer[:size]))
            except ClientDisconnected as error:
                errors.append(error)
            loop.tell(done.set_result, None)

        async def serve() -> None:
            task = asyncio.ensure_future(feed())
            if cancels:
                order.spawn(lambda: loop.tell(leave, task), "server")
            await done
            stream.release()
            await asyncio.wait([task])

        def leave(task: asyncio.Task[None]) -> None:
            stream.release()
            task.cancel()

        order.spawn(lambda: loop.run(serve()), "loop")
        order.spawn(read, "reader")

        def check() -> None:
            body = b"".join(b"%02d" % number for number in range(blocks))
            assert body.startswith(b"".join(got))
            if reads is None and ends and not cancels:
                assert b"".join(got) == body
                assert not errors
            if reads is None and not ends:
                assert errors, "half a body was taken for a whole one"
            assert early or not order.now, "the feeder was not told, and has waited for all of its time"

        return check

    return begin


@pytest.mark.parametrize("early", [0, 2])
@pytest.mark.parametrize("ends", [True, False], ids=["whole", "breaks off"])
@pytest.mark.parametrize("reads", [None, 0, 1])
@pytest.mark.parametrize("blocks", [1, 3])
def test_every_order(blocks: int, reads: int | None, ends: bool, early: int) -> None:
    begin = scenario(Stream, blocks, reads, ends=ends, early=early)
    assert explore(begin, *MODULES, preemptions=2) > 2


@pytest.mark.parametrize("reads", [None, 1])
def test_every_order_where_the_request_ends(reads: int | None) -> None:
    assert explore(scenario(Stream, 2, reads, cancels=True), *MODULES, preemptions=1) > 10


class ForgetsWhoWaits(Stream):
    """It makes the gate in one step, and waits for bytes that came before."""

    def end(self, error: object = None) -> None:
        with self._lock:
            self._ended = True


class LooksAtTheFutureLater(Stream):
    """The reader wakes the feeder, and looks for it outside of the lock."""

    def readinto(self, buffer: Any, /) -> int:
        size = super().readinto(buffer)
        if self._wanted and self._waiter is not None:
            self._mailbox.post(self._waiter)
        return size


class ReleasesInSilence(Stream):
    """The feeder learns that the app reads no more where it looks for it."""

    def release(self) -> None:
        self._released = True
        self.end(ClientDisconnected())


@pytest.mark.parametrize(
    ("kind", "reads", "words"),
    [
        (ForgetsWhoWaits, None, "wait for ever: .*reader at"),
        (LooksAtTheFutureLater, None, "reader touches _wanted without"),
        (ReleasesInSilence, None, "wait for ever: loop"),
        (ReleasesInSilence, 0, "has waited for all of its time|wait for ever: loop"),
    ],
)
def test_a_stream_with_a_gap_is_found_out(kind: type[Stream], reads: int | None, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        explore(scenario(kind, 2, reads), *MODULES, preemptions=1)
