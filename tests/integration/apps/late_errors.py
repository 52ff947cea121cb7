"""Apps that fail where their server does not see it, with logging as users configure it, and Sentry.

``LOGGING``: ``""``, ``"basic"`` (a handler on the root logger), ``"disabled"`` (``dictConfig()`` as it is by default).
``LOOP``: of ``AsgiToWsgi``. ``/events`` has what Sentry was sent.
"""

import asyncio
import importlib
import logging
import logging.config
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

import flask
from fastapi import BackgroundTasks, FastAPI, Request
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect

from bridge import AsgiToWsgi, WsgiToAsgi

events: list[dict[str, Any]] = []
if "SENTRY" in os.environ:
    # Not by each of the many servers that do without it: its import takes long.
    importlib.import_module("tests.integration.apps.sentry").begin(events)
if os.environ.get("LOGGING") == "basic":
    logging.basicConfig(stream=sys.stderr, format="ROOT %(levelname)s %(name)s %(message)s")

fastapi = FastAPI()


@fastapi.get("/boom/{name}")
async def boom(name: str) -> None:
    raise ValueError(f"kaputt {name}")


def _fail() -> None:
    raise ValueError("kaputt task")


@fastapi.get("/task")
async def task(tasks: BackgroundTasks) -> str:
    tasks.add_task(_fail)
    return "answered"


@fastapi.post("/upload")
async def upload(request: Request) -> int:
    try:
        return len(await request.body())
    except ClientDisconnect:
        print("it broke off", flush=True)
        raise


@fastapi.get("/idle")
async def idle() -> StreamingResponse:
    async def parts() -> AsyncIterator[str]:
        yield "first"
        await asyncio.sleep(3600)

    return StreamingResponse(parts())


async def _sleep() -> None:
    print("it sleeps", flush=True)
    await asyncio.sleep(3600)


@fastapi.get("/long")
async def long(tasks: BackgroundTasks) -> str:
    tasks.add_task(_sleep)
    return "answered"


@fastapi.get("/events")
async def get_events() -> list[dict[str, Any]]:
    return events


flask_app = flask.Flask(__name__)


@flask_app.get("/boom/<name>")
def flask_boom(name: str) -> str:
    raise ValueError(f"kaputt {name}")


@flask_app.get("/task")
def flask_task() -> flask.Response:
    response = flask.Response("answered")
    response.call_on_close(_fail)
    return response


@flask_app.get("/events")
def flask_events() -> flask.Response:
    return flask.jsonify(events)


loop: Any = os.environ.get("LOOP", "request")
wsgi = AsgiToWsgi(fastapi, loop=loop)
asgi = WsgiToAsgi(flask_app)
if os.environ.get("LOGGING") == "disabled":
    # As an application does that configures its logging after its imports.
    logging.config.dictConfig({"version": 1})
