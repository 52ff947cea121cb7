"""``WsgiToAsgi`` and the end of a call: it returns when the app's call has ended, and the client waits for neither."""

import asyncio
import logging
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from unittest.mock import patch

import pytest

from bridge import WsgiToAsgi
from bridge.threads.pool import ThreadPool
from bridge.to_asgi import request as module
from bridge.types import Environ, Message, StartResponse
from tests.support.asgi import HANG, Exchange, http_scope, request
from tests.support.served import Served, arrival, wait_for_jobs
from tests.support.threads import wait_for_no_bridge_threads
from tests.support.wsgi_apps import TEXT, get, hello, respond

pytestmark = pytest.mark.usefixtures("no_bridge_threads")


class Slow:
    """A body whose ``close()`` waits until it is let go."""

    def __init__(self, *chunks: bytes | Exception) -> None:
        self._chunks = iter(chunks)
        self.closing = threading.Event()
        self.go = threading.Event()
        self.closed = threading.Event()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        chunk = next(self._chunks)
        if isinstance(chunk, Exception):
            raise chunk
        return chunk

    def close(self) -> None:
        self.closing.set()
        assert self.go.wait(HANG)
        self.closed.set()


async def turn() -> None:
    """Let everything run that is ready."""
    for _ in range(20):
        await asyncio.sleep(0)


def running(exchange: Exchange) -> asyncio.Task[Exchange]:
    return asyncio.create_task(exchange.run())


# How often the loop is woken.


def test_a_list_has_ended_before_the_loop_is_woken() -> None:
    async def main() -> None:
        async with Served(hello) as adapter:
            loop = asyncio.get_running_loop()
            with patch.object(loop, "call_soon_threadsafe", wraps=loop.call_soon_threadsafe) as wake:
                assert (await get(adapter).run()).complete
                assert wake.call_count == 1
            assert adapter._pool is not None
            assert adapter._pool.unfinished() == 0

    asyncio.run(main())


def test_an_error_of_the_call_has_ended_before_the_loop_is_woken() -> None:
    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        raise LookupError("mine")

    async def main() -> None:
        async with Served(app) as adapter:
            loop = asyncio.get_running_loop()
            with patch.object(loop, "call_soon_threadsafe", wraps=loop.call_soon_threadsafe) as wake:
                with pytest.raises(LookupError, match="mine"):
                    await get(adapter).run()
                assert wake.call_count == 1

    asyncio.run(main())


@pytest.mark.parametrize("chunks", [[b"whole"], [b"first", b"second"]])
def test_a_quick_close_costs_no_second_wake_up(chunks: list[bytes]) -> None:
    """It is over while the loop sends."""
    body = Slow(*chunks)
    body.go.set()

    async def main() -> None:
        async with Served(respond(body)) as adapter:
            exchange = get(adapter)

            async def send(message: Message) -> None:
                # The loop stands still until the thread is free.
                assert body.closed.wait(HANG)
                while adapter._pool is None or adapter._pool.unfinished():
                    pass
                await exchange.send(message)

            loop = asyncio.get_running_loop()
            with patch.object(loop, "call_soon_threadsafe", wraps=loop.call_soon_threadsafe) as wake:
                await adapter(exchange.scope, exchange.receive, send)
                assert wake.call_count == 1
            assert exchange.complete
            assert exchange.body == b"".join(chunks)

    asyncio.run(main())


def test_a_slow_close_wakes_the_loop_once_more_and_the_client_does_not_wait_for_it() -> None:
    body = Slow(b"whole")

    async def main() -> None:
        # With its length, the chunk is the end as well: one hand-over.
        async with Served(respond(body, ("Content-Length", "5"))) as adapter:
            exchange = get(adapter)
            loop = asyncio.get_running_loop()
            with patch.object(loop, "call_soon_threadsafe", wraps=loop.call_soon_threadsafe) as wake:
                async with exchange:
                    await exchange.wait_until(lambda: bool(exchange.messages) and exchange.complete)
                    while not body.closing.is_set():  # noqa: ASYNC110  # a worker sets it
                        await asyncio.sleep(0)
                    await turn()
                    assert exchange._task is not None
                    assert not exchange._task.done()
                    assert exchange.receives_waiting == 0, "nobody listens any more"
                    body.go.set()
                assert body.closed.is_set()
                assert wake.call_count == 2

    asyncio.run(main())


def test_a_close_that_raises_ends_the_call_too(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(list[bytes]):
        def close(self) -> None:
            raise LookupError("mine")

    async def main() -> None:
        async with Served(respond(Failing([b"whole"]))) as adapter:
            scope = http_scope(path="/caf\u00e9", raw_path=b"/caf%C3%A9", query=b"token=secret")
            exchange = await Exchange(adapter, scope, [request()]).run()
            assert exchange.body == b"whole"
            assert exchange.complete

    asyncio.run(main())
    # As all lines name a request; its query may hold what no log should.
    assert [record.getMessage() for record in caplog.records] == [
        "GET '/caf\u00e9': close() of the response raised an error"
    ]


def test_a_body_that_can_t_be_closed_ends_the_call_too(caplog: pytest.LogCaptureFixture) -> None:
    class Unclosable:
        def read(self) -> bytes:
            return b""

        def close(self) -> None:
            raise OSError("mine")

    async def main() -> None:
        async with Served(hello) as adapter:
            with patch("bridge.to_asgi.collect.BytesIO", lambda _: Unclosable()):
                assert (await get(adapter).run()).complete

    asyncio.run(main())
    assert [record.getMessage() for record in caplog.records] == [
        "GET '/': the temporary file of the request body could not be closed"
    ]


def test_a_body_that_can_t_be_closed_where_no_thread_can_be_had(caplog: pytest.LogCaptureFixture) -> None:
    class Unclosable:
        def close(self) -> None:
            raise OSError("mine")

    async def main() -> None:
        async with Served(hello) as adapter:
            with (
                patch("bridge.to_asgi.collect.BytesIO", lambda _: Unclosable()),
                patch.object(ThreadPool, "_start", side_effect=RuntimeError("can't start new thread")),
                pytest.raises(RuntimeError, match="can't start new thread"),
            ):
                await get(adapter).run()

    asyncio.run(main())
    assert [record.getMessage() for record in caplog.records] == [
        "no new worker thread could be started",
        "GET '/': the temporary file of the request body could not be closed",
    ]


# Other ends.


def test_a_client_that_left_is_over_when_close_is() -> None:
    body = Slow(*[b"x" * 1000] * 1_000_000)

    async def main() -> None:
        async with Served(respond(body), response_buffer=1000) as adapter:
            exchange = get(adapter)
            async with exchange:
                exchange.hold_sends()
                await exchange.wait_for("http.response.start")
                exchange.disconnect()
                await arrival(body.closing)
                await turn()
                assert exchange._task is not None
                assert not exchange._task.done()
                body.go.set()
            assert body.closed.is_set()

    asyncio.run(main())


def test_a_send_that_raises_is_raised_when_close_is_over() -> None:
    body = Slow(*[b"x" * 1000] * 1_000_000)

    async def main() -> None:
        async with Served(respond(body)) as adapter:
            exchange = get(adapter)

            async def send(message: Message) -> None:
                raise OSError("gone")

            with patch.object(module, "_CLOSING", HANG):
                task = asyncio.ensure_future(adapter(exchange.scope, exchange.receive, send))
                await arrival(body.closing)
                await turn()
                assert not task.done()
                body.go.set()
                with pytest.raises(OSError, match="gone"):
                    await task
            assert body.closed.is_set()

    asyncio.run(main())


@pytest.mark.parametrize("chunks", [[], [b"first"]], ids=["before the start", "in the middle"])
def test_an_error_is_raised_when_close_is_over(chunks: list[bytes]) -> None:
    body = Slow(*chunks, LookupError("mine"))

    async def main() -> None:
        async with Served(respond(body)) as adapter:
            with patch.object(module, "_CLOSING", HANG):
                task = running(get(adapter))
                await arrival(body.closing)
                await turn()
                assert not task.done()
                body.go.set()
                with pytest.raises(LookupError, match="mine"):
                    await task
            assert body.closed.is_set()

    asyncio.run(main())


def test_a_log_that_fails_leaves_nobody_who_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """The app has handed its error over, and ``send()`` raises another one: the app's is for the log."""
    ended = threading.Event()

    class Failing:
        def __iter__(self) -> Iterator[bytes]:
            yield b"x"
            raise ValueError("mine")

        def close(self) -> None:
            ended.set()

    def refuse(record: logging.LogRecord) -> bool:
        raise LookupError("the app's filter")

    async def send(message: Message) -> None:
        await arrival(ended)
        raise RuntimeError("the server's")

    async def main() -> None:
        async with Served(respond(Failing()), request_body="stream", request_buffer=1) as adapter:
            exchange = Exchange(adapter, http_scope("POST"), [request(b"ab", more_body=True)])
            with pytest.raises(LookupError, match="the app's filter"):
                await adapter(exchange.scope, exchange.receive, send)
            await turn()
            assert exchange.receives_waiting == 0

    monkeypatch.setattr(logging.getLogger("bridge"), "filters", [refuse])
    asyncio.run(main())


def test_an_error_is_raised_although_close_hangs() -> None:
    body = Slow(LookupError("mine"))

    async def main() -> None:
        async with Served(respond(body)) as adapter:
            with patch.object(module, "_CLOSING", 0.01), pytest.raises(LookupError, match="mine"):
                await get(adapter).run()
            assert not body.closed.is_set()
            body.go.set()

    asyncio.run(main())
    assert body.closed.is_set()


@pytest.mark.parametrize("chunks", [[b"whole"], [LookupError("mine")]], ids=["well", "failed"])
def test_cancelling_ends_the_call_at_once(chunks: list[bytes | Exception]) -> None:
    body = Slow(*chunks)

    async def main() -> None:
        async with Served(respond(body)) as adapter:
            task = running(get(adapter))
            await arrival(body.closing)
            await turn()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert not body.closed.is_set()
            assert adapter._pool is not None
            assert adapter._pool.unfinished() == 1, "the shutdown waits for it"
            body.go.set()
            await wait_for_jobs(adapter, 0)

    asyncio.run(main())
    assert body.closed.is_set()


def test_a_loop_that_stops_meanwhile() -> None:
    body = Slow(b"whole")
    adapter = WsgiToAsgi(respond(body))
    loop = asyncio.new_event_loop()
    try:
        exchange = get(adapter)
        task = loop.create_task(adapter(exchange.scope, exchange.receive, exchange.send))
        loop.run_until_complete(arrival(body.closing))
        loop.run_until_complete(turn())
        assert exchange.complete
        assert not task.done()
        task.cancel()
        with suppress(asyncio.CancelledError):
            loop.run_until_complete(task)
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()
    body.go.set()
    assert body.closed.wait(HANG)

    async def shut_down() -> None:
        async with Served(adapter):
            """Only to end its threads."""

    asyncio.run(shut_down())
    wait_for_no_bridge_threads()


def test_a_loop_that_is_closed_in_the_middle_of_a_call() -> None:
    """Nobody takes the response, and the worker ends all the same."""
    body = Slow(b"whole")
    entered, go = threading.Event(), threading.Event()

    def app(environ: Environ, start_response: StartResponse) -> Any:
        entered.set()
        assert go.wait(HANG)
        start_response("200 OK", TEXT)
        return body

    adapter = WsgiToAsgi(app)
    loop = asyncio.new_event_loop()
    exchange = get(adapter)
    task = loop.create_task(adapter(exchange.scope, exchange.receive, exchange.send))
    loop.run_until_complete(arrival(entered))
    loop.run_until_complete(loop.shutdown_default_executor())
    task.cancel()
    with suppress(asyncio.CancelledError):
        loop.run_until_complete(task)
    loop.close()
    body.go.set()
    go.set()
    assert body.closed.wait(HANG)

    async def shut_down() -> None:
        async with Served(adapter):
            """Only to end its threads."""

    asyncio.run(shut_down())


def test_many_calls_in_any_order() -> None:
    """Whether the loop or the worker comes first, each call ends, and none before its ``close()``."""

    class Quick(list[bytes]):
        closed = False

        def close(self) -> None:
            self.closed = True

    bodies: dict[str, Quick] = {}

    def app(environ: Environ, start_response: StartResponse) -> Any:
        start_response("200 OK", TEXT)
        body = bodies[environ["PATH_INFO"]] = Quick([b"a", b"b"])
        return body

    async def main() -> None:
        async with Served(app, threads=4) as adapter:

            async def visit(path: str) -> None:
                exchange = await get(adapter, path).run()
                assert exchange.body == b"ab"
                assert bodies[path].closed

            for turn in range(50):
                await asyncio.gather(*(visit(f"/{turn}-{number}") for number in range(20)))

    asyncio.run(main())
