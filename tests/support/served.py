"""A ``WsgiToAsgi`` in process, from its lifespan's startup to its shutdown, and the proof that no thread is left.

    async with Served(app, threads=1) as adapter:
        response = await Exchange(adapter, http_scope(), [request()]).run()

``call()`` and ``fail()`` do that for one request.
"""

import asyncio
import threading
from types import TracebackType
from typing import Any, TypeVar

from bridge import WsgiToAsgi
from bridge.types import WSGIApp
from tests.support.asgi import HANG, Exchange, http_scope, request
from tests.support.threads import wait_for_no_bridge_threads

__all__ = ["Served", "arrival", "call", "fail", "wait_for_jobs"]

E = TypeVar("E", bound=BaseException)


class Served:
    """The adapter of an app on the running loop; its end is the server's shutdown."""

    def __init__(self, app: WSGIApp | WsgiToAsgi, **options: Any) -> None:
        self.adapter = app if isinstance(app, WsgiToAsgi) else WsgiToAsgi(app, **options)
        self._lifespan = Exchange(self.adapter, {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}})

    async def __aenter__(self) -> WsgiToAsgi:
        await self._lifespan.__aenter__()
        self._lifespan.feed({"type": "lifespan.startup"})
        await self._lifespan.wait_for("lifespan.startup.complete")
        return self.adapter

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._lifespan.feed({"type": "lifespan.shutdown"})
        await self._lifespan.wait_for("lifespan.shutdown.complete")
        await self._lifespan.__aexit__(None, None, None)
        wait_for_no_bridge_threads()


def call(
    app: WSGIApp, method: str = "GET", path: str = "/", *, options: dict[str, Any] | None = None, **scope: Any
) -> Exchange:
    """Serve one request, with ``body=`` as its body; raise what the adapter raises."""
    exchange, error = _outcome(app, method, path, options or {}, scope)
    if error is not None:
        raise error
    return exchange


def fail(
    app: WSGIApp,
    expected: type[E],
    method: str = "GET",
    path: str = "/",
    *,
    options: dict[str, Any] | None = None,
    **scope: Any,
) -> tuple[Exchange, E]:
    """Serve one request, which the adapter has to raise ``expected`` for; return also what it had sent."""
    exchange, error = _outcome(app, method, path, options or {}, scope)
    assert isinstance(error, expected), f"{error!r} came with {exchange.messages}"
    return exchange, error


def _outcome(
    app: WSGIApp, method: str, path: str, options: dict[str, Any], scope: dict[str, Any]
) -> tuple[Exchange, BaseException | None]:
    body = scope.pop("body", b"")

    async def main() -> tuple[Exchange, BaseException | None]:
        async with Served(app, **options) as adapter:
            exchange = Exchange(adapter, http_scope(method, path, **scope), [request(body)])
            try:
                await exchange.run()
            except BaseException as error:
                return exchange, error
            return exchange, None

    return asyncio.run(main())


async def wait_for_jobs(adapter: WsgiToAsgi, count: int) -> None:
    """Return when ``count`` requests wait for a thread or have one."""
    async with asyncio.timeout(HANG):
        while adapter._pool is None or adapter._pool.unfinished() != count:  # noqa: ASYNC110  # a worker changes it
            await asyncio.sleep(0)


async def arrival(event: threading.Event) -> None:
    """Wait for an event that a worker sets, with the loop free."""
    assert await asyncio.to_thread(event.wait, HANG), "the app did not come there"
