"""Flask and FastAPI with structlog: each log line of the process is one line of JSON, with what the request has bound.

A request binds ``request_id``, which is the query, and logs "asked". Nothing clears what is bound, so that a request
that finds another's id shows it. ``/meet`` waits, with its id bound, until a second request is there.
"""

import asyncio
import logging
import os
import sys
import threading
from typing import Any, cast

import flask
import structlog
from fastapi import BackgroundTasks, FastAPI

from bridge import AsgiToWsgi, Dispatcher, WsgiToAsgi
from bridge.to_wsgi.loops.mode import LoopMode
from bridge.types import Receive, Scope, Send

_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.format_exc_info,
]
structlog.configure(
    processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
    logger_factory=structlog.stdlib.LoggerFactory(),
)
_handler = logging.StreamHandler(sys.stderr)
_handler.setFormatter(
    structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_SHARED,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.JSONRenderer(),
        ],
    )
)
logging.basicConfig(handlers=[_handler])
# The servers have handlers of their own by now.
for _name in ("uvicorn", "gunicorn.error"):
    logging.getLogger(_name).handlers = [_handler]

logger = structlog.stdlib.get_logger("app")
_meeting = threading.Barrier(2)


def _asked(query: str) -> None:
    if query:
        structlog.contextvars.bind_contextvars(request_id=query)
    logger.warning("asked")


def _fail() -> None:
    raise ValueError("kaputt")


flask_app = flask.Flask(__name__)


@flask_app.get("/plain")
def flask_plain() -> str:
    _asked(flask.request.query_string.decode())
    return "answered"


@flask_app.get("/meet")
def flask_meet() -> str:
    _asked(flask.request.query_string.decode())
    _meeting.wait(20)
    logger.warning("met")
    return "answered"


@flask_app.get("/late")
def flask_late() -> flask.Response:
    _asked(flask.request.query_string.decode())
    response = flask.Response("answered")
    response.call_on_close(_fail)
    return response


def bare_wsgi(environ: Any, start_response: Any) -> list[bytes]:
    _asked(environ["QUERY_STRING"])
    raise ValueError("kaputt")


fastapi_app = FastAPI()


@fastapi_app.get("/plain")
async def fastapi_plain(id: str = "") -> str:  # noqa: A002 - the query's name
    _asked(id and f"id={id}")
    return "answered"


@fastapi_app.get("/meet")
async def fastapi_meet(id: str) -> str:  # noqa: A002
    _asked(f"id={id}")
    await asyncio.to_thread(_meeting.wait, 20)
    logger.warning("met")
    return "answered"


@fastapi_app.get("/late")
async def fastapi_late(id: str, tasks: BackgroundTasks) -> str:  # noqa: A002
    _asked(f"id={id}")
    tasks.add_task(_fail)
    return "answered"


async def bare_asgi(scope: Scope, receive: Receive, send: Send) -> None:
    _asked(scope["query_string"].decode())
    raise ValueError("kaputt")


site = Dispatcher(
    {
        "/flask": WsgiToAsgi(flask_app, threads=2),
        "/fastapi": AsgiToWsgi(fastapi_app, loop=cast("LoopMode", os.environ.get("LOOP", "request"))),
        "/wsgi": WsgiToAsgi(bare_wsgi, threads=1),
        "/asgi": AsgiToWsgi(
            bare_asgi, lifespan="off", loop=cast("LoopMode", os.environ.get("LOOP", "request"))
        ),
    }
)
