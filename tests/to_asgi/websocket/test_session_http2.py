"""The end of a WebSocket over HTTP/2 (RFC 8441): the client's answer to a close is waited for.

hypercorn drops a stream when its app has ended; what comes on it after that ends the connection, with all that is on
it. ``tests/integration/test_websockets_http2.py`` has the server.
"""

import asyncio

import pytest

from bridge import WebSocket
from bridge.to_asgi.websocket import session
from tests.support.asgi import Exchange
from tests.support.served import Served
from tests.support.websockets import closing, connect, disconnect, handler, received, turn

pytestmark = pytest.mark.usefixtures("no_bridge_threads")


def close(websocket: WebSocket) -> None:
    websocket.accept()
    websocket.close(4000, "over")


def fail(websocket: WebSocket) -> None:
    websocket.accept()
    raise ZeroDivisionError


async def closed(exchange: Exchange) -> None:
    await exchange.wait_for("websocket.close")
    await turn()


def test_the_call_ends_with_the_client_s_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_CLOSE_TIMEOUT", 3600.0)

    async def main() -> None:
        async with Served(handler(close)) as adapter, connect(adapter, http_version="2") as exchange:
            await closed(exchange)
            assert exchange.receives_waiting == 1
            # What it sent before it had the close is dropped.
            exchange.feed(received("late"))
            await turn()
            assert exchange.receives_waiting == 1
            exchange.feed(disconnect(4000))
        assert closing(exchange) == (4000, "over")

    asyncio.run(main())


def test_an_error_is_raised_to_the_server_after_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_CLOSE_TIMEOUT", 3600.0)

    async def main() -> None:
        async with Served(handler(fail)) as adapter:
            exchange = connect(adapter, http_version="2")

            async def visit() -> None:
                async with exchange:
                    await closed(exchange)
                    exchange.feed(disconnect(1011))

            with pytest.raises(ZeroDivisionError):
                await visit()
            assert closing(exchange) == (1011, "")

    asyncio.run(main())


@pytest.mark.parametrize(("version", "patience"), [("2", 0.0), ("1.1", 3600.0)])
def test_who_does_not_answer_is_not_waited_for_long(
    version: str, patience: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "_CLOSE_TIMEOUT", patience)

    async def main() -> None:
        async with Served(handler(close)) as adapter:
            exchange = await connect(adapter, http_version=version).run()
            assert closing(exchange) == (4000, "over")

    asyncio.run(main())


def test_a_client_that_has_left_gets_no_close_and_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_CLOSE_TIMEOUT", 3600.0)

    async def main() -> None:
        async with Served(handler(list)) as adapter:
            exchange = connect(adapter, http_version="2")
            async with exchange:
                await exchange.wait_for("websocket.accept")
                exchange.feed(disconnect(1000))

    asyncio.run(main())
