"""The new part, in FastAPI: products as JSON, pictures that are uploaded, a clock of server-sent events.

It runs without the old part, and without bridge: ``uvicorn examples.migration.api:api``.
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated, NamedTuple, TypedDict

from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.sse import EventSourceResponse
from pydantic import BaseModel
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .catalogue import COFFEES, Coffee, prices
from .sides import HEADER, TIMING, side_of_scope, timing, way_of_scope

MAX_PICTURE = 8 * 2**20
#: By a picture's first bytes: what the client says of its type is a guess from the file's name.
PICTURE_TYPES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif"}


class Picture(NamedTuple):
    content: bytes
    media_type: str


class State(TypedDict):
    opened: datetime
    pictures: dict[str, Picture]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[State]:
    yield {"opened": datetime.now().astimezone(), "pictures": {}}


class SayWhoAnswers:
    """ASGI middleware: adds the headers that say how the app was called."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers[HEADER] = served_by(scope)
                headers[TIMING] = timing("FastAPI", scope["method"], way_of_scope(scope), started)
            await send(message)

        await self.app(scope, receive, send_with_headers)


def served_by(scope: Scope) -> str:
    return f"FastAPI, {side_of_scope(scope)}"


api = FastAPI(title="Bridge Street Coffee", lifespan=lifespan)
api.add_middleware(SayWhoAnswers)


# --- products -----------------------------------------------------------------------------------------------


class Product(BaseModel):
    slug: str
    name: str
    origin: str
    cents: int
    picture: str


@api.get("/products")
async def products(request: Request) -> list[Product]:
    now = prices()
    return [
        Product(
            slug=coffee.slug,
            name=coffee.name,
            origin=coffee.origin,
            cents=now[coffee.slug],
            picture=str(request.url_for("picture", slug=coffee.slug)),
        )
        for coffee in COFFEES.values()
    ]


def known(slug: str) -> Coffee:
    if slug not in COFFEES:
        raise HTTPException(404, f"there is no coffee {slug!r}")
    return COFFEES[slug]


# --- pictures -----------------------------------------------------------------------------------------------


class Uploaded(BaseModel):
    size: int
    media_type: str
    sha256: str


@api.put("/products/{slug}/picture")
async def upload(coffee: Annotated[Coffee, Depends(known)], request: Request) -> Uploaded:
    """Take a picture as it arrives; refuse what is too large before all of it is here."""
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > MAX_PICTURE:
            raise HTTPException(413, f"a picture may have {MAX_PICTURE} bytes")
    media_type = next((kind for start, kind in PICTURE_TYPES.items() if content.startswith(start)), None)
    if media_type is None:
        raise HTTPException(415, "a picture is a PNG, a JPEG or a GIF")
    request.state.pictures[coffee.slug] = Picture(bytes(content), media_type)
    return Uploaded(size=len(content), media_type=media_type, sha256=hashlib.sha256(content).hexdigest())


@api.get("/products/{slug}/picture")
async def picture(coffee: Annotated[Coffee, Depends(known)], request: Request) -> Response:
    """The uploaded one. Without one this is a 404, on which the old part draws one."""
    uploaded: Picture | None = request.state.pictures.get(coffee.slug)
    if uploaded is None:
        raise HTTPException(404, f"nobody has uploaded a picture of {coffee.name}")
    return Response(uploaded.content, media_type=uploaded.media_type, headers={"Cache-Control": "no-cache"})


# --- the clock ----------------------------------------------------------------------------------------------


class Tick(BaseModel):
    served_by: str
    way: str
    now: datetime
    opened: datetime


@api.get("/clock", response_class=EventSourceResponse)
async def clock(request: Request) -> AsyncIterable[Tick]:
    """A tick at the beginning of each second, for as long as the client listens."""
    while True:
        now = datetime.now().astimezone()
        yield Tick(
            served_by=served_by(request.scope),
            way=way_of_scope(request.scope),
            now=now,
            opened=request.state.opened,
        )
        await asyncio.sleep(1 - time.time() % 1)
