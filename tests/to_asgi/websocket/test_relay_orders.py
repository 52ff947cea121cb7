"""The relay's pair of sockets in every order: it is made once, or not at all, and the app's reads come to their end.

Threads of the app use its end as soon as they like, its call ends, and the loop lets go because the client has left.
"""

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import bridge.threads.mailbox
import bridge.to_asgi.channel
import bridge.to_asgi.websocket.relay
from bridge import ClientDisconnected
from bridge.threads.mailbox import Mailbox
from bridge.to_asgi.channel import Channel, End
from bridge.to_asgi.websocket.relay import OPENED, RelayPair
from tests.support.orders import Check, Fields, Loop, Order, Scenario, explore, guarded
from tests.support.relays import no_descriptors_left

MODULES = (bridge.to_asgi.websocket.relay, bridge.to_asgi.channel, bridge.threads.mailbox)
#: They are made under the lock, once, and looked at without it.
FIELDS = Fields("_lock", constant=frozenset({"_channel"}), read=frozenset({"_own", "_peer"}))

no_leftovers = pytest.fixture(autouse=True)(no_descriptors_left)


@pytest.fixture(autouse=True)
def _no_threads_left() -> Iterator[None]:
    yield
    assert not [
        thread for thread in threading.enumerate() if thread.name.startswith(("app-", "loop", "client"))
    ]


def scenario(kind: type[RelayPair], users: int, *, leaves: bool) -> Scenario:
    """So many threads of the app use its end, and then the app's call ends; ``leaves``: the client may, before."""

    def begin(order: Order) -> Check:
        loop: Any = Loop(order)
        channel = Channel(Mailbox(loop), 1000)
        pair = guarded(kind, FIELDS, order)(channel)
        used: list[socket.socket] = []
        refused: list[OSError] = []
        told: list[str] = []
        ended: list[str] = []

        def use() -> None:
            try:
                used.append(pair.open())
            except (ConnectionAbortedError, ClientDisconnected) as error:
                refused.append(error)
            ended.append("")
            if len(ended) == users:
                # The last one is the app's call.
                pair.end()
                tell = channel.finish([])
                if tell is not None:
                    tell()

        async def serve() -> None:
            """What the session does with it: it sends until the end, and lets go of it on whatever way it leaves."""
            try:
                await channel.waiter
                batch = channel.take()
                while True:
                    for item in batch.items:
                        assert not isinstance(item, bytes)
                        assert item["type"] == OPENED
                        told.append(OPENED)
                        assert pair.peer().getblocking() is False
                    if batch.end is not End.MORE:
                        break
                    batch = await channel.following()
            finally:
                channel.abort()
                pair.release()

        def leave() -> None:
            # On the loop, as the listener does it.
            loop.tell(channel.abort)
            loop.tell(pair.release)

        for number in range(users):
            order.spawn(use, f"app-{number}")
        order.spawn(lambda: loop.run(serve()), "loop")
        if leaves:
            order.spawn(leave, "client")

        def check() -> None:
            own, peer = pair._own, pair._peer
            try:
                assert len(used) + len(refused) == users
                assert leaves or not refused
                assert len(set(used)) <= 1, "the pair was made twice"
                assert told in ([], [OPENED]), "the loop was told twice"
                if own is None:
                    assert not used
                    return
                assert leaves or told, "the loop was not told"
                # The session closes the loop's end when its listening has ended, which may be later.
                own.setblocking(False)
                assert own.recv(1) == b"", "the app waits for ever"
                with pytest.raises(OSError, match="pipe"):
                    own.send(b"x")
            finally:
                pair.close()
                assert peer is None or peer.fileno() == -1
                for end in filter(None, (own, peer, *used)):
                    end.close()

        return check

    return begin


@pytest.mark.parametrize("leaves", [False, True])
@pytest.mark.parametrize("users", [1, 2])
def test_every_order(users: int, leaves: bool) -> None:
    assert explore(scenario(RelayPair, users, leaves=leaves), *MODULES, preemptions=3 - users) >= 2


# That it finds what it is for.


class OpensInTwoSteps(RelayPair):
    """It looks whether there is a pair, and makes one later."""

    def open(self) -> socket.socket:
        if self._own is not None:
            return self._own
        own, peer = socket.socketpair()
        peer.setblocking(False)
        with self._lock:
            lost = (self._own, self._peer)
            self._own, self._peer = own, peer
        for end in filter(None, lost):
            end.close()
        self._channel.put([{"type": OPENED}], 0)
        return own


class OpensAfterTheEnd(RelayPair):
    """It does not look whether the loop has let go."""

    def open(self) -> socket.socket:
        with self._lock:
            self._released = False
        return super().open()


class LetsGoWithoutTheLock(RelayPair):
    """The loop looks for a pair, and says later that none may be made."""

    def release(self) -> None:
        if self._peer is not None:
            super().release()
            return
        with self._lock:
            self._released = True


@pytest.mark.parametrize(
    ("kind", "users", "words"),
    [
        (OpensInTwoSteps, 2, "made twice|told twice"),
        (OpensAfterTheEnd, 1, "waits for ever|Resource temporarily"),
        (LetsGoWithoutTheLock, 1, "waits for ever|Resource temporarily"),
    ],
)
def test_a_pair_with_a_gap_is_found_out(kind: type[RelayPair], users: int, words: str) -> None:
    with pytest.raises((AssertionError, OSError), match=words):
        explore(scenario(kind, users, leaves=True), *MODULES, preemptions=2)
