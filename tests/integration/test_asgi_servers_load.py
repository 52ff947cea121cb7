"""``WsgiToAsgi`` on real ASGI servers: slow clients take neither threads nor memory."""

import contextlib
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.conftest import ServerPool
from tests.integration.cases_server import facts, new_token, start_cases
from tests.support.faults import known
from tests.support.raw import RawConnection
from tests.support.servers import ASGI_SERVERS, SERVERS, RunningServer, poll

MEBIBYTE = 1024 * 1024
LIMIT = 2 * MEBIBYTE
TOTAL = 64 * MEBIBYTE
#: What the allocator may keep of a body that has passed through the process.
KEPT = 8 * MEBIBYTE
# The servers without HTTP/2, and those of them that have back-pressure, in both directions.
HTTP_1_SERVERS = [name for name in ASGI_SERVERS if SERVERS[name].http == "1.1"]
BOUNDED_SERVERS = [name for name in HTTP_1_SERVERS if not known("bounded sending", name)]


@pytest.mark.parametrize("name", HTTP_1_SERVERS)
def test_stalled_uploads_take_no_thread(name: str, server_pool: ServerPool) -> None:
    """200 clients send one byte of their body and no more; 10 threads still serve everybody else."""
    server = start_cases(server_pool, name, threads=10)
    head = b"POST /upload/stalled HTTP/1.1\r\nHost: test\r\nContent-Length: 100\r\n\r\nx"
    with contextlib.ExitStack() as stack:
        stalled = [stack.enter_context(RawConnection(server.connect())) for _ in range(200)]
        for connection in stalled:
            connection.send(head)
        with server.client() as client:
            for _ in range(50):
                assert client.get("/ignore/x").text == "ignored"
            assert facts(client, "stalled")["started"] == 0
            # They were not refused either: the one that sends the rest is served.
            stalled[0].send(b"x" * 99)
            assert stalled[0].read_response().status == 200
            assert facts(client, "stalled")["started"] == 1


@pytest.mark.parametrize("name", BOUNDED_SERVERS)
def test_client_that_stops_reading_costs_no_memory(name: str, server_pool: ServerPool) -> None:
    """The app could send without end; what it has ahead of the client is the response buffer."""
    server = start_cases(server_pool, name)
    for _ in range(2):
        with _stalled_download(server) as connection:
            _receive(connection, 4 * MEBIBYTE)
    before = server.rss()
    with _stalled_download(server) as connection:
        stalled = server.rss() - before
        _receive(connection, TOTAL)
        grown = server.rss() - before
    assert stalled < LIMIT, f"{stalled} bytes more while the client does not read"
    assert grown < LIMIT, f"{grown} bytes more after {TOTAL} bytes"


@pytest.mark.parametrize("name", BOUNDED_SERVERS)
def test_app_that_reads_slowly_costs_no_memory(name: str, server_pool: ServerPool) -> None:
    """In stream mode, an upload waits in the client, not in the server."""
    server = start_cases(server_pool, name, request_body="stream")
    for _ in range(2):
        _slow_upload(server, 4 * MEBIBYTE)
    before = server.rss()
    grown = _slow_upload(server, TOTAL) - before
    assert grown < LIMIT, f"{grown} bytes more while the app does not read"
    assert server.rss() - before < KEPT


@pytest.mark.parametrize("name", BOUNDED_SERVERS)
def test_buffered_upload_costs_no_memory(name: str, server_pool: ServerPool) -> None:
    """In buffer mode, what is above 64 KiB waits in a file."""
    server = start_cases(server_pool, name)
    with server.client() as client:
        for size in (4 * MEBIBYTE, 4 * MEBIBYTE):
            client.post(f"/upload/{new_token()}", content=_blocks(size))
        before = server.rss()
        answer = client.post(f"/upload/{new_token()}", content=_blocks(TOTAL)).json()
        assert answer["size"] == TOTAL
        assert server.rss() - before < LIMIT


@contextlib.contextmanager
def _stalled_download(server: RunningServer) -> Iterator[RawConnection]:
    """Begin an endless download, and yield when the app has been stopped by back-pressure."""
    token = new_token()
    with RawConnection(server.connect()) as connection, server.client() as control:
        connection.send(f"GET /endless/{token} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        _wait_until_stable(lambda: int(facts(control, token)["chunks"]))
        yield connection


def _receive(connection: RawConnection, size: int) -> None:
    """Read about ``size`` bytes, of headers and framing too, without keeping them."""
    while size > 0:
        data = connection.socket.recv(MEBIBYTE)
        assert data, "the response ended"
        size -= len(data)


def _slow_upload(server: RunningServer, size: int) -> int:
    """Upload to an app that reads three blocks and then waits; return the resident memory while it waits."""
    token = new_token()
    sent = 0

    def body() -> Iterator[bytes]:
        nonlocal sent
        for block in _blocks(size):
            yield block
            sent += len(block)

    answers: list[str] = []
    with server.client() as client, server.client() as control:
        upload = threading.Thread(
            target=lambda: answers.append(client.post(f"/slow_upload/{token}", content=body()).text)
        )
        upload.start()
        try:
            control.get(f"/reached/{token}-read-0")
            _wait_until_stable(lambda: sent)
            resident = server.rss()
        finally:
            for number in range(3):
                control.get(f"/signal/{token}-{number}")
            upload.join()
    assert answers == [str(size)]
    return resident


def _blocks(size: int) -> Iterator[bytes]:
    block = b"m" * 65_536
    for _ in range(size // len(block)):
        yield block


def _wait_until_stable(value: Callable[[], int]) -> None:
    """Wait until a counter that is not zero has had one value for ten looks."""
    looks = [0]

    def stable() -> bool:
        looks.append(value())
        return looks[-1] > 0 and len(set(looks[-10:])) == 1

    poll(stable, 30.0, lambda: f"never stable: {looks[-10:]}")
