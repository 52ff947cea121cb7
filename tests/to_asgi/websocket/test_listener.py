"""The listener alone: the server's events on their way to the app, and how it ends both ways."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from bridge import ClientDisconnected, ConnectionClosed
from bridge.to_asgi.channel import Batch, Channel, End
from bridge.to_asgi.websocket.inbox import Inbox
from bridge.to_asgi.websocket.listener import Listener
from bridge.to_asgi.websocket.relay import RelayPair
from bridge.types import Message
from tests.support.channels import new_channel, run, take
from tests.support.websockets import disconnect, received
from tests.support.worker import Worker


class Heard:
    """A listener to a server that has these events, and then waits."""

    def __init__(
        self, *events: Message | Exception, max_message: int | None = None, limit: int = 1000
    ) -> None:
        self.channel: Channel = new_channel()
        self.inbox = Inbox(self.channel._mailbox, limit)
        self.pair = RelayPair(self.channel)
        self.left = 0
        self._events = list(events)
        self.listener = Listener(self._receive, "/a\nb", self.channel, self.inbox, self.pair, max_message)

    async def _receive(self) -> Message:
        if not self._events:
            await asyncio.get_running_loop().create_future()
        event = self._events.pop(0)
        if isinstance(event, Exception):
            raise event
        return event

    async def listen(self) -> None:
        await self.listener.listen(self._leave)

    def _leave(self) -> None:
        self.left += 1

    def closed(self) -> tuple[int, str]:
        """How the app is told."""
        with pytest.raises(ConnectionClosed) as closed:
            self.inbox.get(0)
        return closed.value.code, closed.value.reason


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (received("text"), "text"),
        (received(b"bytes"), b"bytes"),
        ({"type": "websocket.receive", "text": None, "bytes": b"both keys"}, b"both keys"),
        ({"type": "websocket.receive", "text": "", "bytes": None}, ""),
        ({"type": "websocket.receive", "bytes": None}, b""),
    ],
)
def test_a_message_comes_to_the_app(event: Message, message: str | bytes) -> None:
    async def main() -> None:
        heard = Heard(event, disconnect())
        await heard.listen()
        assert heard.inbox.get(0) == message
        assert heard.closed() == (1005, "")
        assert heard.left == 1

    run(main)


@pytest.mark.parametrize(
    ("event", "end"),
    [
        (disconnect(1001, "bye"), (1001, "bye")),
        ({"type": "websocket.disconnect"}, (1005, "")),
        ({"type": "websocket.disconnect", "code": None, "reason": None}, (1005, "")),
        (OSError("of the server"), (1006, "")),
    ],
)
def test_the_end_of_listening_is_the_end_for_the_app(
    event: Message | Exception, end: tuple[int, str], caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        heard = Heard(event)
        await heard.listen()
        assert heard.closed() == end
        assert heard.left == 1
        said = "the WebSocket to '/a\\nb' is taken for lost: receive() of the ASGI server raised"
        assert (said in caplog.text) is isinstance(event, OSError)

    run(main)


def test_an_event_of_another_type_is_passed_over() -> None:
    async def main() -> None:
        heard = Heard({"type": "websocket.unheard-of"}, received("x"), disconnect())
        await heard.listen()
        assert heard.inbox.get(0) == "x"

    run(main)


@pytest.mark.parametrize(
    ("data", "fits"), [("1234", True), (b"1234", True), ("12345", False), ("12é4", False)]
)
def test_a_message_may_have_so_many_bytes(data: str | bytes, fits: bool) -> None:
    async def main() -> None:
        heard = Heard(received(data), disconnect(1001), max_message=4)
        await heard.listen()
        if fits:
            assert heard.inbox.get(0) == data
        assert heard.closed() == ((1001, "") if fits else (1009, "a message may have 4 bytes"))
        if not fits:
            close = {"type": "websocket.close", "code": 1009, "reason": "a message may have 4 bytes"}
            assert await take(heard.channel) == Batch([close], End.COMPLETE)
        heard.channel.abort()

    run(main)


def test_the_first_close_counts() -> None:
    async def main() -> None:
        heard = Heard(disconnect(1001))
        heard.listener.close(1012, "the server stops")
        heard.listener.close(1008, "late")
        await heard.listen()
        close = {"type": "websocket.close", "code": 1012, "reason": "the server stops"}
        assert await take(heard.channel) == Batch([close], End.COMPLETE)
        assert heard.closed() == (1012, "the server stops")
        with pytest.raises(ConnectionAbortedError):
            heard.pair.open()

    run(main)


def test_an_abort_ends_every_wait() -> None:
    async def main() -> None:
        heard = Heard(received("x" * 100), limit=10)
        listening = asyncio.ensure_future(heard.listen())
        calls: list[Callable[[], Any]] = [
            lambda: heard.channel.put([b"y" * 1000], 1000),
            lambda: [heard.inbox.get(), heard.inbox.get()],
        ]
        workers = [Worker(call) for call in calls]
        taking = asyncio.ensure_future(take(heard.channel))
        assert (await taking).items == [b"y" * 1000]
        heard.listener.abort()
        heard.listener.abort()
        assert [type(await worker.end()) for worker in workers] == [ClientDisconnected, ConnectionClosed]
        with pytest.raises(ConnectionAbortedError):
            heard.pair.open()
        listening.cancel()

    run(main)
