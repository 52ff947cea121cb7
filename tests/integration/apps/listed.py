"""A new app, and the old one behind it, both at the root of the site; see ``test_dispatch_lists``."""

import hashlib

from fastapi import FastAPI, HTTPException, Request, WebSocket
from flask import Flask
from flask import request as flask_request

from bridge import Dispatcher

__all__ = ["app"]

new = FastAPI()
old = Flask(__name__)


@new.get("/page")
async def page() -> str:
    return "new"


@new.post("/upload")
async def upload(request: Request) -> str:
    """Reads it all before it says that it is not here."""
    await request.body()
    raise HTTPException(404)


@new.websocket("/new-socket")
async def new_socket(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text("new")
    await websocket.close()


@old.get("/old-page")
@old.get("/page")
def old_page() -> str:
    return "old"


@old.post("/upload")
def old_upload() -> str:
    return hashlib.sha256(flask_request.get_data()).hexdigest()


@old.route("/old-socket", websocket=True)
def old_socket() -> str:
    flask_request.environ["wsgi.websocket"].send("old")
    return ""


# The same upload, for a new app behind either kind of app that has read it.
newer = FastAPI()
older = Flask(__name__)


@newer.post("/upload")
async def new_upload(request: Request) -> str:
    return hashlib.sha256(await request.body()).hexdigest()


@older.post("/upload")
def read_upload() -> tuple[str, int]:
    return f"{len(flask_request.get_data())}", 404


app = Dispatcher({"/": [new, old], "/asgi": [new, newer], "/wsgi": [older, newer]})
