"""``WsgiToAsgi`` and errors of the app that no server sees: each is logged once, but for those of the client."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from bridge import ApplicationExit, ClientDisconnected
from bridge.types import Environ, Message, StartResponse
from tests.support.asgi import HANG
from tests.support.jobs import until
from tests.support.served import Served, arrival, wait_for_jobs
from tests.support.wsgi_apps import TEXT, get, respond

pytestmark = pytest.mark.usefixtures("no_bridge_threads")


class UnreadablePostError(OSError):
    """As Django names it."""


@pytest.mark.parametrize(
    ("error", "logged"),
    [
        (ValueError("mine"), ValueError),
        (SystemExit(3), ApplicationExit),
        (ClientDisconnected("the client left"), None),
        (UnreadablePostError("the client left"), None),
    ],
)
@pytest.mark.parametrize("how", ["disconnect", "cancel"])
def test_an_error_after_the_client_has_left_is_logged_once(
    error: BaseException, logged: type[BaseException] | None, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    entered = threading.Event()

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        left = environ["waitress.client_disconnected"]
        left()
        entered.set()
        until(left)
        raise error

    async def main() -> None:
        async with Served(app) as adapter:
            exchange = get(adapter, "/order")
            task = asyncio.create_task(exchange.run())
            await arrival(entered)
            if how == "cancel":
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            else:
                exchange.disconnect()
                await task
            await wait_for_jobs(adapter, 0)

    asyncio.run(main())
    check_logged(caplog, "; its client had left, or had all of the response", logged)


def test_an_error_that_the_client_s_leaving_leads_to_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", TEXT)
        try:
            while True:
                yield b"x" * 1000
        finally:
            raise ValueError("not saved")

    def written(environ: Environ, start_response: StartResponse) -> list[bytes]:
        write = start_response("200 OK", TEXT)
        try:
            while True:
                write(b"x" * 1000)
        finally:
            raise ValueError("not saved")

    async def main() -> None:
        for each in (app, written):
            caplog.clear()
            async with Served(each) as adapter, get(adapter, "/order") as exchange:
                await exchange.wait_for("http.response.body")
                exchange.disconnect()
            (record,) = caplog.records
            assert record.getMessage().startswith("GET '/order': ")
            assert record.exc_info is not None
            assert record.exc_info[0] is ValueError

    asyncio.run(main())


@pytest.mark.parametrize("how", ["raises", "cancel"])
def test_an_error_beside_another_end_is_logged_once(how: str, caplog: pytest.LogCaptureFixture) -> None:
    """The app has raised when ``send()`` does, or when the server gives the request up."""
    closed = threading.Event()

    class Failing:
        def __iter__(self) -> Iterator[bytes]:
            yield b"first"
            raise ValueError("mine")

        def close(self) -> None:
            closed.set()

    async def main() -> None:
        async with Served(respond(Failing())) as adapter:
            exchange = get(adapter, "/order")
            over = asyncio.Event()

            async def send(message: Message) -> None:
                await arrival(closed)
                over.set()
                if how == "raises":
                    raise OSError("gone")
                await asyncio.get_running_loop().create_future()

            task = asyncio.ensure_future(adapter(exchange.scope, exchange.receive, send))
            async with asyncio.timeout(HANG):
                await over.wait()
            if how == "cancel":
                task.cancel()
            with pytest.raises(asyncio.CancelledError if how == "cancel" else OSError):
                await task

    asyncio.run(main())
    check_logged(caplog, "; its client had left, or the server could not send the response", ValueError)


def test_an_error_after_write_had_all_of_the_response_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [*TEXT, ("Content-Length", "1")])(b"x")
        raise ValueError("mine")

    async def main() -> None:
        async with Served(app) as adapter:
            exchange = await get(adapter, "/order").run()
            assert exchange.body == b"x"
            assert exchange.complete

    asyncio.run(main())
    check_logged(caplog, "; its client had left, or had all of the response", ValueError)


def check_logged(caplog: pytest.LogCaptureFixture, text: str, error: type[BaseException] | None) -> None:
    if error is None:
        assert caplog.messages == []
        return
    (record,) = caplog.records
    assert record.getMessage() == f"GET '/order': the WSGI app raised an error{text}"
    assert record.exc_info is not None
    assert record.exc_info[0] is error
