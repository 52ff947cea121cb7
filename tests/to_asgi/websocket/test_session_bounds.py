"""What may be on its way: a side that does not read holds the other, and is not held for ever."""

import asyncio
import threading
from collections.abc import Callable

import pytest

from bridge import ConnectionClosed, WebSocket
from bridge.threads.pool import ThreadPool
from bridge.to_asgi.websocket import session as session_module
from bridge.to_asgi.websocket.session import Session
from tests.support.served import Served, arrival
from tests.support.websockets import (
    Ending,
    closing,
    connect,
    disconnect,
    echo_forever,
    handler,
    received,
    sent,
    turn,
)

pytestmark = pytest.mark.usefixtures("no_bridge_threads")


# Threads.


def test_a_client_that_leaves_before_its_call_has_a_thread_takes_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held: list[Callable[[], None]] = []
    start = ThreadPool._start
    monkeypatch.setattr(
        ThreadPool, "_start", lambda pool, gate, name: held.append(lambda: start(pool, gate, name))
    )
    calls: list[str] = []

    def serve(websocket: WebSocket) -> None:
        websocket.send("here")
        calls.append("served")

    async def main() -> None:
        async with Served(handler(serve), websocket_threads=1) as adapter:
            first = connect(adapter)
            first.feed(disconnect())
            await first.run()
            assert not calls
            # Its thread is still on its way, and serves the next one.
            async with connect(adapter) as second:
                await turn()
                held.pop()()
                await second.wait_for("websocket.close")
        assert not held
        assert sent(second) == ["here"]
        assert calls == ["served"]

    asyncio.run(main())


# Backpressure.


@pytest.mark.parametrize("data", ["x" * 100, b""])
def test_a_client_that_does_not_read_holds_the_app(no_bridge_threads: None, data: str | bytes) -> None:
    async def main() -> None:
        count = 0

        def app(websocket: WebSocket) -> None:
            nonlocal count
            while True:
                websocket.send(data)
                count += 1

        ending = Ending(app)
        async with Served(ending, response_buffer=1000) as adapter:
            async with connect(adapter) as exchange:
                exchange.hold_sends()
                await exchange.wait_for("websocket.accept")
                # The accept is in send(), and behind it 1000 bytes and one message at most: there the app waits. Each
                # counts 64 bytes more than it has.
                while count < 5:  # noqa: ASYNC110  # another thread counts
                    await asyncio.sleep(0)
                for _ in range(1000):
                    await asyncio.sleep(0)
                assert count <= 1000 // (len(data) + 64) + 1
                exchange.feed(disconnect(1006))
            await arrival(ending.ended)
        assert isinstance(ending.error, ConnectionClosed)

    asyncio.run(main())


def test_an_app_that_does_not_read_holds_the_client() -> None:
    async def main() -> None:
        go = threading.Event()

        def app(websocket: WebSocket) -> None:
            websocket.accept()
            go.wait(10)
            websocket.send(str(sum(len(websocket.receive()) for _ in range(50))))

        async with Served(handler(app), request_buffer=1000) as adapter:
            exchange = connect(adapter)
            async with exchange:
                await exchange.wait_for("websocket.accept")
                exchange.feed(*[received("x" * 100)] * 50)
                for _ in range(1000):
                    await asyncio.sleep(0)
                assert len(exchange._events) > 30  # not taken from the server
                go.set()
            assert sent(exchange) == ["5000"]

    asyncio.run(main())


def test_a_message_over_the_limit_closes_with_1009() -> None:
    async def main() -> None:
        ending = Ending(echo_forever)
        async with Served(ending, max_body_size=10) as adapter:
            async with connect(adapter) as exchange:
                await exchange.wait_for("websocket.accept")
                exchange.feed(received("x" * 10), received(b"x" * 10), received("é" * 6))
            await arrival(ending.ended)
        assert closing(exchange) == (1009, "a message may have 10 bytes")
        assert isinstance(ending.error, ConnectionClosed)
        assert ending.error.code == 1009

    asyncio.run(main())


# An app that takes nothing of what the client sends.

FLOOD = [received("x" * 1000)] * 3
"""More than the inbox takes with ``request_buffer=1000``: what comes after it is not seen."""


@pytest.mark.parametrize("blocked", [False, True])
def test_an_app_that_sends_and_takes_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, blocked: bool
) -> None:
    """It would not learn that the client leaves, and hold its thread for ever."""
    monkeypatch.setattr(session_module, "_STUCK", 0.05)
    monkeypatch.setattr(session_module, "_CLOSE_TIMEOUT", 0.05)

    async def main() -> None:
        def app(websocket: WebSocket) -> None:
            while True:
                websocket.send("tick")

        ending = Ending(app)
        async with Served(ending, request_buffer=1000, response_buffer=1000) as adapter:
            exchange = connect(adapter)
            exchange.feed(*FLOOD)
            async with exchange:
                await exchange.wait_for("websocket.send")
                if blocked:
                    # As hypercorn's send() is when the client has left.
                    exchange.hold_sends()
                    exchange.feed(disconnect(1001))
                await arrival(ending.ended)
        assert isinstance(ending.error, ConnectionClosed)
        assert (ending.error.code, ending.error.reason) == (1008, "the app does not take the messages")
        if not blocked:
            assert closing(exchange) == (1008, "the app does not take the messages")

    asyncio.run(main())
    assert any(
        "it has taken none of the messages that wait" in record.getMessage() for record in caplog.records
    )


@pytest.mark.parametrize("sends", [False, True])
def test_an_app_that_takes_its_time(sends: bool) -> None:
    """It is at work, and sends nothing meanwhile; or it sends, and takes a message now and then."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        accepted = threading.Event()

        def look() -> None:
            looked = threading.Event()

            def looking() -> None:
                for session in adapter._loops.wires[loop].sessions:
                    assert isinstance(session, Session)
                    session._look()
                looked.set()

            loop.call_soon_threadsafe(looking)
            assert looked.wait(10)

        def app(websocket: WebSocket) -> None:
            websocket.accept()
            assert accepted.wait(10)
            for _ in FLOOD:
                look()
                if sends:
                    websocket.send("tick")
                else:
                    look()
                websocket.receive()

        async with Served(handler(app), request_buffer=1000) as adapter:
            exchange = connect(adapter)
            exchange.feed(*FLOOD)
            async with exchange:
                await exchange.wait_for("websocket.accept")
                accepted.set()
        assert closing(exchange) == (1000, "")

    asyncio.run(main())
