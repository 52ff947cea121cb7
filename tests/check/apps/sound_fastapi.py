"""A sound FastAPI app, and a Starlette app mounted in it."""

import asyncio
import secrets
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import BackgroundTasks, FastAPI, Form, HTTPException, Query, Request, UploadFile
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, StreamingResponse
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request as StarletteRequest
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

count = 0
seen: list[str] = []
_local = threading.local()


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    app.state.templates = {"page": "<!doctype html><p>%s</p>"}
    # What is made and ended in the startup belongs to nobody afterwards.
    lock = asyncio.Lock()
    async with lock:
        await asyncio.sleep(0)
    yield {"settings": {"name": "shop"}}


app = FastAPI(lifespan=lifespan)
app.add_middleware(SessionMiddleware, secret_key=secrets.token_hex())
app.add_middleware(CORSMiddleware, allow_origins=["https://other.example"], allow_methods=["GET", "PUT"])


@app.get("/", response_class=HTMLResponse)
async def index(request: Request) -> str:
    global count  # noqa: PLW0603 - no fault on a loop, where nothing comes between
    count += 1
    request.session["visits"] = request.session.get("visits", 0) + 1
    page: str = request.app.state.templates["page"]
    return page % f"{request.session['visits']} {secrets.token_urlsafe()} {time.time()}"


@app.get("/items/{number}")
async def item(
    number: int, request: Request, q: Annotated[str, Query(examples=["a b"])] = ""
) -> dict[str, object]:
    return {
        "number": number,
        "q": q,
        "url": str(request.url),
        "id": secrets.token_hex(),
        "name": request.state.settings,
    }


@app.get("/sync")
def sync() -> dict[str, float]:
    time.sleep(0.01)
    _local.connection = "this thread's"
    return {"now": time.time()}


@app.get("/away")
async def away() -> RedirectResponse:
    return RedirectResponse("/")


@app.get("/missing")
async def missing() -> None:
    raise HTTPException(404, "there is none")


@app.get("/fails")
async def fails(request: Request) -> None:
    raise LookupError(request.url.path)


@app.get("/file")
async def file() -> FileResponse:
    return FileResponse(Path(__file__), media_type="text/plain")


@app.get("/background")
async def background(tasks: BackgroundTasks) -> str:
    tasks.add_task(seen.append, "a line of a log")
    return "done"


@app.get("/stream")
async def stream() -> StreamingResponse:
    async def pieces() -> AsyncIterator[str]:
        for number in range(3):
            yield f"{number}\n"
            await asyncio.sleep(0.1)

    return StreamingResponse(pieces(), media_type="text/plain")


@app.get("/endless")
async def endless() -> StreamingResponse:
    async def pieces() -> AsyncIterator[str]:
        while True:
            yield "data: tick\n\n"
            await asyncio.sleep(0.1)

    return StreamingResponse(pieces(), media_type="text/event-stream")


@app.get("/broken-off")
async def broken_off() -> StreamingResponse:
    async def pieces() -> AsyncIterator[str]:
        yield "half of it"
        raise LookupError("in the middle")

    return StreamingResponse(pieces(), media_type="text/plain")


@app.post("/form")
async def form(a: Annotated[str, Form()] = "", file: UploadFile | None = None) -> dict[str, object]:
    return {"a": a, "size": len(await file.read()) if file else None}


@app.put("/body")
async def body(request: Request) -> dict[str, object]:
    return {"size": len(await request.body()), "type": request.headers.get("content-type")}


async def star(request: StarletteRequest) -> Response:
    return JSONResponse({"path": request.url.path, "params": request.path_params})


async def text(request: StarletteRequest) -> Response:
    response = PlainTextResponse("a text " * 200)
    response.set_cookie("seen", "yes")
    return response


starlette_app = Starlette(
    routes=[Route("/", text), Route("/things/{name}", star), Route("/files/{rest:path}", star)],
    middleware=[Middleware(GZipMiddleware, minimum_size=100)],
)
app.mount("/star", starlette_app)
