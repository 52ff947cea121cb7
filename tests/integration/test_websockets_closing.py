"""WebSockets of WSGI apps on real ASGI servers: how they end, and how a handshake is refused."""

from collections.abc import Iterator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.http11 import Response
from websockets.sync.client import ClientConnection

from tests.conftest import ServerPool
from tests.integration.cases_server import new_token, report
from tests.support.faults import hold, known
from tests.support.server_kinds import WEBSOCKET_SERVERS
from tests.support.servers import RunningServer
from tests.support.websocket_client import HANG, WEBSOCKETS, RawWebSocket, connect, control, nothing_left_of

# RFC 6455, section 7.4: a normal end, going away, registered with IANA, private, and a reason as long as they get.
CLOSES = [(1000, ""), (1001, "going"), (1012, ""), (3000, "é"), (4000, "reason"), (4999, "x" * 123)]


@pytest.fixture(scope="module", params=WEBSOCKET_SERVERS)
def server(request: pytest.FixtureRequest, server_pool: ServerPool) -> RunningServer:
    return server_pool.get(request.param, WEBSOCKETS)


@pytest.fixture(autouse=True)
def nothing_left(server: RunningServer) -> Iterator[None]:
    yield from nothing_left_of(server)


# The app ends it.


@pytest.mark.parametrize(("code", "reason"), CLOSES)
def test_close_by_the_app(server: RunningServer, side: str, code: int, reason: str) -> None:
    token = new_token()
    with connect(server, f"{side}/close/{token}?code={code}&reason={reason}") as client:
        client.send("close now")
        close = _closed(client)
    if side == "/native":
        raised = 1011 if code != 1000 and code < 3000 else code
        hold("code of the app's close", server.kind.name, close[0], right=code, wrong=raised)
        hold("reason of the app's close", server.kind.name, close[1], right=reason)
    else:
        # The app's send() after its close() raises, with what it closed with.
        assert _report(server, token)["end"] == [code, reason]
        assert close == (code, reason)


def test_return_is_a_normal_close(server: RunningServer) -> None:
    with connect(server, "/leave/x") as client:
        client.send("leave now")
        assert _closed(client) == (1000, "")


def test_error_of_the_app_is_1011(server: RunningServer) -> None:
    with connect(server, "/fail/x") as client:
        client.send("fail now")
        assert _closed(client) == (1011, "")
    server.wait_for_log("RuntimeError: failed after a message")


def test_what_was_sent_comes_before_the_close(server: RunningServer) -> None:
    # daphne waits a second for the answer to its close, and then throws the rest away.
    with RawWebSocket(server, "/threads/x?threads=1&each=200") as client:
        assert len(list(client.messages())) == 200
        assert client.receive_close() == (1000, "")


# The client ends it.


@pytest.mark.parametrize(("code", "reason"), CLOSES)
def test_close_by_the_client(server: RunningServer, side: str, code: int, reason: str) -> None:
    token = new_token()
    with connect(server, f"{side}/receive/{token}") as client:
        client.send("before")
        client.close(code, reason)
    outcome = _report(server, token)
    if not side:
        assert outcome["messages"] == ["before"]
    _hold_client_close(server, outcome["end"], code, reason)


def test_close_without_a_code_is_1005(server: RunningServer, side: str) -> None:
    token = new_token()
    with RawWebSocket(server, f"{side}/receive/{token}") as client:
        client.send_close()
        client.receive_close()
    _hold_client_close(server, _report(server, token)["end"], 1005, "")


def test_iteration_ends_when_the_client_leaves(server: RunningServer) -> None:
    token = new_token()
    with connect(server, f"/echo/{token}") as client:
        client.send("one")
        assert client.recv(HANG) == "one"
    _hold_client_close(server, _report(server, token)["end"], 1000, "")


@pytest.mark.parametrize("way", ["reset", "end", "half"])
def test_client_that_vanishes_frees_the_thread(server: RunningServer, side: str, way: str) -> None:
    token = new_token()
    with RawWebSocket(server, f"{side}/receive/{token}") as client:
        client.send("before")
        if way == "reset":
            client.reset()
        elif way == "half":
            client.finish_sending()
            client.receive_close()
        else:
            client.socket.close()
        outcome = _report(server, token)
    code, reason = outcome["end"]
    hold("code of a client that vanished", server.kind.name, code, right=1006)
    assert reason == ""


def test_client_that_vanishes_during_the_handshake(server: RunningServer) -> None:
    """The app is called already, and accepts when the client has gone."""
    token = new_token()
    with RawWebSocket(server, f"/late/{token}", wait=False) as client, control(server) as requests:
        requests.get(f"/reached/{token}-called").raise_for_status()
        client.reset()
        _let_the_server_see(requests)
        requests.get(f"/signal/{token}").raise_for_status()
        assert report(requests, token)["end"] in ([1006, ""], [1005, ""])


# The handshake is refused.


def test_close_before_accept_is_a_403(server: RunningServer, side: str) -> None:
    assert _refused(server, f"{side}/close_first/x").status_code == 403


@pytest.mark.parametrize("status", [200, 401, 404, 503])
def test_response_is_the_denial(server: RunningServer, side: str, status: int) -> None:
    lacks = known("denial by a response", server.kind.name)
    # A native app has nothing to send it by there.
    response = _refused(server, f"{'' if lacks else side}/respond/{status}")
    hold("denial by a response", server.kind.name, response.status_code, right=status)
    if not lacks:
        assert response.body == b"not here"
        assert (response.headers["Content-Type"], response.headers["X-Why"]) == ("text/plain", "because")
        accepts = [name for name in ("Sec-WebSocket-Accept", "Upgrade") if name in response.headers]
        hold("head of a denial by a response", server.kind.name, accepts, right=[])


def test_path_that_the_app_does_not_know(server: RunningServer) -> None:
    response = _refused(server, "/nothing/x")
    hold("denial by a response", server.kind.name, response.status_code, right=404)
    if response.status_code == 404:
        assert response.body == b"there is nothing here"


def test_error_before_the_handshake(server: RunningServer, side: str) -> None:
    status = _refused(server, f"{side}/fail_first/x").status_code
    hold("error before the handshake", server.kind.name, status, right=500)
    server.wait_for_log("RuntimeError: failed before the handshake")


def _closed(client: ClientConnection) -> tuple[int, str]:
    """Receive to the end; return the server's code and reason, 1006 where it sent none."""
    with pytest.raises(ConnectionClosed) as closed:
        _receive_all(client)
    close = closed.value.rcvd
    return (1006, "") if close is None else (close.code, close.reason)


def _receive_all(client: ClientConnection) -> None:
    while True:
        client.recv(HANG)


def _hold_client_close(server: RunningServer, seen: list[Any], code: int, reason: str) -> None:
    """What the server told its app of a close by the client."""
    hold("code of the client's close", server.kind.name, seen[0], right=code)
    hold("reason of the client's close", server.kind.name, seen[1], right=reason)


def _refused(server: RunningServer, path: str) -> Response:
    with pytest.raises(InvalidStatus) as refused, connect(server, path):
        pass
    return refused.value.response


def _report(server: RunningServer, token: str) -> dict[str, Any]:
    with control(server) as client:
        return report(client, token)


def _let_the_server_see(requests: Any) -> None:
    """Let its loop turn: what happened to a socket before is seen by then."""
    for _ in range(3):
        requests.get("/threads/x").raise_for_status()
