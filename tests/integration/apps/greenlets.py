"""A FastAPI app whose requests wait for each other, in coroutines and in sync views, behind each way to run it."""

import asyncio
import functools
import socket
import threading
from typing import Any

import uvloop
from asgiref.sync import async_to_sync, sync_to_async
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

from bridge import AsgiToWsgi

__all__ = ["explicit", "plain", "with_uvloop"]

MEETING = 20

api = FastAPI()
_arrived: list[None] = []
_all_there = asyncio.Event()


@functools.cache
def _barrier() -> threading.Barrier:
    """Of greenlets or of threads: as they are when it is first needed."""
    return threading.Barrier(MEETING)


@api.get("/meet")
async def meet() -> int:
    """Answer when as many are there as are to meet, and each time later."""
    _arrived.append(None)
    if len(_arrived) >= MEETING:
        _all_there.set()
    await _all_there.wait()
    return len(_arrived)


@api.get("/meet_in_threads")
def meet_in_threads() -> int:
    _barrier().wait(30)
    return MEETING


@api.get("/stream")
async def stream() -> StreamingResponse:
    """Twenty parts, each after those of the others."""

    async def parts() -> Any:
        for number in range(20):
            await asyncio.sleep(0.01)
            yield b"%d," % number

    return StreamingResponse(parts())


@api.post("/upload")
async def upload(request: Request) -> int:
    return sum([len(part) async for part in request.stream()])


@api.get("/blocks")
def blocks(port: int) -> str:
    """Block in a socket until the other side has closed it; only a patched one lets others run."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"blocks")
        return connection.recv(10).decode()


@api.get("/own_loop")
def own_loop() -> str:
    """Sync code runs a loop of its own while the shared one waits, and while a thread is started there."""
    return asyncio.run(_ran()) + " " + async_to_sync(_ran)()


async def _ran() -> str:
    await asyncio.sleep(0.001)
    return "ran"


def _sync_part() -> str:
    """As Django's database, which refuses to be used where a loop runs."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return "no loop"
    return "a loop is running here"


@api.get("/sync")
def sync() -> str:
    return _sync_part()


@api.get("/many_threads")
async def many_threads() -> list[str]:
    """Starting a thread in a coroutine lets the others run, as soon as it starts."""
    return await asyncio.gather(*(asyncio.to_thread(_sync_part) for _ in range(10)))


@api.get("/sync_to_async")
async def from_asgiref() -> str:
    return await sync_to_async(lambda: _sync_part() + " " + async_to_sync(_ran)())()


plain = AsgiToWsgi(api)
explicit = AsgiToWsgi(api, loop="request")
with_uvloop = AsgiToWsgi(api, loop_factory=uvloop.new_event_loop)
