"""HTTP/3, which hypercorn has: requests are served, and an app's error ends none but its own."""

import asyncio
import json
import ssl
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.conftest import StartServer
from tests.integration.cases_server import CASES, options
from tests.support.asgi import HANG
from tests.support.faults import hold
from tests.support.servers import RunningServer

pytest.importorskip("aioquic")

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, H3Event, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import QuicEvent, StreamReset

NATIVE = "tests.integration.apps.native_faults:app"


class Stream:
    """What has come on one stream."""

    def __init__(self) -> None:
        self.status = 0
        self.body = b""
        self.end = "open"
        self.changed = asyncio.Event()


class Client(QuicConnectionProtocol):
    """One connection."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._http = H3Connection(self._quic)
        self._streams: dict[int, Stream] = {}

    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, StreamReset) and event.stream_id in self._streams:
            self._change(self._streams[event.stream_id], end="reset")
        for each in self._http.handle_event(event):
            self._take(each)

    def _take(self, event: H3Event) -> None:
        if isinstance(event, (HeadersReceived, DataReceived)) and event.stream_id in self._streams:
            stream = self._streams[event.stream_id]
            if isinstance(event, HeadersReceived):
                stream.status = int(dict(event.headers)[b":status"])
            else:
                stream.body += event.data
            self._change(stream, end="whole" if event.stream_ended else stream.end)

    def _change(self, stream: Stream, *, end: str) -> None:
        stream.end = end
        stream.changed.set()

    def ask(self, path: str, body: bytes | None = None) -> Stream:
        number = self._quic.get_next_available_stream_id()
        stream = self._streams[number] = Stream()
        head = {
            ":method": "GET" if body is None else "POST",
            ":scheme": "https",
            ":authority": "test",
            ":path": path,
        }
        self._http.send_headers(
            number, [(name.encode(), value.encode()) for name, value in head.items()], end_stream=body is None
        )
        if body is not None:
            self._http.send_data(number, body, end_stream=True)
        self.transmit()
        return stream

    async def get(self, path: str, body: bytes | None = None) -> Stream:
        """The answer, to its end."""
        stream = self.ask(path, body)
        await until(stream, lambda: stream.end != "open")
        return stream


async def until(stream: Stream, condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(HANG):
        while not condition():
            stream.changed.clear()
            await stream.changed.wait()


async def connections(server: RunningServer, stack: AsyncExitStack, count: int) -> Iterable[Client]:
    configuration = QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN, verify_mode=ssl.CERT_NONE)
    clients: list[Client] = []
    for _ in range(count):
        connecting = connect(server.host, server.port, configuration=configuration, create_protocol=Client)
        async with asyncio.timeout(HANG):
            client = await stack.enter_async_context(connecting)
        assert isinstance(client, Client)
        clients.append(client)
    return clients


def test_requests_and_their_bodies(start_server: StartServer) -> None:
    server = start_server("hypercorn-h3", CASES)

    async def main() -> None:
        async with AsyncExitStack() as stack:
            (client,) = await connections(server, stack, 1)
            address = json.loads((await client.get("/address/x")).body)
            assert address["REMOTE_ADDR"] == server.host
            assert address["SERVER_PORT"] == str(server.port)
            ignored = await client.get("/ignore/x", b"u" * 200_000)
            assert (ignored.status, ignored.body) == (200, b"ignored")

    asyncio.run(main())


@pytest.mark.parametrize(
    ("app", "fails", "goes_well", "says"),
    [
        (CASES, "/fail/in-body", "/ignore/x", "failed in the body"),
        (NATIVE, "/fail", "/whole", "failed in the middle"),
    ],
    ids=["bridge", "native"],
)
def test_an_error_in_the_middle_ends_nothing_but_its_own_response(
    app: str, fails: str, goes_well: str, says: str, start_server: StartServer
) -> None:
    server = start_server("hypercorn-h3", app)

    async def main() -> str:
        async with AsyncExitStack() as stack:
            own, other = await connections(server, stack, 2)
            failing = own.ask(fails)
            await until(failing, lambda: bool(failing.body))
            await asyncio.to_thread(server.wait_for_log, f"RuntimeError: {says}")
            (new,) = await connections(server, stack, 1)
            for client in (own, other, new):
                assert (await client.get(goes_well)).status == 200
            return failing.end

    # The stream's end, if there were any, would have come before the answers.
    hold("error in the middle, HTTP/3", "hypercorn-h3", asyncio.run(main()), right="reset")
    assert server.log().count(f"RuntimeError: {says}") == 1


def test_a_client_that_leaves(start_server: StartServer) -> None:
    # What a server doesn't tell of can't end the app's thread: it is left behind here.
    server = start_server("hypercorn-h3", CASES, environ=options(shutdown_timeout=0.1))

    async def main() -> str:
        async with AsyncExitStack() as stack:
            (stays,) = await connections(server, stack, 1)
            async with AsyncExitStack() as short:
                (leaves,) = await connections(server, short, 1)
                endless = leaves.ask("/endless/t?paced")
                await until(endless, lambda: bool(endless.body))
            # Its close is before these in the server's socket. The third chunk is made when all have been told.
            facts: dict[str, int] = {"chunks": 1, "closes": 0}
            for number in range(1, 4):
                await stays.get(f"/signal/t-{number}")
                while facts["chunks"] <= number and not facts["closes"]:
                    facts = json.loads((await stays.get("/facts/t")).body)
            return "ends" if facts["closes"] else "goes on"

    hold("leaving, HTTP/3", "hypercorn-h3", asyncio.run(main()), right="ends")
