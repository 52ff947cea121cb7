"""The session: what is sent in which state, and what it leaves behind."""

import asyncio
import gc
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from bridge import WebSocket
from bridge.to_asgi.websocket.session import _NEXT, ClientState
from bridge.types import Environ, StartResponse
from tests.support.asgi import HANG, Exchange
from tests.support.served import Served
from tests.support.websockets import closing, connect, disconnect, handler, received, sent, serve

pytestmark = pytest.mark.usefixtures("no_bridge_threads")


# The states.


def test_every_state_can_be_left_and_closed_is_the_end() -> None:
    assert set(_NEXT) == set(ClientState)
    for state, following in _NEXT.items():
        assert (following.get("websocket.close") is ClientState.CLOSED) is (state is not ClientState.CLOSED)
    assert not _NEXT[ClientState.CLOSED]


def test_a_library_can_not_answer_the_handshake_again() -> None:
    """Its answer, and what it sends after it, go to nobody or to the open WebSocket."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        environ["wsgi.websocket"].send("first")
        socket = environ["werkzeug.socket"]
        socket.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
        )
        socket.sendall(b"\x81\x06second")
        return []

    exchange = serve(app)
    assert [message["type"] for message in exchange.messages].count("websocket.accept") == 1
    assert sent(exchange) == ["first", "second"]
    assert closing(exchange) == (1000, "")


def test_a_socket_that_is_taken_in_the_middle_of_a_denial_is_not_the_client_s() -> None:
    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("403 Forbidden", [])
        yield b"x" * 1_000_000
        assert environ["werkzeug.socket"].fileno() >= 0
        yield b"y"

    exchange = serve(app, denial=True)
    assert {message["type"] for message in exchange.messages} == {
        "websocket.http.response.start",
        "websocket.http.response.body",
    }
    assert exchange.messages[-1]["more_body"] is False


# What is left.


def answer(environ: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("403 Forbidden", [])
    return [b"no"]


def take_the_socket(environ: Environ, start_response: StartResponse) -> list[bytes]:
    socket = environ["werkzeug.socket"]
    socket.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
    socket.sendall(b"\x81\x01x\x88\x00")
    socket.recv(1000)
    return []


def fail(websocket: WebSocket) -> None:
    websocket.send("x")
    raise LookupError("mine")


def hang(websocket: WebSocket) -> None:
    websocket.accept()
    websocket.receive()


@pytest.mark.parametrize(
    ("app", "events", "scope"),
    [
        (handler(lambda websocket: websocket.send("x")), (), {}),
        (handler(lambda websocket: websocket.close(1000)), (), {}),
        (handler(list), (received("x"), disconnect(1000)), {}),
        (handler(hang), (disconnect(1001),), {}),
        (handler(fail), (), {}),
        (answer, (), {}),
        (answer, (), {"denial": True}),
        (take_the_socket, (), {}),
    ],
    ids=["ends", "closes", "client-leaves", "waits", "fails", "refuses", "denies", "relay"],
)
def test_nothing_goes_round_in_a_circle(app: Any, events: tuple[Any, ...], scope: dict[str, Any]) -> None:
    """granian closes the connection of a refused handshake when its object is gone."""

    class Connection(Exchange):
        """An object of a server's, whose methods are receive() and send()."""

    async def main() -> bool:
        async with Served(app) as adapter:
            served = connect(adapter, **scope)
            exchange = Connection(adapter, served.scope, [{"type": "websocket.connect"}, *events])
            try:
                await exchange.run()
            except LookupError as error:
                error.__traceback__ = None
            reference = weakref.ref(exchange)
            del exchange, served
            for _ in range(20):  # the tasks that ended are forgotten by the loop
                await asyncio.sleep(0)
            return reference() is None

    gc.collect()
    gc.disable()
    try:
        assert asyncio.run(main())
    finally:
        gc.enable()


@pytest.mark.parametrize("late", ["close", "abort"])
def test_a_session_that_is_cancelled_leaves_nothing(late: str) -> None:
    arrived, ended = threading.Event(), threading.Event()

    def serve(websocket: WebSocket) -> None:
        websocket.accept()
        arrived.set()
        try:
            websocket.receive()
        finally:
            ended.set()

    async def main() -> None:
        async with Served(handler(serve)) as adapter:
            exchange = connect(adapter)
            task = asyncio.ensure_future(exchange.run())
            assert await asyncio.to_thread(arrived.wait, HANG)
            [wires] = adapter._loops.wires.values()
            [session] = wires.sessions
            if late == "close":
                session.close(1012, "the server stops")
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert not wires.sessions
            assert await asyncio.to_thread(ended.wait, HANG)
            session.close(1012, "again")  # does nothing

    asyncio.run(main())
