"""``WsgiToAsgi`` on real ASGI servers: chunks leave at once, and clients leave in the middle."""

from collections.abc import Iterator

import httpx
import pytest

from tests.conftest import ServerPool, StartServer
from tests.integration.cases_server import CASES, facts, new_token, report, settle, start_cases
from tests.support.faults import known
from tests.support.raw import RawConnection
from tests.support.servers import ASGI_SERVERS, SERVERS, RunningServer

HTTP_1_SERVERS = [name for name in ASGI_SERVERS if SERVERS[name].http == "1.1"]
STREAMING_SERVERS = [name for name in ASGI_SERVERS if not known("app called before the body's end", name)]


class ClientLeftError(Exception):
    """What a test's client raises in the middle of its own upload."""


@pytest.fixture(scope="module", params=ASGI_SERVERS)
def server(request: pytest.FixtureRequest, server_pool: ServerPool) -> RunningServer:
    return start_cases(server_pool, request.param)


@pytest.fixture
def control(server: RunningServer) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


def test_first_chunk_arrives_before_the_second_is_made(server: RunningServer, control: httpx.Client) -> None:
    token = new_token()
    with server.client() as client, client.stream("GET", f"/two/{token}") as response:
        chunks = response.iter_raw()
        assert next(chunks) == b"first"
        assert facts(control, token)["chunks"] == 1
        control.get(f"/signal/{token}")
        assert b"".join(chunks) == b"second"
    assert report(control, token) == {"closes": 1, "chunks": 2, "started": 0, "same_thread": True}


def test_client_that_leaves_mid_download_ends_the_iteration(
    server: RunningServer, control: httpx.Client
) -> None:
    """The next chunk after the server noticed closes the iterable: no second one is asked for."""
    token = new_token()
    _leave_mid_download(server, f"/endless/{token}?paced")
    settle(control)
    # The second signal is for an app that wrongly goes on: it would wait for it.
    for number in (1, 2):
        control.get(f"/signal/{token}-{number}")
    answer = report(control, token)
    assert answer["closes"] == 1
    assert answer["same_thread"]
    assert answer["chunks"] <= 2


def test_client_that_leaves_frees_a_thread_that_waits_for_it(
    server: RunningServer, control: httpx.Client
) -> None:
    """The app is blocked by back-pressure when the client goes, and must be woken."""
    if fault := known("bounded sending", server.kind.name):
        pytest.skip(f"there is no back-pressure to be blocked by: {fault.does}")
    tokens = [new_token() for _ in range(8)]
    for token in tokens:
        _leave_mid_download(server, f"/endless/{token}")
    for token in tokens:
        answer = report(control, token)
        assert (answer["closes"], answer["same_thread"]) == (1, True)


@pytest.mark.parametrize(
    "name", ["uvicorn-h11", "uvicorn-httptools", "hypercorn", "hypercorn-h2c", "hypercorn-h2"]
)
def test_client_that_left_does_not_hold_up_a_shutdown(name: str, start_server: StartServer) -> None:
    """The server would wait longer for a request that still runs than the harness waits for the server."""
    limit = "--graceful-timeout" if name.startswith("hypercorn") else "--timeout-graceful-shutdown"
    server = start_server(name, CASES, arguments=(limit, "100"))
    for _ in range(4):
        _leave_mid_download(server, f"/endless/{new_token()}")
    server.stop()


@pytest.mark.parametrize("chunked", [False, True])
def test_client_that_leaves_mid_upload_never_reaches_the_app(
    server: RunningServer, control: httpx.Client, chunked: bool
) -> None:
    """In buffer mode the app is not called at all."""
    token = new_token()
    _leave_mid_upload(server, f"/upload/{token}", chunked)
    settle(control)
    answer = facts(control, token)
    assert answer["started"] == 0
    assert "whole" not in answer


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("name", STREAMING_SERVERS)
def test_client_that_leaves_mid_upload_breaks_a_streamed_body(
    name: str, chunked: bool, server_pool: ServerPool
) -> None:
    """In stream mode the app is called, and ``wsgi.input`` raises where the body breaks off."""
    server = start_cases(server_pool, name, request_body="stream")
    token = new_token()
    with server.client() as control:
        _leave_mid_upload(server, f"/upload/{token}", chunked)
        answer = report(control, token)
    assert answer["started"] == 1
    assert "whole" not in answer
    assert "ClientDisconnected" in answer["error"]
    assert "OSError" in answer["error"]


@pytest.mark.parametrize("name", STREAMING_SERVERS)
def test_streamed_upload_reaches_the_app_as_it_arrives(name: str, server_pool: ServerPool) -> None:
    server = start_cases(server_pool, name, request_body="stream")
    token = new_token()
    with server.client() as control, server.client() as client:

        def body() -> Iterator[bytes]:
            yield b"u" * 70_000
            # The app has read a block of the first part before the rest is even sent.
            assert control.get(f"/reached/{token}-read-0").text == "reached"
            for number in range(3):
                control.get(f"/signal/{token}-{number}")
            yield b"u" * 30_000

        assert client.post(f"/slow_upload/{token}", content=body()).text == "100000"


def test_body_that_the_app_does_not_read(server: RunningServer) -> None:
    with server.client() as client:
        for _ in range(3):
            assert client.post("/ignore/x", content=b"i" * 200_000).text == "ignored"


@pytest.mark.parametrize("name", HTTP_1_SERVERS)
@pytest.mark.parametrize(
    "wire", [b"Content-Length: 100\r\n\r\n0123456789", b"Transfer-Encoding: chunked\r\n\r\nff\r\nabc"]
)
def test_half_closed_or_broken_upload(name: str, wire: bytes, server_pool: ServerPool) -> None:
    """A client that shuts down its sending side within the body has not sent a whole one."""
    server = start_cases(server_pool, name)
    token = new_token()
    with server.client() as control:
        with RawConnection(server.connect()) as connection:
            connection.send(f"POST /upload/{token} HTTP/1.1\r\nHost: test\r\n".encode() + wire)
            connection.finish_sending()
            connection.read_to_end()
        settle(control)
        assert facts(control, token)["started"] == 0


def _leave_mid_download(server: RunningServer, path: str) -> None:
    """Read the first chunk of a response, and close the connection."""
    client = server.client()
    with client.stream("GET", path) as response:
        assert next(response.iter_raw())
        client.close()


def _leave_mid_upload(server: RunningServer, path: str, chunked: bool) -> None:
    """Send 100,000 bytes of a body of 200,000, or of one without a known end, and close the connection."""

    def body() -> Iterator[bytes]:
        yield b"u" * 100_000
        raise ClientLeftError

    headers = {} if chunked else {"Content-Length": "200000"}
    with server.client() as client, pytest.raises(ClientLeftError):
        client.post(path, content=body(), headers=headers)
