"""What the next app gets of the request's body, on the WSGI side, and where it is kept until then."""

import errno
import gc
import io
import sys
import types
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge import Dispatcher, Mount
from bridge.dispatch import fallback_wsgi as module
from bridge.types import Environ, Receive, Scope, Send, StartResponse, WSGIApp
from tests.dispatch.wsgi import TEXT, ask, late, over, replies, said
from tests.support.wsgi import call, environ_for
from tests.to_wsgi.apps import START, last, read_body

pytestmark = pytest.mark.usefixtures("no_bridge_threads")

READS: dict[str, Callable[[Any], object]] = {
    "nothing": lambda stream: None,
    "a part": lambda stream: stream.read(3),
    "a line": lambda stream: stream.readline(),
    "a part of a line": lambda stream: stream.readline(2),
    "all": lambda stream: stream.read(),
    "all lines": lambda stream: stream.readlines(),
    "some lines": lambda stream: stream.readlines(2),
    "by iteration": list,
    "one by one": lambda stream: [stream.read(1) for _ in range(2000)],
    "read1": lambda stream: stream.read1(),
    "into": lambda stream: stream.readinto(bytearray(5)),
    "as text": lambda stream: io.TextIOWrapper(stream, "latin-1").readline(),
}


def reads(how: str) -> WSGIApp:
    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        READS[how](environ["wsgi.input"])
        start_response("404 Not Found", TEXT)
        return [b"nothing here"]

    return app


class Strict(io.BytesIO):
    """A server's input that has nothing behind the body's end: to read there would wait for ever."""

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        assert size in {0, len(data)}, f"read({size}) beyond the body's end"
        return data

    def readline(self, size: int | None = -1) -> bytes:
        assert self.tell() < len(self.getvalue()), "readline() beyond the body's end"
        return super().readline(size)


@pytest.mark.parametrize("how", READS)
@pytest.mark.parametrize("body", [b"", b"ab\ncd\r\nef", b"line\n" * 40_000, b"x" * 1_000_000], ids=len)
def test_the_next_app_has_the_body_from_its_beginning(how: str, body: bytes) -> None:
    environ = environ_for("/new/x", "POST", body) | {"wsgi.input": Strict(body)}
    assert call(over(reads(how)), environ, validate=False).body == said("", "/new/x", body)
    gc.collect()


@settings(max_examples=100)
@given(
    st.lists(st.sampled_from([b"a", b"\n", b"bc"]), max_size=20).map(b"".join),
    st.lists(
        st.lists(st.tuples(st.sampled_from(["read", "readline", "readlines"]), st.integers(-1, 6))),
        max_size=4,
    ),
    st.booleans(),
)
def test_each_app_reads_what_io_bytesio_would_give(
    body: bytes, readings: list[list[tuple[str, int]]], has_length: bool
) -> None:
    """Any number of apps, each with any calls, with and without a Content-Length."""

    def reading(calls: list[tuple[str, int]], status: str) -> WSGIApp:
        def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
            expected = io.BytesIO(body)
            for method, size in calls:
                assert getattr(environ["wsgi.input"], method)(size) == getattr(expected, method)(size)
            assert environ["wsgi.input"].read() == expected.read()
            start_response(status, TEXT)
            return []

        return app

    readings = [*readings, []]
    mounts: dict[str, Any] = {
        "/" + "/".join("a" * (len(readings) - number)): Mount(reading(calls, "404 No"), fallback=True)
        for number, calls in enumerate(readings)
    }
    environ = environ_for("/" + "/".join("a" * len(readings)), "POST", body)
    if not has_length:
        del environ["CONTENT_LENGTH"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "IN_MEMORY", 5)
        app = Dispatcher({**mounts, "/": reading([("read", 2), ("readline", -1)], "200 OK")})
        assert call(app, environ, validate=False).status == "200 OK"


class Unsigned(io.BytesIO):
    """A server's input that knows no negative sizes, as granian's."""

    def read(self, *sizes: int | None) -> bytes:
        assert all(size is not None and size >= 0 for size in sizes)
        return super().read(*sizes)

    def readline(self, *sizes: int | None) -> bytes:
        assert all(size is not None and size >= 0 for size in sizes)
        return super().readline(*sizes)


def test_a_body_without_length_from_an_input_without_negative_sizes() -> None:
    for how in READS:
        environ = environ_for("/new/x", "POST") | {
            "wsgi.input": Unsigned(b"ab\ncd\nef"),
            "CONTENT_LENGTH": "",
        }
        app = over(reads(how), late("200 OK", b"nothing") if how == "nothing" else whole)
        assert call(app, environ, validate=False).body == (b"nothing" if how == "nothing" else b"ab\ncd\nef")


@pytest.mark.parametrize("how", READS)
def test_a_length_beside_chunks_says_nothing(how: str) -> None:
    """cheroot and granian pass on both (RFC 9112, 6.3)."""
    environ = environ_for("/new/x", "POST", b"ab\ncd\nef", HTTP_TRANSFER_ENCODING="chunked")
    environ |= {"CONTENT_LENGTH": "4", "wsgi.input_terminated": True}
    assert call(over(reads(how), whole), environ, validate=False).body == b"ab\ncd\nef"


async def asgi_whole(scope: Scope, receive: Receive, send: Send) -> None:
    assert scope["type"] == "http"
    body, messages = await read_body(receive)
    assert messages[-1]["type"] == "http.request"
    await send(START)
    await send(last(body))


def test_nor_does_it_to_an_asgi_app() -> None:
    environ = environ_for("/new/x", "POST", b"0123456789", HTTP_TRANSFER_ENCODING="chunked")
    environ |= {"CONTENT_LENGTH": "5", "wsgi.input_terminated": True}
    with over(reads("a part"), asgi_whole) as app:
        assert call(app, environ, validate=False).body == b"0123456789"


@pytest.mark.parametrize("how", READS)
@pytest.mark.parametrize("second", ["wsgi", "asgi"])
def test_a_body_that_uwsgi_has_elsewhere(how: str, second: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its module gives a chunk at a time. The integration tests ask the server itself."""
    chunks = [b"ab", b"\ncd\n", b"e", b"f" * 100_000]
    left = [*chunks]
    uwsgi = types.ModuleType("uwsgi")
    vars(uwsgi)["chunked_read"] = lambda: left.pop(0) if left else b""
    monkeypatch.setitem(sys.modules, "uwsgi", uwsgi)
    environ = environ_for("/new/x", "POST", HTTP_TRANSFER_ENCODING="chunked")
    environ |= {"CONTENT_LENGTH": "", "uwsgi.version": b"2.0.31"}
    with over(reads(how), whole if second == "wsgi" else asgi_whole) as app:
        assert call(app, environ, validate=False).body == b"".join(chunks)


def whole(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", TEXT)
    return [environ["wsgi.input"].read()]


def test_an_app_that_answers_reads_on_and_nothing_more_is_kept() -> None:
    def first(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        stream = environ["wsgi.input"]
        assert stream.read(2) == b"ab"
        start_response("200 OK", TEXT)
        yield b"begun"
        yield stream.read(100)
        assert stream._kept.size == 2

    assert ask(over(first), body=b"abcdef").body == b"beguncdef"


def test_a_content_length_that_is_none_is_the_apps_affair() -> None:
    environ = environ_for("/new/x", "POST", b"body", CONTENT_LENGTH="x")
    answer = call(over(reads("all"), replies("200 OK")), environ, validate=False)
    assert answer.status == "200 OK"


@pytest.mark.parametrize("begins", [b"", b"abc"])
@pytest.mark.parametrize("error", [OSError, ValueError])
def test_a_body_that_broke_off_is_whole_for_no_app(begins: bytes, error: type[Exception]) -> None:
    """gunicorn's chunks end as if all were well after the read that failed."""

    class BreaksOff(io.BytesIO):
        failed = False

        def read(self, size: int | None = -1) -> bytes:
            data = super().read(size)
            if data or self.failed:
                return data
            self.failed = True
            raise error("broken off")

    def first(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        with pytest.raises(error):
            list(iter(lambda: environ["wsgi.input"].read(2), b""))
        return replies("404 Not Found")(environ, start_response)

    def second(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        with pytest.raises(OSError, match="broke off"):
            environ["wsgi.input"].read()
        start_response("400 Bad Request", TEXT)
        return []

    environ = environ_for("/new/x", "POST", HTTP_TRANSFER_ENCODING="chunked")
    environ |= {"CONTENT_LENGTH": "", "wsgi.input_terminated": True, "wsgi.input": BreaksOff(begins)}
    assert call(over(first, second), environ, validate=False).status == "400 Bad Request"


class FullDisk(io.BytesIO):
    """A temporary file that has room for 100,000 bytes."""

    def write(self, data: Any, /) -> int:
        if self.tell() + len(data) > 100_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)


def test_a_full_disk_is_nothing_to_an_app_that_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.TemporaryFile", lambda *_, **__: FullDisk())
    body = b"x" * 500_000

    def first(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        parts = [environ["wsgi.input"].read(50_000) for _ in range(9)]
        start_response("200 OK", TEXT)
        return [*parts, environ["wsgi.input"].read()]

    answer = call(over(first), environ_for("/new/x", "POST", body), validate=False)
    assert (answer.status, answer.body) == ("200 OK", body)


def test_a_body_that_a_full_disk_does_not_keep_gets_507(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The next app gets no half of a body."""
    monkeypatch.setattr("tempfile.TemporaryFile", lambda *_, **__: FullDisk())

    def never(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        raise AssertionError("it was called")

    def in_parts(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        while environ["wsgi.input"].read(50_000):
            pass
        return replies("404 Not Found")(environ, start_response)

    for first in (reads("all"), reads("all lines"), in_parts):
        caplog.clear()
        answer = call(over(first, never), environ_for("/new/x", "POST", b"x\n" * 250_000), validate=False)
        assert answer.status == "507 Insufficient Storage"
        assert answer.body == b"the server has no room for the request body\n"
        (record,) = caplog.records
        assert record.getMessage().startswith(
            "POST '/new/x': the request body can't be kept for the next app"
        )
        assert "No space left" in record.getMessage()
    small = call(over(reads("all")), environ_for("/new/x", "POST", b"small"), validate=False)
    assert small.body == said("", "/new/x", b"small")
