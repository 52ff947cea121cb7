"""``wsgi.input`` is an ``io.BytesIO`` to the app, wherever the bytes come from and however they arrive."""

import asyncio
import io
import threading
from collections.abc import Callable
from typing import Any, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge import ClientDisconnected, RequestBodyTooLarge
from bridge.errors import BridgeError
from bridge.threads.mailbox import Mailbox
from bridge.to_asgi import body as body_module
from bridge.to_asgi.body import BLOCK, Input, Spool, Stream, disconnected
from tests.support.asgi import HANG
from tests.support.loop_thread import LoopThread, disk_pool, loop_threads

pytestmark = pytest.mark.usefixtures("no_bridge_threads")

looped = pytest.fixture(scope="module")(loop_threads)

Step: TypeAlias = tuple[str, tuple[Any, ...]]

# Few values, so that lines are short and many reads end at an edge.
bodies = st.binary(max_size=400) | st.lists(st.sampled_from([b"a", b"\n", b"bc", b"\r\n"]), max_size=100).map(
    b"".join
)
sizes = st.none() | st.integers(-5, 40) | st.just(500)
steps: st.SearchStrategy[Step] = st.one_of(
    st.sampled_from(["read", "readline"]).flatmap(
        lambda name: st.tuples(st.just(name), st.one_of(st.just(()), st.tuples(sizes)))
    ),
    st.tuples(st.just("readlines"), st.one_of(st.just(()), st.tuples(sizes))),
    st.tuples(st.just("__next__"), st.just(())),
    st.tuples(st.just("__iter__"), st.just(())),
)


@st.composite
def chunked(draw: st.DrawFn) -> list[bytes]:
    """A body in the chunks in which it arrives, some of them empty."""
    body = draw(bodies)
    edges = sorted(draw(st.lists(st.integers(0, len(body)), max_size=12)))
    return [body[start:end] for start, end in zip([0, *edges], [*edges, len(body)], strict=True)]


def perform(stream: Any, step: Step) -> Any:
    name, arguments = step
    if name == "__iter__":
        return list(stream)
    try:
        return getattr(stream, name)(*arguments)
    except StopIteration:
        return "the end"


def perform_all(stream: Any, script: list[Step]) -> list[Any]:
    return [
        perform(stream, step)
        for step in [*script, ("read", ()), ("read", ()), ("readline", ()), ("__next__", ())]
    ]


async def feed(stream: Stream, chunks: list[bytes], error: BridgeError | None = None) -> None:
    for chunk in chunks:
        await stream.room()
        stream.feed(chunk)
    stream.end(error)


# As io.BytesIO.


@given(chunks=chunked(), script=st.lists(steps, max_size=12), block=st.sampled_from([1, 2, 7, 64, BLOCK]))
@settings(max_examples=300)
def test_an_input_over_any_raw_stream_is_a_bytes_io(
    chunks: list[bytes], script: list[Step], block: int
) -> None:
    """Over one that gives its bytes in these very pieces."""
    pieces = [chunk for chunk in chunks if chunk]

    class Raw(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any, /) -> int:
            if not pieces:
                return 0
            part = pieces[0][: len(buffer)]
            pieces[0] = pieces[0][len(part) :]
            if not pieces[0]:
                pieces.pop(0)
            buffer[: len(part)] = part
            return len(part)

    expected = perform_all(io.BytesIO(b"".join(chunks)), script)
    assert perform_all(Input(Raw(), block), script) == expected


@given(
    chunks=chunked(),
    script=st.lists(steps, max_size=12),
    limit=st.sampled_from([1, 16, 10_000]),
    block=st.sampled_from([1, 7, BLOCK]),
    small=st.sampled_from([1, 8, 1024]),
)
@settings(max_examples=200)
def test_a_streamed_body_is_a_bytes_io(
    looped: LoopThread, chunks: list[bytes], script: list[Step], limit: int, block: int, small: int
) -> None:
    """Fed by a loop in another thread, with back-pressure after ``limit`` bytes; ``small`` blocks are joined."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(body_module, "_SMALL", small)
        stream = Stream(looped.mailbox, limit)
        feeding = asyncio.run_coroutine_threadsafe(feed(stream, chunks), looped.loop)
        expected = perform_all(io.BytesIO(b"".join(chunks)), script)
        assert perform_all(Input(stream, block), script) == expected
        feeding.result(HANG)


@given(chunks=chunked().filter(any), script=st.lists(steps, max_size=12))
@settings(max_examples=60)
def test_a_spooled_body_is_a_bytes_io(looped: LoopThread, chunks: list[bytes], script: list[Step]) -> None:
    async def main() -> Input:
        spool = Spool(disk, looped.mailbox)
        for chunk in chunks:
            await spool.write(chunk)
        return await spool.file()

    with disk_pool() as disk:
        body = looped.run(main())
        with body:
            assert perform_all(body, script) == perform_all(io.BytesIO(b"".join(chunks)), script)


@pytest.mark.parametrize(
    "wrap", [io.BufferedReader, io.TextIOWrapper], ids=["BufferedReader", "TextIOWrapper"]
)
@pytest.mark.parametrize("source", ["stream", "memory"])
def test_the_input_wraps(wrap: Callable[[Any], Any], source: str, looped: LoopThread) -> None:
    data = "Zeile 1\nZeile 2 \xe4\nund der Rest".encode() * 500
    if source == "memory":
        body: Any = io.BytesIO(data)
    else:
        stream = Stream(looped.mailbox, 100)
        chunks = [data[start : start + 77] for start in range(0, len(data), 77)]
        feeding = asyncio.run_coroutine_threadsafe(feed(stream, chunks), looped.loop)
        body = Input(stream, BLOCK)
    wrapped = io.TextIOWrapper(body, "utf-8") if wrap is io.TextIOWrapper else wrap(body)
    expected = io.StringIO(data.decode()) if wrap is io.TextIOWrapper else io.BytesIO(data)
    assert wrapped.readline() == expected.readline()
    assert wrapped.read(10) == expected.read(10)
    assert wrapped.readlines() == expected.readlines()
    assert not wrapped.read()
    if source == "stream":
        feeding.result(HANG)


def test_readline_with_a_size_waits_for_its_bytes(looped: LoopThread) -> None:
    """Nothing buffered is not the end: form parsers stop there."""
    stream = Stream(looped.mailbox, 1000)
    body = Input(stream, BLOCK)
    stream.feed(b"--boundary\r\n")
    assert body.readline(65536) == b"--boundary\r\n"
    lines: list[bytes] = []
    reader = threading.Thread(target=lambda: lines.append(body.readline(65536)))
    reader.start()
    _wait_for_the_reader(stream)
    assert lines == []
    stream.feed(b"half a ")
    _wait_for_the_reader(stream)
    stream.feed(b"line\r\nnext")
    reader.join(HANG)
    assert lines == [b"half a line\r\n"]
    stream.end()
    assert body.readlines() == [b"next"]


def test_readlines_takes_bytes_not_lines(looped: LoopThread) -> None:
    stream = Stream(looped.mailbox, 1000)
    stream.feed(b"1234\n" * 10)
    stream.end()
    body = Input(stream, BLOCK)
    assert len(body.readlines(2)) == 1
    assert len(body.readlines(5)) == 1, "io.IOBase would read one more"
    assert len(body.readlines(6)) == 2
    assert len(body.readlines(0)) == 6


def test_read1_gives_what_is_there(looped: LoopThread) -> None:
    stream = Stream(looped.mailbox, 1000)
    body = Input(stream, BLOCK)
    stream.feed(b"abc")
    assert body.read1() == b"abc"
    stream.feed(b"defg")
    assert body.read1(2) == b"de"
    assert body.read1(None) == b"fg"
    stream.end()
    assert body.read1(-5) == b""


# Stream: errors and races.


def _wait_for_the_reader(stream: Stream) -> None:
    """Return when a reader waits at the stream's gate."""
    waited = threading.Event()
    for _ in range(30_000):
        with stream._lock:
            if stream._gate is not None:
                return
        waited.wait(0.001)
    raise AssertionError("no reader came")


@pytest.mark.parametrize(
    "error",
    [disconnected(), RequestBodyTooLarge("more than 10 bytes")],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("method", ["read", "readline", "readlines", "__next__", "read1"])
def test_an_error_raises_again_and_again(error: BridgeError, method: str, looped: LoopThread) -> None:
    stream = Stream(looped.mailbox, 1000)
    body = Input(stream, BLOCK)
    stream.feed(b"arrived")
    stream.end(error)
    seen = []
    for _ in range(3):
        with pytest.raises(type(error), match=str(error)) as raised:
            getattr(body, method)()
        seen.append(raised.value)
    assert len(set(map(id, seen))) == 3, "one exception raised twice gathers tracebacks"
    assert all(isinstance(one, OSError) for one in seen)


def test_a_body_that_breaks_off_after_a_read_raises_too(looped: LoopThread) -> None:
    stream = Stream(looped.mailbox, 1000)
    body = Input(stream, BLOCK)
    stream.feed(b"line\nhalf a ")
    assert body.readline() == b"line\n"
    stream.end(disconnected())
    for read in (body.readline, body.read, lambda: list(body), lambda: body.read(100)):
        with pytest.raises(ClientDisconnected):
            read()


@pytest.mark.parametrize("error", [None, disconnected()], ids=["whole", "broken"])
def test_a_waiting_reader_is_woken_by_the_end(error: BridgeError | None, looped: LoopThread) -> None:
    stream = Stream(looped.mailbox, 1000)
    outcome: list[object] = []

    def read() -> None:
        try:
            outcome.append(stream.readinto(bytearray(10)))
        except ClientDisconnected as exc:
            outcome.append(type(exc))

    reader = threading.Thread(target=read)
    reader.start()
    _wait_for_the_reader(stream)
    stream.end(error)
    reader.join(HANG)
    assert not reader.is_alive()
    assert outcome == [0 if error is None else ClientDisconnected]


def test_the_first_end_counts(looped: LoopThread) -> None:
    stream = Stream(looped.mailbox, 1000)
    stream.feed(b"whole")
    stream.end()
    stream.end(disconnected())
    assert Input(stream, BLOCK).read() == b"whole"


def test_an_empty_buffer_and_an_empty_block(looped: LoopThread) -> None:
    stream = Stream(looped.mailbox, 1000)
    assert stream.readinto(bytearray()) == 0
    stream.feed(b"")
    stream.feed(b"x")
    buffer = bytearray(4)
    assert stream.readinto(buffer) == 1
    assert buffer == b"x\0\0\0"
    assert stream.readable()
    assert not stream.writable()
    assert not stream.seekable()


def test_the_feeder_waits_over_the_limit_and_goes_on_after_a_read() -> None:
    async def main() -> None:
        stream = Stream(Mailbox(asyncio.get_running_loop()), 10)
        stream.feed(b"0123456789")
        await stream.room()  # at the limit, not over it
        stream.feed(b"x")
        waiting = asyncio.ensure_future(stream.room())
        for _ in range(20):
            await asyncio.sleep(0)
        assert not waiting.done()
        await asyncio.to_thread(stream.readinto, bytearray(1))
        for _ in range(20):
            await asyncio.sleep(0)
        assert not waiting.done(), "woken for each byte"
        await asyncio.to_thread(stream.readinto, bytearray(5))
        async with asyncio.timeout(HANG):
            await waiting

    asyncio.run(main())


def test_a_feeder_waits_twice_as_long_for_each_buffer_more(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float | None] = []

    async def in_no_time(future: asyncio.Future[None], seconds: float | None = None) -> bool:
        waits.append(seconds)
        return False

    monkeypatch.setattr(body_module, "until_done", in_no_time)

    async def main() -> None:
        stream = Stream(Mailbox(asyncio.get_running_loop()), 10)
        stream.feed(b"x")
        for _ in range(4):
            stream.feed(b"x" * 10)
            await stream.room()
        assert waits == [1, 2, 4, 8]
        # After a read it begins anew.
        await asyncio.to_thread(stream.readinto, bytearray(41))
        await stream.room()
        waits.clear()
        stream.feed(b"x" * 21)
        await stream.room()
        assert waits == [1, 2]

    asyncio.run(main())


def test_a_wake_up_that_comes_late_gives_no_room() -> None:
    async def main() -> None:
        stream = Stream(Mailbox(asyncio.get_running_loop()), 10)
        stream.feed(b"0123456789x")
        waiting = asyncio.ensure_future(stream.room())
        await asyncio.sleep(0)
        stream._wake()
        for _ in range(20):
            await asyncio.sleep(0)
        assert not waiting.done()
        stream.release()
        async with asyncio.timeout(HANG):
            await waiting

    asyncio.run(main())


def test_a_cancelled_feeder_is_no_harm_to_the_reader() -> None:
    async def main() -> None:
        stream = Stream(Mailbox(asyncio.get_running_loop()), 1)
        stream.feed(b"0123456789")
        waiting = asyncio.ensure_future(stream.room())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        stream.end(None)
        assert await asyncio.to_thread(Input(stream, BLOCK).read) == b"0123456789"
        await asyncio.sleep(0)

    asyncio.run(main())


def test_a_large_body_through_a_small_stream(looped: LoopThread) -> None:
    block = bytes(range(256)) * 4
    stream = Stream(looped.mailbox, 1000)
    feeding = asyncio.run_coroutine_threadsafe(feed(stream, [block] * 2000), looped.loop)
    body = Input(stream, BLOCK)
    read = bytearray()
    while piece := body.read(777):
        read += piece
        with stream._lock:
            assert stream._size <= 1000 + len(block)
    assert read == block * 2000
    feeding.result(HANG)
