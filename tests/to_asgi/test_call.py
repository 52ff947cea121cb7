"""``WsgiToAsgi`` and what an app calls and returns, right and wrong: PEP 3333, "Specification Details"."""

import asyncio
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from bridge import ApplicationError
from bridge.types import Environ, StartResponse
from tests.support.asgi import HANG, Exchange, http_scope, request
from tests.support.served import Served, call, fail
from tests.support.servers import poll
from tests.support.validation import validated
from tests.support.wsgi_apps import Body, kinds, respond

pytestmark = pytest.mark.usefixtures("no_bridge_threads")


class AppError(Exception):
    pass


# start_response().


def test_a_body_without_start_response() -> None:
    def lists(environ: Environ, start_response: StartResponse) -> list[bytes]:
        return [b"body"]

    def generates(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        yield b"body"

    def nothing(environ: Environ, start_response: StartResponse) -> list[bytes]:
        return []

    def two(environ: Environ, start_response: StartResponse) -> list[bytes]:
        return [b"a" * 40_000, b"b" * 40_000]

    for app in (lists, generates, nothing, two):
        exchange, error = fail(app, ApplicationError)
        assert "start_response()" in str(error)
        assert "PEP 3333" in str(error)
        assert exchange.messages == []


def test_start_response_twice_without_exc_info() -> None:
    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [])
        start_response("500 Again", [])
        return [b""]

    exchange, error = fail(app, ApplicationError)
    assert "second time without exc_info" in str(error)
    assert exchange.messages == []


def test_start_response_with_exc_info_replaces_what_is_not_out() -> None:
    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Type", "text/html"), ("Content-Length", "1000")])
        yield b""
        try:
            raise AppError("mine")
        except AppError:
            start_response("500 Sorry", [("Content-Type", "text/plain")], sys.exc_info())  # type: ignore[arg-type]
        yield b"sorry"

    exchange = call(validated(app))
    assert exchange.status == 500
    assert exchange.headers == [(b"content-type", b"text/plain")]
    assert exchange.body == b"sorry"
    assert exchange.complete


def test_start_response_with_exc_info_as_the_first_call() -> None:
    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        try:
            raise AppError("mine")
        except AppError:
            start_response("500 Sorry", [("Content-Type", "text/plain")], sys.exc_info())  # type: ignore[arg-type]
        return [b"sorry"]

    assert call(validated(app)).status == 500


def test_start_response_with_exc_info_raises_it_once_the_head_is_out() -> None:
    error = AppError("mine")
    seen: list[BaseException] = []
    tracebacks: list[str] = []

    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield b"half"
        try:
            raise error
        except AppError:
            try:
                start_response("500 Sorry", [], sys.exc_info())  # type: ignore[arg-type]
            except AppError as again:
                seen.append(again)
                traceback = again.__traceback__
                while traceback is not None:
                    tracebacks.append(traceback.tb_frame.f_code.co_name)
                    traceback = traceback.tb_next
                raise

    exchange, raised = fail(app, AppError)
    assert raised is error
    assert seen == [error]
    assert tracebacks.count("app") >= 1
    assert exchange.status == 200
    assert not exchange.complete


def test_start_response_in_the_first_step_of_a_generator() -> None:
    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("202 Later", [("Content-Type", "text/plain")])
        yield b"a"
        yield b"b"

    exchange = call(validated(app))
    assert exchange.status == 202
    assert exchange.body == b"ab"


def test_an_empty_chunk_before_start_response() -> None:
    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        yield b""
        yield b""
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield b"late"

    exchange = call(app)
    assert exchange.body == b"late"
    assert exchange.complete


@pytest.mark.parametrize(
    ("status", "code"), [("200", 200), ("404 ", 404), ("299 A b c", 299), ("200 Tsch\xfcss", 200)]
)
def test_a_status_without_a_reason_and_others(status: str, code: int) -> None:
    exchange = call(respond([b"x"], status=status))
    assert exchange.status == code
    assert exchange.complete


@pytest.mark.parametrize(
    "status",
    [200, b"200 OK", None, "", "OK", "20 OK", "2000", "200-OK", "100 Continue", "200 a\nb", "٢٠٠ OK"],
)
def test_a_status_of_the_wrong_form(status: Any) -> None:
    exchange, error = fail(respond([b"x"], status=status), ApplicationError)
    assert repr(status) in str(error)
    assert exchange.messages == []


@pytest.mark.parametrize(
    "headers",
    [
        None,
        "Content-Type: x",
        {"Content-Type": "x"},
        [("X",)],
        [("X", "y", "z")],
        ["X: y"],
        [(b"X", "y")],
        [("X", b"y")],
        [("X", 1)],
        [("X", None)],
        [("X y", "z")],
        [("", "z")],
        [("X:", "z")],
        [("X\r\nY", "z")],
        [("X", "a\r\nSet-Cookie: evil=1")],
        [("X", "a\nb")],
        [("X", "a\rb")],
        [("X", "a\0b")],
        [("X", "\u20ac")],
        [("Content-Length", "-1")],
        [("Content-Length", "1.0")],
        [("Content-Length", "")],
        [("Content-Length", "1"), ("Content-Length", "2")],
    ],
    ids=repr,
)
def test_headers_of_the_wrong_type_or_form(headers: Any) -> None:
    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", headers)
        return [b"x"]

    exchange, error = fail(app, ApplicationError)
    assert exchange.messages == []
    assert "PEP 3333" in str(error) or "RFC 9110" in str(error) or "Content-Length" in str(error)


def test_latin_1_header_values() -> None:
    exchange = call(respond([b"x"], ("X-Name", "Jos\xe9\xff\xa0x"), ("X-Tab", "a\tb")))
    assert exchange.headers == [(b"x-name", b"Jos\xe9\xff\xa0x"), (b"x-tab", b"a\tb")]


def test_hop_by_hop_headers_are_not_passed_on() -> None:
    names: tuple[str, ...] = ("Connection", "Keep-Alive", "TE", "Trailers", "Transfer-Encoding", "Upgrade")
    names += ("Proxy-Authenticate", "Proxy-Authorization")
    exchange = call(respond([b"x"], *((name, "x") for name in names), ("X-Kept", "y")))
    assert exchange.headers == [(b"x-kept", b"y")]


# The body.


@pytest.mark.parametrize(
    "make",
    [
        list,
        tuple,
        lambda: iter(()),
        lambda: (chunk for chunk in [b"x"] if not chunk),
        lambda: [b""],
        lambda: [b"", b""],
    ],
    ids=["list", "tuple", "iterator", "generator", "empty item", "empty items"],
)
def test_an_empty_body(make: Callable[[], Iterable[bytes]]) -> None:
    exchange = call(respond(make(), ("X", "y")))
    assert kinds(exchange) == ["start", "body"]
    assert exchange.body == b""
    assert exchange.headers == [(b"x", b"y")]
    assert exchange.complete


@pytest.mark.parametrize("body", [b"ab", "ab", None, 5, pytest.param(object(), id="object")], ids=repr)
def test_a_body_that_is_no_iterable_of_bytes(body: Any) -> None:
    """``b"ab"`` is one: of the numbers 97 and 98."""
    exchange, error = fail(respond(body), ApplicationError)
    assert f"returned {type(body).__name__}" in str(error)
    assert "PEP 3333" in str(error)
    assert exchange.messages == []


@pytest.mark.parametrize(
    "chunk", ["text", 5, None, bytearray(b"x"), memoryview(b"x")], ids=lambda chunk: type(chunk).__name__
)
@pytest.mark.parametrize("kind", ["list", "later in the list", "iterator", "write"])
def test_a_chunk_that_is_not_bytes(chunk: Any, kind: str) -> None:
    def app(environ: Environ, start_response: StartResponse) -> Any:
        write = start_response("200 OK", [])
        if kind == "write":
            write(chunk)
        return {"list": [chunk], "later in the list": [b"x", chunk]}.get(kind, iter([chunk]))

    exchange, error = fail(app, ApplicationError)
    assert f"type {type(chunk).__name__}" in str(error)
    assert "PEP 3333" in str(error)
    assert exchange.messages == []


def test_a_subclass_of_bytes_is_bytes() -> None:
    class Mine(bytes):
        pass

    assert call(respond([Mine(b"a"), b"b"])).body == b"ab"
    assert call(respond(iter([Mine(b"a"), b"b"]))).body == b"ab"


def test_an_iterable_of_the_old_protocol() -> None:
    class Old:
        def __getitem__(self, index: int) -> bytes:
            return [b"a", b"b"][index]

    assert call(respond(Old())).body == b"ab"


@pytest.mark.parametrize("make", [list, iter, Body], ids=["list", "iterator", "closable"])
@pytest.mark.parametrize(
    ("method", "status", "length"),
    [("HEAD", "200 OK", b"4"), ("GET", "204 No Content", None), ("GET", "304 Not Modified", None)],
)
def test_responses_that_have_no_content(
    make: Callable[[Any], Any], method: str, status: str, length: bytes | None
) -> None:
    body = make([b"ab", b"cd"])
    exchange = call(respond(body, ("Content-Length", "4"), ("X", "y"), status=status), method=method)
    assert exchange.body == b""
    assert exchange.complete
    assert exchange.header(b"content-length") == length
    assert exchange.header(b"x") == b"y"
    if isinstance(body, Body):
        assert body.closed == 1


def test_a_stream_without_an_end_holds_no_head_request() -> None:
    ended = []

    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        try:
            while True:
                yield b"event"
        finally:
            ended.append(True)

    assert call(app, method="HEAD").complete
    assert ended == [True]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_nobody_has_left_whose_response_is_complete(method: str) -> None:
    """An empty write() asks whether the client has left. The loop is done with the request here, and it has not."""
    body = Body([])

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        write = start_response("200 OK", [("Content-Length", "4")])
        write(b"abcd")
        channel = environ["waitress.client_disconnected"].__self__
        poll(lambda: channel.aborted, HANG, lambda: "the loop goes on with the request")
        write(b"")
        write(b"")
        return body

    assert call(app, method=method).complete
    assert body.closed == 1


def test_a_head_request_may_write_and_end_short() -> None:
    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        write = start_response("200 OK", [("Content-Length", "4")])
        write(b"ab")
        return []

    exchange = call(app, method="HEAD")
    assert exchange.body == b""
    assert exchange.header(b"content-length") == b"4"
    assert exchange.complete
    assert call(respond([], ("Content-Length", "4")), method="HEAD").complete


@pytest.mark.parametrize("make", [list, iter, Body], ids=["list", "iterator", "closable"])
@pytest.mark.parametrize(
    "chunks", [[b"abcdef"], [b"ab", b"cdef"], [b"abcd", b"ef"], [b"ab", b"", b"cd", b"ef"]], ids=repr
)
def test_a_body_is_clamped_to_content_length(make: Callable[[Any], Any], chunks: list[bytes]) -> None:
    exchange = call(respond(make(chunks), ("Content-Length", "4")))
    assert exchange.body == b"abcd"
    assert exchange.complete


@pytest.mark.parametrize("last", [b"cd", b"cde"], ids=["exactly", "too much"])
def test_what_a_generator_does_behind_its_last_chunk_is_done(last: bytes) -> None:
    """Such as deleting the file that it has sent. Its client has the whole response meanwhile."""
    seen: list[str] = []

    async def main() -> None:
        arrived = threading.Event()

        def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
            start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "4")])
            yield b"ab"
            yield last
            assert arrived.wait(HANG), "the client waits for the app"
            yield b""
            seen.append("deleted")

        async with Served(app) as adapter:
            exchange = Exchange(adapter, http_scope(), [request()])
            async with exchange:
                await exchange.wait_until(lambda: exchange.complete)
                arrived.set()
            assert exchange.body == b"abcd"

    asyncio.run(main())
    assert seen == ["deleted"]


@pytest.mark.parametrize("make", [list, iter, Body], ids=["list", "iterator", "closable"])
@pytest.mark.parametrize("chunks", [[], [b""], [b"abc"], [b"ab", b"c"]], ids=repr)
def test_a_short_body_is_an_error(make: Callable[[Any], Any], chunks: list[bytes]) -> None:
    body = make(chunks)
    exchange, error = fail(respond(body, ("Content-Length", "4")), ApplicationError)
    assert f"{4 - len(b''.join(chunks))} bytes shorter" in str(error)
    assert "Content-Length of 4" in str(error)
    assert not exchange.messages or not exchange.complete
    if isinstance(body, Body):
        assert body.closed == 1


def test_a_content_length_of_zero() -> None:
    for body in ([], [b""], [b"x"], iter([b"x"])):
        exchange = call(respond(body, ("Content-Length", "0")))
        assert exchange.body == b""
        assert exchange.complete


def test_write_and_iteration_come_in_order() -> None:
    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        write = start_response("200 OK", [("Content-Type", "text/plain")])
        write(b"1")
        write(b"")
        write(b"2")

        def rest() -> Iterator[bytes]:
            yield b"3"
            write(b"4")
            yield b"5"

        return rest()

    exchange = call(app)
    assert exchange.body == b"12345"
    assert exchange.complete


def test_write_beyond_content_length_is_an_error() -> None:
    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        write = start_response("200 OK", [("Content-Length", "4")])
        write(b"abc")
        write(b"def")
        return []

    exchange, error = fail(app, ApplicationError)
    assert "write() got 3 bytes" in str(error)
    assert not exchange.complete


def test_write_up_to_content_length_is_whole() -> None:
    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        write = start_response("200 OK", [("Content-Length", "4")])
        write(b"ab")
        write(b"cd")
        return []

    exchange = call(app)
    assert exchange.body == b"abcd"
    assert exchange.complete


def test_the_validator_agrees_on_a_plain_request() -> None:
    exchange = call(
        validated(respond([b"a", b"b"], ("Content-Type", "text/plain"))), method="POST", body=b"posted"
    )
    assert exchange.body == b"ab"
