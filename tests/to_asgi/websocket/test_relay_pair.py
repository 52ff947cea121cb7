"""The relay's two sockets, and its frames, without a library: what is never written, and what the app's end is."""

import asyncio
import contextlib
import importlib.util
import itertools
import socket
import threading
from unittest.mock import patch

import pytest
import simple_websocket
from wsproto import WSConnection, events
from wsproto.frame_protocol import FrameProtocol, Opcode

from bridge import ApplicationError
from bridge.threads.mailbox import Mailbox
from bridge.to_asgi.channel import Channel
from bridge.to_asgi.websocket.relay import Relay, RelayPair
from bridge.types import Environ, StartResponse
from tests.support.asgi import HANG
from tests.support.relays import Library, Speaker, no_descriptors_left, serve_accepted
from tests.support.served import Served, arrival
from tests.support.websockets import connect, disconnect, sent

pytestmark = pytest.mark.usefixtures("no_bridge_threads")

no_leftovers = pytest.fixture(autouse=True)(no_descriptors_left)


# The relay alone.


@pytest.mark.parametrize("half_written", [True, False])
def test_a_close_is_never_written_into_another_frame(half_written: bool) -> None:
    """The app reads again, and the client leaves before the loop has written on."""

    async def main() -> bytes:
        loop = asyncio.get_running_loop()
        pair = RelayPair(Channel(Mailbox(loop), 1000))
        own = pair.open()
        relay = Relay(pair, "/")
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
        relay = Relay(pair, "/")
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

    serve_accepted(Speaker(speak))


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
    called, go, ended = threading.Event(), threading.Event(), threading.Event()
    release = RelayPair.release

    def release_and_go(pair: RelayPair) -> None:
        release(pair)
        go.set()

    async def main() -> None:

        def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
            called.set()
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
                await arrival(called)  # before that the call would be withdrawn
                exchange.feed(disconnect(1006))
            assert ended.is_set()
        assert exchange.messages == []

    with patch.object(RelayPair, "release", release_and_go):
        asyncio.run(main())
    assert len(errors) == 1
