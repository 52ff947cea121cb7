"""WebSockets of WSGI apps on real ASGI servers: the handshake and the messages."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection
from websockets.typing import Subprotocol

from tests.conftest import ServerPool
from tests.integration.cases_server import new_token, report
from tests.support.faults import hold, known
from tests.support.server_kinds import WEBSOCKET_SERVERS
from tests.support.servers import RunningServer
from tests.support.websocket_client import HANG, WEBSOCKETS, RawWebSocket, connect, control, nothing_left_of

MEBIBYTE = 1024 * 1024
OFFERED = [Subprotocol("chat.v2"), Subprotocol("chat.v1")]


@pytest.fixture(scope="module", params=WEBSOCKET_SERVERS)
def server(request: pytest.FixtureRequest, server_pool: ServerPool) -> RunningServer:
    return server_pool.get(request.param, WEBSOCKETS)


@pytest.fixture(autouse=True)
def nothing_left(server: RunningServer) -> Iterator[None]:
    yield from nothing_left_of(server)


def test_text_and_binary_come_back_in_order(server: RunningServer, side: str) -> None:
    messages: list[str | bytes] = [
        "text",
        b"binary",
        "é ☃ 𝄞",
        "\x00",
        b"\x00\xff\x80",
        " ",
        "t" * 65_536,
        b"b" * 70_000,
    ]
    with connect(server, f"{side}/echo/x") as client:
        for message in messages:
            client.send(message)
        assert [client.recv(HANG) for _ in messages] == messages


@pytest.mark.parametrize("compression", ["deflate", None])
def test_a_mebibyte_each_way(server: RunningServer, side: str, compression: str | None) -> None:
    text = "".join(f"{number:07}é" for number in range(MEBIBYTE // 9))
    with connect(server, f"{side}/echo/x", compression=compression) as client:
        client.send(text)
        assert client.recv(HANG) == text
        client.send(text.encode())
        assert client.recv(HANG) == text.encode()


def test_two_mebibytes_each_way(server: RunningServer, side: str) -> None:
    message = b"m" * (2 * MEBIBYTE)
    with connect(server, f"{side}/echo/x") as client:
        came = "the same"
        try:
            client.send(message)
            assert client.recv(HANG) == message
        except ConnectionClosed:
            came = "closed"
    hold("long message of the client", server.kind.name, came, right="the same")


def test_fragments_are_one_message(server: RunningServer, side: str) -> None:
    with connect(server, f"{side}/echo/x") as client:
        client.send(["a", "", "b", "é" * 10_000])
        assert client.recv(HANG) == "ab" + "é" * 10_000
        client.send(iter([b"\x00"] * 100))
        assert client.recv(HANG) == b"\x00" * 100


def test_empty_messages(server: RunningServer, side: str) -> None:
    with connect(server, f"{side}/echo/x") as client:
        for message in ("", b"", "end"):
            client.send(message)
        came: list[str | bytes] = []
        while "end" not in came:
            came.append(client.recv(HANG))
    hold("empty messages", server.kind.name, came, right=["", b"", "end"])


def test_many_messages_at_once_in_both_directions(server: RunningServer) -> None:
    with RawWebSocket(server, "/numbers/x?count=500") as client:
        for number in range(500):
            client.send(str(number))
        assert list(client.messages()) == [*(b"%d" % number for number in range(500)), b"in order"]


def test_pings_are_answered_while_the_app_waits(server: RunningServer, side: str) -> None:
    with connect(server, f"{side}/echo/x") as client:
        assert client.ping(b"are you there?").wait(HANG)
        client.send("between")
        assert client.ping().wait(HANG)
        assert client.recv(HANG) == "between"


def test_receive_with_a_timeout(server: RunningServer) -> None:
    with connect(server, "/timeout/x") as client:
        assert client.recv(HANG) == "no message came within 0.01 s"
        client.send("in time")
        assert client.recv(HANG) == "in time"


def test_threads_of_the_app_send_at_once(server: RunningServer) -> None:
    """As a broadcast does: no message is lost or torn, and those of one thread are in order."""
    threads, each = 8, 50
    steps = [0] * threads
    with RawWebSocket(server, f"/threads/x?threads={threads}&each={each}") as client:
        for message in client.messages():
            number, step, payload = message.decode().split(":")
            assert payload == number * 2000
            assert int(step) == steps[int(number)]
            steps[int(number)] += 1
    assert steps == [each] * threads


# The handshake.


def test_chosen_subprotocol(server: RunningServer, side: str) -> None:
    if not side and (fault := known("subprotocols of the client", server.kind.name)):
        pytest.skip(fault.does)
    with connect(server, f"{side}/accept/x?subprotocol=chat.v1", subprotocols=OFFERED) as client:
        assert client.subprotocol == "chat.v1"


def test_no_subprotocol(server: RunningServer, side: str) -> None:
    with connect(server, f"{side}/accept/x", subprotocols=OFFERED) as client:
        assert client.subprotocol is None
    with connect(server, "/accept/x", subprotocols=OFFERED) as client:
        hold("subprotocols of the client", server.kind.name, json.loads(client.recv(HANG)), right=OFFERED)
    with connect(server, "/accept/x") as client:
        assert json.loads(client.recv(HANG)) == []


def test_subprotocol_that_the_client_does_not_offer(server: RunningServer) -> None:
    token = new_token()
    with pytest.raises(InvalidStatus) as refused, connect(server, f"/accept/{token}?subprotocol=other"):
        pass
    hold("error before the handshake", server.kind.name, refused.value.response.status_code, right=500)
    with control(server) as client:
        assert "none of those that the client offers" in report(client, token)["end"]
    server.wait_for_log("RFC 6455, 4.2.2")


def test_headers_of_accept(server: RunningServer, side: str) -> None:
    with connect(server, f"{side}/accept/x?headers=1") as client:
        headers = _response(client)
    seen = headers.get_all("Set-Cookie") + headers.get_all("X-Mark")
    hold("headers of accept", server.kind.name, seen, right=["seen=yes", "again=yes", "mark"])


def test_environ_of_the_handshake(server: RunningServer) -> None:
    headers = {"Cookie": "a=1; b=2", "X-Own": "own", "X_Own": "forged", "Origin": "http://elsewhere.example"}
    environ = _environ(
        server, "/environ/caf%C3%A9%20x?q=1&r=%20", additional_headers=headers, subprotocols=OFFERED
    )
    assert environ["REQUEST_METHOD"] == "GET"
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == (
        "",
        "/environ/café x".encode().decode("latin-1"),
    )
    assert environ["QUERY_STRING"] == "q=1&r=%20"
    assert environ["REQUEST_URI"] == "/environ/caf%C3%A9%20x?q=1&r=%20"
    assert environ["wsgi.url_scheme"] == "http"
    assert (environ["HTTP_COOKIE"], environ["HTTP_ORIGIN"]) == ("a=1; b=2", "http://elsewhere.example")
    assert environ["HTTP_X_OWN"] == "own"
    assert environ["HTTP_HOST"] == f"127.0.0.1:{server.port}"
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("127.0.0.1", str(server.port))
    assert environ["REMOTE_ADDR"] == "127.0.0.1"
    assert environ["SERVER_PROTOCOL"] == "HTTP/1.1"
    # RFC 6455, section 4.2.1: what frameworks and libraries look for.
    assert (environ["HTTP_UPGRADE"], environ["HTTP_CONNECTION"]) == ("websocket", "Upgrade")
    assert environ["HTTP_SEC_WEBSOCKET_VERSION"] == "13"
    assert len(environ["HTTP_SEC_WEBSOCKET_KEY"]) == 24
    assert environ["HTTP_SEC_WEBSOCKET_PROTOCOL"] == "chat.v2, chat.v1"
    # Compression is between the client and the server.
    assert "HTTP_SEC_WEBSOCKET_EXTENSIONS" not in environ
    assert environ["wsgi.input"] == ""


def test_environ_below_a_mount(server: RunningServer) -> None:
    environ = _environ(server, "/mounted/environ/x")
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/mounted", "/environ/x")


def test_requests_have_no_websocket(server: RunningServer) -> None:
    with control(server) as client:
        assert client.get("/environ/x").text == "False"


def _environ(server: RunningServer, path: str, **options: Any) -> dict[str, Any]:
    with connect(server, path, **options) as client:
        fields: dict[str, Any] = json.loads(client.recv(HANG))
        client.send("enough")
    return fields


def _response(client: ClientConnection) -> Any:
    assert client.response is not None
    return client.response.headers
