"""Requests to ``WsgiToAsgi`` that are run with the garbage collector off, and leave nothing for it.

A worker thread that sleeps frees nothing of what it made where there is no GIL. There the threads end before it is
asked what is left.
"""

import asyncio
import gc
import logging
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from bridge import WsgiToAsgi
from bridge.threads.executor_pool import ExecutorPool
from bridge.types import Environ, Message, Scope, StartResponse, WSGIApp
from tests.support.asgi import HANG, http_scope, request
from tests.support.threads import FREE_THREADED, wait_for_no_bridge_threads
from tests.support.wsgi_apps import TEXT

__all__ = ["App", "Client", "Held", "before", "failing", "leaves_nothing", "middle", "served"]


class Held:
    """What a frame of the app, or its environ, holds."""


class Client:
    """Both ends of one request, without a circle of its own: the test has it, and the app has its two methods."""

    def __init__(self, *events: Message) -> None:
        self.events: asyncio.Queue[Message] = asyncio.Queue()
        for event in events or (request(),):
            self.events.put_nowait(event)
        self.types: list[str] = []
        self.sent = asyncio.Event()
        self.open = asyncio.Event()
        self.open.set()
        self.error: type[Exception] | None = None

    async def receive(self) -> Message:
        return await self.events.get()

    async def send(self, message: Message) -> None:
        self.types.append(message["type"])
        self.sent.set()
        if self.error is not None:
            raise self.error("gone")
        await self.open.wait()

    def leave(self) -> None:
        self.events.put_nowait({"type": "http.disconnect"})


class App:
    """A WSGI app that holds an object in a frame and in its environ, and then does what it is told."""

    def __init__(self, act: Callable[[Environ, StartResponse], Any]) -> None:
        self.act = act
        self.refs: list[weakref.ref[Held]] = []
        self.called = threading.Event()

    def hold(self) -> Held:
        held = Held()
        self.refs.append(weakref.ref(held))
        return held

    def __call__(self, environ: Environ, start_response: StartResponse) -> Any:
        held = self.hold()
        environ["test.held"] = self.hold()
        self.called.set()
        body = self.act(environ, start_response)
        del held
        return body


async def served(adapter: WsgiToAsgi, client: Client, scope: Scope | None = None) -> None:
    async with asyncio.timeout(HANG):
        await adapter(http_scope() if scope is None else scope, client.receive, client.send)


async def failing(adapter: WsgiToAsgi, client: Client, scope: Scope | None = None) -> None:
    """The same, with an error that reaches the server."""
    with pytest.raises(Exception, match=r"mine|gone"):
        await served(adapter, client, scope)


def leaves_nothing(
    app: WSGIApp | WsgiToAsgi, visit: Callable[[WsgiToAsgi], Coroutine[Any, Any, None]], **options: Any
) -> None:
    """Run ``visit`` twice; the second time, with everything made that is made once, nothing may be left."""
    refs = app.refs if isinstance(app, App) else []

    async def main() -> None:
        adapter = app if isinstance(app, WsgiToAsgi) else WsgiToAsgi(app, **options)
        try:
            for _ in range(2):
                refs.clear()
                if isinstance(app, App):
                    app.called.clear()
                gc.collect()
                await asyncio.create_task(visit(adapter))
                # The threads have let go of their job, and the loop of what was posted.
                await idle(adapter)
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            if FREE_THREADED:
                await ended(adapter)
            assert [ref() for ref in refs] == [None] * len(refs)
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            left = Counter(type(found).__qualname__ for found in gc.garbage)
            gc.garbage.clear()
            assert not left
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            await adapter._shutdown()

    # A log record holds the error that it tells of, and pytest holds the records.
    logger = logging.getLogger("bridge")
    logger.disabled = True
    gc.disable()
    try:
        asyncio.run(main())
    finally:
        gc.enable()
        logger.disabled = False
    wait_for_no_bridge_threads()
    if isinstance(app, App):
        assert app.called.is_set() == bool(refs)


async def idle(adapter: WsgiToAsgi) -> None:
    """Return when no thread of the adapter has a job, nor a frame that had one."""
    async with asyncio.timeout(HANG):
        for pool in adapter._pools():
            while pool.unfinished() or len(getattr(pool, "_idle", ())) < getattr(pool, "_threads", 0):  # noqa: ASYNC110
                await asyncio.sleep(0.001)


async def ended(adapter: WsgiToAsgi) -> None:
    """Return when the adapter's threads have ended, those of its executor and the loop's too, and this one has run."""
    await adapter._shutdown()
    wait_for_no_bridge_threads()
    await asyncio.get_running_loop().shutdown_default_executor()
    for pool in adapter._pools():
        if isinstance(pool, ExecutorPool):
            pool._executor.shutdown()
    for _ in range(10):
        await asyncio.sleep(0)


# What an app does. Each frame holds something.


def before(environ: Environ, start_response: StartResponse) -> Any:
    raise LookupError("mine")


def middle(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    held = Held()
    start_response("200 OK", TEXT)
    yield b"first"
    raise LookupError("mine", held)
