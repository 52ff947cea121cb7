"""``WsgiToAsgi`` and what servers offer beyond the plain response: files and early hints."""

import asyncio
import gzip
import io
import tempfile
from pathlib import Path
from typing import Any

import pytest

from bridge import ApplicationError
from bridge.types import Environ, Message, StartResponse, WSGIApp
from tests.support.served import Served, call, fail
from tests.support.threads import wait_for_no_bridge_threads
from tests.support.wsgi_apps import TEXT, get

pytestmark = pytest.mark.usefixtures("no_bridge_threads")

SENDFILE: dict[str, Any] = {"sendfile": True}

# Files and early hints.


def file_app(
    path: Path, offset: int = 0, headers: list[tuple[str, str]] | None = None
) -> tuple[WSGIApp, list[Any]]:
    files: list[Any] = []

    def app(environ: Environ, start_response: StartResponse) -> Any:
        file = path.open("rb")
        file.seek(offset)
        files.append(file)
        start_response("200 OK", [*TEXT, *(headers or [])])
        return environ["wsgi.file_wrapper"](file, 1024)

    return app, files


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file.bin"
    path.write_bytes(bytes(range(256)) * 2000)
    return path


@pytest.mark.parametrize("offset", [0, 1000])
def test_a_file_in_large_chunks(path: Path, offset: int) -> None:
    app, files = file_app(path, offset)
    exchange = call(app)
    assert exchange.body == path.read_bytes()[offset:]
    assert exchange.complete
    assert len(exchange.chunks) <= 4
    assert files[0].closed


def test_a_file_like_object_goes_in_its_own_blocks() -> None:
    class FileLike:
        closed = False
        sizes: list[int]

        def __init__(self) -> None:
            self._data = io.BytesIO(b"x" * 2500)
            self.sizes = []

        def read(self, size: int) -> bytes:
            self.sizes.append(size)
            return self._data.read(size)

        def close(self) -> None:
            self.closed = True

    file = FileLike()

    def app(environ: Environ, start_response: StartResponse) -> Any:
        start_response("200 OK", TEXT)
        return environ["wsgi.file_wrapper"](file, 1000)

    extensions: dict[str, Any] = {"http.response.zerocopysend": {}, "http.response.pathsend": {}}
    exchange = call(app, options=SENDFILE, extensions=extensions)
    assert exchange.body == b"x" * 2500
    assert file.sizes == [1000] * 4
    assert file.closed
    without_close = io.BytesIO(b"y")
    assert (
        call(
            lambda environ, start: (start("200 OK", []), environ["wsgi.file_wrapper"](without_close))[1]
        ).body
        == b"y"
    )


@pytest.mark.parametrize("offset", [0, 1000])
@pytest.mark.parametrize("length", [None, 500])
def test_a_file_by_zerocopysend(path: Path, offset: int, length: int | None) -> None:
    app, files = file_app(path, offset, [("Content-Length", str(length))] if length else None)
    expected = path.read_bytes()[offset:][:length]
    open_in_send: list[bool] = []
    sent = bytearray()

    async def main() -> None:
        async with Served(app, **SENDFILE) as adapter:
            exchange = get(adapter, extensions={"http.response.zerocopysend": {}})

            async def send(message: Message) -> None:
                await exchange.send(message)
                if message["type"] == "http.response.zerocopysend":
                    open_in_send.append(not message["file"].closed)
                    message["file"].seek(message["offset"])
                    sent.extend(message["file"].read(message["count"]))

            await adapter(exchange.scope, exchange.receive, send)
            kinds = [message["type"] for message in exchange.messages]
            assert kinds[:2] == ["http.response.start", "http.response.zerocopysend"]
            assert not exchange.messages[-1].get("more_body", False)
            assert exchange.body == b""
            assert exchange.header(b"content-length") == str(len(expected)).encode()
            assert bytes(sent) == expected

    asyncio.run(main())
    assert open_in_send == [True]
    assert files[0].closed


def test_a_file_by_pathsend(path: Path) -> None:
    app, files = file_app(path)

    async def main() -> None:
        async with Served(app, **SENDFILE) as adapter:
            async with get(adapter, extensions={"http.response.pathsend": {}}) as exchange:
                await exchange.wait_for("http.response.pathsend")
                assert not files[0].closed  # the server has not opened it yet
                exchange.disconnect()
            assert [message["type"] for message in exchange.messages] == [
                "http.response.start",
                "http.response.pathsend",
            ]
            assert exchange.messages[1]["path"] == str(path)
            assert exchange.header(b"content-length") == b"512000"

    asyncio.run(main())
    wait_for_no_bridge_threads()
    assert files[0].closed


def test_a_path_that_no_server_gets_holds_nobody(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A middleware around the adapter that doesn't know the message drops it, and there is no end to wait for."""
    monkeypatch.setattr("bridge.to_asgi.watch.SAYS", 0.05)
    app, files = file_app(path)

    async def main() -> None:
        async with Served(app, **SENDFILE) as adapter:
            exchange = await get(adapter, extensions={"http.response.pathsend": {}}).run()
            assert [message["type"] for message in exchange.messages] == [
                "http.response.start",
                "http.response.pathsend",
            ]

    asyncio.run(main())
    wait_for_no_bridge_threads()
    assert files[0].closed


@pytest.mark.parametrize("extension", ["http.response.pathsend", "http.response.zerocopysend"])
def test_by_default_a_file_goes_in_chunks_whatever_the_server_offers(path: Path, extension: str) -> None:
    app, _ = file_app(path)
    exchange = call(app, extensions={extension: {}})
    assert {message["type"] for message in exchange.messages} == {"http.response.start", "http.response.body"}
    assert exchange.body == path.read_bytes()


def test_only_a_whole_file_that_is_still_there_goes_by_its_path(path: Path) -> None:
    extensions: dict[str, Any] = {"http.response.pathsend": {}}
    data = path.read_bytes()
    for app, expected in (
        (file_app(path, 10)[0], data[10:]),
        (file_app(path, 0, [("Content-Length", "20")])[0], data[:20]),
    ):
        assert call(app, options=SENDFILE, extensions=extensions).body == expected

    def deleted(environ: Environ, start_response: StartResponse) -> Any:
        start_response("200 OK", TEXT)
        file = path.open("rb")
        path.unlink()
        return environ["wsgi.file_wrapper"](file)

    def nameless(environ: Environ, start_response: StartResponse) -> Any:
        start_response("200 OK", TEXT)
        file = tempfile.TemporaryFile()  # noqa: SIM115  # closed by the wrapper
        file.write(b"nameless")
        file.seek(0)
        return environ["wsgi.file_wrapper"](file)

    assert call(deleted, options=SENDFILE, extensions=extensions).body == data
    assert call(nameless, options=SENDFILE, extensions=extensions).body == b"nameless"


class FileLike:
    """What PEP 3333 asks for, and a descriptor that is of use or not."""

    def __init__(self, path: Path, fileno: object) -> None:
        self._file = path.open("rb")
        self._fileno = fileno

    def read(self, size: int) -> bytes:
        return self._file.read(size)

    def fileno(self) -> Any:
        if isinstance(self._fileno, Exception):
            raise self._fileno
        return self._file.fileno() if self._fileno is ... else self._fileno

    def close(self) -> None:
        self._file.close()


def behind_the_end(path: Path) -> Any:
    file = path.open("rb")
    file.seek(1_000_000)
    return file


@pytest.mark.parametrize("extension", ["http.response.pathsend", "http.response.zerocopysend"])
@pytest.mark.parametrize(
    ("make", "expected"),
    [
        pytest.param(gzip.open, b"unpacked", id="a file that is unpacked"),
        pytest.param(
            lambda path: io.BufferedReader(gzip.GzipFile(path)), b"unpacked", id="the same, buffered"
        ),
        pytest.param(lambda path: FileLike(path, ...), None, id="read() and fileno() alone"),
        pytest.param(lambda path: FileLike(path, None), None, id="no descriptor"),
        pytest.param(lambda path: FileLike(path, 2**40), None, id="no descriptor of this world"),
        pytest.param(lambda path: FileLike(path, NotImplementedError()), None, id="a fileno() that raises"),
        pytest.param(behind_the_end, b"", id="a file behind its end"),
    ],
)
def test_what_goes_in_chunks_whatever_the_server_offers(
    make: Any, expected: bytes | None, extension: str, tmp_path: Path
) -> None:
    """PEP 3333: "the semantics of returning a file wrapper" are those of ``iter(filelike.read, '')``."""
    path = tmp_path / "file"
    path.write_bytes(gzip.compress(b"unpacked"))
    files: list[Any] = []

    def app(environ: Environ, start_response: StartResponse) -> Any:
        files.append(make(path))
        start_response("200 OK", TEXT)
        return environ["wsgi.file_wrapper"](files[0])

    exchange = call(app, options=SENDFILE, extensions={extension: {}})
    assert exchange.body == (path.read_bytes() if expected is None else expected)
    assert exchange.complete
    assert exchange.header(b"content-length") is None


def test_a_file_shorter_than_content_length_is_an_error(path: Path) -> None:
    app, files = file_app(path, 0, [("Content-Length", "1000000")])
    extensions: dict[str, Any] = {"http.response.pathsend": {}, "http.response.zerocopysend": {}}
    exchange, error = fail(app, ApplicationError, options=SENDFILE, extensions=extensions)
    assert "shorter" in str(error)
    assert not exchange.complete
    assert files[0].closed


def test_a_head_request_for_a_file(path: Path) -> None:
    app, files = file_app(path)
    exchange = call(app, "HEAD", options=SENDFILE, extensions={"http.response.pathsend": {}})
    assert exchange.body == b""
    assert exchange.complete
    assert files[0].closed
