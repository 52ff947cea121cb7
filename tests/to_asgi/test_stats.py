"""``WsgiToAsgi.stats()``: each figure, brought about and looked at."""

import asyncio
import contextlib
import dataclasses
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from bridge import WsgiToAsgi, WsgiToAsgiStats
from bridge.threads.mailbox import Mailbox
from bridge.to_asgi.channel import Channel
from bridge.types import Environ, Message, StartResponse
from tests.support.asgi import Exchange, disconnect, http_scope, request
from tests.support.served import Served, wait_for_jobs
from tests.support.websockets import connect, echo, handler
from tests.support.websockets import disconnect as leave
from tests.support.wsgi_apps import Download, Visitor, get, hello
from tests.support.wsgi_apps import echo as echo_body

pytestmark = pytest.mark.usefixtures("no_bridge_threads")

NOTHING = WsgiToAsgiStats(
    threads_busy=0,
    threads_idle=0,
    threads_limit=40,
    waiting=0,
    backlog=1024,
    requests=0,
    refused=0,
    rejected=0,
    clients_left=0,
    bytes_spooled=0,
    websockets_open=0,
    websockets_limit=512,
    websockets=0,
    loops=0,
)


def changed(stats: WsgiToAsgiStats, before: WsgiToAsgiStats) -> dict[str, Any]:
    old = dataclasses.asdict(before)
    return {name: value for name, value in dataclasses.asdict(stats).items() if value != old[name]}


def test_an_adapter_that_was_never_called() -> None:
    stats = WsgiToAsgi(hello).stats()
    assert stats == NOTHING
    assert stats.in_flight == 0
    assert pickle.loads(pickle.dumps(stats)) == stats
    with pytest.raises(dataclasses.FrozenInstanceError):
        stats.waiting = 1  # type: ignore[misc]
    assert WsgiToAsgi(hello, threads=1).stats().websockets_limit == 0


def test_threads_and_what_waits_for_them() -> None:
    visitor = Visitor()

    async def main() -> None:
        async with Served(visitor, threads=2, backlog=1) as adapter:
            before = adapter.stats()
            exchanges = [get(adapter) for _ in range(3)]
            for exchange in exchanges:
                await exchange.__aenter__()
            await wait_for_jobs(adapter, 3)
            for _ in range(2):
                await visitor.wait_for_arrival()
            busy = adapter.stats()
            assert changed(busy, before) == {"threads_busy": 2, "waiting": 1, "requests": 3}
            assert busy.in_flight == 3
            assert (await get(adapter).run()).status == 503
            assert changed(adapter.stats(), busy) == {"refused": 1}
            visitor.go.release(3)
            for exchange in exchanges:
                await exchange.wait_for("http.response.body")
                await exchange.__aexit__(None, None, None)
            await wait_for_jobs(adapter, 0)
            assert changed(adapter.stats(), before) == {"threads_idle": 2, "requests": 3, "refused": 1}

    asyncio.run(main())


def test_an_executor_tells_less() -> None:
    async def main(executor: ThreadPoolExecutor) -> None:
        async with Served(hello, executor=executor) as adapter:
            await get(adapter).run()
            stats = adapter.stats()
            assert (stats.threads_idle, stats.threads_limit, stats.requests) == (None, None, 1)

    with ThreadPoolExecutor(1) as executor:
        asyncio.run(main(executor))


def test_loops_are_those_that_run() -> None:
    adapter = WsgiToAsgi(hello)

    async def main() -> None:
        async with Served(adapter):
            assert adapter.stats().loops == 1

    asyncio.run(main())
    assert adapter.stats().loops == 0


@pytest.mark.parametrize(
    ("options", "headers", "status"),
    [({"max_body_size": 3}, [], 413), ({}, [(b"content-length", b"five")], 400)],
)
def test_what_the_bridge_rejects(
    options: dict[str, Any], headers: list[tuple[bytes, bytes]], status: int
) -> None:
    async def main() -> None:
        async with Served(hello, **options) as adapter:
            before = adapter.stats()
            scope = http_scope("POST", headers=headers)
            response = await Exchange(adapter, scope, [request(b"12345")]).run()
            assert response.status == status
            assert changed(adapter.stats(), before) == {"rejected": 1}

    asyncio.run(main())


def test_a_client_that_leaves_in_its_body() -> None:
    async def main() -> None:
        async with Served(hello) as adapter:
            before = adapter.stats()
            await Exchange(adapter, http_scope("POST"), [request(b"1", more_body=True), disconnect()]).run()
            assert changed(adapter.stats(), before) == {"clients_left": 1}

    asyncio.run(main())


def test_a_client_that_leaves_in_a_response() -> None:
    download = Download()

    async def main() -> None:
        async with Served(download) as adapter:
            async with get(adapter) as exchange:
                await exchange.wait_for("http.response.body")
                exchange.disconnect()
            assert adapter.stats().clients_left == 1, "once, however many notice it"

    asyncio.run(main())
    assert len(download.closes) == 1


def test_a_response_has_one_end() -> None:
    """Whoever notices that the client has left tells the channel; the first one counts, if nothing came before."""

    async def main() -> None:
        mailbox = Mailbox(asyncio.get_running_loop())
        channel = Channel(mailbox, 100)
        assert channel.begin()
        assert [channel.leave(), channel.leave()] == [True, False]
        made = Channel(mailbox, 100)
        assert made.begin()
        made.finish([b"all of it"], 9)
        assert not made.leave(), "the app had made its response"
        sent = Channel(mailbox, 100)
        sent.abort()
        assert not sent.leave()

    asyncio.run(main())


def test_a_send_that_fails_after_the_leaving_counts_once() -> None:
    """As on a server that says so both ways (ASGI 2.4)."""
    download = Download()

    async def main() -> None:
        async with Served(download) as adapter:
            gone = asyncio.Event()
            messages = [request()]

            async def receive() -> Message:
                if messages:
                    return messages.pop()
                await gone.wait()
                return disconnect()

            async def send(message: Message) -> None:
                if message["type"] == "http.response.body":
                    gone.set()
                    await asyncio.Event().wait()  # as long as the leaving isn't known

            async def send_and_fail(message: Message) -> None:
                try:
                    await send(message)
                except asyncio.CancelledError:
                    raise OSError("the client has left") from None

            with contextlib.suppress(OSError):
                await adapter(http_scope(), receive, send_and_fail)
            assert adapter.stats().clients_left == 1

    asyncio.run(main())


def test_a_client_that_has_all_of_it_has_not_left() -> None:
    async def main() -> None:
        async with Served(hello) as adapter:
            await get(adapter).run()
            stats = adapter.stats()
            assert (stats.requests, stats.clients_left) == (1, 0)

    asyncio.run(main())


def test_bytes_on_disk() -> None:
    async def main() -> None:
        async with Served(echo_body, request_buffer=10) as adapter:
            messages = [request(b"x" * 15, more_body=True), request(b"y" * 6)]
            response = await Exchange(adapter, http_scope("POST"), messages).run()
            assert response.body == b"21|" + b"x" * 15 + b"y" * 6
            assert adapter.stats().bytes_spooled == 21
            await Exchange(adapter, http_scope("POST"), [request(b"short")]).run()
            assert adapter.stats().bytes_spooled == 21

    asyncio.run(main())


def test_websockets() -> None:
    async def main() -> None:
        async with Served(handler(echo), websocket_threads=1) as adapter:
            before = adapter.stats()
            async with connect(adapter) as client:
                await client.wait_for("websocket.accept")
                assert changed(adapter.stats(), before) == {"websockets_open": 1, "websockets": 1}
                await connect(adapter).run()
                client.feed(leave())
            assert changed(adapter.stats(), before) == {"websockets": 1, "refused": 1}
        async with Served(handler(echo), websocket_threads=0) as adapter:
            await connect(adapter).run()
            assert adapter.stats() == dataclasses.replace(NOTHING, websockets_limit=0, rejected=1, loops=1)

    asyncio.run(main())


def test_the_app_may_ask() -> None:
    stats: list[WsgiToAsgiStats] = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        stats.append(adapter.stats())
        return hello(environ, start_response)

    adapter = WsgiToAsgi(app)

    async def main() -> None:
        async with Served(adapter):
            await get(adapter).run()

    asyncio.run(main())
    assert stats[0].threads_busy == 1
