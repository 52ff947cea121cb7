"""close() from inside a request or the lifespan: it would wait for itself. It is refused, and nothing is lost."""

import asyncio
import contextlib
import contextvars
import os
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import anyio.to_thread
import pytest
from asgiref.sync import sync_to_async

from bridge import AsgiToWsgi
from bridge.to_wsgi.loops.mode import LoopMode
from bridge.to_wsgi.runtime import Runtime
from bridge.types import Receive, Scope, Send
from tests.support.wsgi import call, environ_for
from tests.to_wsgi.apps import START, hello, last, part, until

REFUSED = "inside one of its requests or its lifespan"


@pytest.fixture(autouse=True, scope="module")
def asgirefs_own_thread() -> None:
    """Outside of requests asgiref has one thread for the process."""
    asyncio.run(sync_to_async(int)())


class App:
    """An app with a lifespan, whose requests do as they are told."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.during: Callable[[], Awaitable[object]] | None = None
        self.at_startup: Callable[[], Awaitable[object]] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            if self.at_startup is not None:
                await self.at_startup()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            self.events.append("shutdown")
            await send({"type": "lifespan.shutdown.complete"})
            return
        await send(START)
        await send(part(b"He"))
        if self.during is not None:
            await self.during()
        await send(last(b"llo"))


@pytest.fixture
def app() -> App:
    return App()


@pytest.fixture
def adapter(adapt: Any, app: App) -> AsgiToWsgi:
    made: AsgiToWsgi = adapt(app, lifespan="on")
    return made


def refused(adapter: AsgiToWsgi) -> None:
    with pytest.raises(RuntimeError, match=REFUSED):
        adapter.close()


async def in_coroutine(adapter: AsgiToWsgi) -> None:
    refused(adapter)


WAYS: dict[str, Callable[[AsgiToWsgi], Awaitable[object]]] = {
    "anyio's thread": lambda adapter: anyio.to_thread.run_sync(refused, adapter),
    "the default executor": lambda adapter: asyncio.to_thread(refused, adapter),
    "asgiref's thread": sync_to_async(refused),
    "a task": lambda adapter: asyncio.create_task(in_coroutine(adapter)),
    "the coroutine": in_coroutine,
}


def check_all_is_well(adapter: AsgiToWsgi, app: App) -> None:
    """The request before was answered, another one is, and the shutdown comes when it is its time."""
    app.during = None
    assert call(adapter, environ_for()).body == b"Hello"
    assert app.events == []
    adapter.close()
    assert app.events == ["shutdown"]


@pytest.mark.parametrize("way", WAYS)
def test_from_a_request(adapter: AsgiToWsgi, app: App, way: str) -> None:
    app.during = lambda: WAYS[way](adapter)
    assert call(adapter, environ_for()).body == b"Hello"
    check_all_is_well(adapter, app)


@pytest.mark.parametrize("way", WAYS)
def test_from_a_startup(adapter: AsgiToWsgi, app: App, way: str) -> None:
    app.at_startup = lambda: WAYS[way](adapter)
    assert call(adapter, environ_for()).body == b"Hello"
    check_all_is_well(adapter, app)


@pytest.mark.parametrize("way", WAYS)
def test_from_a_request_within_a_request(adapter: AsgiToWsgi, app: App, way: str) -> None:
    """A sync view calls another adapter, whose app closes the one that it was called by."""

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        await WAYS[way](adapter)
        await hello(scope, receive, send)

    with AsgiToWsgi(inner, loop="request", lifespan="off") as other:
        app.during = lambda: anyio.to_thread.run_sync(call, other, environ_for())
        assert call(adapter, environ_for()).body == b"Hello"
    check_all_is_well(adapter, app)


def test_another_adapter_can_be_closed(adapter: AsgiToWsgi, app: App) -> None:
    other_app = App()
    other = AsgiToWsgi(other_app, lifespan="on")
    call(other, environ_for())
    app.during = lambda: anyio.to_thread.run_sync(other.close)
    assert call(adapter, environ_for()).body == b"Hello"
    assert other_app.events == ["shutdown"]
    check_all_is_well(adapter, app)


def test_what_a_request_has_begun_can_close_when_it_has_ended(adapter: AsgiToWsgi, app: App) -> None:
    """Its context is that of the request, which nobody waits for any more."""
    go = threading.Event()
    threads: list[threading.Thread] = []

    def close_later() -> None:
        go.wait(30)
        adapter.close()

    async def begin() -> None:
        threads.append(threading.Thread(target=contextvars.copy_context().run, args=(close_later,)))
        threads[0].start()

    app.during = begin
    call(adapter, environ_for())
    go.set()
    threads[0].join(30)
    assert app.events == ["shutdown"]


@contextlib.contextmanager
def on_signal(function: Callable[[], object]) -> Iterator[None]:
    before = signal.signal(signal.SIGUSR1, lambda *_: function())
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("moment", ["the app", "the body", "start_response"])
def test_from_a_signal_handler(adapter: AsgiToWsgi, app: App, moment: str, mode: LoopMode) -> None:
    """It interrupts whatever runs, as the thread waits, reads, or has a lock."""
    caught: list[str] = []
    has_begun = threading.Event()

    def close() -> None:
        try:
            adapter.close()
        except RuntimeError as error:
            caught.append(str(error))
        else:
            caught.append("it was not refused")

    def interrupt(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGUSR1)

    class Body:
        def read(self, size: int = -1) -> bytes:
            interrupt()
            return b"x"

        readline = readlines = __iter__ = read

    environ = environ_for(method="POST", body=b"x")
    if moment == "the body":
        environ["wsgi.input"] = Body()
    with on_signal(close):

        async def during() -> None:
            await until(has_begun.is_set)
            if moment == "the app":
                interrupt()
            # On the shared loop it comes in another thread.
            await until(lambda: bool(caught))

        async def reading(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "lifespan":
                await receive()
            await app(scope, receive, send)

        app.during = during
        adapter.app = reading
        start_response: Any = interrupt if moment == "start_response" else lambda *_: None
        body: Any = adapter(environ, start_response)
        assert next(body) == b"He"
        has_begun.set()
        assert list(body) == [b"llo"]
        body.close()
    assert len(caught) == 1
    assert REFUSED in caught[0]
    check_all_is_well(adapter, app)


def test_from_a_signal_handler_during_the_startup(adapter: AsgiToWsgi, app: App) -> None:
    caught: list[bool] = []

    async def interrupted() -> None:
        os.kill(os.getpid(), signal.SIGUSR1)
        await until(lambda: bool(caught))  # on the shared loop it comes in another thread

    def close() -> None:
        refused(adapter)
        caught.append(True)

    app.at_startup = interrupted
    with on_signal(close):
        assert call(adapter, environ_for()).body == b"Hello"
    check_all_is_well(adapter, app)


def test_from_a_signal_handler_as_the_first_request_begins(
    adapter: AsgiToWsgi, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is nothing to close yet, and the thread that it interrupts has the lock."""

    def made(*args: Any) -> Runtime:
        os.kill(os.getpid(), signal.SIGUSR1)
        return Runtime(*args)

    monkeypatch.setattr("bridge.to_wsgi.adapter.Runtime", made)
    with on_signal(adapter.close):
        assert call(adapter, environ_for()).body == b"Hello"
    check_all_is_well(adapter, app)


def test_from_a_thread_whose_loop_is_running(adapter: AsgiToWsgi, app: App) -> None:
    """It blocks the loop, as any call of sync code does."""
    call(adapter, environ_for())

    async def close() -> None:
        adapter.close()

    asyncio.run(close())
    assert app.events == ["shutdown"]
