"""What an app sends, and what the server gets of it."""

import asyncio
import contextvars
import io
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from wsgiref.util import FileWrapper

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from bridge import AsgiToWsgi
from bridge.errors import ApplicationError
from bridge.to_wsgi.loops.mode import LoopMode
from bridge.to_wsgi.shared_loop import SharedExchange
from bridge.types import ASGIApp, Receive, Scope, Send
from tests.support.wsgi import Answer, call, environ_for, started
from tests.to_wsgi.apps import START, hello, last, part, until


class TestResponse:
    def test_a_short_one(self, adapt: Any) -> None:
        answer = call(adapt(hello), environ_for())
        assert answer.status == "200 OK"
        assert answer.headers == [("content-type", "text/plain"), ("Content-Length", "5")]
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

    @pytest.mark.parametrize(
        ("method", "status", "headers", "said"),
        [
            ("GET", 200, [], ["4"]),
            ("GET", 205, [], ["4"]),
            ("GET", 200, [(b"content-length", b"4")], ["4"]),
            # Hop-by-hop: it is dropped, and the server frames the body as it likes.
            ("GET", 200, [(b"transfer-encoding", b"chunked")], ["4"]),
            # Only the app knows what GET would have.
            ("HEAD", 200, [], []),
            ("GET", 204, [], []),
            ("GET", 304, [], []),
        ],
    )
    def test_the_length_of_what_is_complete_is_said(
        self, adapt: Any, method: str, status: int, headers: Any, said: list[str]
    ) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send(part(b"bo"))
            await send(last(b"dy"))

        answer = call(adapt(app), environ_for(method=method), validate=False)
        assert [value for name, value in answer.headers if name.lower() == "content-length"] == said
        assert [name for name, _ in answer.headers if name.lower() == "transfer-encoding"] == []

    def test_the_length_of_a_stream_is_not_said(self, adapt: Any) -> None:
        begun = threading.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(START)
            await send(part(b"a"))
            await until(begun.is_set)
            await send(last(b"b"))

        with started(adapt(app), environ_for()) as (answer, body):
            begun.set()
            assert b"".join(body) == b"ab"
        assert answer.headers == [("content-type", "text/plain")]

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
        assert (answer.status, answer.headers, answer.chunks) == (
            "201 Created",
            [("Content-Length", "0")],
            [],
        )

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

    def test_one_that_comes_as_the_server_closes(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The server has the head, and is done with the response while the app hands its file over."""
        closing, sent = threading.Event(), threading.Event()
        files: list[Any] = []
        close_files = SharedExchange._close_files

        def closed_meanwhile(exchange: SharedExchange) -> None:
            close_files(exchange)
            closing.set()
            assert sent.wait(30)
            files.append(exchange._response.file)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(START)
            try:
                await asyncio.to_thread(closing.wait, 30)
                await send({"type": "http.response.pathsend", "path": str(path)})
            finally:
                sent.set()

        monkeypatch.setattr(SharedExchange, "_close_files", closed_meanwhile)
        with AsgiToWsgi(app, loop="shared") as adapter:
            body: Any = adapter(environ_for(SERVER_SOFTWARE="gunicorn"), Answer().start_response)
            body.close()
        assert files == [None]

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

    @staticmethod
    def promising(path: Path, length: int) -> ASGIApp:
        headers = [(b"content-type", b"text/plain"), (b"content-length", str(length).encode())]

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send({**START, "headers": headers})
            await send({"type": "http.response.pathsend", "path": str(path)})

        return app

    @pytest.mark.parametrize("wrapper", [{}, {"wsgi.file_wrapper": FileWrapper}], ids=["without", "wrapper"])
    def test_one_that_has_grown_is_sent_as_far_as_its_length(
        self, adapt: Any, path: Path, wrapper: dict[str, Any]
    ) -> None:
        """What is more would be read as the next response, where a server sends it: RFC 9112, 6.3."""
        answer = call(adapt(self.promising(path, 70_001)), environ_for() | wrapper)
        assert answer.body == path.read_bytes()[:70_001]

    @pytest.mark.parametrize("wrapper", [{}, {"wsgi.file_wrapper": FileWrapper}], ids=["without", "wrapper"])
    def test_one_that_is_too_short_is_an_error(self, adapt: Any, path: Path, wrapper: dict[str, Any]) -> None:
        with pytest.raises(ApplicationError, match="1 bytes shorter"):
            call(adapt(self.promising(path, 200_001)), environ_for() | wrapper)

    def test_one_that_shrinks_while_it_is_sent_is_an_error(self, adapt: Any, path: Path) -> None:
        with started(adapt(self.promising(path, 200_000)), environ_for()) as (answer, body):
            chunks = iter(body)
            answer.chunks.append(next(chunks))
            os.truncate(path, 65_546)
            assert len(next(chunks)) == 10
            with pytest.raises(ApplicationError, match="134454 bytes shorter"):
                next(chunks)

    def test_a_file_that_is_not_there(self, adapt: Any, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            call(adapt(self.app_for(str(tmp_path / "none"))), environ_for())

    def test_head_opens_no_file(self, adapt: Any, path: Path) -> None:
        assert call(adapt(self.app_for(str(path))), environ_for(method="HEAD")).chunks == []

    def test_starlettes_file_response(self, adapt: Any, path: Path) -> None:
        async def endpoint(request: Request) -> Response:
            return FileResponse(path)

        app = adapt(Starlette(routes=[Route("/", endpoint)]), sendfile=True)
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

    @pytest.mark.parametrize("links", [["s3cr3t"], [b"</a>", 5], "s3cr3t", None, 5])
    def test_links_are_bytes(self, adapt: Any, links: object) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.early_hint", "links": links})

        with pytest.raises(ApplicationError, match=r"links of type .*; ASGI wants byte strings"):
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
