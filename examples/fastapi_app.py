"""A FastAPI app under gunicorn's sync workers: lifespan state, a streamed answer, an upload, work after the response.

Run it from the directory above:

    pip install '.[serve]' fastapi python-multipart
    gunicorn examples.fastapi_app:wsgi_app

    curl http://127.0.0.1:8000/
    curl --no-buffer http://127.0.0.1:8000/countdown
    curl --form file=@LICENSE http://127.0.0.1:8000/upload

``app`` is the ordinary FastAPI app, and runs on uvicorn too: ``uvicorn examples.fastapi_app:app``.
"""

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypedDict

from fastapi import BackgroundTasks, FastAPI, Request, UploadFile
from fastapi.responses import StreamingResponse

from bridge import AsgiToWsgi

logger = logging.getLogger("gunicorn.error")


class State(TypedDict):
    greeting: str


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[State]:
    # Once in each worker process, before its first request.
    yield {"greeting": "Hello from the lifespan"}
    logger.info("the lifespan has ended")


app = FastAPI(lifespan=lifespan)


@app.get("/")
async def index(request: Request, tasks: BackgroundTasks) -> dict[str, str]:
    tasks.add_task(logger.info, "after the response")
    return {"greeting": request.state.greeting}


@app.get("/countdown")
async def countdown() -> StreamingResponse:
    async def lines() -> AsyncIterator[str]:
        for number in range(3, 0, -1):
            yield f"{number}\n"
            await asyncio.sleep(0.2)
        yield "Lift-off!\n"

    return StreamingResponse(lines(), media_type="text/plain")


@app.post("/upload")
async def upload(file: UploadFile) -> dict[str, object]:
    digest = hashlib.sha256()
    while block := await file.read(65536):
        digest.update(block)
    return {"name": file.filename, "size": file.size, "sha256": digest.hexdigest()}


wsgi_app = AsgiToWsgi(app)
