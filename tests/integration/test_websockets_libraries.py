"""Libraries that take the socket from the environ, on real ASGI servers: flask-sock, and Flask-SocketIO."""

import queue
import re
import threading
from collections.abc import Iterator
from typing import Any

import engineio
import pytest
import requests as requests_library
import socketio
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from tests.conftest import ServerPool
from tests.integration.cases_server import new_token, report
from tests.support.faults import hold, known
from tests.support.servers import RunningServer
from tests.support.websocket_client import HANG, RawWebSocket, connect, control, nothing_left_of

_SENT_LATE = re.compile(r'simple_websocket/ws\.py", line .*\n.*\n(?: +[~^]+\n)?OSError: \[Errno 9\]')
APP = "tests.integration.apps.websockets_flask:app"
SERVERS = ("uvicorn-h11", "uvicorn-wsproto", "hypercorn", "granian-ws", "daphne")


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest, server_pool: ServerPool) -> RunningServer:
    return server_pool.get(request.param, APP)


@pytest.fixture(autouse=True)
def nothing_left(server: RunningServer) -> Iterator[None]:
    yield from nothing_left_of(server)


def test_flask_sock_echo(server: RunningServer) -> None:
    messages: list[str | bytes] = ["text", b"binary", "é ☃", "x" * 1_000_000, b"\x00\xff" * 500_000]
    with connect(server, "/sock/echo") as client:
        for message in messages:
            client.send(message)
            assert client.recv(HANG) == message
        client.send(["in", "frag", "ments"])
        assert client.recv(HANG) == "infragments"
        assert client.ping().wait(HANG)


@pytest.mark.parametrize(("code", "reason"), [(1000, "done"), (1001, "going"), (3000, "é"), (4000, "reason")])
def test_flask_sock_closes(server: RunningServer, code: int, reason: str) -> None:
    with connect(server, f"/sock/close/{code}/{reason}") as client:
        client.send("close now")
        assert _closed(client) == (code, reason)


def test_flask_sock_returns(server: RunningServer) -> None:
    with connect(server, "/sock/leave") as client:
        client.send("leave now")
        assert _closed(client) == (1000, "")


def test_flask_sock_route_that_fails_is_1011(server: RunningServer) -> None:
    with connect(server, "/sock/fail") as client:
        client.send("fail now")
        assert _closed(client) == (1011, "")
    server.wait_for_log("RuntimeError: failed in a route of flask-sock")


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1001, "going"), (4000, "reason")])
def test_client_closes_flask_sock(server: RunningServer, code: int, reason: str) -> None:
    token = new_token()
    with connect(server, f"/sock/receive/{token}") as client:
        client.send("before")
        client.close(code, reason)
    with control(server) as requests:
        outcome = report(requests, token)
    assert outcome["messages"] == ["before"]
    # Where the server says that the connection was lost, no frame comes to the library, and it has no code.
    hold("code of the client's close", server.kind.name, outcome["end"][0], right=code, wrong=1005)
    hold("reason of the client's close", server.kind.name, outcome["end"][1], right=reason)


@pytest.mark.parametrize("way", ["reset", "end"])
def test_client_of_flask_sock_vanishes(server: RunningServer, way: str) -> None:
    token = new_token()
    with RawWebSocket(server, f"/sock/receive/{token}") as client, control(server) as requests:
        client.send("before")
        if way == "reset":
            client.reset()
        else:
            client.socket.close()
        assert report(requests, token)["end"] == [1005, ""]


def test_client_of_flask_sock_vanishes_while_it_sends(server: RunningServer) -> None:
    token = new_token()
    with RawWebSocket(server, f"/sock/pour/{token}") as client, control(server) as requests:
        client.receive()
        client.reset()
        # Which error the library makes of it depends on what it was doing.
        assert report(requests, token)["raised"]


@pytest.mark.parametrize("transports", [["websocket"], ["polling", "websocket"], ["polling"]], ids="-".join)
def test_flask_socketio(server: RunningServer, transports: list[str]) -> None:
    before = tracebacks(server)
    with User(server, transports) as ann, User(server, transports) as bob:
        assert ann.next() == ("welcome", ann.name)
        assert bob.next() == ("welcome", bob.name)
        assert ann.client.transport() == transports[-1]
        payload = {"text": "é ☃", "number": 1, "data": b"\x00\xff", "long": "x" * 100_000}
        assert ann.client.call("echo", payload, timeout=HANG) == payload
        ann.client.emit("answer", [1, 2])
        assert ann.next() == ("answered", [1, 2])
        bob.client.emit("tell", "everybody")
        assert [ann.next(), bob.next()] == [("told", "everybody")] * 2
        bob.client.disconnect()
        if transports[-1] == "websocket":
            # By polling alone the client may not say it, and which of the two it is, is a race: on werkzeug too.
            with control(server) as requests:
                assert report(requests, bob.name)["end"] in {"client disconnect", "transport close"}
        ann.client.emit("answer", "alone")
        assert ann.next() == ("answered", "alone")
    assert tracebacks(server) == before


def tracebacks(server: RunningServer) -> int:
    """How many are in its log, but for those of simple-websocket's own sends on a socket that its thread has closed."""
    log = server.log()
    if known("message of an app beside the client's close", server.kind.name) is None:
        return log.count("Traceback")
    return log.count("Traceback") - len(_SENT_LATE.findall(log))


class _InOrder(engineio.Client):  # type: ignore[misc]  # it has no type information
    """Handles messages one by one, and not each in a thread of its own: attachments would overtake what they are of."""

    def _trigger_event(self, event: str, *args: Any, **options: Any) -> Any:
        return super()._trigger_event(event, *args, **{**options, "run_async": False})


class _Client(socketio.Client):  # type: ignore[misc]  # the same
    def _engineio_client_class(self) -> type[engineio.Client]:
        return _InOrder


class User:
    """A client of Socket.IO, and what it has been told."""

    def __init__(self, server: RunningServer, transports: list[str]) -> None:
        self.name = new_token()
        self._server = server
        self._transports = transports
        self._told: queue.Queue[tuple[str, Any]] = queue.Queue()
        # No proxy: one from the environment has no business between a test and its server.
        self._session = requests_library.Session()
        self._session.trust_env = False
        self._session.headers["Connection"] = "close"  # as in control()
        self.client = _Client(
            reconnection=False,
            http_session=self._session,
            websocket_extra_options={"http_no_proxy": ["127.0.0.1"]},
        )
        for event in ("welcome", "answered", "told"):
            self.client.on(event, lambda data, event=event: self._told.put((event, data)))

    def __enter__(self) -> "User":
        url = f"{self._server.url}?name={self.name}"
        self.client.connect(url, transports=self._transports, wait_timeout=int(HANG))
        return self

    def __exit__(self, *exc: object) -> None:
        self.client.disconnect()
        self._session.close()
        for thread in threading.enumerate():
            if "socketio" in thread.name or "engineio" in thread.name:
                thread.join(HANG)

    def next(self) -> tuple[str, Any]:
        """Return the next event and its data."""
        return self._told.get(timeout=HANG)


def _closed(client: ClientConnection) -> tuple[int, str]:
    with pytest.raises(ConnectionClosed) as closed:
        client.recv(HANG)
    close = closed.value.rcvd
    return (1006, "") if close is None else (close.code, close.reason)
