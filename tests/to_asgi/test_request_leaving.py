"""``WsgiToAsgi`` and clients that leave, or servers that give a request up."""

import asyncio
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any

import pytest

from bridge import BridgeError, ClientDisconnected, WsgiToAsgi
from bridge.to_asgi.body import Stream
from bridge.to_asgi.channel import _ITEMS
from bridge.types import Environ, Message, StartResponse
from tests.support.asgi import HANG, Exchange, disconnect, http_scope, request
from tests.support.served import Served, arrival, wait_for_jobs
from tests.support.wsgi_apps import TEXT, Download, Visitor, get, hello

pytestmark = pytest.mark.usefixtures("no_bridge_threads")

# A client that leaves.


def test_a_client_that_leaves_in_the_middle_of_a_download() -> None:
    download = Download()

    async def main() -> None:
        async with Served(download, threads=1) as adapter:
            async with get(adapter) as exchange:
                await exchange.wait_for("http.response.body")
                exchange.disconnect()
            assert not exchange.complete
            await arrival(download.closed)
            await wait_for_jobs(adapter, 0)

    asyncio.run(main())
    assert len(download.closes) == 1
    assert set(download.closes) == download.iterated


def test_an_app_that_fails_to_read_before_its_loop_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its error is the client's leaving, which is no error for the server."""
    end = Stream.end

    def end_and_wait(stream: Stream, error: BridgeError | None = None) -> None:
        end(stream, error)
        deadline = time.monotonic() + HANG
        while adapter._pool is not None and adapter._pool.unfinished():
            assert time.monotonic() < deadline
            time.sleep(0)

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        environ["wsgi.input"].read()
        return []

    events = [request(b"a" * 50, more_body=True), disconnect()]
    adapter = WsgiToAsgi(app)

    async def main() -> None:
        nonlocal adapter
        async with Served(app, request_body="stream", request_buffer=40) as adapter:
            await Exchange(adapter, http_scope("POST"), events).run()

    monkeypatch.setattr(Stream, "end", end_and_wait)
    asyncio.run(main())


def test_a_client_that_leaves_while_the_worker_waits_for_room() -> None:
    download = Download(b"x" * 10_000)

    async def main() -> None:
        async with Served(download, response_buffer=1000) as adapter:
            async with get(adapter) as exchange:
                exchange.hold_sends()
                await exchange.wait_for("http.response.start")
                exchange.disconnect()
                exchange.release_sends()
            await arrival(download.closed)

    asyncio.run(main())
    assert len(download.closes) == 1


def test_an_app_is_not_far_ahead_of_a_client_however_small_its_chunks_are() -> None:
    download = Download(b"x")

    async def main() -> None:
        async with Served(download) as adapter:
            exchange = get(adapter)
            async with exchange:
                exchange.hold_sends()
                await exchange.wait_for("http.response.start")
                exchange.disconnect()
            assert exchange.chunks == []

    asyncio.run(main())
    assert download.made <= _ITEMS + 1


@pytest.mark.parametrize("how", ["disconnect", "cancel"])
def test_a_client_that_leaves_while_its_request_waits_for_a_thread(how: str) -> None:
    """Its request is not given to the app any more."""
    visitor = Visitor()

    async def main() -> None:
        async with Served(visitor, threads=1) as adapter:
            first = asyncio.create_task(get(adapter).run())
            await visitor.wait_for_arrival()
            exchange = get(adapter)
            second = asyncio.create_task(exchange.run())
            await wait_for_jobs(adapter, 2)
            if how == "cancel":
                second.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await second
            else:
                exchange.disconnect()
                await second
            assert exchange.messages == []
            visitor.go.release()
            assert (await first).body == b"done"
            await wait_for_jobs(adapter, 0)

    asyncio.run(main())
    assert visitor.served == 1


def test_cancellation_frees_the_worker() -> None:
    """A server that is stopped cancels what runs."""
    download = Download(b"x" * 10_000)

    async def main() -> None:
        async with Served(download, threads=1, response_buffer=1000) as adapter:
            exchange = get(adapter)
            exchange.hold_sends()
            task = asyncio.create_task(exchange.run())
            await exchange._until(lambda: bool(exchange.messages))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await arrival(download.closed)
            await wait_for_jobs(adapter, 0)

    asyncio.run(main())
    assert len(download.closes) == 1


@pytest.mark.parametrize("size", [5, 200_000], ids=["short", "long"])
def test_a_request_that_has_waited_for_a_thread_is_not_due_any_more(size: int) -> None:
    """Else somebody would call receive() after its end."""
    go = threading.Event()

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        assert go.wait(HANG)
        start_response("200 OK", TEXT)
        return [b"x" * size]

    async def main() -> None:
        async with Served(app, threads=1) as adapter:
            tasks = [asyncio.create_task(get(adapter).run()) for _ in range(3)]
            await wait_for_jobs(adapter, 3)
            wires = adapter._loops.wires[asyncio.get_running_loop()]
            assert len(wires.waiting._young | wires.waiting._old) == 2
            go.set()
            await asyncio.gather(*tasks)
            for watches in (wires.waiting, wires.watches):
                assert not watches._young | watches._old

    asyncio.run(main())


@pytest.mark.parametrize("own", [False, True], ids=["threads", "executor"])
@pytest.mark.parametrize("how", ["disconnect", "cancel"])
def test_clients_that_leave_the_queue_make_room_in_it(
    how: str, own: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that come then are served, and what the others sent is let go of at once."""
    visitor = Visitor()
    files: list[IO[bytes]] = []
    make = tempfile.TemporaryFile

    def making(**options: Any) -> IO[bytes]:
        files.append(make(**options))
        return files[-1]

    monkeypatch.setattr(tempfile, "TemporaryFile", making)

    async def enter(adapter: WsgiToAsgi) -> tuple[Exchange, asyncio.Task[Exchange]]:
        exchange = Exchange(adapter, http_scope("POST"), [request(b"b" * 20, more_body=True), request()])
        return exchange, asyncio.create_task(exchange.run())

    async def main(executor: ThreadPoolExecutor | None) -> None:
        # An executor has one more that waits: what does not run yet.
        async with Served(
            visitor, threads=1, executor=executor, backlog=3 - own, request_buffer=10
        ) as adapter:
            _, first = await enter(adapter)
            await visitor.wait_for_arrival()
            for _ in range(2):
                gone = [await enter(adapter) for _ in range(3)]
                await wait_for_jobs(adapter, 4)
                for exchange, task in gone:
                    if how == "disconnect":
                        exchange.disconnect()
                        await task
                    else:
                        task.cancel()
                        with pytest.raises(asyncio.CancelledError):
                            await task
                await wait_for_jobs(adapter, 1)
                async with asyncio.timeout(HANG):
                    while not all(file.closed for file in files[1:]):  # noqa: ASYNC110  # a thread closes them
                        await asyncio.sleep(0)
                assert all(exchange.messages == [] for exchange, _ in gone)
            there = [await enter(adapter) for _ in range(3)]
            await wait_for_jobs(adapter, 4)
            for _ in range(4):
                visitor.go.release()
            await first
            for exchange, task in there:
                await task
                assert exchange.status == 200
            assert visitor.served == 4
            assert len(files) == 10

    if own:
        with ThreadPoolExecutor(1) as executor:
            asyncio.run(main(executor))
    else:
        asyncio.run(main(None))


@pytest.mark.parametrize("first", ["leaving", "cancelling"])
def test_cancellation_in_the_turn_in_which_the_client_leaves(first: str) -> None:
    """A timeout of a middleware, or the server's end, is not lost: ``send()`` waits, and both happen at once."""
    download = Download(b"x" * 10_000)

    async def main() -> None:
        async with Served(download, threads=1, response_buffer=1000) as adapter:
            exchange = get(adapter)
            listening, sending, gone = (asyncio.Event() for _ in range(3))

            async def receive() -> Message:
                if exchange._events:
                    return await exchange.receive()
                listening.set()
                await gone.wait()
                return disconnect()

            async def send(message: Message) -> None:
                sending.set()
                await asyncio.get_running_loop().create_future()

            async def call() -> None:
                await adapter(exchange.scope, receive, send)

            async with asyncio.timeout(HANG):
                task = asyncio.create_task(call())
                await sending.wait()
                await listening.wait()
                if first == "cancelling":
                    task.cancel()
                gone.set()
                if first == "leaving":
                    # The listening task is in the loop's queue before the request's own, and so is its leave().
                    task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            await arrival(download.closed)
            await wait_for_jobs(adapter, 0)

    asyncio.run(main())


def test_cancellation_while_a_streamed_body_is_read() -> None:
    reading = threading.Event()
    raised = threading.Event()

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        environ["wsgi.input"].read(4)
        reading.set()
        try:
            environ["wsgi.input"].read(1)
        except ClientDisconnected:
            raised.set()
        return hello(environ, start_response)

    async def main() -> None:
        async with Served(app, request_body="stream", request_buffer=4) as adapter:
            exchange = Exchange(adapter, http_scope("POST"), [request(b"abcd", more_body=True)])
            task = asyncio.create_task(exchange.run())
            await arrival(reading)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await arrival(raised)

    asyncio.run(main())


def test_a_send_that_raises_frees_the_worker() -> None:
    """The ASGI specification lets ``send()`` raise ``OSError`` after a disconnect."""
    download = Download()

    async def main() -> None:
        async with Served(download) as adapter:
            exchange = get(adapter)

            async def send(message: Message) -> None:
                raise OSError("gone")

            with pytest.raises(OSError, match="gone"):
                await adapter(exchange.scope, exchange.receive, send)
            await arrival(download.closed)

    asyncio.run(main())
    assert len(download.closes) == 1
