"""What the log says of apps that want one lasting loop."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import fastmcp
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from bridge.errors import LifespanError
from bridge.to_wsgi.loops.mode import LoopMode
from bridge.types import ASGIApp, Receive, Scope, Send
from tests.support.wsgi import call, environ_for
from tests.to_wsgi.apps import START, last


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == "bridge" and record.levelno >= logging.WARNING
    ]


async def worker() -> None:
    await asyncio.get_running_loop().create_future()


def with_lifespan(tasks: set["asyncio.Task[None]"]) -> ASGIApp:
    """Its startup leaves a task."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            tasks.add(asyncio.create_task(worker()))
            await send({"type": "lifespan.startup.complete"})
            await receive()
            for task in tasks:
                task.cancel()
            await send({"type": "lifespan.shutdown.complete"})
            return
        await send(START)
        await send(last(b"x"))

    return app


def test_tasks_of_the_startup(adapt: Any, mode: LoopMode, caplog: pytest.LogCaptureFixture) -> None:
    adapter = adapt(with_lifespan(set()), lifespan="on")
    for _ in range(2):
        call(adapter, environ_for())
    adapter.close()
    if mode == "shared":
        assert said(caplog) == []
        return
    (line,) = said(caplog)
    assert "startup has left tasks (worker)" in line
    assert "loop='shared'" in line


def test_a_startup_that_leaves_nothing(adapt: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            task = asyncio.create_task(asyncio.sleep(0))
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await task
            await send({"type": "lifespan.shutdown.complete"})
            return
        await send(START)
        await send(last(b"x"))

    adapter = adapt(app, lifespan="on")
    call(adapter, environ_for())
    adapter.close()
    assert said(caplog) == []


def test_tasks_of_a_request(adapt: Any, mode: LoopMode, caplog: pytest.LogCaptureFixture) -> None:
    kept: set[asyncio.Task[None]] = set()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        kept.add(asyncio.create_task(worker()))
        await send(START)
        await send(last(b"x"))

    adapter = adapt(app)
    for _ in range(2):
        call(adapter, environ_for("/a b"))
    adapter.close()
    if mode == "shared":
        assert said(caplog) == []
        return
    (line,) = said(caplog)
    assert line.startswith("GET '/a b': the application has left tasks (worker)")
    assert "loop='shared'" in line


def test_a_request_that_leaves_nothing(adapt: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        task = asyncio.create_task(asyncio.sleep(0.001))
        await send(START)
        await send(last(b"x"))
        await task

    adapter = adapt(app)
    call(adapter, environ_for())
    adapter.close()
    assert said(caplog) == []


def test_sessions_of_mcp(adapt: Any, mode: LoopMode, caplog: pytest.LogCaptureFixture) -> None:
    """A session is a task that the first request leaves; the error is a 404 that names nothing."""
    adapter = adapt(fastmcp.FastMCP("tools").http_app(), lifespan="on")

    def post(method: str, number: int, **fields: str) -> Any:
        parameters = {
            "protocolVersion": "2025-03-26",
            "capabilities": {},
            "clientInfo": {"name": "x", "version": "1"},
        }
        message = {"jsonrpc": "2.0", "id": number, "method": method, "params": parameters}
        environ = environ_for("/mcp", method="POST", body=json.dumps(message).encode())
        accepted = {"HTTP_ACCEPT": "application/json, text/event-stream", "CONTENT_TYPE": "application/json"}
        return call(adapter, environ | accepted | fields)

    first = post("initialize", 1)
    session = dict(first.headers)["mcp-session-id"]
    second = post("ping", 2, HTTP_MCP_SESSION_ID=session)
    adapter.close()
    if mode == "shared":
        assert second.status == "200 OK"
        assert said(caplog) == []
        return
    assert second.status == "404 Not Found"
    (line,) = said(caplog)
    assert line.startswith("POST '/mcp': the application has left tasks (")
    assert "loop='shared'" in line


def of_another_loop(*, at_shutdown: bool) -> Starlette:
    """What is made on the lifespan's loop is waited for by a request, or the other way round."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
        state: dict[str, Any] = {"made": [], "queue": asyncio.Queue[int](1)}
        # A queue belongs to the loop that has first waited for it.
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(state["queue"].get(), 0.001)
        yield state
        for future in state["made"]:
            await future

    async def get(request: Request) -> PlainTextResponse:
        if at_shutdown:
            request.state.made.append(asyncio.get_running_loop().create_future())
            if request.query_params:
                request.state.made[0].set_result(None)
        else:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(request.state.queue.get(), 0.001)
        return PlainTextResponse("x")

    return Starlette(routes=[Route("/", get)], lifespan=lifespan)


@pytest.mark.parametrize("where", ["request", "shutdown"])
def test_something_of_another_loop(
    adapt: Any, mode: LoopMode, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    adapter = adapt(of_another_loop(at_shutdown=where == "shutdown"), lifespan="on")
    # One future is resolved, and waited for on either loop.
    call(adapter, environ_for("/", QUERY_STRING="x=1"))
    if where == "shutdown" and mode == "request":
        call(adapter, environ_for("/"))
    adapter.close()
    if mode == "shared":
        assert said(caplog) == []
        return
    (line,) = [line for line in said(caplog) if "loop='shared'" in line]
    assert line.startswith("GET '/': the app" if where == "request" else "lifespan.shutdown: the app")


def test_a_startup_that_is_tried_on_another_loop(
    adapt: Any, mode: LoopMode, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first try fails for a reason of its own."""
    monkeypatch.setattr("bridge.to_wsgi.attempts.RETRY_AFTER", 0)
    lasting: list[asyncio.Future[None]] = []

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        if not lasting:
            lasting.append(asyncio.get_running_loop().create_future())
            raise ValueError("the database is away")
        asyncio.get_running_loop().call_later(0.001, lasting[0].set_result, None)
        await lasting[0]
        yield

    adapter = adapt(Starlette(routes=[], lifespan=lifespan), lifespan="on")
    with pytest.raises(LifespanError):
        call(adapter, environ_for())
    if mode == "shared":
        assert call(adapter, environ_for()).status == "404 Not Found"
    else:
        with pytest.raises(LifespanError):
            call(adapter, environ_for())
    adapter.close()
    hints = [line for line in said(caplog) if "loop='shared'" in line]
    if mode == "shared":
        assert hints == []
    else:
        (line,) = hints
        assert line.startswith("lifespan.startup: the application uses something on one event loop")
