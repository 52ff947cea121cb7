"""An ASGI app for the tests of ``bridge serve``, which run in this directory.

It logs its import, and the ends of its lifespan. ``/held`` answers when the file of its query is there.
"""

import asyncio
import hashlib
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse

print("imported", file=sys.stderr, flush=True)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    print("lifespan begins", file=sys.stderr, flush=True)
    yield
    print("lifespan ends", file=sys.stderr, flush=True)


app = FastAPI(lifespan=lifespan)


@app.get("/where")
async def where(request: Request) -> dict[str, object]:
    scope = request.scope
    return {
        "url": request.url_for("where").path,
        "root_path": scope["root_path"],
        "path": scope["path"].removeprefix(scope["root_path"]),
        "pid": os.getpid(),
        "client": request.client.host if request.client else None,
        "scheme": request.url.scheme,
    }


@app.get("/held")
async def held(request: Request) -> PlainTextResponse:
    print("held", file=sys.stderr, flush=True)
    while not Path(request.url.query).exists():  # noqa: ASYNC110, ASYNC240 - what another process makes
        await asyncio.sleep(0.02)
    return PlainTextResponse("released " * 10_000)


@app.post("/digest")
async def digest(request: Request) -> str:
    return hashlib.sha256(await request.body()).hexdigest()
