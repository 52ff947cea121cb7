"""WebSockets in views of Flask and of Django on real ASGI servers; ``test_websockets_libraries`` has libraries."""

import contextlib
import json
from collections.abc import Iterator

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.conftest import ServerPool
from tests.support.faults import hold, known
from tests.support.servers import RunningServer
from tests.support.websocket_client import HANG, connect, control, leftovers, wait_for_no_leftovers

FLASK = "tests.integration.apps.websockets_flask:app"
DJANGO = "tests.integration.apps.websockets_django:app"
SERVERS = ("uvicorn-h11", "uvicorn-wsproto", "hypercorn", "granian-ws", "daphne")


@pytest.fixture(params=SERVERS)
def flask(request: pytest.FixtureRequest, server_pool: ServerPool) -> Iterator[RunningServer]:
    yield from _nothing_left(server_pool.get(request.param, FLASK))


@pytest.fixture(params=SERVERS)
def django(request: pytest.FixtureRequest, server_pool: ServerPool) -> Iterator[RunningServer]:
    yield from _nothing_left(server_pool.get(request.param, DJANGO))


def test_echo_in_flask(flask: RunningServer) -> None:
    _echo(flask, "/plain/echo")


def test_cookies_and_urls_in_flask(flask: RunningServer) -> None:
    with connect(flask, "/plain/cookie?q=1", additional_headers={"Cookie": "session=mine"}) as client:
        # Flask's url of a handshake has the scheme of the WSGI environ.
        assert client.recv(HANG) == f"mine at {flask.url}/plain/cookie?q=1"


def test_error_in_a_view_of_flask_is_1011(flask: RunningServer) -> None:
    """Flask makes a response of it, 500, which is all that is seen of it."""
    assert _close(flask, "/plain/fail") == 1011
    flask.wait_for_log("RuntimeError: failed in a view of Flask")


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/nothing", 404, b"Not Found"),
        ("/plain/fail_first", 500, b"Internal Server Error"),
        ("/plain/denied", 401, b"log in first"),
        # A route without websocket=True: werkzeug's routing.
        ("/leftovers/x", 400, b"Bad Request"),
    ],
)
def test_responses_of_flask_are_denials(flask: RunningServer, path: str, status: int, text: bytes) -> None:
    _denied(flask, path, status, text)


def test_ping_interval_of_flask_sock(server_pool: ServerPool) -> None:
    """The library pings and is answered; else it would close, with 1008. All wait at the same time."""
    environ = {"SOCK_SERVER_OPTIONS": json.dumps({"ping_interval": 1.5})}
    with contextlib.ExitStack() as stack:
        clients = [
            stack.enter_context(connect(server_pool.get(name, FLASK, environ), "/sock/patient"))
            for name in SERVERS
        ]
        for client in clients:
            assert client.recv(HANG) == "None"
            client.send("still open")
            assert client.recv(HANG) == "still open"


def test_echo_in_django(django: RunningServer) -> None:
    _echo(django, "/ws/echo")


def test_session_in_django(django: RunningServer) -> None:
    with control(django) as requests:
        assert requests.get("/count").json()["count"] == 1
        cookie = f"sessionid={requests.cookies['sessionid']}"
    with connect(django, "/ws/session", additional_headers={"Cookie": cookie}) as client:
        assert client.recv(HANG) == f"1 at {django.url}/ws/session"


def test_error_in_a_view_of_django_is_1011(django: RunningServer) -> None:
    assert _close(django, "/ws/fail") == 1011


@pytest.mark.parametrize(
    ("path", "status", "text"), [("/nothing", 404, b"Not Found"), ("/ws/denied", 403, b"log in first")]
)
def test_responses_of_django_are_denials(django: RunningServer, path: str, status: int, text: bytes) -> None:
    _denied(django, path, status, text)


def _nothing_left(server: RunningServer) -> Iterator[RunningServer]:
    before = leftovers(server)
    yield server
    wait_for_no_leftovers(server, before)


def _echo(server: RunningServer, path: str) -> None:
    with connect(server, path) as client:
        for message in ("text", b"binary", "x" * 1_000_000):
            client.send(message)
            assert client.recv(HANG) == message


def _close(server: RunningServer, path: str) -> int:
    with connect(server, path) as client:
        client.send("fail now")
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(HANG)
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code


def _denied(server: RunningServer, path: str, status: int, text: bytes) -> None:
    with pytest.raises(InvalidStatus) as refused, connect(server, path):
        pass
    response = refused.value.response
    hold("denial by a response", server.kind.name, response.status_code, right=status)
    if not known("denial by a response", server.kind.name):
        assert text in response.body
