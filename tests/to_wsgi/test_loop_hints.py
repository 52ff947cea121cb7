"""What the log says of apps that want one lasting loop."""

import asyncio
import logging
from typing import Any

import pytest

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
