"""An ASGI app for the tests of ``bridge serve``, which run in this directory. Its lifespan logs its ends."""

import hashlib
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request


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
    }


@app.post("/digest")
async def digest(request: Request) -> str:
    return hashlib.sha256(await request.body()).hexdigest()
