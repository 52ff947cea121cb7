"""``WsgiToAsgi`` on real ASGI servers: no call outlives its client, and no client waits for the end of a call."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.settings
import httpx
import pytest

from tests.conftest import ServerPool
from tests.support.gate import Gate
from tests.support.servers import ASGI_SERVERS, SERVERS, RunningServer, poll

APP = "tests.integration.apps.leaving:app"
HTTP_2 = ["hypercorn-h2c", "uvicorn-h2c"]


@pytest.fixture(params=ASGI_SERVERS)
def server(request: pytest.FixtureRequest, server_pool: ServerPool) -> RunningServer:
    return server_pool.get(request.param, APP)


@pytest.fixture
def control(server: RunningServer) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


def wait_for(ask: Callable[[], Any], wanted: Any) -> None:
    answers: list[Any] = []

    def answered() -> bool:
        answers.append(ask())
        return bool(answers[-1] == wanted)

    poll(answered, 15.0, lambda: f"{answers[-1]!r} instead of {wanted!r}")


def ended(control: httpx.Client, name: str) -> Any:
    return control.get(f"/ended/{name}").raise_for_status().json()


def running(control: httpx.Client, path: str) -> Any:
    # With a body: uvicorn's HTTP/2 sees no end of a request without one.
    return control.post(f"/running{path}", content=b"how many?").raise_for_status().json()


def leave_after_first_chunk(server: RunningServer, path: str) -> None:
    client = server.client()
    with client.stream("GET", path) as response:
        assert next(response.iter_raw())
        client.close()


@pytest.mark.parametrize("path", ["/list", "/stream"])
def test_client_that_does_not_read_and_leaves(
    server: RunningServer, control: httpx.Client, path: str
) -> None:
    for _ in range(3):
        leave_after_first_chunk(server, path)
    wait_for(lambda: running(control, path), 0)


def test_client_that_leaves_empty_chunks(server: RunningServer, control: httpx.Client) -> None:
    before = ended(control, "polling")
    leave_after_first_chunk(server, "/polling")
    wait_for(lambda: ended(control, "polling"), [*before, "closed"])
    wait_for(lambda: running(control, "/polling"), 0)


def test_clients_that_leave_the_queue_make_room_in_it(server: RunningServer, control: httpx.Client) -> None:
    """Two have a place in it, beside the one that has the thread."""

    def get() -> int:
        with server.client() as client:
            return client.get(path).status_code

    with Gate() as gate, ThreadPoolExecutor(3) as clients:
        path = f"/narrow/{gate.port}"
        answers = [clients.submit(get)]
        gate.wait_for_arrival()
        for _ in range(2):
            asyncio.run(take_places_and_leave(server, control, path))
            wait_for(lambda: running(control, path), 1)
        answers += [clients.submit(get) for _ in range(2)]
        wait_for(lambda: running(control, path), 3)
        gate.let_through()
        for _ in range(2):
            gate.wait_for_arrival()
            gate.let_through()
        assert [answer.result() for answer in answers] == [200] * 3


async def take_places_and_leave(server: RunningServer, control: httpx.Client, path: str) -> None:
    async with server.async_client() as client:
        asked = [asyncio.ensure_future(client.get(path)) for _ in range(2)]
        await asyncio.to_thread(wait_for, lambda: running(control, path), 3)
        for each in asked:
            each.cancel()
        await asyncio.wait(asked)


def leave_unread(server: RunningServer, size: int) -> None:
    client = server.client()
    with client.stream("POST", "/unread", content=b"x" * size) as response:
        assert next(response.iter_raw())
        client.close()


def test_client_that_leaves_a_body_that_nobody_reads(server: RunningServer, control: httpx.Client) -> None:
    """It is larger than the buffer of ``request_body="stream"``, and the app may read it still."""
    leave_unread(server, 150_000)
    wait_for(lambda: running(control, "/unread"), 0)


@pytest.mark.parametrize("name", ["uvicorn-h11", "uvicorn-httptools"])
def test_client_that_leaves_a_large_body_that_nobody_reads(name: str, server_pool: ServerPool) -> None:
    """A server that tells of its leaving before the rest of the body."""
    server = server_pool.get(name, APP)
    leave_unread(server, 2_000_000)
    with server.client() as control:
        wait_for(lambda: running(control, "/unread"), 0)


def test_app_asks_whether_its_client_has_left(server: RunningServer, control: httpx.Client) -> None:
    before = ended(control, "asking")
    leave_after_first_chunk(server, "/asking")
    wait_for(lambda: ended(control, "asking"), [*before, "left"])
    wait_for(lambda: running(control, "/asking"), 0)


@pytest.mark.parametrize("loop", ["request", "shared"])
def test_asgi_app_behind_both_adapters_hears_of_its_client(
    server: RunningServer, control: httpx.Client, loop: str
) -> None:
    """AsgiToWsgi asks what WsgiToAsgi knows, as it asks waitress."""
    before = ended(control, f"idle{loop}")
    leave_after_first_chunk(server, f"/idle/{loop}")
    wait_for(lambda: ended(control, f"idle{loop}"), [*before, "http.disconnect"])
    wait_for(lambda: running(control, f"/idle/{loop}"), 0)


def test_client_does_not_wait_for_close(server: RunningServer, control: httpx.Client) -> None:
    """Nor does its next request, on the same connection; the server's call waits."""
    with Gate() as gate, server.client() as client:
        path = f"/gated/{gate.port}"
        assert client.get(path).text == "whole"
        gate.wait_for_arrival()
        assert client.get("/short").text == "short"
        assert running(control, path) == 1
        before = ended(control, "gated")
        gate.let_through()
        wait_for(lambda: ended(control, "gated"), [*before, "closed"])
        wait_for(lambda: running(control, path), 0)


class Stream:
    """One request over HTTP/2, whose window the test gives."""

    def __init__(self, server: RunningServer, path: str, window: int, body: bytes) -> None:
        self.socket = server.connect()
        self.http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self.http.local_settings = h2.settings.Settings(
            client=True, initial_values={h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window}
        )
        self.http.initiate_connection()
        self.id = self.http.get_next_available_stream_id()
        headers = [(":method", "POST"), (":path", path), (":scheme", "http"), (":authority", "test")]
        self.http.send_headers(self.id, headers)
        self.http.send_data(self.id, body, end_stream=True)
        self._flush()

    def read(self, size: int) -> None:
        """Return when the head has come and ``size`` bytes of the body; nothing is acknowledged."""
        head, got = False, 0
        while not head or got < size:
            data = self.socket.recv(65_536)
            assert data, "the server closed the connection"
            for event in self.http.receive_data(data):
                head = head or isinstance(event, h2.events.ResponseReceived)
                if isinstance(event, h2.events.DataReceived):
                    got += len(event.data or b"")
            self._flush()

    def reset(self) -> None:
        self.http.reset_stream(self.id)
        self._flush()

    def _flush(self) -> None:
        self.socket.sendall(self.http.data_to_send())

    def close(self) -> None:
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


@pytest.mark.parametrize("name", HTTP_2)
@pytest.mark.parametrize(
    ("path", "window", "body"),
    [
        pytest.param("/list", 60_000, b"body", id="one batch"),
        pytest.param("/stream", 60_000, b"body", id="chunks"),
        pytest.param("/short", 0, b"body", id="short, no window"),
        pytest.param("/refused", 0, b"longer than allowed", id="refused, no window"),
    ],
)
def test_stream_that_is_reset_ends_its_call(
    name: str, path: str, window: int, body: bytes, server_pool: ServerPool
) -> None:
    """The connection stays, and with it what else there is of it."""
    assert SERVERS[name].http == "2"
    server = server_pool.get(name, APP)
    stream = Stream(server, path, window, body)
    try:
        stream.read(window)
        with server.client() as control:
            stream.reset()
            wait_for(lambda: running(control, path), 0)
    finally:
        stream.close()
