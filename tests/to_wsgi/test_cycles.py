"""A request's memory goes when it ends, on each path, without the garbage collector."""

import asyncio
import contextlib
import gc
import io
import logging
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvloop

from bridge import Dispatcher, Mount
from bridge.errors import ApplicationExit
from bridge.to_wsgi.adapter import AsgiToWsgi
from bridge.to_wsgi.loops.mode import LoopMode
from bridge.to_wsgi.response import UNSENT_LIMIT
from bridge.types import (
    ASGIApp,
    Environ,
    ExcInfo,
    Headers,
    Receive,
    Scope,
    Send,
    StartResponse,
    Write,
    WSGIApp,
)
from tests.support.asgi import HANG
from tests.support.threads import FREE_THREADED
from tests.support.wsgi import environ_for
from tests.to_wsgi.apps import START, hello, last, part, until

pytestmark = pytest.mark.usefixtures("collector_off")


class Held:
    """What a frame of an app holds."""


class MeantError(Exception):
    """What the apps raise on purpose."""


class Server:
    """Does what servers do, and keeps nothing: neither the error nor what belongs to it."""

    def __init__(self, take: int | None = None) -> None:
        #: Chunks that it takes before it closes the response; None: all.
        self.take = take
        self.taken = 0
        self.error: type[BaseException] | None = None

    def __call__(self, app: WSGIApp, environ: Environ) -> None:
        try:
            self._run(app, environ)
        except BaseException as exc:
            self.error = type(exc)

    def _run(self, app: WSGIApp, environ: Environ) -> None:
        body: Any = app(environ, self._start_response)
        try:
            chunks = iter(body)
            while self.taken != self.take:
                if next(chunks, None) is None:
                    break
                self.taken += 1
        finally:
            if hasattr(body, "close"):
                body.close()

    def _start_response(self, status: str, headers: Headers, exc_info: ExcInfo | None = None, /) -> Write:
        if exc_info is not None:
            try:
                if self.taken:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # as PEP 3333 wants it, "The start_response() Callable"
        return lambda data: None


class Upload(io.BytesIO):
    """A body whose client leaves, or that fails, after its first half."""

    def __init__(self, error: type[Exception] | None) -> None:
        super().__init__(b"half")
        self.error = error

    def read(self, size: int | None = -1, /) -> bytes:
        block = super().read(size)
        if not block and self.error is not None:
            raise self.error()
        return block


async def unstarted(scope: Scope, receive: Receive, send: Send) -> None:
    raise MeantError


async def started(scope: Scope, receive: Receive, send: Send) -> None:
    await send(START)
    raise MeantError


async def middle(scope: Scope, receive: Receive, send: Send) -> None:
    await send(START)
    # More than may wait for the server: it has some of it when this returns.
    await send(part(b"half" * UNSENT_LIMIT))
    raise MeantError


async def late(scope: Scope, receive: Receive, send: Send) -> None:
    await send(START)
    await send(last(b"whole"))
    await asyncio.sleep(0)
    raise MeantError


async def cancelled(scope: Scope, receive: Receive, send: Send) -> None:
    await send(START)
    await send(part(b"half"))
    await asyncio.sleep(0.001)
    raise asyncio.CancelledError


async def incomplete(scope: Scope, receive: Receive, send: Send) -> None:
    await send(START)
    await send(part(b"half"))
    await asyncio.sleep(0.001)


async def out_of_order(scope: Scope, receive: Receive, send: Send) -> None:
    await send(START)
    await send(START)


async def exits(scope: Scope, receive: Receive, send: Send) -> None:
    await asyncio.sleep(0.001)
    raise SystemExit(1)


async def exits_at_once(scope: Scope, receive: Receive, send: Send) -> None:
    raise SystemExit(1)


async def deaf(scope: Scope, receive: Receive, send: Send) -> None:
    await send(START)
    await send(part(b"half"))
    await asyncio.get_running_loop().create_future()


async def sends_on(scope: Scope, receive: Receive, send: Send) -> None:
    await send(START)
    while True:
        await send(part(b"x" * 70_000))


async def leaves_tasks(scope: Scope, receive: Receive, send: Send) -> None:
    async def task(error: type[Exception] | None) -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            if error is not None:
                raise error

    background = [asyncio.create_task(task(error)) for error in (None, MeantError)]
    await asyncio.sleep(0.001)
    await send(START)
    await send(last(b"whole"))
    assert not any(task.done() for task in background)


async def listens(scope: Scope, receive: Receive, send: Send) -> None:
    await send(START)
    await send(part(b"half"))
    await receive()
    assert (await receive())["type"] == "http.disconnect"
    raise MeantError


async def reads(scope: Scope, receive: Receive, send: Send) -> None:
    while (await receive())["type"] == "http.request":
        pass
    await send(START)


async def reads_twice(scope: Scope, receive: Receive, send: Send) -> None:
    """Two tasks ask for the same block of the body."""
    await receive()
    await asyncio.gather(receive(), receive())


async def nothing_here(scope: Scope, receive: Receive, send: Send) -> None:
    while (await receive())["more_body"]:
        pass
    await send({"type": "http.response.start", "status": 404, "headers": []})
    # More than may wait: the Dispatcher has seen the head when this returns. Else the error could be all that it sees.
    await send(part(b"none" * 65536))
    raise MeantError


def reads_all(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """A WSGI app: what the Dispatcher asks next."""
    size = len(environ["wsgi.input"].read())
    start_response("200 OK", [])
    return [b"%d" % size]


# What the app does -> chunks that the server takes, and what it gets.
PATHS: dict[Callable[..., Any], tuple[int | None, str | None]] = {
    hello: (None, None),
    unstarted: (None, "MeantError"),
    started: (None, "MeantError"),
    middle: (None, "MeantError"),
    late: (None, None),
    cancelled: (None, "ApplicationError"),
    incomplete: (None, "ApplicationError"),
    out_of_order: (None, "ApplicationError"),
    leaves_tasks: (None, None),
    deaf: (1, None),
    sends_on: (1, None),
    listens: (1, None),
}
BODY_PATHS: list[tuple[ASGIApp, type[Exception] | None, str | None]] = [
    (reads, None, None),
    (reads, MeantError, "MeantError"),
    (reads, OSError, None),
    (reads_twice, MeantError, "MeantError"),
]


@pytest.fixture
def collector_off() -> Iterator[None]:
    """And a log that keeps no record: pytest's would, and with it the error."""
    formatter, loggers = logging.Formatter(), [logging.getLogger(name) for name in ("bridge", "asyncio")]

    def write(record: logging.LogRecord) -> bool:
        return not formatter.format(record)

    for logger in loggers:
        logger.addFilter(write)
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        for logger in loggers:
            logger.removeFilter(write)


@pytest.fixture(params=[None, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def factory(request: pytest.FixtureRequest) -> Any:
    return request.param


class Requests:
    """Requests of one app, each of whose calls holds something."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._held: list[weakref.ref[Held]] = []
        self._loop: asyncio.AbstractEventLoop

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        held = Held()
        self._held.append(weakref.ref(held))
        self._loop = asyncio.get_running_loop()
        await self._app(scope, receive, send)
        assert held is not None

    def assert_nothing_left(self, mode: LoopMode) -> None:
        assert self._held
        if mode == "shared":
            # The loop's thread lets go of the task some time after the server has closed the response.
            asyncio.run(asyncio.wait_for(until(self._is_freed if FREE_THREADED else self._is_gone), 10))
        assert self._is_gone()
        assert gc.collect() == 0

    def _is_freed(self) -> bool:
        """Whether all is gone. The loop's thread frees what it made when it runs, and so it is woken.

        Three times, for what it frees may have held something else that it made.
        """
        gone = self._is_gone()
        for _ in range(3):
            turned = threading.Event()
            self._loop.call_soon_threadsafe(turned.set)
            assert turned.wait(HANG)
        return gone

    def _is_gone(self) -> bool:
        return not any(ref() for ref in self._held)


@pytest.fixture
def adapt_warm(adapt: Any, factory: Any) -> Callable[[ASGIApp], AsgiToWsgi]:
    """Make an adapter that has served a request: modules and loops have cycles of their own."""

    def make(app: ASGIApp) -> AsgiToWsgi:
        current: list[ASGIApp] = [hello]

        async def switched(scope: Scope, receive: Receive, send: Send) -> None:
            await current[0](scope, receive, send)

        adapter: AsgiToWsgi = adapt(switched, loop_factory=factory)
        Server()(adapter, environ_for())
        current[0] = app
        gc.collect()
        return adapter

    return make


@pytest.mark.parametrize("app", PATHS, ids=lambda app: app.__name__)
def test_each_way_to_end(adapt_warm: Any, mode: LoopMode, app: Any) -> None:
    take, error = PATHS[app]
    requests = Requests(app)
    server = Server(take)
    server(adapt_warm(requests.app), environ_for())
    requests.assert_nothing_left(mode)
    assert (server.error.__name__ if server.error else None) == error


@pytest.mark.parametrize("app", [deaf, sends_on, middle], ids=lambda app: app.__name__)
def test_server_that_refuses_the_head(adapt_warm: Any, mode: LoopMode, app: ASGIApp) -> None:
    def refuse(status: str, headers: Headers, exc_info: ExcInfo | None = None, /) -> Write:
        raise MeantError

    requests = Requests(app)
    adapter = adapt_warm(requests.app)
    with contextlib.suppress(MeantError):
        adapter(environ_for(), refuse)
    requests.assert_nothing_left(mode)


@pytest.mark.parametrize("app", [exits, exits_at_once], ids=lambda app: app.__name__)
def test_what_ends_a_process(adapt_warm: Any, mode: LoopMode, app: ASGIApp) -> None:
    requests = Requests(app)
    server = Server()
    server(adapt_warm(requests.app), environ_for())
    requests.assert_nothing_left(mode)
    assert server.error is (SystemExit if mode == "request" else ApplicationExit)


@pytest.mark.parametrize(("app", "broken", "error"), BODY_PATHS)
def test_body_that_breaks_off(
    adapt_warm: Any,
    mode: LoopMode,
    app: ASGIApp,
    broken: type[Exception] | None,
    error: str | None,
) -> None:
    requests = Requests(app)
    server = Server()
    environ = environ_for(method="POST", body=b"half and half") | {"wsgi.input": Upload(broken)}
    server(adapt_warm(requests.app), environ)
    requests.assert_nothing_left(mode)
    assert (server.error.__name__ if server.error else None) == error


@pytest.mark.parametrize("app", [deaf, listens], ids=lambda app: app.__name__)
def test_client_that_leaves_while_nothing_is_written(adapt_warm: Any, mode: LoopMode, app: ASGIApp) -> None:
    requests = Requests(app)
    server = Server()
    server(adapt_warm(requests.app), environ_for() | {"waitress.client_disconnected": lambda: True})
    requests.assert_nothing_left(mode)
    assert server.error is not None


@pytest.mark.parametrize("app", [nothing_here, unstarted, middle, late, deaf], ids=lambda app: app.__name__)
def test_dispatcher_that_asks_the_next_app(adapt_warm: Any, mode: LoopMode, app: ASGIApp) -> None:
    requests = Requests(app)
    site = Dispatcher({"/new": Mount(adapt_warm(requests.app), fallback=True), "/": reads_all})
    server = Server(PATHS.get(app, (None, None))[0])
    # More than the Dispatcher keeps in memory for the next app.
    server(site, environ_for("/new/x", method="POST", body=b"x" * 200_000))
    requests.assert_nothing_left(mode)
    assert server.taken == (app is not unstarted)


def test_close_keeps_nothing_of_its_callers(mode: LoopMode) -> None:
    """It looks at the frames that it was called from."""
    refs: list[weakref.ref[object]] = []

    def site() -> None:
        held = Held()
        adapter = AsgiToWsgi(hello, loop=mode, lifespan="off")
        refs.extend([weakref.ref(held), weakref.ref(adapter)])
        Server()(adapter, environ_for())
        adapter.close()
        del held
        assert refs[0]() is None, "a frame that goes on keeps no more than its variables"

    site()
    assert refs[1]() is None
