"""Faults that bridge or the tests go round, shown without bridge: so it is seen when the way round may go."""

from collections.abc import Iterator

import httpx
import pytest

from tests.conftest import StartServer
from tests.support.faults import hold, patience
from tests.support.servers import ASGI_SERVERS, SERVERS
from tests.support.websocket_client import RawWebSocket

APP = "tests.integration.apps.native_faults:app"
UVICORNS = ["uvicorn-h11", "uvicorn-httptools", "uvicorn-wsproto", "uvicorn-websockets"]
# A WebSocket's frame, its mask being zeros.
MESSAGE = b"\x81\x81\0\0\0\0m"


@pytest.mark.parametrize("name", [name for name in ASGI_SERVERS if SERVERS[name].http == "2"])
def test_error_in_the_middle_of_a_stream(name: str, start_server: StartServer) -> None:
    server = start_server(name, APP)
    with server.client(timeout=patience("error in the middle, on a stream", name)) as client:
        try:
            seen = client.get("/fail").text
        except httpx.ReadTimeout:
            seen = "hangs"
        except httpx.RemoteProtocolError:
            seen = "broken off"
    hold("error in the middle, on a stream", name, seen, right="broken off")


@pytest.mark.parametrize(
    "name", [*(name for name in ASGI_SERVERS if SERVERS[name].http == "2"), "uvicorn-h2c"]
)
def test_data_of_a_stream_that_is_answered(name: str, start_server: StartServer) -> None:
    server = start_server(name, APP)

    def body() -> Iterator[bytes]:
        yield b"first"
        server.wait_for_log('"POST /early ')  # with the answer; hypercorn forgets the stream in the same step
        yield b"second"

    with server.client() as client:
        try:
            answers = [client.post("/early", content=body()), client.post("/whole", content=b"next")]
        except httpx.TransportError:
            seen = "lost"
        else:
            streams = [answer.extensions["network_stream"] for answer in answers]
            seen = "kept" if streams[0] is streams[1] else "lost"
    hold("upload that is answered early", name, seen, right="kept")


def test_request_without_a_body_on_the_http_2_of_uvicorn(start_server: StartServer) -> None:
    server = start_server("uvicorn-h2c", APP, arguments=("--timeout-graceful-shutdown", "1"))
    with server.client(timeout=patience("request without a body, HTTP/2", "uvicorn-h2c")) as client:
        try:
            seen = client.get("/whole").text
        except httpx.ReadTimeout:
            seen = "hangs"
    hold("request without a body, HTTP/2", "uvicorn-h2c", seen, right="halfwhole")


def test_message_of_a_client_whose_handshake_was_refused(start_server: StartServer) -> None:
    server = start_server("hypercorn", APP)
    with RawWebSocket(server, "/", wait=False) as client:
        assert client.socket.recv(65_536).startswith(b"HTTP/1.1 403")
        client.socket.sendall(MESSAGE)
    server.stop()
    seen = "a traceback" if "can't handle event type Response" in server.log() else "dropped"
    hold("message after a refused handshake", "hypercorn", seen, right="dropped")


def test_accept_of_a_handshake_that_daphne_has_dropped(start_server: StartServer) -> None:
    server = start_server("daphne", APP)
    with RawWebSocket(server, "/dropped", wait=False) as client, pytest.raises(ConnectionError):
        client.receive()
    with server.client() as requests:
        requests.get(
            "/whole"
        ).raise_for_status()  # it tells the app, and logs that, in the step that ends the connection
    seen = "told" if '"WSDISCONNECT /dropped"' in server.log() else "never told"
    hold("accept of a handshake that was dropped", "daphne", seen, right="told")


@pytest.mark.parametrize("how", ["deny", "open"])
@pytest.mark.parametrize("name", UVICORNS)
def test_header_of_an_answer_to_a_handshake(name: str, how: str, start_server: StartServer) -> None:
    server = start_server(name, APP)
    head = b""
    with RawWebSocket(server, f"/{how}", wait=False) as client:
        while b"\r\n\r\n" not in head:
            head += client.socket.recv(65_536)
    (line,) = (line for line in head.splitlines() if line.lower().startswith(b"x-named:"))
    seen = line.partition(b":")[2].strip()
    hold("header of an answer to a handshake", name, seen, right=b"caf\xe9")


@pytest.mark.parametrize("how", ["deny", "refuse", "close"])
@pytest.mark.parametrize("name", UVICORNS)
def test_answer_to_a_handshake_that_uvicorn_answers_at_its_end(
    name: str, how: str, start_server: StartServer
) -> None:
    server = start_server(name, APP)
    with RawWebSocket(server, f"/stopped/{how}", wait=False) as client:
        assert client.socket.recv(65_536).startswith(b"HTTP/1.1 500")
    seen = server.wait_for_log("it got ").partition("it got ")[2].partition("\n")[0]
    hold("answer to a handshake beside the shutdown", name, seen, right="OSError")
