"""The relay: libraries that take the WebSocket's socket from the environ, and apps that speak the protocol on it."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest
import simple_websocket
from wsproto import WSConnection, events

from bridge import ApplicationError
from bridge.to_asgi.channel import Channel
from bridge.to_asgi.websocket import session as session_module
from bridge.types import Environ, StartResponse
from tests.support.asgi import HANG, Exchange
from tests.support.relays import Library, Speaker, no_descriptors_left, serve_accepted
from tests.support.served import Served, arrival
from tests.support.servers import poll
from tests.support.websockets import closing, connect, disconnect, received, sent, websocket_scope

pytestmark = pytest.mark.usefixtures("no_bridge_threads")

no_leftovers = pytest.fixture(autouse=True)(no_descriptors_left)


# With simple-websocket.


def test_messages_both_ways() -> None:
    large = "x" * 1_000_000

    def app(ws: simple_websocket.Server) -> None:
        for _ in range(4):
            ws.send(ws.receive())

    exchange = serve_accepted(
        Library(app), received("text"), received(b"binary"), received(""), received(large)
    )
    assert exchange.messages[0] == {"type": "websocket.accept", "subprotocol": None, "headers": []}
    assert sent(exchange) == ["text", b"binary", "", large]
    assert closing(exchange) == (1000, "")


def test_a_subprotocol() -> None:
    exchange = serve_accepted(Library(lambda ws: None, subprotocols=["b"]), subprotocols=["a", "b"])
    assert exchange.messages[0]["subprotocol"] == "b"


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1011, "broken"), (4000, "é"), (3999, "x" * 100)])
def test_the_app_s_close(code: int, reason: str) -> None:
    close: Any = simple_websocket.Server.close  # typed for its enum, documented for numbers
    exchange = serve_accepted(Library(lambda ws: close(ws, code, reason)))
    assert closing(exchange) == (code, reason)


@pytest.mark.parametrize(
    ("code", "reason", "seen"),
    [
        (1000, "", (1000, "")),
        (4000, "why", (4000, "why")),
        # What simple-websocket says where the close has no code, and where the connection ends without one.
        (1005, "", (1005, "")),
        (1006, "", (1005, None)),
    ],
)
def test_the_client_s_close(code: int, reason: str, seen: tuple[int, str | None]) -> None:
    library = Library(lambda ws: ws.receive())

    async def main() -> None:
        async with Served(library) as adapter:
            async with connect(adapter) as exchange:
                await exchange.wait_for("websocket.accept")
                exchange.feed(disconnect(code, reason))
            await arrival(library.ended)

    asyncio.run(main())
    assert library.closed is not None
    assert library.closed == seen


def test_a_message_over_the_adapter_s_limit() -> None:
    library = Library(lambda ws: ws.receive())

    async def main() -> None:
        async with Served(library, max_body_size=10) as adapter:
            async with connect(adapter) as exchange:
                await exchange.wait_for("websocket.accept")
                exchange.feed(received("x" * 11))
            assert closing(exchange) == (1009, "a message may have 10 bytes")
            await arrival(library.ended)
        assert library.closed == (1009, "a message may have 10 bytes")

    asyncio.run(main())


def test_an_error_of_the_app() -> None:
    def app(ws: simple_websocket.Server) -> None:
        ws.send("x")
        raise ZeroDivisionError

    async def main() -> None:
        library = Library(app)
        async with Served(library) as adapter:
            exchange = connect(adapter)
            with pytest.raises(ZeroDivisionError):
                await exchange.run()
            assert sent(exchange) == ["x"]
            assert closing(exchange) == (1011, "")

    asyncio.run(main())


def test_a_library_that_raises_as_werkzeug_wants_it() -> None:
    """python-engineio ends so, where it has found werkzeug's socket."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        ws = simple_websocket.Server.accept(environ)
        ws.close()
        raise ConnectionError

    assert closing(serve_accepted(app)) == (1000, "")


def test_the_shutdown_closes() -> None:
    library = Library(lambda ws: ws.receive())

    async def main() -> None:
        async with Served(library) as adapter:
            exchange = await connect(adapter).__aenter__()
            await exchange.wait_for("websocket.accept")
        await exchange.__aexit__(None, None, None)
        assert closing(exchange)[0] == 1012

    asyncio.run(main())
    assert library.closed == (1012, "the server stops")


def test_a_server_that_cancels() -> None:
    library = Library(lambda ws: ws.receive())

    async def main() -> None:
        async with Served(library) as adapter:
            exchange = await connect(adapter).__aenter__()
            await exchange.wait_for("websocket.accept")
            assert exchange._task is not None
            exchange._task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await exchange.__aexit__(None, None, None)
            await arrival(library.ended)

    asyncio.run(main())


def test_an_app_that_does_not_read_holds_the_client() -> None:
    """The pair's buffers take some; then the server is not asked for more."""
    go = threading.Event()

    def speak(sock: socket.socket, connection: WSConnection) -> None:
        sock.sendall(connection.send(events.AcceptConnection()))
        go.wait(HANG)
        total = 0
        while total < 100:
            connection.receive_data(sock.recv(65536))
            total += sum(
                isinstance(event, events.Message) and event.message_finished for event in connection.events()
            )
        sock.sendall(connection.send(events.CloseConnection(code=4000)))

    async def main() -> None:
        async with Served(Speaker(speak)) as adapter:
            async with connect(adapter) as exchange:
                await exchange.wait_for("websocket.accept")
                exchange.feed(*[received(b"x" * 100_000)] * 100)
                for _ in range(1000):
                    await asyncio.sleep(0)
                assert len(exchange._events) > 50
                go.set()
            assert closing(exchange) == (4000, "")

    asyncio.run(main())


def test_an_app_that_reads_when_it_has_sent_gets_on() -> None:
    """It has pinged before, and the client sends as much: the loop does not wait for it to take the pong."""
    full = threading.Event()

    def speak(sock: socket.socket, connection: WSConnection) -> None:
        sock.sendall(connection.send(events.AcceptConnection()))
        assert full.wait(HANG)
        sock.sendall(
            connection.send(events.Ping(payload=b"first")) + connection.send(events.Ping(payload=b"last"))
        )
        sock.sendall(connection.send(events.BytesMessage(data=b"y" * 2_000_000)))
        seen: list[Any] = []
        while not any(isinstance(event, events.Pong) for event in seen):
            connection.receive_data(sock.recv(65536))
            seen += connection.events()
        assert sum(len(event.data) for event in seen if isinstance(event, events.Message)) == 2_000_000
        assert bytes(seen[-1].payload) in (b"first", b"last")
        sock.sendall(connection.send(events.CloseConnection(code=4000)))

    async def main() -> None:
        async with Served(Speaker(speak)) as adapter:
            async with connect(adapter) as exchange:
                await exchange.wait_for("websocket.accept")
                exchange.feed(received(b"x" * 2_000_000))
                for _ in range(1000):
                    await asyncio.sleep(0)
                full.set()
                await exchange.wait_for("websocket.close")
            assert sent(exchange) == [b"y" * 2_000_000]
            assert closing(exchange) == (4000, "")

    asyncio.run(main())


class SendsAndNeverReads:
    """It begins when the client's message has filled its socket."""

    def __init__(self) -> None:
        self.full = threading.Event()

    def __call__(self, sock: socket.socket, connection: WSConnection) -> None:
        sock.sendall(connection.send(events.AcceptConnection()))
        assert self.full.wait(HANG)
        with contextlib.suppress(ConnectionError):
            while True:
                sock.sendall(connection.send(events.TextMessage(data="tick")))

    async def fill(self, exchange: Exchange) -> None:
        await exchange.wait_for("websocket.accept")
        exchange.feed(received(b"x" * 2_000_000))
        for _ in range(1000):
            await asyncio.sleep(0)
        self.full.set()


def test_an_app_that_sends_and_never_reads(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It would not learn that the client leaves behind what it does not read, and hold its thread for ever."""
    monkeypatch.setattr(session_module, "_STUCK", 0.05)
    app = SendsAndNeverReads()

    async def main() -> None:
        async with Served(Speaker(app)) as adapter:
            async with connect(adapter) as exchange:
                await app.fill(exchange)
                exchange.feed(disconnect(1006))
            assert closing(exchange) == (1008, "the app does not take the messages")

    asyncio.run(main())
    assert any(
        "it has taken none of the messages that wait" in record.getMessage() for record in caplog.records
    )


def test_a_server_whose_send_raises_behind_what_the_app_does_not_read() -> None:
    """granian and daphne raise ``RuntimeError`` when the client has left, which nobody says behind messages."""
    app = SendsAndNeverReads()

    class Gone(Exchange):
        async def send(self, message: Any) -> None:
            await super().send(message)
            if message["type"] == "websocket.send":
                raise RuntimeError("closed")

    async def main() -> None:
        async with Served(Speaker(app)) as adapter:
            async with Gone(adapter, websocket_scope(), [{"type": "websocket.connect"}]) as exchange:
                await app.fill(exchange)
            assert sent(exchange) == ["tick"]

    asyncio.run(main())


# Apps that speak for themselves.


def test_fragments_and_pings() -> None:
    def speak(sock: socket.socket, connection: WSConnection) -> None:
        sock.sendall(
            connection.send(events.AcceptConnection(extra_headers=[(b"set-cookie", b"a=b")]))
            + connection.send(events.TextMessage(data="é", message_finished=False))
            + connection.send(events.Ping(payload=b"there?"))
            + connection.send(events.TextMessage(data="ü"))
            + connection.send(events.BytesMessage(data=b"1", message_finished=False))
            + connection.send(events.BytesMessage(data=b"2"))
        )
        connection.receive_data(sock.recv(65536))
        (pong,) = connection.events()
        assert isinstance(pong, events.Pong)
        assert bytes(pong.payload) == b"there?"

    exchange = serve_accepted(Speaker(speak))
    assert exchange.messages[0]["headers"] == [(b"set-cookie", b"a=b")]
    assert sent(exchange) == ["éü", b"12"]
    assert closing(exchange) == (1000, "")


def test_a_refusal_on_the_socket(caplog: pytest.LogCaptureFixture) -> None:
    def speak(sock: socket.socket, connection: WSConnection) -> None:
        headers = [(b"set-cookie", b"session=s3cr3t")]
        sock.sendall(connection.send(events.RejectConnection(status_code=409, headers=headers)))

    exchange = serve_accepted(Speaker(speak))
    assert closing(exchange) == (1000, "")
    assert len(exchange.messages) == 1
    (line,) = (record.getMessage() for record in caplog.records if "409" in record.getMessage())
    assert line == "the app refused a WebSocket to '/' on its socket; the client gets 403 for 409"


def test_what_is_no_frame() -> None:
    def speak(sock: socket.socket, connection: WSConnection) -> None:
        sock.sendall(connection.send(events.AcceptConnection()) + b"\xff" * 100)

    async def main() -> None:
        async with Served(Speaker(speak)) as adapter:
            exchange = connect(adapter)
            with pytest.raises(ApplicationError, match="no WebSocket frame"):
                await exchange.run()
            assert closing(exchange) == (1011, "")

    asyncio.run(main())


def test_a_handshake_that_is_no_http() -> None:
    async def main() -> None:
        async with Served(Speaker(lambda sock, _: sock.sendall(b"hello\r\n\r\n"))) as adapter:
            exchange = connect(adapter)
            with pytest.raises(ApplicationError, match="no HTTP"):
                await exchange.run()

    asyncio.run(main())


def test_an_end_without_a_close() -> None:
    def speak(sock: socket.socket, connection: WSConnection) -> None:
        sock.sendall(connection.send(events.AcceptConnection()))
        sock.close()

    assert closing(serve_accepted(Speaker(speak))) == (1000, "")


def test_an_app_that_waits_in_two_threads_is_told_of_the_end() -> None:
    """One sends, the other one takes the socket, and the client reads nothing. Both stand behind the same messages."""
    raised: list[type[BaseException]] = []
    channels: list[Channel] = []
    go = threading.Event()

    def end(use: Callable[[], object]) -> None:
        try:
            use()
        except ConnectionError as error:
            raised.append(type(error))

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        websocket = environ["wsgi.websocket"]
        websocket.accept()
        assert go.wait(HANG)
        sending = threading.Thread(target=end, args=(lambda: websocket.send("x" * 400_000),))
        sending.start()
        channel: Channel = websocket._channel
        # If the socket were taken first, that would have nothing to wait for.
        poll(lambda: len(channel._items) == 1, HANG, lambda: "send() has put nothing")
        channels.append(channel)
        end(lambda: environ["werkzeug.socket"].fileno())  # noqa: PLW0108 - the attribute is what opens it
        sending.join(HANG)
        assert not sending.is_alive()
        return []

    async def main() -> None:
        async with Served(app) as adapter:
            exchange = connect(adapter)
            exchange.hold_sends()
            async with exchange:
                # Behind the accept that is being sent: the message, and that the socket was taken.
                await exchange.wait_for("websocket.accept")
                go.set()
                while not channels or len(channels[0]._items) < 2:  # noqa: ASYNC110 - threads change it
                    await asyncio.sleep(0.001)
                exchange.feed(disconnect(1001))
            assert len(exchange.messages) == 1

    asyncio.run(main())
    assert len(raised) == 2
