"""``WsgiToAsgi`` and request bodies: buffered, streamed, truncated, too large."""

import asyncio
import hashlib
import io
import threading
from collections.abc import Iterator
from typing import Any, Literal

import pytest

from bridge import ClientDisconnected, RequestBodyTooLarge
from bridge.types import Environ, Message, StartResponse
from tests.support.asgi import HANG, Exchange, disconnect, http_scope, request
from tests.support.served import Served, arrival, call
from tests.support.validation import validated
from tests.support.wsgi_apps import TEXT, echo, hello

pytestmark = pytest.mark.usefixtures("no_bridge_threads")

Mode = Literal["buffer", "stream"]
modes = pytest.mark.parametrize("mode", ["buffer", "stream"])


# Request bodies.


@modes
def test_a_chunked_upload_arrives_whole(mode: Mode) -> None:
    blocks = [b"a" * 7, b"", b"b" * 3000, b"c"]

    async def main() -> None:
        async with Served(validated(echo), request_body=mode, request_buffer=1000) as adapter:
            headers = [(b"transfer-encoding", b"chunked")]
            exchange = Exchange(adapter, http_scope("POST", headers=headers))
            exchange.feed(*(request(block, more_body=True) for block in blocks), request())
            await exchange.run()
            length = b"3008" if mode == "buffer" else b"none"
            assert exchange.body == length + b"|" + b"".join(blocks)

    asyncio.run(main())


def test_a_buffered_chunked_upload_has_its_length_and_no_transfer_encoding() -> None:
    seen: Environ = {}

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        seen.update(environ)
        return hello(environ, start_response)

    call(app, "POST", body=b"", headers=[(b"transfer-encoding", b"chunked")])
    assert seen["CONTENT_LENGTH"] == "0"
    assert "HTTP_TRANSFER_ENCODING" not in seen
    assert seen["wsgi.input_terminated"] is True
    seen.clear()
    call(app)
    assert "CONTENT_LENGTH" not in seen


def test_the_app_gets_no_thread_before_the_buffered_body_is_complete() -> None:
    called = threading.Event()

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        called.set()
        return echo(environ, start_response)

    async def main() -> None:
        async with Served(app) as adapter, Exchange(adapter, http_scope("POST")) as exchange:
            exchange.feed(request(b"a", more_body=True))
            await exchange.wait_until(lambda: exchange.receives_waiting == 1 and not exchange._events)
            assert adapter._pool is None
            assert not called.is_set()
            exchange.feed(request(b"b"))
        assert exchange.body == b"2|ab"

    asyncio.run(main())


def test_stream_mode_starts_the_app_with_the_first_bytes() -> None:
    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", TEXT)
        yield environ["wsgi.input"].read(4)
        yield environ["wsgi.input"].read()

    async def main() -> None:
        options: dict[str, Any] = {"request_body": "stream", "request_buffer": 4}
        async with (
            Served(validated(app), **options) as adapter,
            Exchange(adapter, http_scope("POST")) as exchange,
        ):
            exchange.feed(request(b"abcd", more_body=True))
            await exchange.wait_for("http.response.body")
            assert exchange.body == b"abcd"
            exchange.feed(request(b"efgh", more_body=True), request(b"ij"))
        assert exchange.body == b"abcdefghij"

    asyncio.run(main())


def test_stream_mode_holds_a_fast_client_back() -> None:
    """No more than the limit and a message is taken from ``receive()`` while the app does not read."""
    go = threading.Event()
    there = threading.Event()

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        there.set()
        assert go.wait(HANG)
        digest = hashlib.sha256(environ["wsgi.input"].read()).hexdigest()
        start_response("200 OK", TEXT)
        return [digest.encode()]

    async def main() -> None:
        taken = 0
        async with Served(app, request_body="stream", request_buffer=1000) as adapter:
            exchange = Exchange(adapter, http_scope("POST"))
            exchange.feed(*(request(b"z" * 100, more_body=True) for _ in range(500)), request())

            async def receive() -> Message:
                nonlocal taken
                message = await exchange.receive()
                taken += len(message["body"]) if message["type"] == "http.request" else 0
                return message

            task = asyncio.create_task(adapter(exchange.scope, receive, exchange.send))
            await arrival(there)
            before = -1
            while taken != before:  # until the feeder stands still
                before = taken
                for _ in range(50):
                    await asyncio.sleep(0)
            assert taken <= 1000 + 2 * 100
            go.set()
            async with asyncio.timeout(HANG):
                await task
            assert taken == 50_000
            assert exchange.body == hashlib.sha256(b"z" * 50_000).hexdigest().encode()

    asyncio.run(main())


def test_a_body_over_the_buffer_goes_through_a_file() -> None:
    kinds: list[type] = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        kinds.append(type(environ["wsgi.input"]))
        return echo(environ, start_response)

    async def main() -> None:
        async with Served(app, request_buffer=100) as adapter:
            for block in (99, 101):
                exchange = Exchange(adapter, http_scope("POST"))
                exchange.feed(
                    request(b"a" * block, more_body=True), request(b"b" * 450, more_body=True), request(b"c")
                )
                await exchange.run()
                assert exchange.body == f"{block + 451}|".encode() + b"a" * block + b"b" * 450 + b"c"

    asyncio.run(main())
    assert all(kind is not io.BytesIO for kind in kinds)
    assert len(kinds) == 2


def test_the_input_is_closed_at_the_end_however_it_ends() -> None:
    inputs: list[Any] = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        inputs.append(environ["wsgi.input"])
        if environ["PATH_INFO"] == "/raise":
            raise LookupError
        return hello(environ, start_response)

    async def main() -> None:
        async with Served(app, request_buffer=10) as adapter:
            for path in ("/", "/raise"):
                exchange = Exchange(adapter, http_scope("POST", path))
                exchange.feed(request(b"a" * 11, more_body=True), request(b"c"))
                if path == "/raise":
                    with pytest.raises(LookupError):
                        await exchange.run()
                else:
                    await exchange.run()

    asyncio.run(main())
    assert [stream.closed for stream in inputs] == [True, True]


@pytest.mark.parametrize(
    "sent", [[], [b"ab"], [b"a" * 2000], [b"a" * 2000, b"b" * 2000]], ids=["0", "2", "2000", "4000"]
)
def test_a_truncated_upload_never_reaches_the_app_in_buffer_mode(sent: list[bytes]) -> None:
    called: list[Environ] = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        called.append(environ)
        return hello(environ, start_response)

    async def main() -> None:
        async with Served(app, request_buffer=1000) as adapter:
            exchange = Exchange(adapter, http_scope("POST", headers=[(b"content-length", b"9000")]))
            exchange.feed(*(request(block, more_body=True) for block in sent), disconnect())
            await exchange.run()
            assert exchange.messages == []

    asyncio.run(main())
    assert called == []


@pytest.mark.parametrize("method", ["read", "readline", "readlines", "__iter__"])
def test_a_truncated_upload_raises_in_the_app_in_stream_mode(method: str) -> None:
    raised: list[BaseException] = []
    started = threading.Event()
    done = threading.Event()

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        started.set()
        try:
            for _ in range(3):
                try:
                    list(getattr(environ["wsgi.input"], method)())
                except OSError as error:
                    raised.append(error)
            return hello(environ, start_response)
        finally:
            done.set()

    async def main() -> None:
        async with Served(app, request_body="stream", request_buffer=10) as adapter:
            async with Exchange(adapter, http_scope("POST")) as exchange:
                exchange.feed(request(b"a" * 10, more_body=True))
                await arrival(started)
                exchange.disconnect()
            await arrival(done)

    asyncio.run(main())
    assert [type(error) for error in raised] == [ClientDisconnected] * 3


def test_a_body_shorter_than_content_length() -> None:
    """A server that lets a broken upload end as a whole one."""
    headers = [(b"content-length", b"5")]
    exchange = call(echo, "POST", body=b"abcd", headers=headers)
    assert exchange.status == 400
    assert b"Content-Length says 5" in exchange.body

    async def main() -> None:
        async with Served(echo, request_body="stream", request_buffer=2) as adapter:
            streamed = Exchange(adapter, http_scope("POST", headers=headers))
            streamed.feed(request(b"ab", more_body=True), request(b"cd"))
            with pytest.raises(ClientDisconnected):
                await streamed.run()
            assert streamed.messages == []

    asyncio.run(main())


@pytest.mark.parametrize("length", [b"-1", b"+5", b"5 5", b"five", b"1.0", b"4,5", b"\xb2"])
def test_a_content_length_that_is_no_number(length: bytes) -> None:
    exchange = call(hello, "POST", headers=[(b"content-length", length)])
    assert exchange.status == 400
    assert b"Content-Length" in exchange.body
    assert exchange.complete


def test_equal_content_lengths_count_as_one() -> None:
    exchange = call(
        echo, "POST", body=b"abcd", headers=[(b"content-length", b"4"), (b"content-length", b"4")]
    )
    assert exchange.body == b"4|abcd"


# max_body_size.


@modes
def test_a_declared_length_over_the_limit_is_refused_at_once(mode: Mode) -> None:
    """Nothing is received."""

    async def main() -> None:
        async with Served(echo, max_body_size=10, request_body=mode) as adapter:
            exchange = await Exchange(adapter, http_scope("POST", headers=[(b"content-length", b"11")])).run()
            assert exchange.status == 413
            assert exchange.header(b"connection") == b"close"
            assert exchange.complete
            assert adapter._pool is None

    asyncio.run(main())


@modes
def test_a_coding_other_than_chunked_is_refused_at_once(mode: Mode) -> None:
    """The body may be large, and its end far away: nothing of it is received, or kept."""

    async def main() -> None:
        async with Served(echo, request_body=mode) as adapter:
            headers = [(b"transfer-encoding", b"gzip, chunked")]
            exchange = Exchange(adapter, http_scope("POST", headers=headers), [request(b"x", more_body=True)])
            async with asyncio.timeout(HANG):
                await exchange.run()
            assert exchange.status == 501
            assert exchange.header(b"connection") == b"close"

    asyncio.run(main())


@modes
def test_a_body_of_the_limit_is_let_through(mode: Mode) -> None:
    exchange = call(echo, "POST", body=b"0123456789", options={"max_body_size": 10, "request_body": mode})
    assert exchange.body == b"10|0123456789"
    exchange = call(echo, "POST", body=b"0123456789x", options={"max_body_size": 10, "request_body": mode})
    assert exchange.status == 413


@modes
@pytest.mark.parametrize("buffer", [4, 100])
def test_a_body_over_the_limit_is_refused_in_its_middle(mode: Mode, buffer: int) -> None:
    async def main() -> None:
        options: dict[str, Any] = {"max_body_size": 10, "request_body": mode, "request_buffer": buffer}
        async with Served(echo, **options) as adapter:
            exchange = Exchange(adapter, http_scope("POST"))
            exchange.feed(*(request(b"abcd", more_body=True) for _ in range(5)))
            await exchange.run()
            assert exchange.status == 413
            assert exchange.complete
            assert len(exchange._events) == 2  # the third block is over the limit, and the rest is left

    asyncio.run(main())


def test_an_app_may_answer_to_a_body_over_the_limit_itself() -> None:
    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        with pytest.raises(RequestBodyTooLarge):
            environ["wsgi.input"].read()
        start_response("400 Too much", TEXT)
        return [b"mine"]

    async def main() -> None:
        async with Served(app, max_body_size=10, request_body="stream", request_buffer=4) as adapter:
            exchange = Exchange(adapter, http_scope("POST"))
            exchange.feed(*(request(b"abcd", more_body=True) for _ in range(5)))
            await exchange.run()
            assert exchange.status == 400
            assert exchange.body == b"mine"

    asyncio.run(main())
