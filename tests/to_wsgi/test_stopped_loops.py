"""Apps that stop the loop they run on: at any moment it runs on, for their lifespan as for their requests."""

import asyncio
from typing import Any

import pytest
import uvloop

from bridge.types import Receive, Scope, Send
from tests.support.wsgi import call, environ_for
from tests.to_wsgi.apps import START, hello, last, part, read_body

pytestmark = pytest.mark.parametrize("factory", [None, uvloop.new_event_loop], ids=["asyncio", "uvloop"])


async def stop() -> None:
    for _ in range(5):
        asyncio.get_running_loop().stop()
        await asyncio.sleep(0)


@pytest.mark.parametrize("when", ["starting", "started", "beside", "shutting down"])
def test_a_lifespan(adapt: Any, factory: Any, when: str) -> None:
    shut_down: list[bool] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await hello(scope, receive, send)
            return
        await receive()
        if when == "starting":
            await stop()
        beside = asyncio.create_task(stop() if when == "beside" else asyncio.sleep(0))
        await send({"type": "lifespan.startup.complete"})
        if when == "started":
            await stop()
        await receive()
        if when == "shutting down":
            await stop()
        await beside
        shut_down.append(True)
        await send({"type": "lifespan.shutdown.complete"})

    with adapt(app, lifespan="on", loop_factory=factory) as adapter:
        assert call(adapter, environ_for()).body == b"Hello"
    assert shut_down == [True]


@pytest.mark.parametrize("when", ["begun", "read", "headed", "body", "answered", "beside"])
def test_a_request(adapt: Any, factory: Any, when: str) -> None:
    worked: list[bool] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def reach(moment: str) -> None:
            if when == moment:
                await stop()
                await asyncio.sleep(0.001)
                asyncio.get_running_loop().stop()

        beside = asyncio.create_task(stop() if when == "beside" else asyncio.sleep(0))
        await reach("begun")
        body, _ = await read_body(receive)
        await reach("read")
        await send(START)
        await reach("headed")
        await send(part(body))
        await reach("body")
        await send(last(b" world"))
        await reach("answered")
        await asyncio.sleep(0.001)
        await beside
        worked.append(True)

    with adapt(app, loop_factory=factory) as adapter:
        for _ in range(3):
            assert call(adapter, environ_for(method="POST", body=b"Hello")).body == b"Hello world"
    assert worked == [True] * 3
