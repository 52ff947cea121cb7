"""AsgiToWsgi, in both loop modes: what an application and a WSGI server see of each other."""

import asyncio
import contextvars
import io
import logging
import pickle
import re
import socket
import threading
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import cloudpickle
import psutil
import pytest
import uvloop
from asgiref.sync import sync_to_async
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from bridge._loops import SharedLoop
from bridge._types import ASGIApp, Message, Receive, Scope, Send
from bridge.errors import ApplicationError, ApplicationExit, ClientDisconnected, LifespanError
from bridge.to_wsgi import AsgiToWsgi, LoopMode
from tests.support.threads import wait_for_no_bridge_threads
from tests.support.wsgi import Answer, call, environ_for, started

START: dict[str, Any] = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/plain")],
}


def part(body: bytes, *, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": more}


def last(body: bytes = b"") -> Message:
    return part(body, more=False)


@pytest.fixture(params=["request", "shared"])
def mode(request: pytest.FixtureRequest) -> LoopMode:
    mode: LoopMode = request.param
    return mode


@pytest.fixture
def adapt(mode: LoopMode) -> Iterator[Callable[..., AsgiToWsgi]]:
    """Make adapters; at the end nothing that they started is left."""
    process = psutil.Process()
    adapters: list[AsgiToWsgi] = []
    # The first one of a process opens two descriptors for good.
    uvloop.new_event_loop().close()
    threads, descriptors = threading.enumerate(), process.num_fds()

    def make(app: ASGIApp, **options: Any) -> AsgiToWsgi:
        adapter = AsgiToWsgi(app, loop=options.pop("loop", mode), **{"lifespan": "off", **options})
        adapters.append(adapter)
        return adapter

    yield make
    for adapter in adapters:
        adapter.close()
    wait_for_no_bridge_threads()
    for thread in threading.enumerate():
        if thread not in threads:
            thread.join(30)  # anyio tells its threads to end, and does not wait
            assert not thread.is_alive()
    assert process.num_fds() == descriptors


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what another thread does, in a way that any loop can."""
    while not condition():  # noqa: ASYNC110 - nothing to be told by
        await asyncio.sleep(0.001)


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    await send(START)
    await send(last(b"Hello"))


class TestResponse:
    def test_a_short_one(self, adapt: Any) -> None:
        answer = call(adapt(hello), environ_for())
        assert answer.status == "200 OK"
        assert answer.headers == [("content-type", "text/plain")]
        assert answer.chunks == [b"Hello"]

    def test_a_body_of_one_chunk_has_a_length_for_the_server(self, adapt: Any) -> None:
        body = adapt(hello)(environ_for(), Answer().start_response)
        assert len(body) == 1
        getattr(body, "close", int)()

    def test_a_burst_is_a_chunk_and_is_delivered_before_a_wait(self, adapt: Any) -> None:
        goes_on = threading.Event()
        seen: list[bytes] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(START)
            await send(part(b"a"))
            await send(part(b"b"))
            await until(goes_on.is_set)
            await send(part(b"c"))
            await send(last(b"d"))

        with started(adapt(app), environ_for()) as (_, body):
            chunks = iter(body)
            seen.append(next(chunks))
            goes_on.set()
            seen += chunks
        assert seen == [b"ab", b"cd"]

    def test_the_head_is_due_with_the_first_body_message(self, adapt: Any) -> None:
        """Not before it, and inside the call: granian looks there."""
        answer = Answer()
        statuses: list[str] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(START)
            await asyncio.sleep(0.01)
            statuses.append(answer.status)
            await send(part(b""))
            await until(lambda: bool(answer.status))
            await send(last(b"x"))

        body = adapt(app)(environ_for(), answer.start_response)
        assert answer.status == "200 OK"
        assert statuses == [""]
        assert list(body) == [b"x"]
        body.close()

    @pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
    @pytest.mark.parametrize("streamed", [True, False])
    def test_no_body_where_there_is_none(self, adapt: Any, method: str, status: int, streamed: bool) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(START | {"status": status, "headers": []})
            if streamed:
                await send(part(b"a"))
                await asyncio.sleep(0.001)
            await send(last(b"body"))

        assert call(adapt(app), environ_for(method=method), validate=False).chunks == []

    def test_the_length_of_a_head_response_stays(self, adapt: Any) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(START | {"headers": [*START["headers"], (b"content-length", b"1000")]})
            await send(last())

        answer = call(adapt(app), environ_for(method="HEAD"))
        assert ("content-length", "1000") in answer.headers

    @pytest.mark.parametrize("kind", [bytearray, memoryview])
    def test_other_kinds_of_bytes(self, adapt: Any, kind: Any) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(START)
            buffer = bytearray(b"first")
            await send(part(kind(buffer)))
            buffer[:] = b"other"
            await send(last(kind(b"!")))

        assert call(adapt(app), environ_for()).body == b"first!"

    def test_what_may_be_left_out_of_messages(self, adapt: Any) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 201})
            await send({"type": "http.response.body"})

        answer = call(adapt(app), environ_for(), validate=False)
        assert (answer.status, answer.headers, answer.chunks) == ("201 Created", [], [])

    def test_trailers_are_taken_and_dropped(self, adapt: Any) -> None:
        trailer = {"type": "http.response.trailers", "headers": [(b"x", b"y")]}

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(START | {"trailers": True})
            await send(last(b"x"))
            await send(trailer | {"more_trailers": True})
            await send(trailer)

        assert call(adapt(app), environ_for()).body == b"x"

    def test_memory_is_bounded_by_what_the_server_has_taken(self, adapt: Any) -> None:
        sent = 0

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            nonlocal sent
            await send(START)
            for _ in range(1000):
                await send(part(b"x" * 1000))
                sent += 1000
            await send(last())

        taken = 0
        with started(adapt(app), environ_for()) as (_, body):
            for chunk in body:
                taken += len(chunk)
                assert sent <= taken + 2 * 65536 + 1000
        assert taken == 1_000_000


class TestFiles:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        path = tmp_path / "file"
        path.write_bytes(b"0123456789" * 20_000)
        return path

    @staticmethod
    def app_for(path: object, after: float = 0) -> ASGIApp:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(START)
            await send({"type": "http.response.pathsend", "path": path})
            if after:
                await asyncio.sleep(after)

        return app

    def test_the_servers_wrapper_gets_it(self, adapt: Any, path: Path) -> None:
        class Wrapper:
            def __init__(self, file: io.FileIO, size: int) -> None:
                self.file, self.size = file, size
                self.close = file.close

            def __iter__(self) -> Iterator[bytes]:
                return iter(lambda: self.file.read(self.size), b"")

        body = adapt(self.app_for(str(path)))(
            environ_for() | {"wsgi.file_wrapper": Wrapper}, Answer().start_response
        )
        assert isinstance(body, Wrapper)
        assert body.file.fileno() > 0
        assert b"".join(body) == path.read_bytes()
        body.close()
        assert body.file.closed

    @pytest.mark.parametrize("after", [0, 0.01])
    def test_without_one_and_with_work_after_it(self, adapt: Any, path: Path, after: float) -> None:
        answer = call(adapt(self.app_for(str(path), after)), environ_for())
        assert answer.body == path.read_bytes()

    def test_a_server_that_stops_early_closes_it(self, adapt: Any, path: Path) -> None:
        with started(adapt(self.app_for(str(path))), environ_for()) as (_, body):
            next(iter(body))

    @pytest.mark.parametrize("bad", [b"/bytes", None, "relative"])
    def test_what_is_no_path(self, adapt: Any, bad: object) -> None:
        with pytest.raises(ApplicationError, match="absolute path"):
            call(adapt(self.app_for(bad)), environ_for())

    def test_a_file_that_is_not_there(self, adapt: Any, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            call(adapt(self.app_for(str(tmp_path / "none"))), environ_for())

    def test_head_opens_no_file(self, adapt: Any, path: Path) -> None:
        assert call(adapt(self.app_for(str(path))), environ_for(method="HEAD")).chunks == []

    def test_starlettes_file_response(self, adapt: Any, path: Path) -> None:
        async def endpoint(request: Request) -> Response:
            assert "http.response.pathsend" in request.scope["extensions"]
            return FileResponse(path)

        app = adapt(Starlette(routes=[Route("/", endpoint)]))
        wrapped: list[object] = []

        def wrapper(file: io.FileIO, size: int) -> io.FileIO:
            wrapped.append(file)
            return file

        environ = environ_for() | {"wsgi.file_wrapper": wrapper}
        body = app(environ, Answer().start_response)
        assert body in wrapped
        body.close()
        ranged = call(app, environ_for(HTTP_RANGE="bytes=3-5") | {"wsgi.file_wrapper": wrapper})
        assert (ranged.status, ranged.body) == ("206 Partial Content", b"345")


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


async def read_body(receive: Receive) -> tuple[bytes, list[Message]]:
    messages: list[Message] = []
    while True:
        messages.append(await receive())
        if messages[-1]["type"] == "http.disconnect" or not messages[-1]["more_body"]:
            return b"".join(message.get("body", b"") for message in messages), messages


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

        with pytest.raises(ClientDisconnected):
            call(adapt(app), environ)
        assert results[0][1][-1] == results[1] == {"type": "http.disconnect"}

    def test_another_error_is_the_apps(self, adapt: Any) -> None:
        class Broken(io.BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                raise ValueError("bad trailer")

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            with pytest.raises(ValueError, match="bad trailer"):
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
            if callback.__name__ == "_feed":
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


class TestErrors:
    @staticmethod
    def raises(adapt: Any, app: ASGIApp, kind: type[BaseException], match: str = "") -> None:
        answer = Answer()
        with pytest.raises(kind, match=match):
            adapt(app)(environ_for(), answer.start_response)
        assert answer.status == ""

    def test_before_the_start(self, adapt: Any) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await asyncio.sleep(0)
            raise KeyError("mine")

        self.raises(adapt, app, KeyError, "mine")

    def test_in_the_first_burst(self, adapt: Any) -> None:
        """Nothing has left yet: the server can answer with an error."""

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(START)
            await send(part(b"half"))
            raise KeyError("mine")

        self.raises(adapt, app, KeyError, "mine")

    def test_in_the_middle_of_the_body(self, adapt: Any) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(START)
            await send(part(b"half"))
            await asyncio.sleep(0.001)
            raise KeyError("mine")

        with started(adapt(app), environ_for()) as (answer, body):
            chunks = iter(body)
            answer.chunks.append(next(chunks))
            with pytest.raises(KeyError, match="mine"):
                next(chunks)
            assert answer.exc_info is not None
            assert answer.exc_info[0] is KeyError

    def test_after_the_last_body_message_it_is_for_the_log(
        self, adapt: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(START)
            await send(last(b"whole"))
            raise KeyError("mine")

        adapter = adapt(app)
        assert call(adapter, environ_for()).body == b"whole"
        adapter.close()
        (record,) = (record for record in caplog.records if record.name == "bridge")
        assert "after its response was complete" in record.getMessage()
        assert record.exc_info
        assert record.exc_info[0] is KeyError

    def test_no_response(self, adapt: Any) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            pass

        self.raises(adapt, app, ApplicationError, r"without a response: no http\.response\.start")

    def test_only_a_start(self, adapt: Any) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(START)

        self.raises(adapt, app, ApplicationError, "more_body=False")

    def test_no_last_body_message(self, adapt: Any) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(START)
            await send(part(b"half"))
            await asyncio.sleep(0.001)

        with started(adapt(app), environ_for()) as (answer, body):
            chunks = iter(body)
            answer.chunks.append(next(chunks))
            with pytest.raises(ApplicationError, match="more_body=False"):
                next(chunks)

    @pytest.mark.parametrize(
        ("messages", "match"),
        [
            ([last(b"x")], r"body was sent before http\.response\.start"),
            ([START, START], "twice"),
            ([START, last(b"x"), START], "after the response was complete"),
            ([START, last(b"x"), last(b"y")], "after the response was complete"),
            ([START, part(b"x"), {"type": "http.response.pathsend", "path": "/x"}], "in place of the body"),
            ([{"type": "http.response.pathsend", "path": "/x"}], r"before http\.response\.start"),
            ([START, {"type": "http.response.trailers"}], "trailers"),
            ([START, {"type": "http.response.early_hint"}], r"after http\.response\.start"),
            ([{"type": "http.response.early_hint"}], "the server has none"),
            ([{"type": "http.response.push"}], "none of the ASGI specification's"),
            ([{"type": "websocket.accept"}], "none of the ASGI specification's"),
            ([{}], "a dictionary with a 'type'"),
            ([None], "a dictionary with a 'type'"),
            ([START, part("text")], "body has str as its body"),  # type: ignore[arg-type]
            ([START, {"type": "http.response.body", "body": None}], "NoneType"),
            ([{**START, "status": "200"}], "integer"),
            ([{**START, "headers": [("a", "b")]}], "byte strings"),
            ([{**START, "headers": [(b"a", b"b\r\nc: d")]}], "control character"),
            (
                [{**START, "headers": [(b"content-length", b"1")]}, part(b"ab")],
                "more than its Content-Length",
            ),
            ([{**START, "headers": [(b"content-length", b"3")]}, last(b"ab")], "after 2 of the 3 bytes"),
        ],
    )
    def test_each_rule_that_an_app_can_break(self, adapt: Any, messages: list[Any], match: str) -> None:
        caught: list[BaseException] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                for message in messages:
                    await send(message)
            except ApplicationError as error:
                caught.append(error)
                raise

        adapter = adapt(app)
        with suppress(ApplicationError):
            call(adapter, environ_for())
        adapter.close()
        (error,) = caught
        assert re.search(match, str(error)), str(error)

    def test_an_app_that_cancels_itself(self, adapt: Any) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(1)

        self.raises(adapt, app, ApplicationError, "cancelled")

    def test_stop_iteration(self, adapt: Any) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            raise StopIteration

        self.raises(adapt, app, RuntimeError, "StopIteration")

    def test_a_server_that_refuses_the_head(self, adapt: Any) -> None:
        ended = threading.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await send(START)
                await send(part(b"x"))
                await asyncio.sleep(100)
            finally:
                ended.set()

        def start_response(*args: object) -> Any:
            raise ValueError("bad header")

        with pytest.raises(ValueError, match="bad header"):
            adapt(app)(environ_for(), start_response)
        assert ended.wait(30)


class TestEarlyClose:
    def test_the_app_is_cancelled_and_its_finally_runs(self, adapt: Any) -> None:
        events: list[str] = []
        ended = threading.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(START)
            try:
                while True:
                    await send(part(b"x"))
                    await asyncio.sleep(0.001)
            except asyncio.CancelledError:
                events.append("cancelled")
                raise
            finally:
                await asyncio.sleep(0)
                events.append("finally")
                ended.set()

        with started(adapt(app), environ_for()) as (_, body):
            next(iter(body))
        assert ended.wait(30)
        assert events[-2:] == ["cancelled", "finally"]

    def test_who_listens_gets_disconnect_first_and_time(self, adapt: Any) -> None:
        events: list[str] = []
        ended = threading.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()

            async def listen() -> None:
                events.append((await receive())["type"])
                await asyncio.sleep(0.01)
                with pytest.raises(OSError, match="client left"):
                    await send(part(b"late"))
                ended.set()

            async with asyncio.TaskGroup() as group:
                group.create_task(listen())
                await asyncio.sleep(0)
                await send(START)
                await send(part(b"x"))

        with started(adapt(app), environ_for()) as (_, body):
            next(iter(body))
        assert ended.wait(30)
        assert events == ["http.disconnect"]

    def test_who_waits_in_send_is_told(self, adapt: Any) -> None:
        ended = threading.Event()
        errors: list[BaseException] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(START)
            try:
                while True:
                    await send(part(b"x" * 100_000))
            except BaseException as error:
                errors.append(error)
                raise
            finally:
                ended.set()

        with started(adapt(app), environ_for()) as (_, body):
            next(iter(body))
        assert ended.wait(30)
        assert isinstance(errors[0], (OSError, asyncio.CancelledError))

    def test_a_body_that_is_never_iterated(self, adapt: Any) -> None:
        ended = threading.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await send(START)
                await send(part(b"x"))
                await asyncio.sleep(100)
            finally:
                ended.set()

        body = adapt(app)(environ_for(), Answer().start_response)
        body.close()
        body.close()
        assert ended.wait(30)

    @pytest.mark.parametrize("key", ["waitress.client_disconnected", "gunicorn.socket"])
    @pytest.mark.parametrize("waits", ["stream", "poll"])
    def test_a_client_that_leaves_is_noticed_where_the_server_shows_it(
        self, adapt: Any, key: str, waits: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for module in ("_request_loop", "_shared_loop"):
            monkeypatch.setattr(f"bridge.{module}.PROBE_INTERVAL", 0.01)
        ours, theirs = socket.socketpair()
        probe: Any = (lambda: theirs.fileno() < 0) if key.startswith("waitress") else ours
        ended = threading.Event()
        events: list[str] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                if waits == "poll":
                    theirs.close()
                    while (await receive())["type"] != "http.disconnect":
                        pass
                    events.append("disconnect")
                    return
                await send(START)
                await send(part(b"x"))
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                events.append("cancelled")
                raise
            finally:
                ended.set()

        adapter, environ = adapt(app), environ_for() | {key: probe}

        def take_two_chunks() -> None:
            with started(adapter, environ) as (_, body):
                chunks = iter(body)
                next(chunks)
                theirs.close()
                next(chunks)

        with pytest.raises(ClientDisconnected):
            take_two_chunks()
        ours.close()
        assert ended.wait(30)
        assert events == ["disconnect" if waits == "poll" else "cancelled"]


class TestAfterTheResponse:
    def test_work_comes_after_the_last_byte_even_if_it_never_waits(self, adapt: Any) -> None:
        has_body = threading.Event()
        in_time: list[bool] = []
        done = threading.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(START)
            await send(last(b"x"))
            in_time.append(has_body.wait(30))
            done.set()

        with started(adapt(app), environ_for()) as (_, body):
            assert b"".join(body) == b"x"
            has_body.set()
        assert done.wait(30)
        assert in_time == [True]

    def test_background_tasks(self, adapt: Any) -> None:
        order: list[str] = []
        done = threading.Event()

        def work() -> None:
            order.append("background")
            done.set()

        async def endpoint(request: Request) -> Response:
            return PlainTextResponse("x", background=BackgroundTask(work))

        app = adapt(Starlette(routes=[Route("/", endpoint)]))
        with started(app, environ_for()) as (_, body):
            assert list(body) == [b"x"]
            order.append("body")
        assert done.wait(30)
        assert sorted(order) == ["background", "body"]


class TestFrameworks:
    def test_starlette_whole(self, adapt: Any) -> None:
        class Stamp(BaseHTTPMiddleware):
            async def dispatch(self, request: Request, call_next: Any) -> Response:
                response: Response = await call_next(request)
                response.headers["x-stamp"] = "1"
                return response

        def in_thread(request: Request) -> Response:
            return JSONResponse({"thread": threading.current_thread() is not threading.main_thread()})

        async def upload(request: Request) -> Response:
            return PlainTextResponse(str(len(await request.body())))

        async def stream(request: Request) -> Response:
            async def chunks() -> AsyncIterator[bytes]:
                for number in range(3):
                    yield b"%d" % number
                    await asyncio.sleep(0.001)

            return StreamingResponse(chunks(), media_type="text/plain")

        def sync_stream(request: Request) -> Response:
            return StreamingResponse(iter([b"a", b"b"]), media_type="text/plain")

        async def watch(request: Request) -> Response:
            return PlainTextResponse(str(await request.is_disconnected()))

        routes = [
            Route("/thread", in_thread),
            Route("/upload", upload, methods=["POST"]),
            Route("/stream", stream),
            Route("/sync-stream", sync_stream),
            Route("/watch", watch, methods=["POST"]),
        ]
        for middleware in ([], [Middleware(Stamp)]):
            app = adapt(Starlette(routes=routes, middleware=middleware))
            for _ in range(2):
                assert call(app, environ_for("/thread")).body == b'{"thread":true}'
                assert call(app, environ_for("/upload", "POST", b"x" * 100_000)).body == b"100000"
                assert call(app, environ_for("/stream")).body == b"012"
                assert call(app, environ_for("/sync-stream")).body == b"ab"
                assert call(app, environ_for("/watch", "POST", b"body")).body == b"False"
                answer = call(app, environ_for("/none"))
                assert answer.status == "404 Not Found"
                assert dict(answer.headers).get("x-stamp") == ("1" if middleware else None)

    def test_thread_sensitive_code_waits_for_no_other_request(self, adapt: Any) -> None:
        together = threading.Barrier(3, timeout=60)
        threads: list[list[int]] = []

        def view() -> int:
            return threading.get_ident()

        def meet() -> None:
            together.wait()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            first = await sync_to_async(view)()
            await sync_to_async(meet)()
            threads.append([first, await sync_to_async(view)()])
            await send(START)
            await send(last(b"x"))

        adapter = adapt(app)
        callers = [threading.Thread(target=call, args=(adapter, environ_for())) for _ in range(3)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        assert all(first == second for first, second in threads)
        assert len({first for first, _ in threads}) == 3

    def test_a_background_thread_of_asyncio_is_ended(self, adapt: Any) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await asyncio.to_thread(int)
            await send(START)
            await send(last(b"x"))

        call(adapt(app), environ_for())


class TestShutdown:
    """On the shared loop an app may go on after its request; the end of the loop waits for it."""

    def test_work_after_the_response_is_waited_for_and_comes_before_the_shutdown(self) -> None:
        events: list[str] = []
        go_on = threading.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "lifespan":
                await receive()
                await send({"type": "lifespan.startup.complete"})
                events.append((await receive())["type"])
                await send({"type": "lifespan.shutdown.complete"})
            else:
                await hello(scope, receive, send)
                await until(go_on.is_set)
                events.append("work")

        adapter = AsgiToWsgi(app, loop="shared")
        call(adapter, environ_for())
        closing = threading.Thread(target=adapter.close)
        closing.start()
        go_on.set()
        closing.join()
        assert events == ["work", "lifespan.shutdown"]
        wait_for_no_bridge_threads()

    def test_not_from_the_loop_itself(self) -> None:
        errors: list[str] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            with pytest.raises(RuntimeError, match="its own loop") as caught:
                adapter.close()
            errors.append(str(caught.value))
            await hello(scope, receive, send)

        with AsgiToWsgi(app, loop="shared", lifespan="off") as adapter:
            call(adapter, environ_for())
        assert len(errors) == 1

    def test_but_not_for_ever(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("bridge._shared_loop.LINGER", 0.01)
        ended: list[str] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await hello(scope, receive, send)
            try:
                await asyncio.sleep(100)
            finally:
                ended.append("ended")

        with AsgiToWsgi(app, loop="shared", lifespan="off") as adapter:
            call(adapter, environ_for())
        assert ended == ["ended"]

    def test_requests_that_are_under_way_are_told(self) -> None:
        events: list[object] = []
        waiting = threading.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            waiting.set()
            events.append(await receive())

        def serve() -> None:
            try:
                call(adapter, environ_for())
            except ClientDisconnected as error:
                events.append(type(error))

        adapter = AsgiToWsgi(app, loop="shared", lifespan="off")
        thread = threading.Thread(target=serve)
        thread.start()
        assert waiting.wait(60)
        adapter.close()
        thread.join()
        assert events == [{"type": "http.disconnect"}, ClientDisconnected]


class TestEarlyHints:
    def test_they_come_before_the_response(self, adapt: Any) -> None:
        order: list[object] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload"]})
            await send(START)
            await send(last(b"x"))

        answer = Answer()

        def start_response(*args: Any) -> Any:
            order.append("start")
            return answer.start_response(*args)

        body = adapt(app)(environ_for() | {"wsgi.early_hints": order.append}, start_response)
        assert b"".join(body) == b"x"
        getattr(body, "close", int)()
        assert order == [[("Link", "</a.css>; rel=preload")], "start"]

    def test_links_are_bytes(self, adapt: Any) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.early_hint", "links": ["text"]})

        with pytest.raises(ApplicationError, match="byte strings"):
            call(adapt(app), environ_for() | {"wsgi.early_hints": print})


def test_a_websocket_handshake_is_refused(adapt: Any, caplog: pytest.LogCaptureFixture) -> None:
    answer = call(adapt(hello), environ_for(HTTP_UPGRADE="WebSocket", HTTP_CONNECTION="Upgrade"))
    assert answer.status == "501 Not Implemented"
    assert b"WSGI, which has no WebSocket" in answer.body
    assert "ASGI server" in caplog.text


def test_any_other_upgrade_is_not(adapt: Any) -> None:
    assert call(adapt(hello), environ_for(HTTP_UPGRADE="h2c")).body == b"Hello"


def test_context_of_the_server_is_seen_and_not_changed(mode: LoopMode, adapt: Any) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="")
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(variable.get())
        variable.set("app")
        await hello(scope, receive, send)

    variable.set("server")
    call(adapt(app), environ_for())
    assert variable.get() == "server"
    assert seen == ["server"]


class TestLifespan:
    @staticmethod
    def app_with(events: list[str]) -> ASGIApp:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "lifespan":
                while True:
                    kind = (await receive())["type"]
                    events.append(kind)
                    scope["state"]["since"] = len(events)
                    await send({"type": f"{kind}.complete"})
                    if kind == "lifespan.shutdown":
                        return
            else:
                events.append(str(scope["state"]))
                scope["state"]["request"] = True
                await hello(scope, receive, send)

        return app

    def test_once_before_the_first_request_and_at_close(self, adapt: Any) -> None:
        events: list[str] = []
        with adapt(self.app_with(events), lifespan="on") as adapter:
            assert events == []
            call(adapter, environ_for())
            call(adapter, environ_for())
        assert events == ["lifespan.startup", "{'since': 1}", "{'since': 1}", "lifespan.shutdown"]
        adapter.close()
        call(adapter, environ_for())
        assert events[4:] == ["lifespan.startup", "{'since': 5}"]

    def test_the_first_request_wins_and_the_others_wait(self, adapt: Any) -> None:
        starting, go_on = threading.Event(), threading.Event()
        events: list[str] = []
        inner = self.app_with(events)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "lifespan":
                starting.set()
                assert go_on.wait(60)
            await inner(scope, receive, send)

        adapter = adapt(app, lifespan="auto")
        callers = [threading.Thread(target=call, args=(adapter, environ_for())) for _ in range(4)]
        for caller in callers:
            caller.start()
        assert starting.wait(60)
        assert events == []
        go_on.set()
        for caller in callers:
            caller.join()
        assert events == ["lifespan.startup"] + ["{'since': 1}"] * 4

    def test_one_that_fails_is_an_error_for_who_waited_and_is_tried_again(self, adapt: Any) -> None:
        attempts: list[int] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "lifespan":
                attempts.append(1)
                await receive()
                if len(attempts) == 1:
                    await send({"type": "lifespan.startup.failed"})
                    return
                await send({"type": "lifespan.startup.complete"})
                await receive()
            else:
                await hello(scope, receive, send)

        adapter = adapt(app, lifespan="auto")
        with pytest.raises(LifespanError):
            call(adapter, environ_for())
        assert call(adapter, environ_for()).body == b"Hello"
        assert len(attempts) == 2

    def test_auto_and_an_app_without(self, adapt: Any) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            assert scope["type"] == "http"
            await hello(scope, receive, send)

        assert call(adapt(app, lifespan="auto"), environ_for()).body == b"Hello"
        with pytest.raises(LifespanError):
            call(adapt(app, lifespan="on"), environ_for())


class TestRequestMode:
    """What holds for a loop of the request's own alone."""

    @pytest.fixture(params=["request"])
    def mode(self, request: pytest.FixtureRequest) -> LoopMode:
        mode: LoopMode = request.param
        return mode

    def test_it_runs_in_the_callers_thread_and_keeps_a_clean_loop(self, adapt: Any) -> None:
        seen: list[Any] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            seen.append((threading.current_thread(), asyncio.get_running_loop()))
            await hello(scope, receive, send)

        adapter = adapt(app)
        call(adapter, environ_for())
        call(adapter, environ_for())
        assert seen == [seen[0]] * 2
        assert seen[0][0] is threading.current_thread()

    def test_tasks_that_are_left_over_are_cancelled_and_the_loop_is_closed(self, adapt: Any) -> None:
        loops: list[asyncio.AbstractEventLoop] = []
        ended: list[str] = []

        async def child() -> None:
            try:
                await asyncio.sleep(100)
            finally:
                ended.append("child")

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            loops.append(asyncio.get_running_loop())
            task = asyncio.create_task(child())
            await asyncio.sleep(0)
            await hello(scope, receive, send)
            assert not task.done()

        adapter = adapt(app)
        call(adapter, environ_for())
        assert ended == ["child"]
        assert loops[0].is_closed()

    @pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
    @pytest.mark.parametrize("where", ["before", "middle", "after"])
    def test_what_ends_a_process_passes_through_and_leaves_no_loop(
        self, adapt: Any, kind: type[BaseException], where: str
    ) -> None:
        loops: list[asyncio.AbstractEventLoop] = []
        ended: list[str] = []

        async def child() -> None:
            try:
                await asyncio.sleep(100)
            finally:
                ended.append("child")

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            loops.append(asyncio.get_running_loop())
            task = asyncio.create_task(child())
            await asyncio.sleep(0)
            if where == "before":
                raise kind
            await send(START)
            await send(part(b"x", more=where == "middle"))
            await asyncio.sleep(0.001)
            assert not task.done()
            raise kind

        with pytest.raises(kind):
            call(adapt(app), environ_for())
        assert loops[0].is_closed()
        assert ended == ["child"]

    def test_an_interrupt_in_a_read_passes_through(self, adapt: Any) -> None:
        class Interrupted(io.BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                raise SystemExit(1)

        loops: list[asyncio.AbstractEventLoop] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            loops.append(asyncio.get_running_loop())
            await receive()

        with pytest.raises(SystemExit):
            call(adapt(app), environ_for(method="POST", body=b"x") | {"wsgi.input": Interrupted()})
        assert loops[0].is_closed()

    def test_a_thread_whose_loop_is_running_is_told(self, adapt: Any) -> None:
        adapter = adapt(hello)

        async def wrong() -> None:
            with pytest.raises(RuntimeError, match="call it in another thread"):
                adapter(environ_for(), Answer().start_response)

        asyncio.run(wrong())

    @pytest.mark.parametrize("from_handler", [True, False])
    def test_a_hint_for_what_belongs_to_another_loop(
        self, adapt: Any, from_handler: bool, caplog: pytest.LogCaptureFixture
    ) -> None:
        other = asyncio.new_event_loop()
        future = other.create_future()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await future
            except RuntimeError as error:
                if from_handler:
                    raise ExceptionGroup("group", [ValueError("view")]) from error
                raise

        adapter = adapt(app)
        for _ in range(2):
            with pytest.raises(ExceptionGroup if from_handler else RuntimeError):
                call(adapter, environ_for())
        other.close()
        hints = [record.getMessage() for record in caplog.records if "loop='shared'" in record.getMessage()]
        assert len(hints) == 1

    def test_closing_the_adapter_ends_requests_that_wait(self, adapt: Any) -> None:
        waiting = threading.Event()
        results: list[object] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            waiting.set()
            results.append(await receive())

        def serve() -> None:
            try:
                call(adapter, environ_for())
            except ClientDisconnected as error:
                results.append(type(error))

        adapter = adapt(app)
        thread = threading.Thread(target=serve)
        thread.start()
        assert waiting.wait(60)
        adapter.close()
        thread.join()
        assert results == [{"type": "http.disconnect"}, ClientDisconnected]

    def test_uvloop(self, adapt: Any) -> None:
        seen: list[object] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            seen.append(asyncio.get_running_loop())
            body, _ = await read_body(receive)
            await send(START)
            await send(part(body))
            await asyncio.sleep(0.001)
            await send(last(b"!"))

        adapter = adapt(app, loop_factory=uvloop.new_event_loop)
        for _ in range(2):
            assert call(adapter, environ_for(method="POST", body=b"abc")).body == b"abc!"
        assert isinstance(seen[0], uvloop.Loop)
        assert seen[0] is seen[1]

    def test_debug_mode_has_nothing_to_say(
        self, adapt: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A read or a write that blocks is not a callback that takes long: it happens outside the loop."""
        monkeypatch.setenv("PYTHONASYNCIODEBUG", "1")

        class Slow(io.BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                threading.Event().wait(0.15)
                return super().read(size)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            body, _ = await read_body(receive)
            await send(START)
            await send(part(body))
            await asyncio.sleep(0)
            await send(last(b"!"))

        environ = environ_for(method="POST", body=b"abc") | {"wsgi.input": Slow(b"abc")}
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert call(adapt(app, loop_factory=debug_loop), environ).body == b"abc!"
        assert [record for record in caplog.records if record.name in {"asyncio", "bridge"}] == []


def debug_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    loop.set_debug(True)
    return loop


def hello_factory() -> ASGIApp:
    return hello


class TestAdapter:
    @pytest.mark.parametrize(
        ("options", "error"),
        [
            ({"loop": "other"}, ValueError),
            ({"lifespan": "yes"}, ValueError),
            ({"loop_factory": 5}, TypeError),
        ],
    )
    def test_bad_parameters(self, options: dict[str, Any], error: type[Exception]) -> None:
        with pytest.raises(error, match=next(iter(options))):
            AsgiToWsgi(hello, **options)

    def test_what_is_no_application(self) -> None:
        with pytest.raises(TypeError, match="ASGI application"):
            AsgiToWsgi("module:app")  # type: ignore[arg-type]

    @pytest.mark.parametrize("pickler", [pickle, cloudpickle])
    def test_it_pickles_even_after_use(self, adapt: Any, pickler: Any) -> None:
        adapter = adapt(hello)
        call(adapter, environ_for())
        with pickle.loads(pickler.dumps(adapter)) as copy:
            assert call(copy, environ_for()).body == b"Hello"
        assert "AsgiToWsgi" in repr(adapter)

    def test_ten_thousand_requests_leave_nothing(self, adapt: Any, mode: LoopMode, caplog: Any) -> None:
        """With early closes, errors and left-over tasks."""
        caplog.set_level(logging.CRITICAL)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            path = scope["path"]
            if path == "/task":
                app.task = asyncio.create_task(asyncio.sleep(100))  # type: ignore[attr-defined]
            if path == "/error":
                raise KeyError
            await send(START)
            if path == "/close":
                await send(part(b"x"))
                await asyncio.sleep(0)
                await send(part(b"x" * 70_000))
            await send(last(b"x"))
            if path == "/late":
                raise KeyError

        adapter = adapt(app)
        process = psutil.Process()
        call(adapter, environ_for("/hello"))
        threads, descriptors = threading.active_count(), process.num_fds()
        for number in range(10_000 if mode == "request" else 2_000):
            path = ("/hello", "/close", "/error", "/late", "/hello", "/task" if number % 100 == 5 else "/")[
                number % 6
            ]
            try:
                body = adapter(environ_for(path), Answer().start_response)
            except KeyError:
                continue
            if path == "/close":
                next(iter(body))
            getattr(body, "close", int)()
        assert threading.active_count() == threads
        assert process.num_fds() <= descriptors

    def test_shared_and_exits(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            raise SystemExit(3)

        with AsgiToWsgi(app, loop="shared", lifespan="off") as adapter:
            for _ in range(2):
                with pytest.raises(ApplicationExit, match="SystemExit"):
                    call(adapter, environ_for())
        wait_for_no_bridge_threads()
