"""The request's body: wsgi.input as receive() gives it."""

import asyncio
import errno
import io
import os
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from bridge.errors import ClientDisconnected
from bridge.to_wsgi.adapter import AsgiToWsgi
from bridge.to_wsgi.loops.mode import LoopMode
from bridge.to_wsgi.loops.shared import SharedLoop
from bridge.to_wsgi.request_body import find_body
from bridge.types import Message, Receive, Scope, Send
from tests.support.wsgi import call, environ_for, started
from tests.to_wsgi.apps import START, hello, last, part, read_body, until


class Blocking(io.RawIOBase):
    """A wsgi.input whose reads wait for the test."""

    def __init__(self, *blocks: bytes) -> None:
        self.blocks = list(blocks)
        self.reads = 0
        self.reading = threading.Event()
        self.go = threading.Event()

    def read(self, size: int = -1) -> bytes:
        self.reads += 1
        self.reading.set()
        assert self.go.wait(60)
        return self.blocks.pop(0) if self.blocks else b""


class TestRequestBody:
    @staticmethod
    def body_of(adapt: Any, environ: Any) -> tuple[bytes, list[Message]]:
        results: list[tuple[bytes, list[Message]]] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            results.append(await read_body(receive))
            await send(START)
            await send(last(b"ok"))

        call(adapt(app), environ)
        return results[0]

    def test_blocks_of_at_most_64_kib(self, adapt: Any) -> None:
        data = bytes(range(256)) * 1000
        body, messages = self.body_of(adapt, environ_for(method="POST", body=data))
        assert body == data
        assert [len(message["body"]) for message in messages] == [65536, 65536, 65536, 59392]
        assert [message["more_body"] for message in messages] == [True, True, True, False]

    def test_none(self, adapt: Any) -> None:
        assert self.body_of(adapt, environ_for()) == (
            b"",
            [{"type": "http.request", "body": b"", "more_body": False}],
        )

    @pytest.mark.parametrize("length", ["", None])
    def test_to_the_end_where_the_server_says_that_there_is_one(self, adapt: Any, length: str | None) -> None:
        environ = environ_for(method="POST", body=b"x" * 70_000) | {"wsgi.input_terminated": True}
        environ["CONTENT_LENGTH"] = length or ""
        if length is None:
            del environ["CONTENT_LENGTH"]
        body, messages = self.body_of(adapt, environ)
        assert body == b"x" * 70_000
        assert messages[-1] == {"type": "http.request", "body": b"", "more_body": False}

    def test_a_get_without_one_reads_nothing(self, adapt: Any) -> None:
        environ = environ_for() | {"wsgi.input_terminated": True, "wsgi.input": None}

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(START)
            await send(last((await read_body(receive))[0]))

        assert call(adapt(app), environ, validate=False).chunks == []

    def test_no_more_than_the_length(self, adapt: Any) -> None:
        environ = environ_for(method="POST", body=b"hello world")
        environ["CONTENT_LENGTH"] = "5"
        stream = environ["wsgi.input"]
        assert self.body_of(adapt, environ)[0] == b"hello"
        assert stream.read() == b" world"

    @pytest.mark.parametrize("error", [None, ConnectionResetError])
    def test_one_that_ends_early_is_never_whole(self, adapt: Any, error: Any) -> None:
        class Broken(io.BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                data = super().read(size)
                if not data and error is not None:
                    raise error
                return data

        environ = environ_for(method="POST", body=b"") | {
            "CONTENT_LENGTH": "50",
            "wsgi.input": Broken(b"hel"),
        }
        results: list[Any] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            results.append(await read_body(receive))
            results.append(await receive())
            with pytest.raises(OSError, match="client left"):
                await send(START)

        # As of Flask and Django at home; for most servers and any middleware an error would be one of the app.
        assert call(adapt(app), environ).status == "400 Bad Request"
        assert results[0][1][-1] == results[1] == {"type": "http.disconnect"}

    @pytest.mark.parametrize("begun", [False, True])
    def test_an_app_that_waits_after_one_that_broke_off_is_cancelled(
        self, adapt: Any, monkeypatch: pytest.MonkeyPatch, begun: bool
    ) -> None:
        """As one whose client leaves at another time: http.disconnect first."""
        monkeypatch.setattr("bridge.to_wsgi.exchange.GRACE", 0.01)
        seen: list[str] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if begun:
                await send(START)
                await send(part(b"begun"))
            _, messages = await read_body(receive)
            seen.append(messages[-1]["type"])
            try:
                async with asyncio.timeout(5):
                    await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                seen.append("cancelled")
                raise

        environ = environ_for(method="POST", body=b"hel", CONTENT_LENGTH="50")
        if begun:
            # What breaks off a response that is under way.
            with pytest.raises(ClientDisconnected):
                call(adapt(app), environ)
        else:
            assert call(adapt(app), environ).status == "400 Bad Request"
        assert seen == ["http.disconnect", "cancelled"]

    def test_an_app_that_ends_by_itself_after_one_that_broke_off(self, adapt: Any) -> None:
        """It has time for its own way out."""
        seen: list[str] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(START)
            await send(part(b"begun"))
            await read_body(receive)
            await asyncio.sleep(0.001)
            seen.append("cleaned up")

        with pytest.raises(ClientDisconnected):
            call(adapt(app), environ_for(method="POST", body=b"hel", CONTENT_LENGTH="50"))
        assert seen == ["cleaned up"]

    def test_a_value_error_is_a_body_that_broke_off_and_is_logged(
        self, adapt: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        class Broken(io.BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                raise ValueError("no chunk size")

        received: list[Any] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            received.append(await receive())

        environ = environ_for(method="POST", body=b"x") | {"wsgi.input": Broken()}
        assert call(adapt(app), environ).status == "400 Bad Request"
        assert received == [{"type": "http.disconnect"}]
        assert (
            "POST '/': the request body is taken for broken off: wsgi.input raised ValueError" in caplog.text
        )

    def test_another_error_is_the_apps(self, adapt: Any) -> None:
        class Broken(io.BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                raise LookupError("bad trailer")

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            with pytest.raises(LookupError, match="bad trailer"):
                await receive()
            await send(START)
            await send(last(b"caught"))

        environ = environ_for(method="POST", body=b"x") | {"wsgi.input": Broken()}
        assert call(adapt(app), environ).body == b"caught"

    @pytest.mark.parametrize("length", ["abc", "-1", "5, 6"])
    def test_a_length_that_is_none(self, adapt: Any, length: str) -> None:
        environ = environ_for(method="POST", body=b"x") | {"CONTENT_LENGTH": length}
        answer = call(adapt(hello), environ, validate=False)
        assert answer.status == "400 Bad Request"
        assert b"Content-Length" in answer.body

    def test_a_chunked_one_that_the_server_does_not_end(self, adapt: Any) -> None:
        environ = environ_for(method="POST", HTTP_TRANSFER_ENCODING="chunked")
        assert call(adapt(hello), environ).status == "411 Length Required"

    def test_a_length_beside_chunks_says_nothing(self, adapt: Any) -> None:
        environ = environ_for(method="POST", body=b"whole", HTTP_TRANSFER_ENCODING="chunked")
        environ |= {"CONTENT_LENGTH": "2", "wsgi.input_terminated": True}
        assert self.body_of(adapt, environ)[0] == b"whole"

    def test_nothing_is_read_that_nobody_asks_for(self, adapt: Any) -> None:
        stream = Blocking()
        call(adapt(hello), environ_for(method="POST", body=b"x") | {"wsgi.input": stream})
        assert stream.reads == 0

    def test_what_was_sent_is_delivered_before_a_read_that_blocks(self, adapt: Any) -> None:
        stream = Blocking(b"x")

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(START)
            await send(part(b"before"))
            body, _ = await read_body(receive)
            await send(last(body))

        environ = environ_for(method="POST", body=b"x") | {"wsgi.input": stream}
        with started(adapt(app), environ) as (_, body):
            chunks = iter(body)
            assert next(chunks) == b"before"
            stream.go.set()
            assert list(chunks) == [b"x"]

    def test_a_receive_beside_a_send_in_another_task(self, adapt: Any, mode: LoopMode) -> None:
        """Before a read that blocks: on a loop of its own all that can run, on a shared one what is ready."""
        stream = Blocking(b"x")

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            async def reader() -> bytes:
                return (await read_body(receive))[0]

            async def writer() -> None:
                for _ in range(3 if mode == "request" else 0):
                    await asyncio.sleep(0)
                await send(START)
                await send(part(b"beside"))

            async with asyncio.TaskGroup() as group:
                body = group.create_task(reader())
                group.create_task(writer())
            await send(last(body.result()))

        environ = environ_for(method="POST", body=b"x") | {"wsgi.input": stream}
        with started(adapt(app), environ) as (_, body):
            chunks = iter(body)
            assert next(chunks) == b"beside"
            stream.go.set()
            assert list(chunks) == [b"x"]

    def test_two_tasks_that_receive(self, adapt: Any) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            messages = await asyncio.gather(*(receive() for _ in range(3)))
            await send(START)
            await send(last(b"".join(message["body"] for message in messages)))

        data = b"a" * 65536 + b"b" * 65536 + b"c"
        assert call(adapt(app), environ_for(method="POST", body=data)).body == data

    def test_a_receive_that_is_cancelled_loses_nothing(self, adapt: Any) -> None:
        """What Starlette's Request.is_disconnected() does."""

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            body = b""
            for rounds in range(6):
                task = asyncio.ensure_future(receive())
                for _ in range(rounds):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait({task})
                if not task.cancelled():
                    body += task.result()["body"]
            if body != data:
                body += (await read_body(receive))[0]
            await send(START)
            await send(last(body))

        data = b"whole" * 20_000
        assert call(adapt(app), environ_for(method="POST", body=data)).body == data

    def test_a_receive_while_the_last_block_is_on_its_way(
        self, adapt: Any, mode: LoopMode, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The body has been read to its end by then, and its last message has not arrived."""
        was_read, may_arrive = threading.Event(), threading.Event()
        call_soon = SharedLoop.call_soon

        def held_up(shared: SharedLoop, callback: Any, *args: Any) -> None:
            if callback.__name__ == "_deliver":
                was_read.set()
                assert may_arrive.wait(60)
            call_soon(shared, callback, *args)

        if mode == "shared":
            monkeypatch.setattr(SharedLoop, "call_soon", held_up)
        else:
            was_read.set()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            first = asyncio.ensure_future(receive())
            await until(was_read.is_set)
            first.cancel()
            second = asyncio.ensure_future(receive())
            await asyncio.sleep(0)
            may_arrive.set()
            await send(START)
            await send(last((await second)["body"]))

        assert call(adapt(app), environ_for(method="POST", body=b"whole")).body == b"whole"

    @pytest.mark.parametrize("mode", ["shared"])
    @pytest.mark.parametrize("blocks", [(), (b"x",)], ids=["breaks off", "arrives"])
    def test_who_waits_for_the_body_when_the_adapter_is_closed_is_told(
        self, adapt: Any, blocks: tuple[bytes, ...]
    ) -> None:
        stream = Blocking(*blocks)
        seen: list[str] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            seen.append((await receive())["type"])
            await asyncio.sleep(0.001)
            seen.append("cleaned up")

        adapter = adapt(app)
        environ = environ_for(method="POST", body=b"x") | {"wsgi.input": stream}
        with ThreadPoolExecutor(1) as server:
            request = server.submit(call, adapter, environ)
            try:
                assert stream.reading.wait(60)
                adapter.close()
            finally:
                stream.go.set()
            if blocks:
                assert isinstance(request.exception(60), ClientDisconnected)
            else:
                assert request.result(60).status == "400 Bad Request"
        assert seen == ["http.disconnect", "cleaned up"]

    def test_after_the_response_there_is_only_disconnect(self, adapt: Any) -> None:
        messages: list[Message] = []
        done = threading.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(START)
            await send(last(b"x"))
            messages.extend([await receive(), await receive()])
            done.set()

        call(adapt(app), environ_for(method="POST", body=b"unread"))
        assert done.wait(30)
        assert messages == [{"type": "http.disconnect"}] * 2

    def test_a_receive_that_waits_ends_with_the_response(self, adapt: Any) -> None:
        messages: list[Message] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            async def listen() -> None:
                await receive()
                messages.append(await receive())

            async with asyncio.TaskGroup() as group:
                group.create_task(listen())
                await asyncio.sleep(0.001)
                await send(START)
                await send(last(b"x"))
            done.set()

        done = threading.Event()
        call(adapt(app), environ_for(method="POST", body=b"x"))
        assert done.wait(30)
        assert messages == [{"type": "http.disconnect"}]


class TestServerThatThrowsTheBodyAway:
    """cheroot: with the head it reads what the app has left of the body, unless it will close the connection."""

    @staticmethod
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await send(part(b"first "))
        body, messages = await read_body(receive)
        await send(last(f"{len(body)} {messages[-1]['type']}".encode()))

    def answer(self, adapter: AsgiToWsgi, body: bytes, **keys: Any) -> bytes:
        environ = environ_for(method="POST", body=body, ACTUAL_SERVER_PROTOCOL="HTTP/1.1", **keys)
        with started(adapter, environ) as (answer, chunks):
            for chunk in chunks:
                answer.chunks.append(chunk)
                environ["wsgi.input"].read(1_000_000)  # as it does with the head, before the first chunk
        return answer.body

    @pytest.mark.parametrize("size", [1, 65_536, 500_000])
    def test_the_app_has_it_all(self, adapt: Any, size: int) -> None:
        """And no file is left of it, which the fixture sees."""
        answer = self.answer(adapt(self.app), b"b" * size)
        assert answer == f"first {size} http.request".encode()

    def test_one_that_breaks_off_stays_broken_off(self, adapt: Any) -> None:
        with pytest.raises(ClientDisconnected):
            self.answer(adapt(self.app), b"b" * 100_000, CONTENT_LENGTH="100001")

    @pytest.mark.parametrize("room", [0, 100_000, 131_500])
    def test_a_disk_that_is_full(
        self, adapt: Any, room: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """507 (RFC 4918, section 11.5). With the most room what is left is in a buffer, which close() writes too."""

        class Disk(io.FileIO):
            def write(self, data: Any, /) -> int:
                if self.tell() + len(data) > room:
                    raise OSError(errno.ENOSPC, "no space is left")
                return super().write(data) or 0

        def file(**options: object) -> io.BufferedRandom:
            return io.BufferedRandom(Disk(os.memfd_create("disk"), "w+"))

        monkeypatch.setattr(tempfile, "TemporaryFile", file)
        environ = environ_for(
            method="POST", path="/up", body=b"b" * 132_000, ACTUAL_SERVER_PROTOCOL="HTTP/1.1"
        )
        answer = call(adapt(self.app), environ)
        assert answer.status == "507 Insufficient Storage"
        assert answer.body == b"The server has no room for the request body.\n"
        (record,) = caplog.records
        assert record.getMessage().startswith(
            "POST '/up': the request body can't be kept; its client gets 507: "
        )

    def test_what_is_not_read_is_let_go_of(self, adapt: Any) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(START)
            await send(part(b"first "))
            await asyncio.sleep(0)
            await send(last(b"second"))

        assert self.answer(adapt(app), b"b" * 500_000) == b"first second"

    @pytest.mark.parametrize(
        ("keys", "kept"),
        [
            ({"HTTP_CONNECTION": "close"}, False),
            ({"SERVER_PROTOCOL": "HTTP/1.0"}, False),
            ({"SERVER_PROTOCOL": "HTTP/1.0", "HTTP_CONNECTION": "Keep-Alive"}, True),
            ({}, True),
            ({"ACTUAL_SERVER_PROTOCOL": None}, False),
        ],
    )
    def test_it_is_read_ahead_only_where_it_would_be_lost(self, keys: dict[str, Any], kept: bool) -> None:
        environ = environ_for(method="POST", body=b"body") | {"ACTUAL_SERVER_PROTOCOL": "HTTP/1.1"}
        environ |= {key: value for key, value in keys.items() if value is not None}
        if keys.get("ACTUAL_SERVER_PROTOCOL", "") is None:
            del environ["ACTUAL_SERVER_PROTOCOL"]
        body = find_body(environ)
        body.keep()
        assert (environ["wsgi.input"].read() == b"") == kept
        assert body.read()["type"] == ("http.request" if kept else "http.disconnect")
        body.close()
