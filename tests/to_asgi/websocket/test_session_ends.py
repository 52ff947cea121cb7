"""How a WebSocket ends: by the app's error, by the client, by its server, and when that is over.

A client that leaves before a thread has come to the app's call has that call withdrawn. So where a test looks at what
the app sees of the end, the end comes after the app's accept.
"""

import asyncio
import logging
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any
from unittest.mock import patch

import pytest

from bridge import ConnectionClosed, WebSocket
from bridge.to_asgi.websocket import session as session_module
from bridge.types import Environ, Message, StartResponse, WSGIApp
from tests.support.asgi import HANG, Exchange
from tests.support.relays import Library
from tests.support.served import Served, arrival
from tests.support.websockets import (
    Ending,
    closing,
    connect,
    disconnect,
    echo,
    echo_forever,
    handler,
    received,
    sent,
    serve,
    turn,
    websocket_scope,
)

pytestmark = pytest.mark.usefixtures("no_bridge_threads")


def test_an_error_of_the_app_closes_with_1011_and_is_raised_to_the_server() -> None:
    async def main() -> None:
        def app(websocket: WebSocket) -> None:
            websocket.send("x")
            raise ZeroDivisionError

        async with Served(handler(app)) as adapter:
            exchange = connect(adapter)
            with pytest.raises(ZeroDivisionError):
                await exchange.run()
            assert sent(exchange) == ["x"]
            assert closing(exchange) == (1011, "")

    asyncio.run(main())


def test_an_error_before_accept_is_the_server_s() -> None:
    async def main() -> None:
        async with Served(handler(lambda websocket: 1 / 0)) as adapter:
            exchange = connect(adapter)
            with pytest.raises(ZeroDivisionError):
                await exchange.run()
            assert exchange.messages == []

    asyncio.run(main())


def test_a_framework_s_500_closes_with_1011() -> None:
    """Flask and Django make a response of a view's exception."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        environ["wsgi.websocket"].send("x")
        start_response("500 Internal Server Error", [("Content-Length", "4")])
        return [b"oops"]

    assert closing(serve(app)) == (1011, "")


def test_an_error_after_the_client_has_left_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        def app(websocket: WebSocket) -> None:
            for _ in websocket:
                pass
            raise ZeroDivisionError

        ending = Ending(app)
        async with Served(ending) as adapter:
            async with connect(adapter, "/chat") as exchange:
                await exchange.wait_for("websocket.accept")
                exchange.feed(disconnect())
            await arrival(ending.ended)

    asyncio.run(main())
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert "/chat" in record.getMessage()
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError


class Failing(Exchange):
    """A server whose ``send()`` raises."""

    async def send(self, message: Any) -> None:
        raise LookupError("mine")


class Finally:
    """An app that is at work in its ``finally`` until it is let go."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.go = threading.Event()
        self.ended = threading.Event()

    def __call__(self, websocket: WebSocket) -> None:
        try:
            echo(websocket)
        finally:
            self.entered.set()
            assert self.go.wait(HANG)
            self.ended.set()


def test_it_is_over_when_the_app_is_after_the_client_has_left() -> None:
    async def main() -> None:
        app = Finally()
        async with Served(handler(app)) as adapter:
            exchange = connect(adapter)
            async with exchange:
                await exchange.wait_for("websocket.accept")
                exchange.feed(received("x"), disconnect())
                await arrival(app.entered)
                await turn()
                assert exchange._task is not None
                assert not exchange._task.done()
                app.go.set()
            assert app.ended.is_set()

    asyncio.run(main())


def test_an_error_of_the_server_is_raised_when_the_app_is_over() -> None:
    async def main() -> None:
        app = Finally()

        async with Served(handler(app)) as adapter:
            exchange = Failing(adapter, websocket_scope(), [{"type": "websocket.connect"}, received("x")])
            with patch.object(session_module, "_ENDING", HANG):
                task = asyncio.create_task(exchange.run())
                await arrival(app.entered)
                await turn()
                assert not task.done()
                app.go.set()
                with pytest.raises(LookupError, match="mine"):
                    await task
            assert app.ended.is_set()

    asyncio.run(main())


@pytest.mark.parametrize("how", ["raises", "cancel"])
def test_an_error_beside_another_end_is_logged_once(how: str, caplog: pytest.LogCaptureFixture) -> None:
    """The app has raised when ``send()`` does, or when the server gives the WebSocket up."""

    async def main() -> None:
        def app(websocket: WebSocket) -> None:
            websocket.send("x")
            raise ZeroDivisionError

        async with Served(handler(app)) as adapter:
            over = asyncio.Event()

            class FailingLate(Exchange):
                async def send(self, message: Any) -> None:
                    assert adapter._websockets is not None
                    while adapter._websockets.pool.unfinished():  # noqa: ASYNC110  # a worker changes it
                        await asyncio.sleep(0)
                    over.set()
                    if how == "raises":
                        raise LookupError("mine")
                    await asyncio.get_running_loop().create_future()

            exchange = FailingLate(adapter, websocket_scope("/chat"), [{"type": "websocket.connect"}])
            task = asyncio.create_task(exchange.run())
            async with asyncio.timeout(HANG):
                await over.wait()
            if how == "cancel":
                task.cancel()
            with pytest.raises(asyncio.CancelledError if how == "cancel" else LookupError):
                await task

    asyncio.run(main())
    (record,) = caplog.records
    assert record.getMessage().startswith("GET '/chat': the WSGI app raised an error")
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError


def test_a_log_that_fails_leaves_nobody_who_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(record: logging.LogRecord) -> bool:
        raise ArithmeticError("the app's filter")

    async def main() -> None:
        def app(websocket: WebSocket) -> None:
            websocket.send("x")
            raise ZeroDivisionError

        async with Served(handler(app)) as adapter:

            class FailingLate(Exchange):
                async def send(self, message: Any) -> None:
                    assert adapter._websockets is not None
                    while adapter._websockets.pool.unfinished():  # noqa: ASYNC110  # a worker changes it
                        await asyncio.sleep(0)
                    raise LookupError("mine")

            exchange = FailingLate(adapter, websocket_scope(), [{"type": "websocket.connect"}])
            with pytest.raises(ArithmeticError, match="the app's filter"):
                await exchange.run()
            await turn()
            assert exchange.receives_waiting == 0

    monkeypatch.setattr(logging.getLogger("bridge"), "filters", [refuse])
    asyncio.run(main())


def test_an_error_of_the_server_is_raised_although_the_app_hangs() -> None:
    async def main() -> None:
        app = Finally()

        async with Served(handler(app)) as adapter:
            exchange = Failing(adapter, websocket_scope(), [{"type": "websocket.connect"}, received("x")])
            with patch.object(session_module, "_ENDING", 0.01), pytest.raises(LookupError, match="mine"):
                await exchange.run()
            assert not app.ended.is_set()
            app.go.set()

    asyncio.run(main())


@pytest.mark.parametrize("code", [1000, 1001, 1005, 1006, 4000])
def test_the_client_s_close(code: int, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        ending = Ending(lambda websocket: [websocket.receive() for _ in range(3)])
        async with Served(ending) as adapter:
            async with connect(adapter) as exchange:
                await exchange.wait_for("websocket.accept")
                exchange.feed(received("1"), disconnect(code, "why"))
            await arrival(ending.ended)
        assert isinstance(ending.error, ConnectionClosed)
        assert (ending.error.code, ending.error.reason) == (code, "why")
        assert [message["type"] for message in exchange.messages] == ["websocket.accept"]

    asyncio.run(main())
    assert not caplog.records


def test_a_close_without_code_or_reason() -> None:
    """The specification gives both a default; some servers name them ``None``."""

    async def main() -> None:
        for event in (
            {"type": "websocket.disconnect"},
            {"type": "websocket.disconnect", "code": None, "reason": None},
        ):
            ending = Ending(lambda websocket: websocket.receive())
            async with Served(ending) as adapter:
                async with connect(adapter) as exchange:
                    await exchange.wait_for("websocket.accept")
                    exchange.feed(event)
                await arrival(ending.ended)
            assert isinstance(ending.error, ConnectionClosed)
            assert (ending.error.code, ending.error.reason) == (1005, "")

    asyncio.run(main())


def test_a_socket_that_outlives_the_call_is_closed() -> None:
    kept: list[WebSocket] = []

    def app(websocket: WebSocket) -> None:
        websocket.accept()
        kept.append(websocket)

    assert closing(serve(handler(app))) == (1000, "")
    for late in (lambda: kept[0].send("late"), kept[0].receive):
        with pytest.raises(ConnectionClosed) as raised:
            late()
        assert raised.value.code == 1000
    assert repr(kept[0]) == "<WebSocket closed>"


# The server stops, or gives up.


def test_the_shutdown_closes_them() -> None:
    async def main() -> None:
        ending = Ending(echo_forever)
        async with Served(ending) as adapter:
            exchange = connect(adapter)
            await exchange.__aenter__()
            await exchange.wait_for("websocket.accept")
        await exchange.__aexit__(None, None, None)
        assert closing(exchange)[0] == 1012
        assert isinstance(ending.error, ConnectionClosed)
        assert ending.error.code == 1012

    asyncio.run(main())


def test_the_shutdown_ends_a_denial_under_way() -> None:
    async def main() -> None:
        closed = threading.Event()

        def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
            start_response("403 Forbidden", [])
            try:
                while True:
                    yield b"x" * 1000
            finally:
                closed.set()

        async with Served(app, response_buffer=1000) as adapter:
            exchange = connect(adapter, denial=True)
            await exchange.__aenter__()
            await exchange.wait_for("websocket.http.response.body")
        await exchange.__aexit__(None, None, None)
        await arrival(closed)
        assert all(message["type"].startswith("websocket.http.") for message in exchange.messages)
        assert exchange.messages[-1]["more_body"]

    asyncio.run(main())


def test_a_server_that_cancels_frees_the_thread() -> None:
    async def main() -> None:
        ending = Ending(echo_forever)
        async with Served(ending) as adapter:
            exchange = connect(adapter)
            await exchange.__aenter__()
            await exchange.wait_for("websocket.accept")
            assert exchange._task is not None
            exchange._task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await exchange.__aexit__(None, None, None)
            await arrival(ending.ended)
        assert isinstance(ending.error, ConnectionClosed)
        assert ending.error.code == 1006

    asyncio.run(main())


@pytest.mark.parametrize("error", [OSError, RuntimeError])
def test_a_server_whose_send_raises_when_the_client_has_left(error: type[Exception]) -> None:
    """``OSError`` by the specification (2.4), ``RuntimeError`` on granian."""

    async def main() -> None:
        def app(websocket: WebSocket) -> None:
            while True:
                websocket.send("x")

        ending = Ending(app)

        class Gone(Exchange):
            async def send(self, message: Any) -> None:
                await super().send(message)
                if message["type"] == "websocket.send":
                    self.feed(disconnect(1006))
                    raise error("closed")

        async with Served(ending) as adapter:
            await Gone(adapter, websocket_scope(), [{"type": "websocket.connect"}]).run()
            await arrival(ending.ended)
        assert isinstance(ending.error, ConnectionClosed)

    asyncio.run(main())


class Daphne:
    """The part of its server that a ``send()`` leads to. It has dropped the connection, and says so when it is fed."""

    def __init__(self) -> None:
        self.state = self.STATE_CLOSED = 0
        self.messages: list[Message] = []

    async def handle_reply(self, protocol: "Daphne", message: Message) -> None:
        assert protocol is self
        self.messages.append(message)


Daphne.__module__ = "daphne.server"


def accept_and_wait(websocket: WebSocket) -> None:
    websocket.accept()
    with pytest.raises(ConnectionClosed, match="1006"):
        websocket.receive()


@pytest.mark.parametrize(
    "app",
    [
        handler(accept_and_wait),
        handler(lambda websocket: websocket.close(1008)),
        Library(lambda ws: ws.receive()),
    ],
    ids=["accept", "close", "library"],
)
def test_a_handshake_that_daphne_has_dropped_is_not_answered(app: WSGIApp) -> None:
    """It would take an accept, and never say that the client is gone; and raise for the code of a close."""

    async def main() -> None:
        async with Served(app) as adapter:
            server = Daphne()
            exchange = connect(adapter)
            await adapter(exchange.scope, exchange.receive, partial(server.handle_reply, server))
            assert server.messages == []

    asyncio.run(main())


def test_a_server_whose_receive_raises(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        ending = Ending(echo_forever)

        class Broken(Exchange):
            async def receive(self) -> Any:
                message = await super().receive()
                if message["type"] == "websocket.receive":
                    raise ValueError("broken")
                return message

        async with Served(ending) as adapter:
            async with Broken(adapter, websocket_scope(), [{"type": "websocket.connect"}]) as exchange:
                await exchange.wait_for("websocket.accept")
                exchange.feed(received("x"))
            await arrival(ending.ended)
        assert isinstance(ending.error, ConnectionClosed)

    asyncio.run(main())
    assert any("receive() of the ASGI server raised" in record.getMessage() for record in caplog.records)


def test_a_client_that_leaves_before_its_handshake_is_read() -> None:
    async def main() -> None:
        async with Served(handler(echo)) as adapter:
            exchange = Exchange(adapter, websocket_scope(), [disconnect()])
            await exchange.run()
            assert exchange.messages == []

    asyncio.run(main())
