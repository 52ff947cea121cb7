"""WebSockets whose clients leave at any moment, on real ASGI servers: nothing is left of them, and nobody complains."""

import contextlib
import random
import socket
import struct
from concurrent.futures import ThreadPoolExecutor

import pytest
from websockets.client import ClientProtocol
from websockets.uri import parse_uri

from tests.conftest import ServerPool, StartServer
from tests.support.faults import known
from tests.support.servers import RunningServer
from tests.support.websocket_client import (
    HANG,
    WEBSOCKETS,
    RawWebSocket,
    connect,
    leftovers,
    wait_for_no_leftovers,
    websocket_url,
)

FLASK = "tests.integration.apps.websockets_flask:app"
SERVERS = ("uvicorn-h11", "uvicorn-httptools", "uvicorn-wsproto", "hypercorn", "granian-ws", "daphne")
# Apps that send, receive, do both, close, fail, refuse, and return.
PATHS = {
    WEBSOCKETS: (
        *("/echo/x", "/echo/x", "/receive/x", "/pour/x", "/close/x?code=4000&reason=closed", "/leave/x"),
        *("/threads/x?threads=3&each=20", "/close_first/x", "/respond/401", "/timeout/x"),
    ),
    FLASK: (
        *("/sock/echo", "/sock/echo", "/sock/receive/x", "/sock/pour/x", "/sock/close/4000/closed"),
        *("/sock/leave", "/plain/echo", "/plain/denied"),
    ),
}
ECHOES = {WEBSOCKETS: "/echo/x", FLASK: "/sock/echo"}
# A message that never ends.
FRAGMENT = b"\x01\x81\0\0\0\0f"
CLIENTS = 300
AT_ONCE = 8


@pytest.mark.parametrize("app", [WEBSOCKETS, FLASK], ids=["wsgi.websocket", "flask-sock"])
@pytest.mark.parametrize("name", SERVERS)
def test_clients_that_leave_at_any_moment(name: str, app: str, server_pool: ServerPool) -> None:
    server = server_pool.get(name, app)
    with connect(server, ECHOES[app]) as client:
        client.send("before")
        assert client.recv(HANG) == "before"
    before = leftovers(server)
    random_numbers = random.Random(f"{name} {app}")
    visits = [Visit(server, PATHS[app], random_numbers) for _ in range(CLIENTS)]
    with ThreadPoolExecutor(AT_ONCE) as users:
        for visit in users.map(Visit.pay, visits):
            assert visit is None
    wait_for_no_leftovers(server, before)
    with connect(server, ECHOES[app]) as client:
        client.send("after")
        assert client.recv(HANG) == "after"
    server.assert_no_traceback()


def test_app_that_accepts_when_daphne_drops_the_connection(start_server: StartServer) -> None:
    """Its timer does so after 4 to 5 seconds: on a busy machine that and an app's accept meet by themselves."""
    server = start_server("daphne", "tests.integration.apps.dropped_handshake:app")
    before = leftovers(server)
    with RawWebSocket(server, "/dropped/x", wait=False) as client, pytest.raises(ConnectionError):
        client.receive()
    server.wait_for_log("the app was told: 1006")
    wait_for_no_leftovers(server, before)
    server.assert_no_traceback()


class Visit:
    """A client that sends its handshake and some messages, reads something of what comes, and leaves in some way.

    What it does is decided when it is made, so that it does not depend on who comes first.
    """

    def __init__(self, server: RunningServer, paths: tuple[str, ...], random_numbers: random.Random) -> None:
        choose = random_numbers
        self.server = server
        path = choose.choice(paths)
        protocol = ClientProtocol(parse_uri(websocket_url(server, path)))
        protocol.send_request(protocol.connect())
        self.handshake = b"".join(protocol.data_to_send())
        # For the answer to the handshake; else all goes out at once, which RFC 6455, section 4.1, does not allow.
        self.waits = choose.random() < 0.7 or bool(known("messages before the handshake", server.kind.name))
        # What an app that never receives leaves waiting hides from it that the client leaves, for a minute. And uvicorn
        # logs errors for large messages, or a close, that come before its answer to the handshake, whatever the app.
        sizes = [0, 1, 1000, 70_000] if self.waits and "pour" not in path else [0, 1, 1000]
        self.frames = [_frame(choose, sizes) for _ in range(choose.randrange(4))]
        if choose.random() < 0.1:
            self.frames.append(FRAGMENT)
        self.reads = choose.randrange(4)
        # Mostly whole: a handshake that is cut reaches no app.
        if choose.random() < 0.1:
            self.handshake, self.frames = self.handshake[: choose.randrange(len(self.handshake))], []
        self.farewell = choose.choice(["reset", "end", "half", "close", "close and reset"])
        if self.frames and "close" not in self.farewell and choose.random() < 0.4:
            # In the middle of a frame.
            self.frames[-1] = self.frames[-1][: choose.randrange(len(self.frames[-1]))]

    def pay(self) -> None:
        # The server may close it first.
        with self.server.connect(HANG) as connection, contextlib.suppress(ConnectionError):
            connection.sendall(self.handshake)
            waited = self.waits and self.handshake.endswith(b"\r\n\r\n")
            refused = waited and not connection.recv(65_536).startswith(b"HTTP/1.1 101 ")
            if not (refused and known("message after a refused handshake", self.server.kind.name)):
                self._talk(connection)
                if waited and "close" in self.farewell:
                    connection.sendall(b"\x88\x82\x00\x00\x00\x00" + struct.pack("!H", 1000))
            self._leave(connection)

    def _talk(self, connection: socket.socket) -> None:
        for frame in self.frames:
            connection.sendall(frame)
        connection.settimeout(0.01)
        for _ in range(self.reads if self.waits and self.frames else 0):
            with contextlib.suppress(TimeoutError):
                connection.recv(65_536)
        connection.settimeout(HANG)

    def _leave(self, connection: socket.socket) -> None:
        if self.farewell == "half":
            with contextlib.suppress(OSError):  # it has been reset
                connection.shutdown(socket.SHUT_WR)
        if "reset" in self.farewell:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _frame(choose: random.Random, sizes: list[int]) -> bytes:
    """A frame of a client, its mask being zeros: text, binary or a ping."""
    head = choose.choice([b"\x81", b"\x82", b"\x89"])
    size = choose.choice([0, 1, 125] if head == b"\x89" else sizes)
    if size < 126:
        length = struct.pack("!B", 0x80 | size)
    elif size < 65_536:
        length = struct.pack("!BH", 0x80 | 126, size)
    else:
        length = struct.pack("!BQ", 0x80 | 127, size)
    return head + length + b"\0\0\0\0" + b"m" * size
