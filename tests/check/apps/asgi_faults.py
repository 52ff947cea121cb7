"""A Starlette app with one fault of each kind that only ASGI apps have; beside some, what looks like it and is none."""

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

lock_of_the_module = asyncio.Lock()


async def tick() -> None:
    while True:  # noqa: ASYNC110 - a task that stays is the fault
        await asyncio.sleep(60)


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
    app.state.queue = asyncio.Queue()
    ticking = asyncio.create_task(tick())
    async with httpx.AsyncClient() as client:
        yield {"client": client, "settings": {"name": "shop"}}
    ticking.cancel()


async def blocks(request: Request) -> Response:
    time.sleep(0.01)  # noqa: ASYNC251 - the fault
    return PlainTextResponse("the same")


async def runs(request: Request) -> Response:
    subprocess.run(["true"], check=True)  # noqa: ASYNC221 - the fault
    return PlainTextResponse("the same")


async def waits_well(request: Request) -> Response:
    """None of these blocks: no finding."""
    await asyncio.sleep(0.01)
    await asyncio.to_thread(time.sleep, 0.01)
    process = await asyncio.create_subprocess_exec("true")
    await process.wait()
    return PlainTextResponse("the same")


def sync_view(request: Request) -> Response:
    """In a thread of Starlette's: no finding."""
    time.sleep(0.01)
    return PlainTextResponse("the same")


async def goes_on(request: Request) -> Response:
    return PlainTextResponse("the same", background=BackgroundTask(asyncio.sleep, 0.2))


async def goes_on_shortly(request: Request) -> Response:
    return PlainTextResponse("the same", background=BackgroundTask(asyncio.sleep, 0))


async def where(request: Request) -> Response:
    return JSONResponse({"server": "wsgi" if "wsgi_environ" in request.scope else "asgi"})


class BreaksRules:
    """An ASGI app with a header that one server strips, another sends, and a third refuses."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"text/plain"), (b"x-padded", b" 1 ")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"four"})


async def ticker(websocket: WebSocket) -> None:
    await websocket.accept()


app = Starlette(
    lifespan=lifespan,
    routes=[
        Route("/blocks", blocks),
        Route("/runs", runs),
        Route("/waits-well", waits_well),
        Route("/sync", sync_view),
        Route("/goes-on", goes_on),
        Route("/goes-on-shortly", goes_on_shortly),
        Route("/where", where),
        Route("/rules", BreaksRules()),
        WebSocketRoute("/ticker", ticker),
    ],
)
