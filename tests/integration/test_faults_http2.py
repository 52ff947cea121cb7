"""Faults of servers with streams, and with clients that have left, shown without bridge."""

import contextlib
import socket
import struct

import pytest

from tests.conftest import StartServer
from tests.support.faults import hold, known, patience
from tests.support.gate import Gate
from tests.support.http2 import Http2Connection, Http2WebSocket
from tests.support.raw import RawConnection
from tests.support.servers import RunningServer, poll
from tests.support.websocket_client import HANG, connect

APP = "tests.integration.apps.native_faults:app"
#: Seconds in which a server that does wrong ends a connection that is to stay open.
PATIENCE = 3.0


def connected(server: RunningServer, patience: float = HANG) -> Http2Connection:
    return Http2Connection(server.connect(patience))


@pytest.fixture
def server(start_server: StartServer) -> RunningServer:
    return start_server("hypercorn-h2c", APP, arguments=("--graceful-timeout", "1"))


def test_an_answer_to_the_close_of_an_app_that_has_ended(server: RunningServer) -> None:
    with connected(server) as connection:
        websocket = Http2WebSocket(connection, "/close")
        assert websocket.receive_close() == (1000, "")
        try:
            websocket.flush()
            connection.ping()
            seen = "kept"
        except ConnectionError:
            seen = "lost"
    hold("answer to the app's close, on a stream", server.kind.name, seen, right="kept")


def test_the_end_of_the_stream_of_a_websocket(server: RunningServer) -> None:
    with connected(server) as connection:
        websocket = Http2WebSocket(connection, "/open")
        websocket.send_close(1000)
        assert websocket.receive_close() == (1000, "")
        connection.wait_for(connection.get("/"))  # a whole request later
        seen = "ended" if websocket.stream.ended else "open"
    hold("end of the stream of a WebSocket", server.kind.name, seen, right="ended")


def test_a_500_that_finds_the_client_gone(server: RunningServer) -> None:
    """The server stands still while its client leaves: its write is what tells it."""
    counts: list[int] = []

    def settled() -> bool:
        with connected(server) as connection:
            stream = connection.get("/tasks")
            connection.wait_for(stream)
        counts.append(int(b"".join(stream.parts)))
        return counts[-1] <= counts[0]

    settled()
    with Gate() as gate:
        with connected(server) as connection:
            connection.get(f"/gate/{gate.port}")
            gate.wait_for_arrival()
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        gate.let_through()
    server.wait_for_log("failed behind the gate")
    try:
        poll(settled, patience("500 to a client that has left", server.kind.name), lambda: "")
        seen = "ended"
    except AssertionError:
        seen = "left"
    ends = server.ends_by_itself(HANG)
    assert ends or seen == "left"
    hold("500 to a client that has left", server.kind.name, seen, right="ended")


def test_the_end_of_a_connection_with_a_request_that_waits(server: RunningServer) -> None:
    seconds = patience("end of a connection with a request that waits", server.kind.name)
    with connected(server, seconds) as connection:
        connection.post("/")
        connection.get("/cut")
        seen = _end_of(connection)
    server.ends_by_itself(seconds)
    hold("end of a connection with a request that waits", server.kind.name, seen, right="closed")


def test_the_end_of_the_server_beside_a_request_that_waits(server: RunningServer) -> None:
    seconds = patience("shutdown beside a request, on a stream", server.kind.name)
    with connected(server, seconds) as connection:
        connection.post("/")
        connection.ping()
        server.terminate()
        seen = _end_of(connection)
    server.ends_by_itself(seconds)
    hold("shutdown beside a request, on a stream", server.kind.name, seen, right="closed")


def test_the_end_of_a_connection_with_a_response_that_is_under_way(server: RunningServer) -> None:
    with connected(server) as connection:
        under_way = connection.get("/pour")
        while not under_way.size:
            connection.receive()
        connection.get("/cut")
        assert _end_of(connection) == "closed"
    server.stop()
    seen = "an error" if "RuntimeError: TaskGroup" in server.log() else "none"
    hold("end of a connection with a response that is under way", server.kind.name, seen, right="none")


def test_an_error_of_a_connection_while_the_server_ends(start_server: StartServer) -> None:
    server = start_server("hypercorn-h2c", APP, arguments=("--graceful-timeout", str(int(HANG))))
    with connected(server) as failing, RawConnection(server.connect(HANG)) as other:
        under_way = failing.get("/pour")  # without it the connection would be closed at once
        early = failing.post("/early")
        while not (under_way.size and early.ended):
            failing.receive()
        other.send(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
        assert other.socket.recv(100).startswith(b"HTTP/1.1 100 ")  # the app reads it
        server.terminate()
        server.wait_until_not_accepting()
        failing.send(early, b"late", past_end=True)
        right = known("end of a worker beside an error of a connection", server.kind.name) is None
        other.socket.settimeout(PATIENCE if right else HANG)
        with contextlib.suppress(TimeoutError):
            other.socket.recv(1, socket.MSG_PEEK)  # its end, or hypercorn's own 500
        other.send(b"body")
        try:
            seen = "answered" if other.read_response().status == 200 else "cut"
        except ConnectionError:
            seen = "cut"
    assert server.ends_by_itself(HANG)
    hold("end of a worker beside an error of a connection", server.kind.name, seen, right="answered")


def _end_of(connection: Http2Connection) -> str:
    try:
        while True:
            connection.receive()
    except TimeoutError:
        return "hangs"
    except ConnectionError:
        return "closed"


@pytest.mark.skipif(
    known("shutdown beside an open connection", "hypercorn") is not None, reason="it does not end then"
)
def test_the_task_of_a_connection_that_is_cancelled(start_server: StartServer) -> None:
    server = start_server("hypercorn", APP, arguments=("--graceful-timeout", "1"))
    with RawConnection(server.connect(HANG)) as connection:
        connection.send(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\n")
        connection.send(b"a")
        assert _answers(server)
        server.stop()
    seen = "an error" if "Exception in callback StreamReaderProtocol" in server.log() else "none"
    hold("cancelled task of a connection", "hypercorn", seen, right="none")


def test_writing_to_a_client_that_has_left(start_server: StartServer) -> None:
    server = start_server("hypercorn", APP)
    with RawConnection(server.connect(HANG)) as connection:
        connection.send(b"GET /pour HTTP/1.1\r\nHost: test\r\n\r\n")
        assert connection.read_start().status == 200
    assert _answers(server)
    server.stop()
    seen = "writes on" if "socket.send() raised exception" in server.log() else "drops them"
    hold("writing to a client that has left", "hypercorn", seen, right="drops them")


def _answers(server: RunningServer) -> bool:
    with RawConnection(server.connect(HANG)) as connection:
        return connection.request(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n").complete


@pytest.mark.parametrize("name", ["uvicorn-h11", "uvicorn-httptools", "hypercorn"])
def test_the_log_of_a_denial(name: str, start_server: StartServer) -> None:
    server = start_server(name, APP)
    with pytest.raises(Exception, match="HTTP 401"):
        connect(server, "/deny")
    server.stop()
    seen = "an error" if "ERROR" in server.log() else "none"
    if name == "hypercorn":
        assert seen == "none"
    else:
        hold("log of a denial by a response", name, seen, right="none")
