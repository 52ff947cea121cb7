"""What the next app gets of the request's body, on the ASGI side, and where it is kept until then."""

import asyncio
import contextlib
import errno
import tempfile
import threading
from collections.abc import Callable
from typing import IO, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from bridge import Dispatcher, Mount, WsgiToAsgi
from bridge.dispatch import tape as tape_module
from bridge.threads.pool import ThreadPool
from bridge.to_asgi.body import SpoolError
from bridge.types import Environ, Receive, Scope, Send, StartResponse
from tests.dispatch.asgi import answer, echo, events, exchange_with, over, read_all, reads, run, said
from tests.support.asgi import Exchange, disconnect, request
from tests.support.jobs import idle, until
from tests.support.loop_thread import LoopThread
from tests.support.threads import wait_for_no_bridge_threads

pytestmark = pytest.mark.usefixtures("no_bridge_threads")


BODIES = [[b""], [b"small"], [b"a", b"b", b"c"], [b"x" * 65536] * 5, [b"y" * 300_000], [b"z" * 200_000, b""]]


@pytest.mark.parametrize("blocks", BODIES, ids=lambda blocks: f"{len(blocks)}x{len(blocks[0])}")
@pytest.mark.parametrize("count", [0, 1, 2, 99])
def test_the_next_app_has_the_body_from_its_beginning(blocks: list[bytes], count: int) -> None:
    done = run(exchange_with(over(reads(count)), *events(blocks)))
    assert done.body == said("", "/new/x", b"".join(blocks))


@settings(max_examples=60)
@given(
    st.lists(st.binary(max_size=40), min_size=1, max_size=8),
    st.lists(st.integers(0, 9), min_size=1, max_size=3),
    st.integers(0, 60),
)
def test_any_body_however_it_is_read_and_wherever_it_is_kept(
    blocks: list[bytes], counts: list[int], memory: int
) -> None:
    prefixes = ["/a/a/a", "/a/a", "/a"][: len(counts)]
    mounts: dict[str, Any] = {
        prefix: Mount(reads(count), fallback=True) for prefix, count in zip(prefixes, counts, strict=True)
    }
    app = Dispatcher({**mounts, "/": echo})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tape_module, "IN_MEMORY", memory)
        patch.setattr(tape_module, "_MESSAGE", 0)
        patch.setattr(tape_module, "BLOCK", 7)
        done = run(exchange_with(app, *events(blocks), path="/a/a/a"))
    assert done.body == said("", "/a/a/a", b"".join(blocks))


def test_an_app_that_answers_has_its_body_passed_through() -> None:
    """Nothing is kept once the answer stands, and it is the server that is asked."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200})
        body = await read_all(receive)
        await send({"type": "http.response.body", "body": b"%d" % len(body)})

    done = run(exchange_with(over(app), *events([b"a" * 10, *[b"b" * 65536] * 9])))
    assert done.body == b"%d" % (9 * 65536)
    wait_for_no_bridge_threads()


def test_the_files_of_large_bodies_have_threads_that_end_with_the_lifespan() -> None:
    app = over(reads(99))
    with TestClient(app) as client:
        body = bytes(range(256)) * 4096
        assert client.post("/new/x", content=iter([body, body])).content == said("", "/new/x", body * 2)


def test_the_last_of_two_loops_ends_the_threads_of_both() -> None:
    """Also those of a dispatcher below."""
    app = Dispatcher({"/": over(reads(99))})
    (part,) = app._parts
    disk: ThreadPool = part.asgi._disk  # type: ignore[attr-defined]  # it is a Dispatcher
    one, other = LoopThread(), LoopThread()

    async def start() -> Exchange:
        lifespan = Exchange(app, {"type": "lifespan", "state": {}}, [{"type": "lifespan.startup"}])
        await lifespan.__aenter__()
        await lifespan.wait_for("lifespan.startup.complete")
        return lifespan

    async def stop(lifespan: Exchange) -> None:
        lifespan.feed({"type": "lifespan.shutdown"})
        await lifespan.__aexit__(None, None, None)

    try:
        on_one, on_other = one.run(start()), other.run(start())
        one.run(stop(on_one))
        done = other.run(exchange_with(app, *events([b"x" * 200_000] * 2)).run())
        assert done.body == said("", "/new/x", b"x" * 400_000)
        until(lambda: idle(disk) > 0)
        other.run(stop(on_other))
        wait_for_no_bridge_threads()
    finally:
        one.close()
        other.close()


def test_a_client_that_leaves_in_the_middle_of_its_body() -> None:
    seen: list[str] = []

    async def second(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        seen.extend([(await receive())["type"] for _ in range(4)])

    app = over(reads(99), second)
    run(exchange_with(app, request(b"part", more_body=True), disconnect()))
    assert seen == ["http.request", "http.disconnect", "http.disconnect", "http.disconnect"]


def test_a_client_that_leaves_while_the_next_app_answers() -> None:
    async def second(scope: Scope, receive: Receive, send: Send) -> None:
        assert await read_all(receive) == b"whole"
        await send({"type": "http.response.start", "status": 200})
        assert (await receive())["type"] == "http.disconnect"
        await send({"type": "http.response.body", "body": b"gone"})

    async def main() -> None:
        exchange = exchange_with(over(reads(1), second), request(b"whole"))
        async with exchange:
            await exchange.wait_for("http.response.start")
            exchange.disconnect()

    asyncio.run(main())


def test_a_full_disk_is_no_client_that_has_left(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An OSError of receive() would say so. A WSGI app's client gets 507, and another app has an error of its own."""

    def full(**_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    blocks = events([b"x" * 65_536] * 9)
    with pytest.raises(SpoolError, match="No space left"):
        run(exchange_with(over(reads(99)), *blocks))
    done = run(exchange_with(over(not_found), *blocks))
    assert done.messages[0]["status"] == 507
    (line,) = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert "No space left" in line
    assert run(exchange_with(over(reads(99)), request(b"small"))).body == said("", "/new/x", b"small")
    wait_for_no_bridge_threads()


@pytest.mark.parametrize("blocks", [[b"x" * 200_000], [b"x" * 65_536] * 9], ids=["1", "9"])
def test_a_body_that_the_disk_does_not_take_gets_507_however_it_comes(
    blocks: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.TemporaryFile", full_once())
    assert run(exchange_with(over(not_found), *events(blocks))).messages[0]["status"] == 507
    wait_for_no_bridge_threads()


async def goes_on(scope: Scope, receive: Receive, send: Send) -> None:
    """An app that has nothing there, whatever its receive() raises."""
    with contextlib.suppress(SpoolError):
        await read_all(receive)
    await answer(send, 404)


def goes_on_wsgi(environ: Environ, start_response: StartResponse) -> list[bytes]:
    with contextlib.suppress(SpoolError):
        environ["wsgi.input"].read()
    start_response("404 Not Found", [])
    return [b"nothing here"]


STREAMING = WsgiToAsgi(goes_on_wsgi, request_body="stream")


@pytest.mark.parametrize("first", [goes_on, STREAMING], ids=["asgi", "stream"])
def test_no_next_app_has_a_body_that_lacks_what_the_disk_did_not_take(
    first: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk takes the blocks after it: without that one the body would be another one."""
    blocks = events([bytes([number]) * 65_536 for number in range(9)])
    monkeypatch.setattr("tempfile.TemporaryFile", full_once())
    with pytest.raises(SpoolError, match="No space left"):
        run(exchange_with(over(first), *blocks))
    monkeypatch.setattr("tempfile.TemporaryFile", full_once())
    assert run(exchange_with(over(first, not_found), *blocks)).messages[0]["status"] == 507
    wait_for_no_bridge_threads()


def test_a_streaming_app_is_told_of_a_disk_that_does_not_take_the_body(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """And not that its client has left: that would be an answer that nobody gets."""
    told: list[str] = []

    def reading(environ: Environ, start_response: StartResponse) -> list[bytes]:
        try:
            environ["wsgi.input"].read()
        except Exception as exc:
            told.append(type(exc).__name__)
            raise
        raise AssertionError("it has the whole body")

    monkeypatch.setattr("tempfile.TemporaryFile", full_once())
    blocks = events([bytes([number]) * 65_536 for number in range(9)])
    app = over(WsgiToAsgi(reading, request_body="stream", request_buffer=1000))
    assert run(exchange_with(app, *blocks)).messages[0]["status"] == 507
    assert told == ["SpoolError"]
    (line,) = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert line.startswith(
        "POST '/new/x': the request body can't be kept in a temporary file; the application"
    )
    assert "No space left" in line
    wait_for_no_bridge_threads()


def full_once() -> Callable[..., IO[bytes]]:
    """A ``TemporaryFile()`` that fails, and works from then on."""
    make, failed = tempfile.TemporaryFile, threading.Event()

    def temporary_file(**options: Any) -> IO[bytes]:
        if not failed.is_set():
            failed.set()
            raise OSError(errno.ENOSPC, "No space left on device")
        file: IO[bytes] = make(**options)
        return file

    return temporary_file


def not_found(environ: Environ, start_response: StartResponse) -> list[bytes]:
    environ["wsgi.input"].read()
    start_response("404 Not Found", [])
    return [b"nothing here"]
