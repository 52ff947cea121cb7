"""A session and its relay in every order: whoever ends it, no thread or task waits for ever, and nothing stays open.

The app is as simple-websocket and those who use it: one thread writes, another one reads to the end of its socket, and
closes it. The sockets take a few bytes at a time, so that each frame is written in parts.
"""

import asyncio
import contextlib
import gc
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from wsproto import ConnectionType
from wsproto.connection import Connection
from wsproto.events import CloseConnection, Ping, Pong, TextMessage

import bridge.threads.mailbox
import bridge.to_asgi.channel
import bridge.to_asgi.websocket.blocking
import bridge.to_asgi.websocket.inbox
import bridge.to_asgi.websocket.relay
from bridge.threads.mailbox import Mailbox
from bridge.to_asgi.channel import Channel
from bridge.to_asgi.watch import Watch, Watches
from bridge.to_asgi.websocket import relay as relay_module
from bridge.to_asgi.websocket import session as session_module
from bridge.to_asgi.websocket.blocking import WebSocket, WebSocketCall
from bridge.to_asgi.websocket.handshake import handshake_environ
from bridge.to_asgi.websocket.inbox import Inbox
from bridge.to_asgi.websocket.listener import Listener
from bridge.to_asgi.websocket.relay import Relay, RelayPair
from bridge.to_asgi.websocket.session import Session
from bridge.types import Environ, Message, StartResponse
from tests.support.orders import Check, Order, Scenario, explore
from tests.support.orders.sockets import SocketLoop, Sockets
from tests.support.websockets import disconnect, received, websocket_scope

MODULES = (
    bridge.threads.mailbox,
    bridge.to_asgi.channel,
    bridge.to_asgi.websocket.blocking,
    bridge.to_asgi.websocket.inbox,
    bridge.to_asgi.websocket.relay,
)
ACCEPT = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
#: Room for a part of each frame that goes to the app, and for all that it sends.
TO_APP, TO_LOOP = 5, 200

#: Who ends it: the app by returning, by its close, or as one of a single thread, which reads when it has sent more than
#: there is room for; the client; the server by a shutdown, or by cancelling the task.
ENDS = ("return", "close", "single", "client", "shutdown", "cancel")


@pytest.fixture(autouse=True)
def _no_threads_left() -> Iterator[None]:
    yield
    assert not [
        thread for thread in threading.enumerate() if thread.name.startswith(("app", "loop", "client"))
    ]


def scenario(
    patch: pytest.MonkeyPatch,
    end: str,
    pair_kind: type[RelayPair] = RelayPair,
    relay_kind: type[Relay] = Relay,
) -> Scenario:
    """The client sends a message, and the app a ping and a message."""

    def begin(order: Order) -> Check:
        loop: Any = SocketLoop(order)
        sockets: Any = Sockets(order, to_app=TO_APP, to_loop=TO_LOOP)
        patch.setattr(relay_module, "socket", sockets)
        patch.setattr(session_module, "Relay", relay_kind)
        library = Connection(ConnectionType.SERVER)
        read: list[bytes] = []
        sent: list[Message] = []
        ended: list[str] = []
        task: list[asyncio.Task[None]] = []
        by_app = end in ("return", "close", "single")

        def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
            own = environ["werkzeug.socket"]

            def read_on() -> None:
                with contextlib.suppress(OSError):
                    while data := own.recv(4096):
                        read.append(data)
                own.close()

            with contextlib.suppress(OSError):
                own.send(ACCEPT)
                if end != "single":
                    order.spawn(read_on, "app-reader")
                own.send(library.send(Ping()))
                own.send(library.send(TextMessage("a" * TO_LOOP if end == "single" else "a")))
                if end == "single":
                    own.shutdown(socket.SHUT_WR)
                    read_on()
                elif end == "close":
                    own.send(library.send(CloseConnection(4000, "enough")))
                elif end != "return":
                    # As one that waits for messages. The reader ends with the socket.
                    order.pause(lambda: own.closed)
            ended.append("app")
            return []

        async def serve() -> None:
            mailbox = Mailbox(loop)
            events: asyncio.Queue[Message] = asyncio.Queue()
            channel = Channel(mailbox, 1000)
            inbox = Inbox(mailbox, 1000)
            pair = pair_kind(channel)
            scope = websocket_scope("/x")
            websocket = WebSocket((), channel, inbox)

            def call() -> WebSocketCall:
                environ = handshake_environ(scope) | {"werkzeug.socket": pair.socket_for_app()}
                return WebSocketCall(app, environ, channel, None, websocket, pair)

            # Whoever runs it lets go of it, as a pool's thread does.
            calls = [call()]
            listener = Listener(events.get, "/x", channel, inbox, pair, None)

            async def send(message: Message) -> None:
                sent.append(message)

            watch = Watch(Watches(loop), listener.listen, send, listener.abort)
            session = Session(scope, send, watch, listener, channel, inbox, pair)

            def run() -> None:
                after = calls.pop().run()
                if after is not None:
                    after()

            def client() -> None:
                loop.tell(events.put_nowait, received("m"))
                if end == "client":
                    loop.tell(events.put_nowait, disconnect(1000))
                elif end == "shutdown":
                    loop.tell(session.close, 1012, "stops")
                elif end == "cancel":
                    loop.tell(task[0].cancel)

            order.spawn(run, "app")
            order.spawn(client, "client")
            await session.run()

        def serving() -> None:
            async def main() -> None:
                task.append(asyncio.ensure_future(serve()))
                await asyncio.wait(task)

            loop.run(main())

        order.spawn(serving, "loop")

        def check() -> None:
            assert task[0].cancelled() or task[0].exception() is None
            # One whose client has left before, or whose server has stopped, is not called.
            assert ended or not by_app
            assert all(one.closed and one.reader is one.writer is None for one in sockets.ends), (
                "it stays open"
            )
            told = [message["type"].removeprefix("websocket.") for message in sent]
            if by_app:
                assert told == ["accept", "send", "close"]
                assert sent[-1]["code"] == (4000 if end == "close" else 1000)
            elif told not in ([], ["close"]):
                assert told[0] == "accept"
                assert told[1:] in ([], ["send"], ["close"], ["send", "close"])
            for data in read:
                library.receive_data(data)
            for event in library.events():
                assert (
                    (isinstance(event, TextMessage) and event.data in ("", "m"))
                    or (isinstance(event, CloseConnection) and event.code in {1000, 1012, 4000})
                    or isinstance(event, Pong)
                ), f"a frame came between the halves of one: {event}"

        return check

    return begin


@pytest.mark.parametrize("end", ENDS)
def test_every_order(end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert explore(scenario(monkeypatch, end), *MODULES, preemptions=1) >= 2


# That it finds what it is for.


class StaysOpen(RelayPair):
    """Where the loop lets go of the pair, the app is not told."""

    def release(self) -> None:
        with self._lock:
            self._released = True


class EndsInSilence(RelayPair):
    """The end of the app's call is not told to the loop."""

    def end(self) -> None:
        """Whoever reads on goes on reading."""


class ClosesAtOnce(RelayPair):
    """The loop closes its end without asking whether a task of its own still waits on it."""

    def release(self) -> None:
        super().release()
        self.close()


class NoLock:
    """Whoever comes may write."""

    async def __aenter__(self) -> None:
        """At once."""

    async def __aexit__(self, *_: object) -> None:
        """It was nobody's."""

    def locked(self) -> bool:
        return False


class WritesInParts(Relay):
    """A frame may come between the parts of another one."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._writing: Any = NoLock()


class WaitsForItsAnswer(Relay):
    """It reads on when the app has taken the answer to its ping."""

    async def _read(self) -> bytes | None:
        if self._answering is not None:
            await self._answering
        return await super()._read()


class InterruptsItself(Relay):
    """Its close may come between the parts of a frame."""

    def disconnect(self, code: int, reason: str) -> None:
        writing, self._writing = self._writing, asyncio.Lock()
        super().disconnect(code, reason)
        self._writing = writing


# An order that fails ends in the middle of the relay's generator, which then can't be closed.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("end", "pair", "relay", "words"),
    [
        ("client", StaysOpen, Relay, "wait for ever"),
        ("return", EndsInSilence, Relay, "wait for ever"),
        ("cancel", ClosesAtOnce, Relay, "the loop still waits"),
        ("return", RelayPair, WritesInParts, "two write at once"),
        ("single", RelayPair, WaitsForItsAnswer, "wait for ever"),
        ("shutdown", RelayPair, InterruptsItself, "between the halves of one"),
    ],
)
def test_what_leaves_a_gap_is_found_out(
    end: str, pair: type[RelayPair], relay: type[Relay], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(AssertionError, match=words):
        explore(scenario(monkeypatch, end, pair, relay), *MODULES, preemptions=1)
    gc.collect()  # what is left of it, here and not in the next test
