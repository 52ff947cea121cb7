"""``to_asgi.wires``: one adapter on two loops, each in a thread of its own."""

import asyncio
import functools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bridge import ConnectionClosed, WebSocket, WsgiToAsgi
from bridge.threads.pool import ThreadPool
from bridge.to_asgi import service
from bridge.to_asgi.wires import Loops
from bridge.types import Environ, StartResponse
from tests.support.asgi import HANG, Exchange
from tests.support.loop_thread import LoopThread
from tests.support.threads import bridge_threads, wait_for_no_bridge_threads
from tests.support.websockets import closing, connect, handler, received, sent
from tests.support.wsgi_apps import Visitor, get, hello

pytestmark = pytest.mark.usefixtures("no_bridge_threads")

MakeServer = Callable[[WsgiToAsgi], "Server"]


class Server:
    """A loop in a thread, with the lifespan of the adapter on it."""

    def __init__(self, adapter: WsgiToAsgi) -> None:
        self.adapter = adapter
        self.thread = LoopThread()
        self.run = self.thread.run
        self._lifespan = self.run(self._start())

    async def _start(self) -> Exchange:
        lifespan = Exchange(self.adapter, {"type": "lifespan"}, [{"type": "lifespan.startup"}])
        await lifespan.__aenter__()
        await lifespan.wait_for("lifespan.startup.complete")
        return lifespan

    async def _stop(self) -> None:
        self._lifespan.feed({"type": "lifespan.shutdown"})
        await self._lifespan.wait_for("lifespan.shutdown.complete")
        await self._lifespan.__aexit__(None, None, None)

    def stop(self) -> None:
        """The lifespan's shutdown, to its end. The loop runs on."""
        self.run(self._stop())

    def enter(self, exchange: Exchange) -> Exchange:
        self.run(exchange.__aenter__())
        return exchange

    def leave(self, exchange: Exchange) -> None:
        self.run(exchange.__aexit__(None, None, None))


@pytest.fixture
def serve() -> Iterator[MakeServer]:
    """Servers whose loops are closed at the end."""
    servers: list[Server] = []

    def start(adapter: WsgiToAsgi) -> Server:
        servers.append(Server(adapter))
        return servers[-1]

    yield start
    for server in servers:
        server.thread.close()


def test_a_shutdown_closes_the_websockets_of_its_own_loop_alone(serve: MakeServer) -> None:
    threads: list[int] = []

    def echo(websocket: WebSocket) -> None:
        try:
            while True:
                websocket.send(websocket.receive())
        except ConnectionClosed:
            threads.append(threading.get_ident())

    adapter = WsgiToAsgi(handler(echo))
    one, other = serve(adapter), serve(adapter)
    on_one, on_other = one.enter(connect(adapter)), other.enter(connect(adapter))
    for server, exchange in ((one, on_one), (other, on_other)):
        exchange_is_open(server, exchange, "before")
    one.stop()
    one.leave(on_one)
    assert closing(on_one) == (1012, "the server stops")
    exchange_is_open(other, on_other, "after")
    other.stop()
    other.leave(on_other)
    assert closing(on_other) == (1012, "the server stops")
    assert sent(on_other) == ["before", "after"]
    assert len(set(threads)) == 2
    wait_for_no_bridge_threads()


def exchange_is_open(server: Server, exchange: Exchange, text: str) -> None:
    async def echo() -> None:
        before = len(sent(exchange))
        exchange.feed(received(text))
        await exchange.wait_until(lambda: len(sent(exchange)) > before)

    server.run(echo())


def test_the_threads_are_those_of_both_loops_until_the_last_one_stops(serve: MakeServer) -> None:
    visitor = Visitor()
    adapter = WsgiToAsgi(visitor, threads=1)
    one, other = serve(adapter), serve(adapter)
    under_way = other.enter(get(adapter))
    one.run(visitor.wait_for_arrival())
    one.stop()  # does not wait for the other one's request
    (thread,) = bridge_threads()
    visitor.go.release()
    other.leave(under_way)
    assert under_way.body == b"done"
    visitor.go.release()
    again = other.enter(get(adapter))
    other.leave(again)
    assert bridge_threads() == [thread], "it stays idle, for the next one"
    other.stop()
    wait_for_no_bridge_threads()


def test_of_two_that_stop_at_once_one_ends_the_threads(serve: MakeServer) -> None:
    for _ in range(20):
        adapter = WsgiToAsgi(hello)
        servers = [serve(adapter), serve(adapter)]
        for server in servers:
            server.leave(server.enter(get(adapter)))
        barrier = threading.Barrier(2)

        def stop(server: Server, barrier: threading.Barrier = barrier) -> None:
            barrier.wait(HANG)
            server.stop()

        stopping = [threading.Thread(target=stop, args=(server,)) for server in servers]
        for thread in stopping:
            thread.start()
        for thread in stopping:
            thread.join(HANG)
        wait_for_no_bridge_threads()


def test_what_all_loops_share_is_made_once(serve: MakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two first requests come at once, and the first pool takes its time."""
    made: list[ThreadPool] = []
    second = threading.Event()

    def make(*args: Any, **options: Any) -> ThreadPool:
        made.append(ThreadPool(*args, **options))
        if len(made) == 1:
            second.wait(0.2)  # against the rule, it would come
        else:
            second.set()
        return made[-1]

    monkeypatch.setattr(service, "ThreadPool", make)
    adapter = WsgiToAsgi(hello, threads=1)
    servers = [serve(adapter), serve(adapter)]
    barrier = threading.Barrier(2)

    async def ask() -> None:
        barrier.wait(HANG)
        assert (await get(adapter).run()).body == b"hello"

    asking = [threading.Thread(target=server.run, args=(ask(),)) for server in servers]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join(HANG)
    assert len(made) == 1
    for server in servers:
        server.stop()
    wait_for_no_bridge_threads()


def test_a_loop_keeps_what_it_has_when_another_one_calls(serve: MakeServer) -> None:
    adapter = WsgiToAsgi(hello)
    servers = [serve(adapter), serve(adapter)]
    loops = [server.thread.loop for server in servers]
    before = dict(adapter._loops.wires)
    assert set(before) == set(loops)
    for _ in range(3):
        for server in servers:
            server.leave(server.enter(get(adapter)))
    assert dict(adapter._loops.wires) == before
    for server in servers:
        server.stop()
    assert not adapter._loops.wires


def test_refusals_of_two_loops_are_one_event(serve: MakeServer, caplog: pytest.LogCaptureFixture) -> None:
    visitor = Visitor()

    def app(environ: Environ, start_response: StartResponse) -> Any:
        return visitor(environ, start_response)

    adapter = WsgiToAsgi(app, threads=1, backlog=0)
    servers = [serve(adapter), serve(adapter)]
    busy = servers[0].enter(get(adapter))
    servers[0].run(visitor.wait_for_arrival())
    for server in servers:
        for _ in range(3):
            refused = server.enter(get(adapter))
            server.leave(refused)
            assert refused.status == 503
    visitor.go.release()
    servers[0].leave(busy)
    for server in servers:
        server.stop()
    lines = [record.getMessage() for record in caplog.records if "refused" in record.getMessage()]
    assert lines[0].startswith("refused a request for now: ")
    # One line a second at most, and a machine that is busy may take some seconds for these six.
    counts = [1 if "a request" in line else int(line.split()[1]) for line in lines]
    ((unlogged, _),) = adapter._busy._refusals.values()
    assert sum(counts) + unlogged == 6


class TestLoops:
    def test_a_loop_that_was_closed_without_leaving_is_forgotten(self) -> None:
        loops = Loops()
        closed, new = asyncio.new_event_loop(), asyncio.new_event_loop()
        loops.connect(closed)
        closed.close()
        wires = loops.connect(new)
        assert loops.connect(new) is wires
        assert dict(loops.wires) == {new: wires}
        new.close()

    def test_the_last_one(self) -> None:
        loops = Loops()
        running, resting = LoopThread(), asyncio.new_event_loop()
        loops.connect(running.loop)
        loops.connect(resting)
        assert not loops.leave(resting), "the other one runs"
        loops.connect(resting)
        assert running.run(_call(functools.partial(loops.leave, running.loop))), "the other one does not"
        running.close()
        resting.close()


async def _call(function: Callable[[], bool]) -> bool:
    return function()
