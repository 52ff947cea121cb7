"""``waitress.client_disconnected`` of ``WsgiToAsgi``: an app that asks whether its client has left."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

import pytest
from asgiref.sync import async_to_sync

from bridge.types import Environ, Message, StartResponse
from tests.support.asgi import HANG, Exchange, http_scope, request
from tests.support.listening import counted_watches, listened
from tests.support.served import Served, arrival
from tests.support.validation import validated
from tests.support.wsgi_apps import TEXT, Visitor, get, hello

pytestmark = pytest.mark.usefixtures("no_bridge_threads")

ASK = "waitress.client_disconnected"


class Asking:
    """An app that asks until its client has left."""

    def __init__(self, ask: Callable[[Callable[[], bool]], bool] = lambda ask: ask()) -> None:
        self._ask = ask
        self.answers: list[bool] = []
        self.begun = threading.Event()
        self.over = threading.Event()
        self.asked: Callable[[], bool] | None = None

    def __call__(self, environ: Environ, start_response: StartResponse) -> list[bytes]:
        environ["wsgi.input"].read()
        self.asked = environ[ASK]
        end = time.monotonic() + HANG
        while not self._ask(environ[ASK]) and time.monotonic() < end:
            self.answers.append(False)
            self.begun.set()
        self.answers.append(self._ask(environ[ASK]))
        self.over.set()
        start_response("200 OK", TEXT)
        return [b"nobody takes it"]


def in_another_thread(ask: Callable[[], bool]) -> bool:
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(ask()))
    thread.start()
    thread.join()
    return answers[0]


def on_the_loop(ask: Callable[[], bool]) -> bool:
    async def view() -> bool:
        return ask()

    return async_to_sync(view)()


@pytest.mark.parametrize("mode", ["buffer", "stream"])
@pytest.mark.parametrize("how", [lambda ask: ask(), in_another_thread, on_the_loop])
def test_an_app_that_asks_whether_its_client_has_left(how: Any, mode: str) -> None:
    app = Asking(how)

    async def main() -> None:
        options: dict[str, Any] = {"request_body": mode, "request_buffer": 10, "async_views": "server"}
        async with Served(validated(app), **options) as adapter:
            exchange = Exchange(
                adapter, http_scope("POST"), [request(b"b" * 20, more_body=True), request(b"c")]
            )
            async with asyncio.timeout(HANG / 2), exchange:
                await arrival(app.begun)
                await listened(exchange)
                exchange.disconnect()
            assert exchange.messages == []
            assert app.answers[0] is False
            assert app.answers[-1] is True
            assert app.asked is not None
            assert app.asked() is True

    asyncio.run(main())


def test_who_does_not_ask_pays_nothing() -> None:
    """Nobody listens, however long the app takes, and the loop is woken once."""
    visitor = Visitor()

    async def main() -> None:
        async with Served(visitor) as adapter:
            loop = asyncio.get_running_loop()
            exchange = get(adapter)
            with patch.object(loop, "call_soon_threadsafe", wraps=loop.call_soon_threadsafe) as wake:
                with counted_watches() as watches:
                    async with exchange:
                        assert await loop.run_in_executor(None, visitor.arrived.acquire)
                        before = wake.call_count
                        visitor.go.release()
                assert wake.call_count == before + 1
                assert not watches
            assert exchange.receives_waiting == 0

    asyncio.run(main())


def test_asking_once_wakes_the_loop_once() -> None:
    asked, go = threading.Event(), threading.Event()

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        for _ in range(100):
            assert environ[ASK]() is False
        asked.set()
        assert go.wait(HANG)
        return hello(environ, start_response)

    async def main() -> None:
        async with Served(app) as adapter:
            loop = asyncio.get_running_loop()
            exchange = get(adapter)
            with patch.object(loop, "call_soon_threadsafe", wraps=loop.call_soon_threadsafe) as wake:
                async with asyncio.timeout(HANG), exchange:
                    await listened(exchange)
                    while not asked.is_set():  # noqa: ASYNC110  # a worker sets it
                        await asyncio.sleep(0)
                    assert wake.call_count == 1
                    go.set()
                assert wake.call_count == 2
            assert exchange.body == b"hello"
            assert exchange.receives_waiting == 0

    asyncio.run(main())


def test_asking_after_the_end_begins_nothing() -> None:
    asks: list[Callable[[], bool]] = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        asks.append(environ[ASK])
        return hello(environ, start_response)

    async def main() -> None:
        async with Served(app) as adapter:
            loop = asyncio.get_running_loop()
            exchange = await get(adapter).run()
            # Some servers say of any response that is over that its client has left.
            exchange.disconnect()
            with patch.object(loop, "call_soon_threadsafe", wraps=loop.call_soon_threadsafe) as wake:
                assert asks[0]() is False
                await asyncio.sleep(0)
                assert wake.call_count == 0
            assert exchange.receives_waiting == 0

    asyncio.run(main())
    assert asks[0]() is False, "and when the loop is closed"


def test_asking_in_close() -> None:
    """The response is out, or its client has left, which is known then."""
    answers: list[bool] = []

    class Body:
        def __init__(self, environ: Environ) -> None:
            self._ask = environ[ASK]
            self._chunks = iter([b"x" * 1000] * (1 if environ["PATH_INFO"] == "/whole" else 100_000))

        def __iter__(self) -> Iterator[bytes]:
            return self._chunks

        def close(self) -> None:
            answers.append(self._ask())

    def app(environ: Environ, start_response: StartResponse) -> Any:
        start_response("200 OK", TEXT)
        return Body(environ)

    async def main() -> None:
        async with Served(app, response_buffer=1000) as adapter:
            assert (await get(adapter, "/whole").run()).complete
            exchange = get(adapter, "/long")
            async with exchange:
                await exchange.wait_for("http.response.body")
                exchange.disconnect()

    asyncio.run(main())
    assert answers == [False, True]


def test_a_request_that_is_cancelled_counts_as_left() -> None:
    app = Asking()

    async def main() -> None:
        async with Served(app) as adapter:
            exchange = get(adapter)
            task = asyncio.create_task(exchange.run())
            async with asyncio.timeout(HANG):
                await listened(exchange)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await arrival(app.over)

    asyncio.run(main())
    assert app.answers[-1] is True


def test_a_receive_that_raises_is_no_leaving(caplog: pytest.LogCaptureFixture) -> None:
    listening, go = threading.Event(), threading.Event()

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        environ[ASK]()
        assert listening.wait(HANG)
        assert go.wait(HANG)
        assert environ[ASK]() is False
        return hello(environ, start_response)

    async def main() -> None:
        async with Served(app) as adapter:
            exchange = get(adapter)

            async def receive() -> Message:
                if exchange._events:
                    return await exchange.receive()
                listening.set()
                asyncio.get_running_loop().call_soon(go.set)
                raise RuntimeError("mine")

            await adapter(exchange.scope, receive, exchange.send)
            assert exchange.body == b"hello"

    asyncio.run(main())
    assert len(caplog.records) == 1
