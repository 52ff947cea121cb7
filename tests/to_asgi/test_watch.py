"""``WsgiToAsgi`` and who listens for the client's leaving, whenever ``send()`` may wait."""

import asyncio
import contextvars
import gc
import io
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from bridge.to_asgi import body as body_module
from bridge.to_asgi import wires
from bridge.to_asgi.watch import Watch, Watches, until_disconnect
from bridge.types import Environ, Message, Receive, Scope, Send, StartResponse, WSGIApp
from tests.support.asgi import HANG, Exchange, http_scope, request
from tests.support.listening import counted_watches, leaves_a_send_that_waits, listened
from tests.support.served import Served, arrival, wait_for_jobs
from tests.support.wsgi_apps import TEXT, get, hello, respond

pytestmark = pytest.mark.usefixtures("no_bridge_threads")


BIG = b"x" * 2_000_000


# A send() that never returns, although the client has left: as on hypercorn, where its stream of HTTP/2 is reset.


def generated(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    start_response("200 OK", TEXT)
    yield b"x" * 70_000


def file(environ: Environ, start_response: StartResponse) -> Any:
    start_response("200 OK", TEXT)
    return environ["wsgi.file_wrapper"](Path(__file__).open("rb"))


def file_in_chunks(environ: Environ, start_response: StartResponse) -> Any:
    start_response("200 OK", TEXT)
    return environ["wsgi.file_wrapper"](io.BytesIO(BIG))


def written(environ: Environ, start_response: StartResponse) -> list[bytes]:
    write = start_response("200 OK", TEXT)
    write(b"x" * 50_000)
    return [b"y" * 50_000]


@pytest.mark.parametrize(
    ("app", "scope"),
    [
        pytest.param(respond([BIG]), {}, id="one large chunk"),
        pytest.param(respond([b"x" * 50_000] * 2), {}, id="two chunks"),
        pytest.param(generated, {}, id="a generator"),
        pytest.param(written, {}, id="write"),
        pytest.param(file, {"extensions": {"http.response.zerocopysend": {}}}, id="a file"),
        pytest.param(file_in_chunks, {}, id="a file in chunks"),
        # A window of nothing holds one byte up.
        pytest.param(hello, {"http_version": "2"}, id="HTTP/2"),
        pytest.param(hello, {"http_version": "3"}, id="HTTP/3"),
    ],
)
def test_a_client_that_leaves_a_send_that_waits(app: WSGIApp, scope: dict[str, Any]) -> None:
    async def main() -> None:
        async with Served(app, sendfile=True) as adapter:
            await leaves_a_send_that_waits(get(adapter, **scope), "http.response.start")
            await wait_for_jobs(adapter, 0)

    asyncio.run(main())


def test_a_client_that_leaves_the_last_batch_of_a_stream() -> None:
    go = threading.Event()

    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", TEXT)
        yield b"first"
        assert go.wait(HANG)
        yield b"last"

    async def main() -> None:
        async with Served(app) as adapter:
            exchange = get(adapter)
            async with asyncio.timeout(HANG), exchange:
                await exchange.wait_for("http.response.body")
                exchange.hold_sends()
                go.set()
                await exchange.wait_for("http.response.body", 2)
                exchange.disconnect()
            await wait_for_jobs(adapter, 0)

    asyncio.run(main())


@pytest.mark.parametrize("size", [40, 1000], ids=["a body that fits", "a body that waits for room"])
def test_a_client_that_leaves_a_response_beside_a_body_that_nobody_reads(size: int) -> None:
    async def main() -> None:
        async with Served(respond([BIG]), request_body="stream", request_buffer=100) as adapter:
            exchange = Exchange(adapter, http_scope("POST"), [request(b"b" * 100, more_body=True)])
            exchange.feed(*[request(b"b" * size, more_body=True)] * 3)
            await leaves_a_send_that_waits(exchange, "http.response.start")
            await wait_for_jobs(adapter, 0)

    asyncio.run(main())


def test_a_client_that_leaves_the_answer_to_a_body_that_is_too_large() -> None:
    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        with pytest.raises(OSError, match="longer"):
            environ["wsgi.input"].read()
        start_response("413 Too much", TEXT)
        return [BIG]

    async def main() -> None:
        async with Served(app, request_body="stream", request_buffer=10, max_body_size=20) as adapter:
            exchange = Exchange(adapter, http_scope("POST"), [request(b"b" * 10, more_body=True)])
            exchange.feed(*[request(b"b" * 20, more_body=True)] * 3)
            await leaves_a_send_that_waits(exchange, "http.response.start")
            await wait_for_jobs(adapter, 0)

    asyncio.run(main())


@pytest.mark.parametrize("polls", [False, True], ids=["chunks", "empty chunks"])
def test_a_client_that_leaves_while_the_app_may_still_read_a_full_buffer(
    polls: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The app goes on with its response, and reads nothing of the body: no room, and nobody in ``receive()``."""
    monkeypatch.setattr(body_module, "PATIENCE", 0.001)

    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", TEXT)
        yield b"first"
        end = time.monotonic() + HANG
        while time.monotonic() < end:
            yield b"" if polls else b"x"

    async def main() -> None:
        async with Served(app, request_body="stream", request_buffer=10) as adapter:
            exchange = Exchange(adapter, http_scope("POST"), [request(b"b" * 20, more_body=True)])
            async with asyncio.timeout(HANG / 2), exchange:
                await exchange.wait_for("http.response.body")
                await listened(exchange)
                exchange.disconnect()
            await wait_for_jobs(adapter, 0)

    asyncio.run(main())


@pytest.mark.parametrize("body", [[b"x" * 65536], [b"x"] * 100, [], (b"x",)])
def test_a_short_response_has_no_watch(body: Any) -> None:
    async def main() -> None:
        async with Served(respond(body)) as adapter:
            with counted_watches() as watches:
                assert (await get(adapter).run()).complete
            assert not watches
            with counted_watches() as watches:
                assert (await get(adapter, http_version="2").run()).complete
            assert len(watches) == 1

    asyncio.run(main())


# Empty chunks.


def polling(first: bytes, write: bool) -> Any:
    """Yield or write nothing until that is refused."""
    closed = threading.Event()

    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        put = start_response("200 OK", TEXT)
        environ["wsgi.input"].read()

        def chunks() -> Iterator[bytes]:
            try:
                if first:
                    yield first
                end = time.monotonic() + HANG
                while time.monotonic() < end:
                    if write:
                        put(b"")
                    yield b""
            finally:
                closed.set()

        return chunks()

    return app, closed


@pytest.mark.parametrize("mode", ["buffer", "stream"])
@pytest.mark.parametrize("write", [False, True], ids=["yielded", "written"])
@pytest.mark.parametrize("first", [b"", b"first"], ids=["from the first on", "after a chunk"])
def test_a_client_that_leaves_empty_chunks(first: bytes, write: bool, mode: str) -> None:
    app, closed = polling(first, write)

    async def main() -> None:
        async with Served(app, request_body=mode, request_buffer=10) as adapter:
            exchange = Exchange(
                adapter, http_scope("POST"), [request(b"b" * 20, more_body=True), request(b"c")]
            )
            async with asyncio.timeout(HANG / 2), exchange:
                if first:
                    await exchange.wait_for("http.response.body")
                await listened(exchange)
                exchange.disconnect()
                await arrival(closed)
            await wait_for_jobs(adapter, 0)
            assert exchange.body == first

    asyncio.run(main())


def test_one_empty_chunk_has_nobody_listen() -> None:
    """It is how an empty body looks."""

    async def main() -> None:
        async with Served(respond(iter([b""]))) as adapter:
            loop = asyncio.get_running_loop()
            exchange = get(adapter)
            with patch.object(loop, "call_soon_threadsafe", wraps=loop.call_soon_threadsafe) as wake:
                with counted_watches() as watches:
                    await exchange.run()
                assert exchange.complete
                assert not watches
                # A second one where the worker had not counted itself free when the loop had sent.
                assert wake.call_count <= 2

    asyncio.run(main())


# The watches of one loop.


async def turns(loop: asyncio.AbstractEventLoop, watches: Watches, count: int) -> None:
    """The ticks that are due, at once: no test waits for time to pass."""
    for _ in range(count):
        watches._tick()
        await asyncio.sleep(0)


@pytest.mark.parametrize("ended", [False, True])
def test_a_watch_begins_at_the_second_tick_and_not_where_it_was_ended(ended: bool) -> None:
    """So that it has been there for a whole ``DELAY``, and a short response costs no task."""
    begun: list[str] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        with patch.object(loop, "call_later") as call_later:
            watches = Watches(loop)

            async def listening(left: Callable[[], None]) -> None:
                begun.append("listening")

            async def send(message: Message) -> None:
                """Nothing is sent."""

            watch = Watch(watches, listening, send, lambda: None)
            Watch(watches, listening, send, lambda: None).cancel()
            assert call_later.call_count == 1, "one timer for all"
            await turns(loop, watches, 1)
            assert begun == []
            if ended:
                watch.cancel()
            await turns(loop, watches, 1)
            assert begun == ([] if ended else ["listening"])
            assert not watches._ticking, "and none where nobody is left"
            assert call_later.call_count == 2

    asyncio.run(main())


request_id: contextvars.ContextVar[Any] = contextvars.ContextVar("request_id")


@pytest.mark.parametrize("threads", [3, 1], ids=["beside a response", "while it waits for a thread"])
def test_each_request_listens_in_its_own_context(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A middleware's ``receive()`` finds what it has set, such as the span that OpenTelemetry puts its own below."""
    monkeypatch.setattr(wires, "PATIENCE", 0.001)
    all_listen = threading.Event()

    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", TEXT)
        yield b"first"
        assert all_listen.wait(HANG)
        yield b"last"

    listening: dict[str, str] = {}

    async def main() -> None:
        async with Served(app, threads=threads) as adapter:

            async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
                request_id.set(scope["path"])
                asked = 0

                async def receive_here() -> Message:
                    nonlocal asked
                    asked += 1
                    if asked == 2:  # after the body
                        listening[scope["path"]] = request_id.get()
                        if len(listening) == 3:
                            all_listen.set()
                    return await receive()

                await adapter(scope, receive_here, send)

            exchanges = [
                Exchange(middleware, http_scope(path=f"/{number}"), [request()]) for number in range(3)
            ]
            await asyncio.gather(*(exchange.run() for exchange in exchanges))

    asyncio.run(main())
    assert listening == {path: path for path in ("/0", "/1", "/2")}


def test_the_context_of_a_request_is_not_kept_for_others() -> None:
    """There is one timer for all: it goes on as long as there is a watch, whoever has started it."""

    class Value:
        """Of one request."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        watches = Watches(loop, HANG)

        async def never(left: Callable[[], None]) -> None:
            """Nobody leaves."""

        async def send(message: Message) -> None:
            """Nothing is sent."""

        def first() -> tuple[Watch, weakref.ref[Value]]:
            value = Value()
            request_id.set(value)
            return Watch(watches, never, send, lambda: None), weakref.ref(value)

        watch, value = contextvars.Context().run(first)
        assert value() is not None
        other = Watch(watches, never, send, lambda: None)
        watch.cancel()
        gc.collect()
        assert value() is None
        watches._tick()
        other.cancel()
        watches._tick()
        assert not watches._ticking

    asyncio.run(main())


@pytest.mark.parametrize(
    ("messages", "more", "left"),
    [
        ([{"type": "http.disconnect"}], False, True),
        ([{"type": "websocket.disconnect", "code": 1006}], False, True),
        ([request(b"x", more_body=True), request(b"y"), {"type": "http.disconnect"}], True, True),
        # Against the specification: a body that was complete goes on.
        ([request(b"x")], False, False),
        ([request(b"x"), request(b"y")], True, False),
    ],
)
def test_until_disconnect(messages: list[Message], more: bool, left: bool) -> None:
    async def main() -> None:
        rest = iter(messages)

        async def receive() -> Message:
            return next(rest)

        assert await until_disconnect(receive, http_scope(), more=more) is left
        assert list(rest) == []

    asyncio.run(main())


@pytest.mark.parametrize(
    "by", ["the client", "the server", "the client and the server", "the server and the client"]
)
def test_a_send_that_is_cancelled(by: str) -> None:
    """The client's leaving ends the wait; the server's own cancellation is passed on, also where both come at once."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        aborted: list[str] = []

        async def never(left: Callable[[], None]) -> None:
            """Who has left is said by the test."""

        waits = asyncio.Event()

        async def send(message: Message) -> None:
            waits.set()
            await loop.create_future()

        watch = Watch(Watches(loop), never, send, lambda: aborted.append("x"))
        sending = loop.create_task(watch.send({"type": "http.response.body"}))
        await waits.wait()
        for who in by.split(" and "):
            if who == "the client":
                watch.leave()
            else:
                sending.cancel()
        await asyncio.wait([sending])
        assert sending.cancelled() is ("server" in by)
        assert sending.cancelling() == ("server" in by)
        assert aborted == ["x"] * ("client" in by)
        if "client" in by:
            await watch.send({"type": "http.response.body"})  # nothing is sent any more
        watch.cancel()

    asyncio.run(main())
