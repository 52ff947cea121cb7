"""What ``receive()`` has given, kept for the next app: nothing is lost, nothing is asked twice, and it ends."""

import asyncio
import errno
import io
import sys
from collections.abc import Awaitable, Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.dispatch import tape as module
from bridge.dispatch.handing_on import IN_MEMORY
from bridge.dispatch.tape import Reader, Tape
from bridge.threads.pool import ThreadPool
from bridge.to_asgi.body import SpoolError
from bridge.types import Message
from tests.support.asgi import HANG, disconnect, request
from tests.support.jobs import Work, until
from tests.support.loop_thread import disk_pool

pytestmark = pytest.mark.usefixtures("no_bridge_threads")


@pytest.fixture
def disk() -> Iterator[ThreadPool]:
    with disk_pool() as pool:
        yield pool


class Server:
    """A ``receive()`` that gives what is fed, and counts who asks."""

    def __init__(self, *events: Message) -> None:
        self.asked = 0
        self.at_once = 0
        self.most_at_once = 0
        self._events: asyncio.Queue[Message] = asyncio.Queue()
        self.feed(*events)

    def feed(self, *events: Message) -> None:
        for event in events:
            self._events.put_nowait(event)

    async def receive(self) -> Message:
        self.asked += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return await self._events.get()
        finally:
            self.at_once -= 1


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(HANG):
            await main()

    asyncio.run(bounded())


async def read_on(tape: Tape, reader: Reader) -> Message:
    """The next message for one reader, as an app has it."""
    while (message := await reader.replay()) is None:
        await tape.fetch()
    return message


async def whole(tape: Tape, reader: Reader) -> bytes:
    body = bytearray()
    while True:
        message = await read_on(tape, reader)
        assert message["type"] == "http.request"
        body += message["body"]
        if not message["more_body"]:
            return bytes(body)


def test_a_tape_that_nobody_has_read_from_is_untouched(disk: ThreadPool) -> None:
    async def main() -> None:
        server = Server(request(b"a", more_body=True))
        tape = Tape(server.receive, disk)

        def state() -> tuple[bool, bool]:
            return tape.untouched, tape.fetching

        assert await Reader(tape).replay() is None
        assert state() == (True, False)
        fetch = tape.fetch()
        assert state() == (False, True)
        await fetch
        assert state() == (False, False)
        tape.close()

    run(main)


def test_who_fetches_while_another_waits_gets_the_same_call(disk: ThreadPool) -> None:
    """So that a message can't go to one that has stopped waiting."""

    async def main() -> None:
        server = Server()
        tape = Tape(server.receive, disk)
        first = tape.fetch()
        assert tape.fetch() is first
        await asyncio.sleep(0)
        server.feed(request(b"a"))
        await first
        assert tape.fetch() is not first
        assert server.most_at_once == 1
        tape.close()

    run(main)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
def test_a_loop_that_starts_tasks_eagerly_has_each_message_fetched(disk: ThreadPool) -> None:
    """The server has the message, so that the task is over when it is made."""

    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(getattr(asyncio, "eager_task_factory"))  # noqa: B009 - not known to 3.11's types
        tape = Tape(Server(request(b"a", more_body=True), request(b"b")).receive, disk)
        assert [await whole(tape, Reader(tape)) for _ in range(2)] == [b"ab"] * 2
        assert not tape.fetching
        tape.close()

    run(main)


def test_a_reader_that_is_cancelled_leaves_the_message_to_the_next_one(disk: ThreadPool) -> None:
    async def main() -> None:
        server = Server()
        tape = Tape(server.receive, disk)

        async def wait() -> None:
            await asyncio.wait({tape.fetch()})

        waiting = asyncio.ensure_future(wait())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting})
        server.feed(request(b"a"))
        assert await read_on(tape, Reader(tape)) == request(b"a")
        assert server.asked == 1
        tape.close()

    run(main)


def test_each_reader_begins_at_the_beginning(disk: ThreadPool) -> None:
    async def main() -> None:
        events = [request(b"a", more_body=True), request(b"b", more_body=True), request(b"c")]
        server = Server(*events)
        tape = Tape(server.receive, disk)
        first, second = Reader(tape), Reader(tape)
        assert [await read_on(tape, first) for _ in range(2)] == events[:2]
        assert [await read_on(tape, second) for _ in range(3)] == events
        assert await read_on(tape, first) == events[2]
        assert server.asked == 3
        tape.close()

    run(main)


@pytest.mark.parametrize("gone", [disconnect(), {"type": "websocket.disconnect", "code": 1001, "reason": ""}])
def test_that_the_client_has_left_is_said_last_and_again_and_again(disk: ThreadPool, gone: Message) -> None:
    async def main() -> None:
        server = Server(request(b"a", more_body=True), gone)
        tape = Tape(server.receive, disk)
        for _ in range(2):
            reader = Reader(tape)
            assert await read_on(tape, reader) == request(b"a", more_body=True)
            assert [await read_on(tape, reader) for _ in range(3)] == [gone] * 3
        assert server.asked == 2
        tape.close()

    run(main)


def test_what_receive_raises_is_raised_to_who_waits_and_the_next_one_asks_again(disk: ThreadPool) -> None:
    async def main() -> None:
        answers: list[Message | OSError] = [OSError("no server"), request(b"a")]

        async def receive() -> Message:
            answer = answers.pop(0)
            if isinstance(answer, OSError):
                raise answer
            return answer

        tape = Tape(receive, disk)
        with pytest.raises(OSError, match="no server"):
            await tape.fetch()
        assert await read_on(tape, Reader(tape)) == request(b"a")
        tape.close()

    run(main)


def test_an_error_that_nobody_waits_for_any_more_is_no_news(disk: ThreadPool) -> None:
    unhandled: list[object] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: unhandled.append(context))

        async def receive() -> Message:
            raise OSError("no server")

        tape = Tape(receive, disk)
        fetch = tape.fetch()
        await asyncio.wait({fetch})
        del fetch
        tape.close()

    run(main)
    assert not unhandled


@settings(max_examples=60)
@given(st.lists(st.binary(max_size=40), min_size=1, max_size=8), st.integers(0, 60), st.integers(1, 9))
def test_any_body_is_read_by_each_as_it_came(blocks: list[bytes], memory: int, size: int) -> None:
    async def main() -> None:
        *before, last = blocks
        server = Server(*(request(block, more_body=True) for block in before), request(last))
        tape = Tape(server.receive, pool)
        readers = [Reader(tape) for _ in range(2)]
        assert [await whole(tape, reader) for reader in readers] == [b"".join(blocks)] * 2
        assert server.asked == len(blocks)
        tape.close()

    with pytest.MonkeyPatch.context() as patch, disk_pool() as pool:
        patch.setattr(module, "IN_MEMORY", memory)
        patch.setattr(module, "_MESSAGE", 0)
        patch.setattr(module, "BLOCK", size)
        run(main)


def test_what_is_kept_in_memory_is_bounded_by_the_bytes_and_by_the_messages(disk: ThreadPool) -> None:
    async def main() -> None:
        for block, most in ((b"x" * 10_000, 13), (b"x", 512)):
            server = Server(*[request(block, more_body=True)] * 600, request())
            tape = Tape(server.receive, disk)
            assert len(await whole(tape, Reader(tape))) == 600 * len(block)
            assert len(tape.messages) <= most
            assert sum(len(message["body"]) for message in tape.messages) <= IN_MEMORY
            assert tape.file is not None
            tape.close()

    run(main)


def test_a_small_body_needs_no_file(disk: ThreadPool) -> None:
    async def main() -> None:
        server = Server(*[request(b"x" * 1000, more_body=True)] * 100, request())
        tape = Tape(server.receive, disk)
        assert len(await whole(tape, Reader(tape))) == 100_000
        assert tape.file is None
        tape.close()

    run(main)


def test_messages_of_a_websocket_stay_in_memory(disk: ThreadPool) -> None:
    """They can't be pieced together from a file, and an app that refuses a WebSocket has read one, or a few."""

    async def main() -> None:
        events: list[Message] = [
            {"type": "websocket.connect"},
            {"type": "websocket.receive", "bytes": b"x" * 200_000},
        ]
        tape = Tape(Server(*events).receive, disk)
        reader = Reader(tape)
        assert [await read_on(tape, reader) for _ in range(2)] == events
        assert tape.file is None
        tape.close()

    run(main)


def test_each_reader_is_told_once_that_the_disk_did_not_take_a_part_and_gets_nothing_of_the_rest(
    disk: ThreadPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(**_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", full)

    async def main() -> None:
        kept = request(b"kept", more_body=True)
        server = Server(kept, request(b"x" * 200_000, more_body=True), request(b"rest"), disconnect())
        tape = Tape(server.receive, disk)
        for _ in range(2):
            reader = Reader(tape)
            assert await read_on(tape, reader) == kept
            with pytest.raises(SpoolError, match="No space"):
                await read_on(tape, reader)
            monkeypatch.undo()  # there is room again, for what comes next
            assert await read_on(tape, reader) == disconnect()
        tape.close()

    run(main)


def test_a_disk_that_gives_nothing_back_is_no_client_that_has_left(
    disk: ThreadPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An OSError of receive() says that it has."""

    class Broken(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("tempfile.TemporaryFile", lambda **_: Broken())

    async def main() -> None:
        tape = Tape(Server(request(b"x" * 200_000)).receive, disk)
        with pytest.raises(SpoolError, match="Input/output error"):
            await read_on(tape, Reader(tape))
        tape.close()

    run(main)


def test_closing_ends_the_call_of_receive(disk: ThreadPool) -> None:
    async def main() -> None:
        server = Server()
        tape = Tape(server.receive, disk)
        fetch = tape.fetch()
        await asyncio.sleep(0)
        assert server.at_once == 1
        tape.close()
        await asyncio.wait({fetch})
        assert fetch.cancelled()
        assert server.at_once == 0

    run(main)


def test_closing_closes_the_file_also_while_a_block_is_on_its_way(disk: ThreadPool) -> None:
    """Both of the disk's threads are busy when the block comes, so that it is written after the tape was closed."""
    holding = [Work(), Work()]
    for work in holding:
        disk.submit(work)
        work.wait_for_arrival()

    async def main() -> None:
        tape = Tape(Server(request(b"x" * 200_000)).receive, disk)
        fetch = tape.fetch()
        for _ in range(5):
            await asyncio.sleep(0)
        assert tape.file is not None
        tape.close()
        for work in holding:
            work.go.set()
        await asyncio.wait({fetch})
        file = tape.file

        def is_closed() -> bool:
            with file._lock:
                return file._closed and (file._file is None or file._file.closed)

        until(is_closed)  # by one of the disk's threads, while the other writes, or has written

    run(main)
