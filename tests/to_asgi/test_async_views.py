"""Async code inside a WSGI app on ``WsgiToAsgi``: its loop, its thread, and what it leaves behind."""

import asyncio
import contextvars
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from asgiref.sync import SyncToAsync, async_to_sync, sync_to_async

from bridge import WsgiToAsgi, compat
from bridge.types import Environ, StartResponse
from tests.support.asgi import HANG, Exchange, http_scope, request
from tests.support.served import Served, arrival
from tests.support.threads import wait_for_no_bridge_threads
from tests.support.websockets import connect
from tests.support.wsgi_apps import TEXT, get, hello

pytestmark = pytest.mark.usefixtures("no_bridge_threads")

MODES = ["own", "server"]
user: contextvars.ContextVar[str] = contextvars.ContextVar("user")


async def where() -> tuple[asyncio.AbstractEventLoop, int]:
    await asyncio.sleep(0)
    return asyncio.get_running_loop(), threading.get_ident()


class Asking:
    """Notes the loops and threads on which its async code runs, twice in a request."""

    def __init__(self) -> None:
        self.found: list[tuple[asyncio.AbstractEventLoop, int]] = []

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        self.found.append(async_to_sync(where)())
        start_response("200 OK", TEXT)
        yield b"hello"
        self.found.append(async_to_sync(where)())


def test_by_default_a_view_that_blocks_stops_nobody() -> None:
    """It waits for what the server's loop does when the view is there."""
    there, go = threading.Event(), threading.Event()

    async def view() -> None:
        there.set()
        assert go.wait(HANG), "the server's loop stands still"

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        async_to_sync(view)()
        return hello(environ, start_response)

    async def main() -> None:
        async with Served(app) as adapter, get(adapter) as exchange:
            await arrival(there)
            go.set()
        assert exchange.body == b"hello"

    asyncio.run(main())


@pytest.mark.parametrize("executor", [False, True])
def test_by_default_each_has_a_loop_of_its_own(executor: bool) -> None:
    app = Asking()

    async def main(**options: Any) -> None:
        here = asyncio.get_running_loop()
        app.found.clear()
        async with Served(app, **options) as adapter:
            await asyncio.gather(*(get(adapter).run() for _ in range(5)))
        loops = [loop for loop, _ in app.found]
        assert len({id(loop) for loop in loops}) == 10
        assert here not in loops
        assert threading.get_ident() not in {thread for _, thread in app.found}

    if not executor:
        asyncio.run(main(threads=2))
        return
    with ThreadPoolExecutor(1) as threads:

        async def misled() -> None:
            # asgiref tells a thread of the loop that it works for, and leaves that there.
            await sync_to_async(int, thread_sensitive=False, executor=threads)()
            assert threads.submit(lambda: SyncToAsync.threadlocal.main_event_loop).result() is not None
            await main(executor=threads)

        asyncio.run(misled())


def test_they_can_run_on_the_servers_loop() -> None:
    app = Asking()

    async def main(**options: Any) -> None:
        here = (asyncio.get_running_loop(), threading.get_ident())
        app.found.clear()
        async with Served(app, async_views="server", **options) as adapter:
            await asyncio.gather(*(get(adapter).run() for _ in range(5)))
        assert app.found == [here] * 10

    asyncio.run(main(threads=2))
    asyncio.run(main(threads=2))
    with ThreadPoolExecutor(1) as executor:
        asyncio.run(main(executor=executor))
        asyncio.run(main(executor=executor))


@pytest.mark.parametrize("mode", MODES)
def test_the_handler_of_a_websocket_is_treated_alike(mode: Any) -> None:
    found: list[asyncio.AbstractEventLoop] = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        found.append(async_to_sync(where)()[0])
        return hello(environ, start_response)

    async def main() -> None:
        async with Served(app, async_views=mode) as adapter:
            async with connect(adapter):
                pass
            assert (found == [asyncio.get_running_loop()]) is (mode == "server")

    asyncio.run(main())


@pytest.mark.parametrize("mode", MODES)
def test_sync_code_inside_comes_back_to_the_thread_of_the_app(mode: Any) -> None:
    """With the context of the view, whose changes come back as well: connections to databases belong to a thread."""
    threads: list[int] = []

    def note() -> str:
        threads.append(threading.get_ident())
        name = user.get()
        user.set("by sync code")
        return name

    async def view() -> str:
        first = await sync_to_async(note)()
        second = await sync_to_async(user.get)()
        user.set("by the view")
        return f"{first}, {second}"

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        threads.append(threading.get_ident())
        user.set("by the app")
        text = f"{async_to_sync(view)()}, {user.get()}"
        start_response("200 OK", TEXT)
        return [text.encode()]

    async def main() -> None:
        async with Served(app, async_views=mode) as adapter:
            exchange = await get(adapter).run()
        assert exchange.body == b"by the app, by sync code, by the view"
        assert threads[0] == threads[1] != threading.get_ident()

    asyncio.run(main())


def look_into(body: Any) -> object:
    return body.getbuffer()


def detach(body: Any) -> object:
    return body.detach()


@pytest.mark.parametrize(
    ("keep", "size"),
    [
        pytest.param(None, 0, id="nothing is kept"),
        pytest.param(look_into, 10, id="a view of the body is kept"),
        pytest.param(detach, 100, id="the file of the body is kept"),
    ],
)
@pytest.mark.parametrize("mode", MODES)
def test_nothing_of_a_view_is_left_in_the_thread(mode: Any, keep: Any, size: int) -> None:
    """asgiref leaves the loop of a view with sync code in the thread, and with it all that the loop had.

    A body that the app has kept can't be closed, which changes nothing of that.
    """
    loops: list[asyncio.AbstractEventLoop] = []
    kept_bodies: list[Any] = []

    async def view() -> None:
        loops.append(asyncio.get_running_loop())
        await sync_to_async(int)()

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        async_to_sync(view)()
        if keep is not None:
            kept_bodies.append(keep(environ["wsgi.input"]))
        return hello(environ, start_response)

    def left() -> dict[str, Any]:
        kept = dict(SyncToAsync.threadlocal.__dict__)
        kept.pop("main_event_loop_pid", None)
        return kept

    before = set(threading.enumerate())
    with ThreadPoolExecutor(1) as executor:

        async def main() -> None:
            async with Served(app, executor=executor, async_views=mode, request_buffer=50) as adapter:
                for _ in range(3):
                    chunks = [request(b"x" * size, more_body=True), request()]
                    assert (await Exchange(adapter, http_scope("POST"), chunks).run()).complete
            assert set(executor.submit(left).result().values()) <= {None}
            assert all(loop.is_closed() for loop in loops if loop is not asyncio.get_running_loop())

        asyncio.run(main())
    for thread in set(threading.enumerate()) - before:
        thread.join(HANG)
        assert not thread.is_alive()
    wait_for_no_bridge_threads()
    for body in kept_bodies:
        assert len(body if keep is look_into else body.read()) == size
        (body.release if keep is look_into else body.close)()


def test_an_error_of_a_view_is_the_apps() -> None:
    async def view() -> None:
        raise LookupError("mine")

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        async_to_sync(view)()
        return hello(environ, start_response)

    async def main() -> None:
        async with Served(app) as adapter:
            with pytest.raises(LookupError, match="mine"):
                await get(adapter).run()

    asyncio.run(main())


def test_the_adapters_of_compat_do_as_their_models() -> None:
    """asgiref's runs async code on the loop that called it; a2wsgi's knows nothing of loops."""
    assert compat.WsgiToAsgi(hello).async_views == "server"
    assert compat.WSGIMiddleware(hello).async_views == "own"


def test_a_wrong_word_is_refused() -> None:
    wrong: Any = "mine"
    with pytest.raises(ValueError, match="async_views is 'mine'"):
        WsgiToAsgi(hello, async_views=wrong)
