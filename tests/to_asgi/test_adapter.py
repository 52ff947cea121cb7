"""``WsgiToAsgi`` in process: real loops and threads, with ``receive()`` and ``send()`` scripted by the test."""

import asyncio
import concurrent.futures
import contextvars
import importlib
import sys
import threading
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import pytest
import trio

from bridge import WsgiToAsgi
from bridge.types import Environ, Message, StartResponse
from tests.support.asgi import HANG, Exchange, http_scope, request
from tests.support.served import Served, arrival, call
from tests.support.validation import validated
from tests.support.wsgi_apps import TEXT, Download, get, hello

pytestmark = pytest.mark.usefixtures("no_bridge_threads")

# Construction.


def test_nothing_is_started_before_the_first_request() -> None:
    before = set(threading.enumerate())
    adapter = WsgiToAsgi(hello)
    assert set(threading.enumerate()) == before
    assert adapter._pool is None
    assert "hello" in repr(adapter)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threads": 0}, "threads is 0"),
        ({"threads": 1.5}, "threads is 1.5"),
        ({"backlog": -1}, "backlog is -1"),
        ({"request_buffer": 0}, "request_buffer is 0"),
        ({"response_buffer": 0}, "response_buffer is 0"),
        ({"max_body_size": -1}, "max_body_size is -1"),
        ({"request_body": "spool"}, "request_body is 'spool'"),
        ({"shutdown_timeout": -1}, "shutdown_timeout is -1"),
        ({"shutdown_timeout": float("nan")}, "shutdown_timeout is nan"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        WsgiToAsgi(hello, **options)


def test_an_app_that_cannot_be_called() -> None:
    with pytest.raises(TypeError, match="can't be called"):
        WsgiToAsgi("module:app")  # type: ignore[arg-type]


@pytest.mark.parametrize("executor", [3, "threads", concurrent.futures.ThreadPoolExecutor])
def test_what_is_no_executor_is_refused(executor: Any) -> None:
    with pytest.raises(TypeError, match=r"has to be a concurrent\.futures\.Executor"):
        WsgiToAsgi(hello, executor=executor)


def test_an_executor_of_processes_is_refused() -> None:
    with (
        concurrent.futures.ProcessPoolExecutor(1) as executor,
        pytest.raises(TypeError, match="runs processes"),
    ):
        WsgiToAsgi(hello, executor=executor)


@pytest.mark.skipif(sys.version_info < (3, 14), reason="Python has it from 3.14 on")
def test_an_executor_of_interpreters_is_refused() -> None:
    kind = importlib.import_module("concurrent.futures").InterpreterPoolExecutor
    with kind(1) as executor, pytest.raises(TypeError, match="runs interpreters"):
        WsgiToAsgi(hello, executor=executor)


class Inline(concurrent.futures.Executor):
    """Runs in ``submit()`` what is submitted; what that raises is kept, or let through."""

    def __init__(self, keeps: bool) -> None:
        self.keeps = keeps

    def submit(self, function: Any, /, *arguments: Any, **named: Any) -> concurrent.futures.Future[Any]:
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        try:
            future.set_result(function(*arguments, **named))
        except BaseException as error:
            if not self.keeps:
                raise
            future.set_exception(error)
        return future


@pytest.mark.parametrize("keeps", [True, False])
def test_an_executor_that_runs_the_app_on_the_loop_s_thread_is_told_so(keeps: bool) -> None:
    """More than ``response_buffer`` would wait there for the loop, which waits for it."""

    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", TEXT)
        for _ in range(3):
            yield b"x" * 1000

    with pytest.raises(RuntimeError, match="on the thread of the event loop"):
        call(app, options={"executor": Inline(keeps), "response_buffer": 1000})


# One hop out, one hop back.


@pytest.mark.parametrize(
    "chunks", [[b"hello"], [b"a", b"b", b"c"], [], [b"x" * 70_000]], ids=["1", "3", "0", "70 kB"]
)
def test_a_list_body_costs_one_wake_up(chunks: list[bytes]) -> None:
    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", TEXT)
        return chunks

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with Served(app) as adapter:
            await get(adapter).run()  # starts the thread
            with patch.object(loop, "call_soon_threadsafe", wraps=loop.call_soon_threadsafe) as wake:
                exchange = await get(adapter).run()
            assert wake.call_count == 1
            assert [message["type"] for message in exchange.messages] == [
                "http.response.start",
                "http.response.body",
            ]
            assert exchange.body == b"".join(chunks)
            assert exchange.complete

    asyncio.run(main())


def test_the_last_chunk_up_to_content_length_ends_the_body() -> None:
    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [*TEXT, ("Content-Length", "4")])
        yield b"ab"
        yield b"cd"

    exchange = call(validated(app))
    assert exchange.messages[-1]["body"].endswith(b"cd")
    assert exchange.messages[-1]["more_body"] is False


def test_a_short_response_is_not_listened_for() -> None:
    """``receive()`` is called once, for the request."""

    async def main() -> None:
        async with Served(hello) as adapter:
            exchange = get(adapter)
            calls = 0

            async def receive() -> Message:
                nonlocal calls
                calls += 1
                return await exchange.receive()

            await adapter(exchange.scope, receive, exchange.send)
            assert calls == 1

    asyncio.run(main())


def test_a_chunk_leaves_before_the_next_is_made() -> None:
    seen = threading.Event()

    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", TEXT)
        yield b"first"
        assert seen.wait(HANG)
        yield b"second"

    async def main() -> None:
        async with Served(validated(app)) as adapter, get(adapter) as exchange:
            await exchange.wait_for("http.response.body")
            assert exchange.body == b"first"
            seen.set()
        assert exchange.body == b"firstsecond"
        assert exchange.complete

    asyncio.run(main())


def test_what_is_ready_when_the_loop_looks_goes_out_together() -> None:
    ready = threading.Event()

    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", TEXT)
        for _ in range(200):
            yield b"x"
        ready.set()

    async def main() -> None:
        async with Served(app) as adapter, get(adapter) as exchange:
            exchange.hold_sends()
            await exchange.wait_for("http.response.start")
            await arrival(ready)
            exchange.release_sends()
        assert exchange.body == b"x" * 200
        assert len(exchange.chunks) <= 3

    asyncio.run(main())


def test_the_app_is_never_further_ahead_than_the_response_buffer() -> None:
    limit, block, total = 10_000, 1000, 200
    download = Download(b"x" * block)

    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", TEXT)
        for _ in range(total):
            yield next(download)

    async def main() -> None:
        async with Served(app, response_buffer=limit) as adapter:
            exchange = get(adapter)
            ahead: list[int] = []
            sent = 0

            async def send(message: Message) -> None:
                nonlocal sent
                await asyncio.sleep(0)
                ahead.append(download.made - sent)
                sent += len(message.get("body", b""))
                await exchange.send(message)

            await adapter(exchange.scope, exchange.receive, send)
            assert sent == block * total
            # What is put may be over the limit by one chunk, and one more is made before it is put.
            assert max(ahead) <= limit + 2 * block

    asyncio.run(main())


def test_a_large_chunk_is_sent_in_pieces() -> None:
    data = bytes(range(256)) * 4096
    exchange = call(lambda environ, start: (start("200 OK", []), [data])[1])
    assert max(map(len, exchange.chunks)) <= 262144
    assert exchange.body == data
    assert exchange.complete


# Other scopes.


def test_an_unknown_scope_type() -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match="'smtp'"):
            await Exchange(WsgiToAsgi(hello), {"type": "smtp"}).run()

    asyncio.run(main())


# Contexts.


@pytest.mark.parametrize("kind", ["http", "websocket", "lifespan"])
def test_a_server_on_trio_is_told_that_it_cannot_serve_it(kind: str) -> None:
    messages = {"http": request(), "websocket": {"type": "websocket.connect"}}

    async def receive() -> Message:
        return messages.get(kind, {"type": "lifespan.startup"})

    async def send(message: Message) -> None:
        raise AssertionError(f"it was answered with {message}")

    with pytest.raises(RuntimeError, match=r"runs on asyncio.*trio"):
        trio.run(WsgiToAsgi(hello), http_scope(type=kind), receive, send)


def test_context_variables_of_outer_middleware_are_seen() -> None:
    user: contextvars.ContextVar[str] = contextvars.ContextVar("user")

    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", TEXT)
        yield user.get().encode()
        user.set("changed")
        yield user.get().encode()

    async def main() -> None:
        async with Served(app, threads=2) as adapter:

            async def outer(scope: Any, receive: Any, send: Any) -> None:
                user.set(scope["path"][1:])
                await adapter(scope, receive, send)
                assert user.get() == scope["path"][1:]

            exchanges = [Exchange(outer, http_scope(path=f"/{name}"), [request()]) for name in "abcdef"]
            await asyncio.gather(*(exchange.run() for exchange in exchanges))
            assert [exchange.body for exchange in exchanges] == [
                b"%schanged" % name.encode() for name in "abcdef"
            ]

    asyncio.run(main())
