"""WebSockets of WSGI apps on real ASGI servers that are told to stop, by SIGTERM, while they are open."""

import pytest

from tests.conftest import StartServer
from tests.integration.cases_server import facts, options
from tests.support.faults import hold, known
from tests.support.server_kinds import WEBSOCKET_SERVERS
from tests.support.servers import RunningServer, poll
from tests.support.websocket_client import HANG, WEBSOCKETS, RawWebSocket, control

# Seconds that it gives to what is open, before it closes that.
GRACE = {"hypercorn": ("--graceful-timeout", "1")}


@pytest.mark.parametrize("side", ["", "/native"], ids=["bridge", "native"])
@pytest.mark.parametrize("name", WEBSOCKET_SERVERS)
def test_shutdown_closes_them(name: str, side: str, start_server: StartServer) -> None:
    if fault := known("shutdown beside an open connection", name):
        pytest.skip(fault.does)
    server = start_server(name, WEBSOCKETS, arguments=GRACE.get(name, ()))
    with (
        RawWebSocket(server, f"{side}/echo/echoing") as echoing,
        RawWebSocket(server, f"{side}/receive/receiving") as receiving,
    ):
        echoing.send("x")
        assert echoing.receive().data == b"x"
        server.terminate()
        for client in (echoing, receiving):
            hold("close at shutdown", name, client.receive_close()[0], right=1012)
    server.stop()
    log = server.log()
    # Without a lifespan the process ends without a word to the app, whose threads end with it.
    if not side and not known("lifespan", name):
        # The app's threads have learnt it, and have ended before the process.
        _assert_ended(server, "echoing")
        _assert_ended(server, "receiving")
    if name.startswith("uvicorn"):
        server.assert_no_traceback()
        if not side:
            assert "ended receiving: [1012, '']" in log


@pytest.mark.parametrize("name", [name for name in WEBSOCKET_SERVERS if name.startswith("uvicorn")])
def test_shutdown_does_not_wait_for_a_client_that_does_not_read(name: str, start_server: StartServer) -> None:
    server = start_server(name, WEBSOCKETS, arguments=("--timeout-graceful-shutdown", "1"))
    with RawWebSocket(server, "/pour/pouring", receive_buffer=65_536), control(server) as requests:
        poll(lambda: facts(requests, "pouring")["chunks"] > 0, HANG, lambda: "it does not pour")
        server.terminate()
        server.stop()
    _assert_ended(server, "pouring")


def test_shutdown_leaves_an_app_behind_that_does_not_end(start_server: StartServer) -> None:
    """A thread can't be ended from outside: after ``shutdown_timeout`` the server goes without it."""
    server = start_server(
        "uvicorn-h11",
        WEBSOCKETS,
        arguments=("--timeout-graceful-shutdown", "1"),
        environ=options(shutdown_timeout=0.1),
    )
    with RawWebSocket(server, "/deaf/x") as client, control(server) as requests:
        requests.get("/reached/x-accepted").raise_for_status()
        server.terminate()
        assert client.receive_close() == (1012, "")
        server.stop()
    assert "left a request behind" in server.log()


def _assert_ended(server: RunningServer, token: str) -> None:
    log = server.log()
    assert f"ended {token}: " in log, log
    assert "left a request behind" not in log
