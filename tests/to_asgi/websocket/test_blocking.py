"""The blocking interface that an app gets: messages, accepting, closing."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from bridge import ApplicationError, ConnectionClosed, WebSocket
from bridge.types import Message
from tests.support.asgi import HANG, Exchange
from tests.support.served import Served, arrival
from tests.support.websockets import (
    Ending,
    closing,
    connect,
    disconnect,
    handler,
    received,
    sent,
    serve,
    websocket_scope,
)

pytestmark = pytest.mark.usefixtures("no_bridge_threads")


# Messages.


def test_messages_both_ways() -> None:
    def app(websocket: WebSocket) -> None:
        for _ in range(3):
            websocket.send(websocket.receive())

    exchange = serve(handler(app), received("text"), received(b"binary"), received(""))
    assert exchange.messages[0] == {"type": "websocket.accept", "subprotocol": None, "headers": []}
    assert sent(exchange) == ["text", b"binary", ""]
    assert closing(exchange) == (1000, "")


def test_a_server_that_names_both_kinds_of_a_message() -> None:
    """By the specification one of the two is there and not ``None``."""
    events = [
        {"type": "websocket.receive", "text": None, "bytes": b""},
        {"type": "websocket.receive", "text": "", "bytes": None},
    ]

    def app(websocket: WebSocket) -> None:
        websocket.send(repr([websocket.receive(), websocket.receive()]))

    assert sent(serve(handler(app), *events)) == ["[b'', '']"]


@pytest.mark.parametrize("data", [bytearray(b"abc"), memoryview(b"abc")])
def test_what_else_is_sent_as_binary(data: bytearray | memoryview) -> None:
    assert sent(serve(handler(lambda websocket: websocket.send(data)))) == [b"abc"]


def test_what_can_t_be_sent() -> None:
    not_bytes: Any = 7
    with pytest.raises(TypeError, match="not int"):
        serve(handler(lambda websocket: websocket.send(not_bytes)))


def test_text_that_is_not_unicode_is_refused_where_it_is_sent() -> None:
    def app(websocket: WebSocket) -> None:
        with pytest.raises(ValueError, match="surrogates"):
            websocket.send("half \ud83d")
        websocket.send("whole \U0001f600")

    exchange = serve(handler(app))
    assert sent(exchange) == ["whole \U0001f600"]
    assert closing(exchange) == (1000, "")


def test_an_iteration_ends_when_the_client_leaves() -> None:
    async def main() -> None:
        messages: list[str | bytes] = []
        ending = Ending(messages.extend)
        async with Served(ending) as adapter:
            async with connect(adapter) as exchange:
                await exchange.wait_for("websocket.accept")
                exchange.feed(received("1"), received("2"), disconnect(1001))
            await arrival(ending.ended)
        assert messages == ["1", "2"]
        assert ending.error is None

    asyncio.run(main())


def test_a_message_that_does_not_come() -> None:
    with pytest.raises(TimeoutError, match=r"0\.01 s"):
        serve(handler(lambda websocket: websocket.receive(timeout=0.01)))


def test_threads_that_send_at_once() -> None:
    def app(websocket: WebSocket) -> None:
        def send(n: int) -> None:
            for i in range(100):
                websocket.send(f"{n}.{i}")

        threads = [threading.Thread(target=send, args=[n]) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    messages = sent(serve(handler(app), options={"response_buffer": 20}))
    assert len(messages) == 400
    for n in range(4):
        assert [m for m in messages if str(m).startswith(f"{n}.")] == [f"{n}.{i}" for i in range(100)]


# Accepting.


def test_accept_with_a_subprotocol_and_headers() -> None:
    def app(websocket: WebSocket) -> None:
        assert websocket.subprotocols == ["v2", "v1"]
        websocket.accept("v1", [("Set-Cookie", "a=b"), ("X-Name", "h\xe9")])

    exchange = serve(handler(app), subprotocols=["v2", "v1"])
    assert exchange.messages[0] == {
        "type": "websocket.accept",
        "subprotocol": "v1",
        "headers": [(b"set-cookie", b"a=b"), (b"x-name", b"h\xe9")],
    }


@pytest.mark.parametrize(
    ("accept", "rule"),
    [
        (lambda websocket: websocket.accept("v3"), "RFC 6455, 4.2.2"),
        (
            lambda websocket: websocket.accept(headers=[("Sec-WebSocket-Protocol", "v1")]),
            "an argument of its own",
        ),
        (lambda websocket: websocket.accept(headers=[("X", "a\r\nb")]), "RFC 9110, 5.5"),
        (lambda websocket: websocket.accept(headers={"X-Name": "x"}), "header 'X-Name' is not of the form"),
        (lambda websocket: [websocket.accept() for _ in range(2)], "accepted already"),
        (lambda websocket: [call() for call in (websocket.receive, websocket.accept)], "accepted already"),
    ],
)
def test_an_accept_that_breaks_a_rule(accept: Callable[[WebSocket], object], rule: str) -> None:
    with pytest.raises(ApplicationError, match=rule):
        serve(handler(accept), received("x"), subprotocols=["v1"])


def test_accepting_after_the_client_has_left() -> None:
    async def main() -> None:
        called, left = threading.Event(), threading.Event()

        class Leaving(Exchange):
            async def receive(self) -> Message:
                message = await super().receive()
                if message["type"] == "websocket.disconnect":
                    # Before that the call would be withdrawn.
                    await arrival(called)
                    # When the adapter has taken it in.
                    asyncio.get_running_loop().call_soon(left.set)
                return message

        def app(websocket: WebSocket) -> None:
            called.set()
            assert left.wait(HANG)
            websocket.accept()

        ending = Ending(app)
        async with Served(ending) as adapter:
            events = [{"type": "websocket.connect"}, disconnect(1006)]
            exchange = await Leaving(adapter, websocket_scope(), events).run()
            await arrival(ending.ended)
        assert isinstance(ending.error, ConnectionClosed)
        assert ending.error.code == 1006
        assert exchange.messages == []

    asyncio.run(main())


# Closing.


def test_the_app_closes() -> None:
    def app(websocket: WebSocket) -> None:
        websocket.send("last")
        websocket.close(4001, "enough")
        websocket.close(4002, "again")
        for call in (lambda: websocket.send("late"), websocket.receive, websocket.receive):
            with pytest.raises(ConnectionClosed) as raised:
                call()
            assert (raised.value.code, raised.value.reason) == (4001, "enough")

    exchange = serve(handler(app))
    assert sent(exchange) == ["last"]
    assert closing(exchange) == (4001, "enough")


def test_what_came_before_the_app_closed_can_still_be_received() -> None:
    def app(websocket: WebSocket) -> None:
        assert websocket.receive() == "1"
        websocket.close()
        assert websocket.receive() == "2"

    assert closing(serve(handler(app), received("1"), received("2"))) == (1000, "")


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 2000, 2999, 5000, 1000.0, "1000", True])
def test_a_code_that_nobody_may_send(code: Any) -> None:
    with pytest.raises(ValueError, match=f"{code!r}; RFC 6455, 7.4"):
        serve(handler(lambda websocket: websocket.close(code)))


def test_a_reason_that_is_too_long() -> None:
    with pytest.raises(ValueError, match=r"124 bytes; RFC 6455, 5\.5, allows 123"):
        serve(handler(lambda websocket: websocket.close(reason="é" * 62)))


def test_a_close_before_accept_refuses_the_handshake() -> None:
    exchange = serve(handler(lambda websocket: websocket.close()), denial=True)
    assert closing(exchange) == (1000, "")
    assert len(exchange.messages) == 1
