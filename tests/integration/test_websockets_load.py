"""WebSockets of WSGI apps on real ASGI servers: many at once, slow ones, and limits."""

import asyncio
import threading
from collections.abc import Callable, Iterator

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as async_connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.conftest import ServerPool
from tests.integration.cases_server import facts, new_token, options, report
from tests.support.faults import hold, known
from tests.support.server_kinds import WEBSOCKET_SERVERS
from tests.support.servers import RunningServer, poll
from tests.support.websocket_client import (
    HANG,
    WEBSOCKETS,
    RawWebSocket,
    connect,
    control,
    leftovers,
    nothing_left_of,
    websocket_url,
)

MEBIBYTE = 1024 * 1024
# The kernel's buffers are not the server's: what a client does not take waits there first.
LIMIT = 8 * MEBIBYTE
FLOOD = 64 * MEBIBYTE


@pytest.fixture(scope="module", params=WEBSOCKET_SERVERS)
def server(request: pytest.FixtureRequest, server_pool: ServerPool) -> RunningServer:
    # Few threads for requests: those of WebSockets are others.
    return server_pool.get(request.param, WEBSOCKETS, options(threads=2))


@pytest.fixture(scope="module", params=WEBSOCKET_SERVERS)
def limited(request: pytest.FixtureRequest, server_pool: ServerPool) -> RunningServer:
    return server_pool.get(request.param, WEBSOCKETS, options(websocket_threads=2, max_body_size=1000))


@pytest.fixture
def nothing_left(server: RunningServer) -> Iterator[None]:
    yield from nothing_left_of(server)


@pytest.fixture
def nothing_left_limited(limited: RunningServer) -> Iterator[None]:
    yield from nothing_left_of(limited)


@pytest.mark.usefixtures("nothing_left")
def test_200_open_beside_requests(server: RunningServer) -> None:
    """Two threads serve requests while 200 sockets are open, and each of these still echoes."""
    asyncio.run(_open_many(server, 200))


@pytest.mark.usefixtures("nothing_left")
def test_client_that_does_not_read_holds_the_app_back(server: RunningServer) -> None:
    """``send()`` waits for it, goes on when it reads, and raises when it is gone."""
    token = new_token()
    before = server.rss()
    with RawWebSocket(server, f"/pour/{token}", receive_buffer=65_536) as client, control(server) as requests:
        most = FLOOD // 65_536
        stopped = _wait_until_stable(lambda: int(facts(requests, token)["chunks"]), most)
        _hold_bound(server, "bounded sending", stopped < most)
        if stopped < most:
            assert server.rss() - before < LIMIT
            for _ in range(stopped + 10):
                client.receive()
            assert int(facts(requests, token)["chunks"]) > stopped
        client.reset()
        assert report(requests, token)["end"] in ([1006, ""], [1005, ""])


@pytest.mark.usefixtures("nothing_left")
def test_send_raises_when_the_client_is_gone(server: RunningServer) -> None:
    token = new_token()
    with RawWebSocket(server, f"/pour/{token}") as client, control(server) as requests:
        client.receive()
        client.reset()
        assert report(requests, token)["end"] in ([1006, ""], [1005, ""])


@pytest.mark.usefixtures("nothing_left")
def test_client_that_floods_is_held_back(server: RunningServer) -> None:
    """The app does not receive: the client can't send without end. Nothing of what it sent is lost."""
    token = new_token()
    message = b"f" * 16_384
    sent, most = 0, FLOOD // 16_384
    with RawWebSocket(server, f"/deaf/{token}") as client, control(server) as requests:
        requests.get(f"/reached/{token}-accepted").raise_for_status()
        before = server.rss()

        def flood() -> None:
            nonlocal sent
            for _ in range(most):
                client.send(message)
                sent += 1
            client.send("end")

        def sent_by_now() -> int:
            facts(requests, token)  # the server answers, and so it had a processor
            return sent

        flooding = threading.Thread(target=flood)
        flooding.start()
        try:
            stopped = _wait_until_stable(sent_by_now, most)
            _hold_bound(server, "bounded receiving", stopped < most)
            if stopped < most:
                assert server.rss() - before < LIMIT
        finally:
            requests.get(f"/signal/{token}").raise_for_status()
            flooding.join()
        assert client.receive().data == str(sent + 1).encode()


# Limits.


@pytest.mark.usefixtures("nothing_left_limited")
def test_all_threads_taken(limited: RunningServer) -> None:
    with connect(limited, "/echo/x") as one, connect(limited, "/echo/x") as two:
        for client in (one, two):
            client.send("open")
            assert client.recv(HANG) == "open"
        if known("denial by a response", limited.kind.name):
            with connect(limited, "/echo/x") as third, pytest.raises(ConnectionClosed) as refused:
                third.recv(HANG)
            close = refused.value.rcvd
            assert close is not None
            assert (close.code, close.reason) == (1013, "the server is busy; try again in a moment")
        else:
            with pytest.raises(InvalidStatus) as denied, connect(limited, "/echo/x"):
                pass
            response = denied.value.response
            assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
        with control(limited) as requests:
            assert requests.get("/ignore/x").text == "ignored"
        one.close()
        _wait_for_a_thread(limited)
        with connect(limited, "/echo/x") as again:
            again.send("again")
            assert again.recv(HANG) == "again"
        two.send("still here")
        assert two.recv(HANG) == "still here"


@pytest.mark.usefixtures("nothing_left_limited")
@pytest.mark.parametrize("message", [b"x" * 1001, "é" * 501, ["é" * 400, "é" * 101]])
def test_message_that_is_too_long_is_1009(limited: RunningServer, message: str | bytes | list[str]) -> None:
    token = new_token()
    with connect(limited, f"/echo/{token}") as client:
        client.send("é" * 500)
        assert client.recv(HANG) == "é" * 500
        client.send(message)
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(HANG)
    close = closed.value.rcvd
    assert close is not None
    assert (close.code, close.reason) == (1009, "a message may have 1000 bytes")
    with control(limited) as requests:
        assert report(requests, token)["end"] == [1009, "a message may have 1000 bytes"]


@pytest.mark.parametrize("name", WEBSOCKET_SERVERS)
@pytest.mark.parametrize("arguments", [{"websocket_threads": 0}, {"threads": 1}], ids=["none", "one thread"])
def test_adapter_without_threads_for_them(
    name: str, arguments: dict[str, int], server_pool: ServerPool
) -> None:
    without = server_pool.get(name, WEBSOCKETS, options(**arguments))
    with pytest.raises(InvalidStatus) as refused, connect(without, "/echo/x"):
        pass
    assert refused.value.response.status_code == 403
    with control(without) as requests:
        assert requests.get("/ignore/x").text == "ignored"
    without.wait_for_log("the adapter has no threads for any")


async def _open_many(server: RunningServer, count: int) -> None:
    clients: list[ClientConnection] = []

    async def join(number: int) -> None:
        client = await async_connect(
            websocket_url(server, f"/echo/many-{number}"), proxy=None, open_timeout=HANG, close_timeout=HANG
        )
        clients.append(client)

    async def talk(number: int, client: ClientConnection) -> None:
        for step in range(3):
            await client.send(f"{number}:{step}")
            assert await client.recv() == f"{number}:{step}"

    async with asyncio.timeout(2 * HANG), server.async_client(headers={"Connection": "close"}) as requests:
        await asyncio.gather(*(join(number) for number in range(count)))
        talks = asyncio.gather(*(talk(number, client) for number, client in enumerate(clients)))
        answers = await asyncio.gather(*(requests.get("/ignore/x") for _ in range(count)))
        assert [answer.text for answer in answers] == ["ignored"] * count
        await talks
        await asyncio.gather(*(client.close() for client in clients))


def _hold_bound(server: RunningServer, name: str, bounded: bool) -> None:
    hold(name, server.kind.name, "held back" if bounded else "takes everything", right="held back")


def _wait_until_stable(value: Callable[[], int], most: int) -> int:
    """Wait until a counter that is not zero has had one value for forty looks, or has come to ``most``; return it.

    Each look has to ask the server something: one that gets no processor would seem to hold back.
    """
    looks = [0]

    def stable() -> bool:
        looks.append(value())
        # Fewer would take a server that had no processor for a moment for one that holds back.
        return looks[-1] >= most or (looks[-1] > 0 and len(looks) > 40 and len(set(looks[-40:])) == 1)

    poll(stable, HANG, lambda: f"never stable: {looks[-10:]}")
    return looks[-1]


def _wait_for_a_thread(server: RunningServer) -> None:
    """The one that has left is noticed by the server when it likes."""
    poll(lambda: leftovers(server)["calls"] < 2, HANG, lambda: f"{server!r} has no thread free")
