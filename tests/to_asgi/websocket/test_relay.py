"""The relay: libraries that take the WebSocket's socket from the environ, and apps that speak the protocol on it."""

import asyncio
import contextlib
import gc
import importlib.util
import itertools
import os
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

import pytest
import simple_websocket
from wsproto import ConnectionType, WSConnection, events
from wsproto.frame_protocol import FrameProtocol, Opcode

from bridge import ApplicationError
from bridge.threads.mailbox import Mailbox
from bridge.to_asgi.channel import Channel
from bridge.to_asgi.websocket.relay import Relay, RelayPair
from bridge.types import Environ, Message, StartResponse, WSGIApp
from tests.support.asgi import HANG, Exchange
from tests.support.served import Served, arrival
from tests.support.websockets import closing, connect, disconnect, received, sent

pytestmark = pytest.mark.usefixtures("no_bridge_threads")


@pytest.fixture(autouse=True)
def no_descriptors_left() -> Iterator[None]:
    """Prove that both ends of each pair are closed."""
    before = _sockets()
    yield
    for thread in threading.enumerate():
        if "simple_websocket" in thread.name:
            thread.join(HANG)
    gc.collect()  # an error and its traceback hold each other, and the app's end of the pair
    assert _sockets() == before


def _sockets() -> int:
    count = 0
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
        try:
            count += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")  # noqa: PTH115
        except FileNotFoundError:
            continue  # the listing's own
    return count


class Library:
    """An app that is ``serve(ws)``, served by simple-websocket, as flask-sock does it."""

    def __init__(self, serve: Callable[[simple_websocket.Server], object], **options: Any) -> None:
        self.serve = serve
        self.options = options
        self.closed: tuple[int, str | None] | None = None
        self.ended = threading.Event()

    def __call__(self, environ: Environ, start_response: StartResponse) -> list[bytes]:
        ws = simple_websocket.Server.accept(environ, **self.options)
        try:
            self.serve(ws)
            ws.close()
        except simple_websocket.ConnectionClosed as exc:
            self.closed = (exc.reason, exc.message)
        finally:
            self.ended.set()
        start_response("200 OK", [("Content-Length", "0")])
        return [b""]


class Speaker:
    """An app that speaks the protocol by itself: ``speak(socket, connection)`` after the handshake's request."""

    def __init__(self, speak: Callable[[socket.socket, WSConnection], object]) -> None:
        self.speak = speak

    def __call__(self, environ: Environ, start_response: StartResponse) -> list[bytes]:
        connection = WSConnection(ConnectionType.SERVER)
        connection.receive_data(
            b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
            + environ["HTTP_SEC_WEBSOCKET_KEY"].encode()
            + b"\r\n\r\n"
        )
        (request,) = connection.events()
        assert isinstance(request, events.Request)
        self.speak(environ["werkzeug.socket"], connection)
        return []


def serve(app: WSGIApp, *messages: Any, **scope: Any) -> Exchange:
    """Serve one client that sends ``messages`` when it is accepted."""

    async def main() -> Exchange:
        async with Served(app) as adapter:
            async with connect(adapter, **scope) as exchange:
                await exchange.wait_until(lambda: bool(exchange.messages))
                exchange.feed(*messages)
            return exchange

    return asyncio.run(main())


# With simple-websocket.


def test_messages_both_ways() -> None:
    large = "x" * 1_000_000

    def app(ws: simple_websocket.Server) -> None:
        for _ in range(4):
            ws.send(ws.receive())

    exchange = serve(Library(app), received("text"), received(b"binary"), received(""), received(large))
    assert exchange.messages[0] == {"type": "websocket.accept", "subprotocol": None, "headers": []}
    assert sent(exchange) == ["text", b"binary", "", large]
    assert closing(exchange) == (1000, "")


def test_a_subprotocol() -> None:
    exchange = serve(Library(lambda ws: None, subprotocols=["b"]), subprotocols=["a", "b"])
    assert exchange.messages[0]["subprotocol"] == "b"


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1011, "broken"), (4000, "é"), (3999, "x" * 100)])
def test_the_app_s_close(code: int, reason: str) -> None:
    close: Any = simple_websocket.Server.close  # typed for its enum, documented for numbers
    exchange = serve(Library(lambda ws: close(ws, code, reason)))
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

    assert closing(serve(app)) == (1000, "")


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

    exchange = serve(Speaker(speak))
    assert exchange.messages[0]["headers"] == [(b"set-cookie", b"a=b")]
    assert sent(exchange) == ["éü", b"12"]
    assert closing(exchange) == (1000, "")


def test_a_refusal_on_the_socket(caplog: pytest.LogCaptureFixture) -> None:
    def speak(sock: socket.socket, connection: WSConnection) -> None:
        sock.sendall(connection.send(events.RejectConnection(status_code=409)))

    exchange = serve(Speaker(speak))
    assert closing(exchange) == (1000, "")
    assert len(exchange.messages) == 1
    assert any("409" in record.getMessage() for record in caplog.records)


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

    assert closing(serve(Speaker(speak))) == (1000, "")


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
        channels.append(websocket._channel)
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


# The relay alone.


@pytest.mark.parametrize("half_written", [True, False])
def test_a_close_is_never_written_into_another_frame(half_written: bool) -> None:
    """The app reads again, and the client leaves before the loop has written on."""

    async def main() -> bytes:
        loop = asyncio.get_running_loop()
        pair = RelayPair(Channel(Mailbox(loop), 1000))
        own = pair.open()
        relay = Relay(pair, _no_send)
        message = b"x" * (8_000_000 if half_written else 200)
        delivering = asyncio.create_task(relay.deliver(message))
        # As far as the socket takes it.
        for _ in range(3):
            await asyncio.sleep(0)
        assert delivering.done() is not half_written
        own.setblocking(False)
        read = b""
        with contextlib.suppress(BlockingIOError):
            while True:
                read += own.recv(1_000_000)
        # The loop has not come to write: there is room for the close, in the middle of the message.
        relay.disconnect(4000, "bye")
        pair.release()
        while part := own.recv(1_000_000):
            read += part
        await delivering
        pair.close()
        pair.drop()
        return read

    read = asyncio.run(main())
    # RFC 6455, section 5.2: the client's frames are masked, with the four bytes before the payload.
    start = 14 if half_written else 8
    masks = itertools.cycle(read[start - 4 : start])
    end = None if half_written else start + 200
    payload = read[start:end]
    assert bytes(byte ^ mask for byte, mask in zip(payload, masks, strict=False)) == b"x" * len(payload)
    if half_written:
        assert start < len(read) < 8_000_000
        return
    reader = FrameProtocol(client=False, extensions=[])
    reader.receive_bytes(read)
    first, second = reader.received_frames()
    assert first.payload == b"x" * 200
    assert second.opcode is Opcode.CLOSE
    assert second.payload == (4000, "bye")


def test_no_frame_follows_a_close() -> None:
    """One that waits until another is written is not made before it is its turn."""

    async def main() -> bytes:
        pair = RelayPair(Channel(Mailbox(asyncio.get_running_loop()), 1000))
        own = pair.open()
        relay = Relay(pair, _no_send)
        async with relay._writing:
            waiting = asyncio.create_task(relay.deliver("late"))
            await asyncio.sleep(0)
        # Released, and the waiting one has not been called yet.
        relay.disconnect(4000, "")
        await waiting
        pair.release()
        read = own.recv(1000)
        pair.close()
        pair.drop()
        return read

    read = asyncio.run(main())
    assert read[0] == 0x80 | Opcode.CLOSE
    assert len(read) == 2 + 4 + 2, "a head, a mask, a code, and nothing after them"


async def _no_send(message: Message) -> None:
    raise AssertionError(message)


# The socket itself.


def test_an_app_that_does_not_use_it_has_no_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        assert "werkzeug.socket" in environ
        assert not hasattr(environ["werkzeug.socket"], "__array__")  # what copies and debuggers ask for
        environ["wsgi.websocket"].send("x")
        return []

    async def main() -> None:
        async with Served(app) as adapter:
            assert sent(await connect(adapter).run()) == ["x"]

    with asyncio.Runner() as runner:
        runner.get_loop()  # which has a pair of its own, to be woken by
        monkeypatch.delattr(socket, "socketpair")
        runner.run(main())


def test_it_is_a_socket_in_all_that_is_asked_of_it() -> None:
    def speak(sock: socket.socket, connection: WSConnection) -> None:
        assert sock.fileno() > 0
        assert sock.family == socket.AF_UNIX
        assert sock.gettimeout() is None
        sock.sendall(connection.send(events.AcceptConnection()))

    serve(Speaker(speak))


def test_without_wsproto(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "wsproto" else find(name, *more)
    )

    async def main() -> None:
        async with Served(Library(lambda ws: None)) as adapter:
            with pytest.raises(ApplicationError, match=r"asgi-wsgi-bridge\[websocket\]"):
                await connect(adapter).run()

    asyncio.run(main())


def test_an_app_that_takes_it_after_the_client_has_left() -> None:
    errors: list[BaseException] = []
    go, ended = threading.Event(), threading.Event()
    release = RelayPair.release

    def release_and_go(pair: RelayPair) -> None:
        release(pair)
        go.set()

    async def main() -> None:

        def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
            assert go.wait(HANG)
            try:
                simple_websocket.Server.accept(environ)
            except OSError as exc:
                errors.append(exc)
                raise
            finally:
                ended.set()
            return []

        async with Served(app) as adapter:
            exchange = connect(adapter)
            async with exchange:
                exchange.feed(disconnect(1006))
            assert ended.is_set()
        assert exchange.messages == []

    with patch.object(RelayPair, "release", release_and_go):
        asyncio.run(main())
    assert len(errors) == 1
