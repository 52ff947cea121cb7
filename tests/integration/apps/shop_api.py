"""A FastAPI app with what its tutorial teaches: OAuth2's password flow, dependencies with ``yield``, background tasks,
streams, events, uploads. Each step of its own is a line of the log, after ``SHOP`` and the request's ``X-Step``.
"""

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated

import fastapi
from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException, Request, Response, UploadFile
from fastapi.responses import StreamingResponse
from fastapi.security import OAuth2PasswordBearer, OAuth2PasswordRequestForm
from fastapi.staticfiles import StaticFiles

__all__ = ["app"]

step: ContextVar[str] = ContextVar("step", default="-")


class Marked(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return f"SHOP {step.get()} {super().format(record)}"


log = logging.getLogger("shop")
_handler = logging.StreamHandler()
_handler.setFormatter(Marked("%(levelname)s %(message)s"))
log.addHandler(_handler)
log.setLevel(logging.INFO)
log.propagate = False


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, str]]:
    log.info("opens")
    yield {"name": "the shop"}


app = FastAPI(lifespan=lifespan)
app.mount("/static", StaticFiles(directory=Path(fastapi.__file__).parent), name="static")
bearer = OAuth2PasswordBearer(tokenUrl="token")


class SoldOutError(Exception):
    """Nothing is left."""


@app.exception_handler(SoldOutError)
async def sold_out(_: Request, exc: SoldOutError) -> Response:
    return Response(f"sold out: {exc}", status_code=410)


@app.middleware("http")
async def stamp(request: Request, call_next):  # type: ignore[no-untyped-def]  # Starlette's own types are in motion
    step.set(request.headers.get("x-step", "-"))
    response = await call_next(request)
    response.headers["x-shop"] = request.state.name
    log.info("%s %s: %d", request.method, request.url.path, response.status_code)
    return response


@app.post("/token")
async def token(form: Annotated[OAuth2PasswordRequestForm, Depends()]) -> dict[str, str]:
    if (form.username, form.password) != ("zoë", "geheim"):
        raise HTTPException(400, "wrong name or password")
    return {"access_token": f"of {form.username}".encode().hex(), "token_type": "bearer"}


def user(token: Annotated[str, Depends(bearer)]) -> str:
    """In a thread."""
    try:
        return bytes.fromhex(token).decode()
    except ValueError:
        raise HTTPException(401, "not valid", {"WWW-Authenticate": "Bearer"}) from None


async def session() -> AsyncIterator[list[str]]:
    log.info("session begins")
    steps: list[str] = []
    try:
        yield steps
    except Exception as exc:
        log.info("session is rolled back: %r", exc)
        raise
    finally:
        log.info("session ends after %s", steps)


def connection() -> Iterator[str]:
    """In a thread, before and after."""
    log.info("connection begins")
    yield "connection"
    log.info("connection ends")


User = Annotated[str, Depends(user)]
Session = Annotated[list[str], Depends(session)]
Connection = Annotated[str, Depends(connection)]


@app.get("/me")
async def me(user: User, session: Session, connection: Connection) -> dict[str, str]:
    session.append(f"read by {connection}")
    return {"user": user}


@app.post("/orders", status_code=201)
def order(user: User, session: Session, things: list[str], later: BackgroundTasks) -> dict[str, object]:
    """In a thread."""
    if not things:
        raise SoldOutError(user)
    if things == ["air"]:
        raise LookupError("there is none")
    session.append("write")
    later.add_task(mail, user, things)
    later.add_task(count, things)
    return {"user": user, "things": things}


async def mail(user: str, things: list[str]) -> None:
    await asyncio.sleep(0.01)
    log.info("mail to %s: %s", user, things)


def count(things: list[str]) -> None:
    log.info("%d sold", len(things))


@app.get("/export")
def export(session: Session, rows: int) -> StreamingResponse:
    def lines() -> Iterator[str]:
        for number in range(rows):
            yield f"{number};größer\n"
        log.info("export ends")

    return StreamingResponse(lines(), media_type="text/csv", headers={"Content-Disposition": "attachment"})


@app.get("/events")
async def events(request: Request, most: int = 1_000_000) -> StreamingResponse:
    async def ticks() -> AsyncIterator[str]:
        try:
            for number in range(most):
                yield f"id: {number}\nevent: tick\ndata: {number}\n\n"
                await asyncio.sleep(0.01)
        finally:
            log.info("events end")

    return StreamingResponse(ticks(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})


@app.post("/files")
async def files(files: list[UploadFile], user: User) -> list[dict[str, object]]:
    return [
        {
            "name": file.filename,
            "type": file.content_type,
            "size": file.size,
            "sum": hashlib.sha256(await file.read()).hexdigest()[:40],
        }
        for file in files
    ]
