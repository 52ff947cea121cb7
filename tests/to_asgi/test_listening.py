"""``WsgiToAsgi`` and who listens for the client's leaving: whenever ``send()`` may wait, and when the app asks."""

import asyncio
import io
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from asgiref.sync import async_to_sync

from bridge import WsgiToAsgi
from bridge.to_asgi import body as body_module
from bridge.to_asgi.watch import Watches
from bridge.types import Environ, Message, StartResponse, WSGIApp
from tests.support.asgi import HANG, Exchange, http_scope, request
from tests.support.served import Served, arrival, wait_for_jobs
from tests.support.validation import validated
from tests.support.wsgi_apps import TEXT, Visitor, get, hello, respond

pytestmark = pytest.mark.usefixtures("no_bridge_threads")


async def listened(exchange: Exchange) -> None:
    """Return when the adapter listens: it waits in ``receive()``, the whole body read."""
    while exchange.receives_waiting != 1 or exchange._events:  # noqa: ASYNC110  # nobody is told of it
        await asyncio.sleep(0)


ASK = "waitress.client_disconnected"
BIG = b"x" * 2_000_000


# A send() that never returns, although the client has left: as on hypercorn, where its stream of HTTP/2 is reset.


async def leaves_a_send_that_waits(adapter: WsgiToAsgi, exchange: Exchange, kind: str) -> None:
    exchange.hold_sends()
    async with asyncio.timeout(HANG), exchange:
        await exchange.wait_for(kind)
        exchange.disconnect()
    assert len(exchange.messages) == 1


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
    write(b"x")
    return [b"y"]


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
            await leaves_a_send_that_waits(adapter, get(adapter, **scope), "http.response.start")
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


@pytest.mark.parametrize("status", [400, 413, 503])
def test_a_client_that_leaves_a_refusal_that_waits(status: int) -> None:
    visitor = Visitor()

    async def main() -> None:
        async with Served(visitor, threads=1, backlog=0, max_body_size=5) as adapter:
            tasks = []
            body = request()
            headers = [(b"content-length", b"x")] if status == 400 else []
            if status == 413:
                # The rest of it is on its way.
                body = request(b"too large", more_body=True)
            elif status == 503:
                tasks.append(asyncio.create_task(get(adapter).run()))
                await visitor.wait_for_arrival()
            exchange = Exchange(adapter, http_scope("POST", headers=headers), [body])
            if status == 413:
                exchange.feed(request(b"more", more_body=True), request(b"and more"))
            await leaves_a_send_that_waits(adapter, exchange, "http.response.start")
            assert exchange.status == status
            visitor.go.release()
            await asyncio.gather(*tasks)

    asyncio.run(main())


@pytest.mark.parametrize("denial", [False, True])
@pytest.mark.parametrize("threads", [0, 1])
def test_a_client_that_leaves_a_refused_handshake_that_waits(threads: int, denial: bool) -> None:
    visitor = Visitor()

    async def main() -> None:
        async with Served(visitor, websocket_threads=threads) as adapter:
            scope: dict[str, Any] = {"type": "websocket", "path": "/", "headers": []}
            connect = {"type": "websocket.connect"}
            tasks = []
            for _ in range(threads):
                tasks.append(asyncio.create_task(Exchange(adapter, dict(scope), [connect]).run()))
                await visitor.wait_for_arrival()
            if denial:
                scope["extensions"] = {"websocket.http.response": {}}
            exchange = Exchange(adapter, scope, [connect])
            exchange.hold_sends()
            async with asyncio.timeout(HANG), exchange:
                await exchange.wait_until(lambda: bool(exchange.messages))
                exchange.feed({"type": "websocket.disconnect", "code": 1006})
            assert len(exchange.messages) == 1
            for _ in tasks:
                visitor.go.release()
            await asyncio.gather(*tasks)

    asyncio.run(main())


@pytest.mark.parametrize("size", [40, 1000], ids=["a body that fits", "a body that waits for room"])
def test_a_client_that_leaves_a_response_beside_a_body_that_nobody_reads(size: int) -> None:
    async def main() -> None:
        async with Served(respond([BIG]), request_body="stream", request_buffer=100) as adapter:
            exchange = Exchange(adapter, http_scope("POST"), [request(b"b" * 100, more_body=True)])
            exchange.feed(*[request(b"b" * size, more_body=True)] * 3)
            await leaves_a_send_that_waits(adapter, exchange, "http.response.start")
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
            await leaves_a_send_that_waits(adapter, exchange, "http.response.start")
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


@contextmanager
def counted_watches() -> Iterator[list[object]]:
    watches: list[object] = []
    add = Watches.add

    def counting(self: Watches, watch: Any) -> None:
        watches.append(watch)
        add(self, watch)

    with patch.object(Watches, "add", counting):
        yield watches


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


# waitress.client_disconnected.


class Asking:
    """An app that asks until its client has left."""

    def __init__(self, ask: Callable[[Callable[[], bool]], bool] = lambda ask: ask()) -> None:
        self._ask = ask
        self.answers: list[bool] = []
        self.begun = threading.Event()
        self.over = threading.Event()
        self.asked: Callable[[], bool] | None = None

    def __call__(self, environ: Environ, start_response: StartResponse) -> list[bytes]:
        environ["wsgi.input"].read()
        self.asked = environ[ASK]
        end = time.monotonic() + HANG
        while not self._ask(environ[ASK]) and time.monotonic() < end:
            self.answers.append(False)
            self.begun.set()
        self.answers.append(self._ask(environ[ASK]))
        self.over.set()
        start_response("200 OK", TEXT)
        return [b"nobody takes it"]


def in_another_thread(ask: Callable[[], bool]) -> bool:
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(ask()))
    thread.start()
    thread.join()
    return answers[0]


def on_the_loop(ask: Callable[[], bool]) -> bool:
    async def view() -> bool:
        return ask()

    return async_to_sync(view)()


@pytest.mark.parametrize("mode", ["buffer", "stream"])
@pytest.mark.parametrize("how", [lambda ask: ask(), in_another_thread, on_the_loop])
def test_an_app_that_asks_whether_its_client_has_left(how: Any, mode: str) -> None:
    app = Asking(how)

    async def main() -> None:
        options: dict[str, Any] = {"request_body": mode, "request_buffer": 10, "async_views": "server"}
        async with Served(validated(app), **options) as adapter:
            exchange = Exchange(
                adapter, http_scope("POST"), [request(b"b" * 20, more_body=True), request(b"c")]
            )
            async with asyncio.timeout(HANG / 2), exchange:
                await arrival(app.begun)
                await listened(exchange)
                exchange.disconnect()
            assert exchange.messages == []
            assert app.answers[0] is False
            assert app.answers[-1] is True
            assert app.asked is not None
            assert app.asked() is True

    asyncio.run(main())


def test_who_does_not_ask_pays_nothing() -> None:
    """Nobody listens, however long the app takes, and the loop is woken once."""
    visitor = Visitor()

    async def main() -> None:
        async with Served(visitor) as adapter:
            loop = asyncio.get_running_loop()
            exchange = get(adapter)
            with patch.object(loop, "call_soon_threadsafe", wraps=loop.call_soon_threadsafe) as wake:
                with counted_watches() as watches:
                    async with exchange:
                        assert await loop.run_in_executor(None, visitor.arrived.acquire)
                        before = wake.call_count
                        visitor.go.release()
                assert wake.call_count == before + 1
                assert not watches
            assert exchange.receives_waiting == 0

    asyncio.run(main())


def test_asking_once_wakes_the_loop_once() -> None:
    asked, go = threading.Event(), threading.Event()

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        for _ in range(100):
            assert environ[ASK]() is False
        asked.set()
        assert go.wait(HANG)
        return hello(environ, start_response)

    async def main() -> None:
        async with Served(app) as adapter:
            loop = asyncio.get_running_loop()
            exchange = get(adapter)
            with patch.object(loop, "call_soon_threadsafe", wraps=loop.call_soon_threadsafe) as wake:
                async with asyncio.timeout(HANG), exchange:
                    await listened(exchange)
                    while not asked.is_set():  # noqa: ASYNC110  # a worker sets it
                        await asyncio.sleep(0)
                    assert wake.call_count == 1
                    go.set()
                assert wake.call_count == 2
            assert exchange.body == b"hello"
            assert exchange.receives_waiting == 0

    asyncio.run(main())


def test_asking_after_the_end_begins_nothing() -> None:
    asks: list[Callable[[], bool]] = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        asks.append(environ[ASK])
        return hello(environ, start_response)

    async def main() -> None:
        async with Served(app) as adapter:
            loop = asyncio.get_running_loop()
            exchange = await get(adapter).run()
            # Some servers say of any response that is over that its client has left.
            exchange.disconnect()
            with patch.object(loop, "call_soon_threadsafe", wraps=loop.call_soon_threadsafe) as wake:
                assert asks[0]() is False
                await asyncio.sleep(0)
                assert wake.call_count == 0
            assert exchange.receives_waiting == 0

    asyncio.run(main())
    assert asks[0]() is False, "and when the loop is closed"


def test_asking_in_close() -> None:
    """The response is out, or its client has left, which is known then."""
    answers: list[bool] = []

    class Body:
        def __init__(self, environ: Environ) -> None:
            self._ask = environ[ASK]
            self._chunks = iter([b"x" * 1000] * (1 if environ["PATH_INFO"] == "/whole" else 100_000))

        def __iter__(self) -> Iterator[bytes]:
            return self._chunks

        def close(self) -> None:
            answers.append(self._ask())

    def app(environ: Environ, start_response: StartResponse) -> Any:
        start_response("200 OK", TEXT)
        return Body(environ)

    async def main() -> None:
        async with Served(app, response_buffer=1000) as adapter:
            assert (await get(adapter, "/whole").run()).complete
            exchange = get(adapter, "/long")
            async with exchange:
                await exchange.wait_for("http.response.body")
                exchange.disconnect()

    asyncio.run(main())
    assert answers == [False, True]


def test_a_request_that_is_cancelled_counts_as_left() -> None:
    app = Asking()

    async def main() -> None:
        async with Served(app) as adapter:
            exchange = get(adapter)
            task = asyncio.create_task(exchange.run())
            async with asyncio.timeout(HANG):
                await listened(exchange)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await arrival(app.over)

    asyncio.run(main())
    assert app.answers[-1] is True


def test_a_receive_that_raises_is_no_leaving(caplog: pytest.LogCaptureFixture) -> None:
    listening, go = threading.Event(), threading.Event()

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        environ[ASK]()
        assert listening.wait(HANG)
        assert go.wait(HANG)
        assert environ[ASK]() is False
        return hello(environ, start_response)

    async def main() -> None:
        async with Served(app) as adapter:
            exchange = get(adapter)

            async def receive() -> Message:
                if exchange._events:
                    return await exchange.receive()
                listening.set()
                asyncio.get_running_loop().call_soon(go.set)
                raise RuntimeError("mine")

            await adapter(exchange.scope, receive, exchange.send)
            assert exchange.body == b"hello"

    asyncio.run(main())
    assert len(caplog.records) == 1
