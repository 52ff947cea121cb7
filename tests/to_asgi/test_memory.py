"""``WsgiToAsgi`` and the memory of a request: it goes when the request ends, without the garbage collector.

Each path runs with the collector off. An object that a frame of the app holds is dead afterwards, and the collector,
when it is asked, finds nothing: no circle of references is left, and so no body, file or context in one.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from bridge import WsgiToAsgi
from bridge.types import Environ, StartResponse
from tests.support.asgi import HANG, http_scope, request
from tests.support.memory import App, Client, before, failing, leaves_nothing, middle, served
from tests.support.wsgi_apps import TEXT, hello

pytestmark = pytest.mark.usefixtures("no_bridge_threads")


# What an app does. Each frame holds something, and so does the environ.


def ok(environ: Environ, start_response: StartResponse) -> Any:
    return hello(environ, start_response)


def before_with_exit(environ: Environ, start_response: StartResponse) -> Any:
    raise SystemExit("mine")


def short(environ: Environ, start_response: StartResponse) -> Any:
    start_response("200 OK", [*TEXT, ("Content-Length", "9")])
    return [b"short"]


class FailingClose(list[bytes]):
    def close(self) -> None:
        raise LookupError("mine")


def in_close(environ: Environ, start_response: StartResponse) -> Any:
    start_response("200 OK", TEXT)
    return FailingClose([b"whole"])


def again(environ: Environ, start_response: StartResponse) -> Any:
    write = start_response("200 OK", TEXT)
    write(b"first")
    try:
        raise LookupError("mine")
    except LookupError as exc:
        info = (type(exc), exc, exc.__traceback__)
        try:
            start_response("500 Oh", TEXT, info)
        finally:
            del info
    return []


def endless(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    start_response("200 OK", TEXT)
    while True:
        yield b"x" * 1000


def hinted(environ: Environ, start_response: StartResponse) -> Any:
    environ["wsgi.early_hints"]([("Link", "</a>; rel=preload")])
    return hello(environ, start_response)


HINTS: dict[str, Any] = {"extensions": {"http.response.early_hint": {}}}


@pytest.mark.parametrize("act", [ok, hinted])
def test_a_request_that_goes_well(act: Callable[..., Any]) -> None:
    leaves_nothing(App(act), lambda adapter: served(adapter, Client(), http_scope(**HINTS)))


@pytest.mark.parametrize("version", ["1.1", "2"])
@pytest.mark.parametrize("act", [before, before_with_exit, short, middle, again])
def test_an_app_that_fails(act: Callable[..., Any], version: str) -> None:
    async def visit(adapter: WsgiToAsgi) -> None:
        # ResponseCut is no Exception.
        with pytest.raises(BaseException, match=r"mine|shorter|in the middle of a response"):
            await served(adapter, Client(), http_scope(http_version=version))

    leaves_nothing(App(act), visit)


def test_an_app_that_fails_in_close() -> None:
    leaves_nothing(App(in_close), lambda adapter: served(adapter, Client()))


def test_an_app_that_fails_after_the_end() -> None:
    def act(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [*TEXT, ("Content-Length", "5")])
        try:
            yield b"whole"
        finally:
            raise LookupError("mine")

    leaves_nothing(App(act), lambda adapter: served(adapter, Client()))


def test_a_client_that_leaves_in_the_middle() -> None:
    async def visit(adapter: WsgiToAsgi) -> None:
        client = Client()
        request = asyncio.create_task(served(adapter, client))
        await client.sent.wait()
        client.leave()
        await request

    leaves_nothing(App(endless), visit)


def test_a_client_that_leaves_while_it_does_not_read() -> None:
    async def visit(adapter: WsgiToAsgi) -> None:
        client = Client()
        client.open.clear()
        request = asyncio.create_task(served(adapter, client))
        await client.sent.wait()
        client.leave()
        await request

    leaves_nothing(App(endless), visit)


def test_a_server_that_raises_for_a_client_that_left() -> None:
    async def visit(adapter: WsgiToAsgi) -> None:
        client = Client()
        client.error = OSError
        await failing(adapter, client)

    leaves_nothing(App(endless), visit)
    leaves_nothing(App(middle), visit)


def test_a_request_that_is_cancelled() -> None:
    async def visit(adapter: WsgiToAsgi) -> None:
        client = Client()
        client.open.clear()
        request = asyncio.create_task(served(adapter, client))
        await client.sent.wait()
        request.cancel()
        with suppress(asyncio.CancelledError):
            await request

    leaves_nothing(App(endless), visit)
    # Its error is there when nobody takes it any more.
    leaves_nothing(App(middle), visit)


def test_a_request_that_is_cancelled_with_its_error_on_the_way() -> None:
    """The app has failed, and the loop has not looked yet."""

    async def visit(adapter: WsgiToAsgi) -> None:
        failed.clear()
        client = Client()
        request = asyncio.create_task(served(adapter, client))
        while not app.called.is_set():  # noqa: ASYNC110  # a worker sets it
            await asyncio.sleep(0)
        assert failed.wait(HANG)  # the loop stands still until then
        request.cancel()
        with suppress(asyncio.CancelledError, LookupError):
            await request

    failed = threading.Event()

    class Body:
        def __iter__(self) -> Iterator[bytes]:
            raise LookupError("mine")

        def close(self) -> None:
            failed.set()

    def act(environ: Environ, start_response: StartResponse) -> Any:
        start_response("200 OK", TEXT)
        return Body()

    app = App(act)
    leaves_nothing(app, visit)


@pytest.mark.parametrize("how", ["well", "failed", "cancelled"])
def test_an_end_that_is_waited_for(how: str) -> None:
    """``close()`` takes its time, and the loop waits for it."""
    closing, go = threading.Event(), threading.Event()

    class Body:
        def __iter__(self) -> Iterator[bytes]:
            if how == "failed":
                raise LookupError("mine")
            return iter([b"whole"])

        def close(self) -> None:
            closing.set()
            assert go.wait(HANG)

    def act(environ: Environ, start_response: StartResponse) -> Any:
        start_response("200 OK", TEXT)
        return Body()

    async def visit(adapter: WsgiToAsgi) -> None:
        closing.clear()
        go.clear()
        request = asyncio.create_task(served(adapter, Client()))
        assert await asyncio.to_thread(closing.wait, HANG)
        for _ in range(10):
            await asyncio.sleep(0)
        if how == "cancelled":
            request.cancel()
        go.set()
        # Not awaited: its error would lead to this frame, and so to itself.
        await asyncio.wait([request])
        assert request.cancelled() == (how == "cancelled")
        assert request.cancelled() or (request.exception() is None) == (how == "well")

    leaves_nothing(App(act), visit)


def asks(environ: Environ, start_response: StartResponse) -> Any:
    environ["waitress.client_disconnected"]()
    return hello(environ, start_response)


def test_an_app_that_asks_for_its_client() -> None:
    leaves_nothing(App(asks), lambda adapter: served(adapter, Client()))


def test_refused_requests() -> None:
    async def visit(adapter: WsgiToAsgi) -> None:
        for scope, body in (
            (http_scope(headers=[(b"content-length", b"x")]), b""),
            (http_scope(headers=[(b"content-length", b"99")]), b""),
            (http_scope("POST"), b"too large"),
        ):
            client = Client(request(body))
            await served(adapter, client, scope)
            assert client.types == ["http.response.start", "http.response.body"]

    leaves_nothing(ok, visit, max_body_size=5)


@pytest.mark.parametrize("own", [False, True], ids=["threads", "executor"])
def test_overload(own: bool) -> None:
    go = threading.Event()
    arrived = threading.Event()

    def act(environ: Environ, start_response: StartResponse) -> Any:
        arrived.set()
        assert go.wait(HANG)
        return hello(environ, start_response)

    async def visit(adapter: WsgiToAsgi) -> None:
        go.clear()
        arrived.clear()
        first = asyncio.create_task(served(adapter, Client()))
        assert await asyncio.to_thread(arrived.wait, HANG)
        # An executor has one that waits as well: what does not run yet.
        more = [asyncio.create_task(served(adapter, Client())) for _ in range(own)]
        await asyncio.sleep(0)
        client = Client()
        await served(adapter, client, http_scope(**HINTS))
        assert client.types == ["http.response.start", "http.response.body"]
        go.set()
        await asyncio.gather(first, *more)

    if own:
        with ThreadPoolExecutor(1) as executor:
            leaves_nothing(App(act), visit, executor=executor, backlog=0)
    else:
        leaves_nothing(App(act), visit, threads=1, backlog=0)


def test_no_thread_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("mine")

    async def visit(adapter: WsgiToAsgi) -> None:
        with monkeypatch.context() as patches:
            patches.setattr(threading.Thread, "start", start)
            await failing(adapter, Client(), http_scope(**HINTS))

    leaves_nothing(hello, visit)


# Handshakes of WebSockets that come no further.


def test_handshakes_that_are_refused() -> None:
    async def visit(adapter: WsgiToAsgi) -> None:
        for scope in (
            {"type": "websocket", "path": "/", "headers": [], "extensions": {"websocket.http.response": {}}},
            {"type": "websocket", "path": "/", "headers": []},
        ):
            await served(adapter, Client({"type": "websocket.connect"}), scope)

    leaves_nothing(hello, visit, websocket_threads=0)
