"""A request on the shared loop in every order: the server gets what the app sent, and neither waits for ever."""

import asyncio
import os
from collections.abc import Callable
from typing import Any

import pytest

import bridge.to_wsgi.shared_loop
from bridge import ApplicationError, ClientDisconnected
from bridge.mapping.scope import build_scope
from bridge.threads.tally import Tally
from bridge.to_wsgi.request_body import find_body
from bridge.to_wsgi.response import Response
from bridge.to_wsgi.shared_loop import Running, SharedExchange
from bridge.types import Receive, Send
from tests.support.orders import Check, Fields, Loop, Order, Scenario, explore, guarded
from tests.support.wsgi import environ_for

MODULE = bridge.to_wsgi.shared_loop

EXCHANGE = Fields(
    "_changed",
    owned={
        "loop": frozenset(
            {"_head_timer", "_flush_scheduled", "_last_call", "_listeners", "_message", "_more_body"}
        )
    },
    constant=frozenset(
        {"_lock", "_environ", "_app", "_scope", "_shared", "_loop", "_errors", "_probe", "_running", "_body"}
    ),
    free=frozenset({"_watched", "client", "_ended", "context", "task", "_response", "_reader", "_drained"}),
)
#: Which part of the body is whose, is for the lock. The rest only the app's thread writes, but that a file is taken.
RESPONSE = Fields("lock", free=frozenset({"phase", "head", "file", "_written", "_trailers", "_omit_body"}))


class Shared:
    """The shared loop, as its class promises it: a callback is handed over before the end, and runs, or is refused."""

    def __init__(self, order: Order) -> None:
        self.loop: Any = Loop(order)
        self.pid = os.getpid()
        self._end = self.loop.create_future()
        self._closing = False

    def call_soon(self, callback: Callable[..., object], *args: Any) -> None:
        self.loop._order.pause()
        if self._closing:
            raise RuntimeError("the shared event loop is closed")
        self.loop.call_soon(callback, *args)

    def close(self) -> None:
        self.loop._order.pause()
        self._closing = True
        self.loop.call_soon(self._end.set_result, None)

    async def serve(self) -> None:
        """Until ``close()``; then it cancels what is left, as ``asyncio.Runner`` does."""
        await self._end
        left = asyncio.all_tasks(self.loop) - {asyncio.current_task(self.loop)}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


# What apps do.


async def _start(send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})


async def _send(send: Send, body: bytes, *, more: bool = False) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})


async def short(receive: Receive, send: Send) -> None:
    await _start(send)
    await _send(send, b"ab")


async def echo(receive: Receive, send: Send) -> None:
    more = True
    body = b""
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    await _start(send)
    await _send(send, body)


async def waits(receive: Receive, send: Send) -> None:
    await _start(send)
    await asyncio.sleep(1)
    await _send(send, b"a", more=True)
    await asyncio.sleep(1)
    await _send(send, b"b")
    await asyncio.sleep(1)


async def bursts(receive: Receive, send: Send) -> None:
    await _start(send)
    await _send(send, b"a", more=True)
    await asyncio.sleep(1)
    await _send(send, b"b", more=True)
    await _send(send, b"c")


async def large(receive: Receive, send: Send) -> None:
    await _start(send)
    await _send(send, b"a" * 70000, more=True)
    await _send(send, b"b")


async def listens(receive: Receive, send: Send) -> None:
    await receive()
    await _start(send)
    await _send(send, b"a", more=True)
    await receive()


async def fails_first(receive: Receive, send: Send) -> None:
    await asyncio.sleep(0)
    raise ValueError("fails")


async def fails_between(receive: Receive, send: Send) -> None:
    await _start(send)
    await _send(send, b"a", more=True)
    raise ValueError("fails")


async def reads_and_fails(receive: Receive, send: Send) -> None:
    while (await receive()).get("more_body", False):
        pass
    await fails_between(receive, send)


async def fails_last(receive: Receive, send: Send) -> None:
    await _start(send)
    await _send(send, b"ab")
    raise ValueError("fails")


#: What each app sends, and whether it does so to the end.
APPS: dict[Callable[[Receive, Send], Any], tuple[bytes, bool]] = {
    short: (b"ab", True),
    echo: (b"abc", True),
    waits: (b"ab", True),
    bursts: (b"abc", True),
    large: (b"a" * 70000 + b"b", True),
    listens: (b"a", False),
    fails_first: (b"", False),
    fails_between: (b"a", False),
    reads_and_fails: (b"a", False),
    fails_last: (b"ab", True),
}

#: They fail in their first burst, of which the server has had nothing yet.
FAIL_AT_ONCE = {fails_between, reads_and_fails}


def scenario(
    app: Callable[[Receive, Send], Any],
    *,
    kind: type[SharedExchange] = SharedExchange,
    takes: int | None = None,
    closes: bool = False,
    early: int = 0,
    server: str = "",
) -> Scenario:
    """The server's thread, which takes so many chunks (``None``: all) and closes; and the loop's.

    ``closes``: somebody closes the loop meanwhile. ``early``: so often a time limit may be over while others could go
    on. ``server``: its name; some can be handed a head alone.
    """
    body, whole = APPS[app]

    def begin(order: Order) -> Check:
        order.early = early
        shared: Any = Shared(order)
        ended: list[str] = []
        chunks: list[bytes] = []
        heads: list[str] = []
        errors: list[BaseException] = []

        async def call(scope: object, receive: Receive, send: Send) -> None:
            try:
                await app(receive, send)
            finally:
                ended.append(app.__name__)

        environ = environ_for(method="POST", body=b"abc", SERVER_SOFTWARE=server)
        running = Running(Tally())
        exchange = guarded(kind, EXCHANGE, order)(
            call, build_scope(environ, {}), environ, find_body(environ), shared, running
        )
        response = guarded(Response, RESPONSE, order)("POST")
        vars(response)["lock"] = exchange._changed
        exchange._response = response

        def start_response(status: str, headers: object, exc_info: Any = None) -> Callable[[bytes], object]:
            heads.append(status)
            if exc_info:
                raise exc_info[1]
            return chunks.append

        def serve() -> None:
            iterable: Any = []
            try:
                iterable = exchange.begin(start_response)
                chunks_of = iter(iterable)
                while takes is None or sum(map(bool, chunks)) < takes:
                    try:
                        chunks.append(next(chunks_of))
                    except StopIteration:
                        break
            except Exception as error:
                errors.append(error)
            finally:
                if hasattr(iterable, "close"):
                    iterable.close()
                if not closes:
                    # The app has its end by the server's. The loop, closed, would cancel it.
                    order.pause(lambda: bool(ended) and not running)
                    shared.close()

        order.spawn(serve, "server")
        order.spawn(lambda: shared.loop.run(shared.serve()), "loop")
        if closes:
            order.spawn(shared.close, "closer")

        def check() -> None:
            assert len(ended) <= 1
            assert ended or closes, "the app did not run"
            assert exchange.task is None, "a task is left"
            assert not running
            got = b"".join(chunks)
            assert body.startswith(got)
            assert len(heads) <= 1 or errors
            if app in FAIL_AT_ONCE:
                assert not heads, "the server can't answer 500 any more"
            assert app is not bursts or b"b" not in chunks, "what was sent together came in two parts"
            if not closes and takes is None:
                # The error comes in place of what the server has not had yet.
                assert got == body or not whole
                assert bool(errors) is not whole
            for error in errors:
                assert isinstance(error, (ValueError, ApplicationError, ClientDisconnected)) or closes
            if got == body and whole:
                assert not errors
            assert exchange._error is None, "an error is kept"
            assert not exchange._listeners

        return check

    return begin


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Hundreds of apps that fail log hundreds of lines."""
    caplog.set_level("CRITICAL", "bridge")


@pytest.mark.parametrize("server", ["", "gunicorn/27.0"], ids=["held", "alone"])
@pytest.mark.parametrize("app", [app for app in APPS if app is not listens])
def test_every_order(app: Callable[[Receive, Send], Any], server: str) -> None:
    assert explore(scenario(app, early=1, server=server), MODULE, preemptions=1) >= 2


@pytest.mark.parametrize("takes", [0, 1])
@pytest.mark.parametrize("app", [short, waits, large, listens, fails_between, fails_last])
def test_every_order_of_a_server_that_closes_early(app: Callable[[Receive, Send], Any], takes: int) -> None:
    assert explore(scenario(app, takes=takes, early=1), MODULE, preemptions=1) >= 2


@pytest.mark.parametrize("app", APPS)
def test_every_order_of_a_loop_that_is_closed(app: Callable[[Receive, Send], Any]) -> None:
    assert explore(scenario(app, closes=True), MODULE, preemptions=1) >= 2


# That it finds what it is for.


class WaitsInTwoSteps(SharedExchange):
    """send() sees that too much waits, and begins to wait later: the server may have taken all there is in between."""

    def _drain_comes(self) -> Any:
        self._changed.release()
        self._changed.acquire()
        return super()._drain_comes()


class EndsInSilence(SharedExchange):
    """The end of the app is there for whoever looks."""

    def _end(self, task: asyncio.Task[BaseException | None]) -> None:
        notify, self._changed.notify = self._changed.notify, lambda n=1: None  # type: ignore[method-assign]
        super()._end(task)
        self._changed.notify = notify  # type: ignore[method-assign]


class LeavesInSilence(SharedExchange):
    """The app learns that nobody listens where it looks for it."""

    def _leave(self) -> None:
        pass


class ReadsWithoutTheLock(SharedExchange):
    """It is right as long as the GIL makes each read whole."""

    def unsent(self) -> int:
        return self._response.size

    def next_chunk(self) -> bytes:
        return super().next_chunk() if self.unsent() >= 0 else b""


@pytest.mark.parametrize(
    ("kind", "app", "takes", "words"),
    [
        (WaitsInTwoSteps, large, None, "wait for ever: (server|loop)"),
        (EndsInSilence, fails_first, None, "wait for ever: server"),
        (LeavesInSilence, listens, 1, "wait for ever: server"),
        (ReadsWithoutTheLock, waits, None, "server touches size without"),
    ],
)
def test_an_exchange_with_a_gap_is_found_out(
    kind: type[SharedExchange], app: Callable[[Receive, Send], Any], takes: int | None, words: str
) -> None:
    with pytest.raises(AssertionError, match=words):
        explore(scenario(app, kind=kind, takes=takes, early=1), MODULE, preemptions=2)
