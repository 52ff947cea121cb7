"""A Flask app, and a Dispatcher with a FastAPI app in it, on Ray Serve: two replicas of each.

Ray is no part of the examples' environment: ``pip install 'ray[serve]'``, or ``make test-ray``, which installs it apart
and runs this. Run it from the directory above:

    serve run examples.ray_serve:shop

    curl http://127.0.0.1:8000/
    curl --no-buffer http://127.0.0.1:8000/countdown

Ctrl-C ends it. The other app, in the same way:

    serve run examples.ray_serve:site

    curl http://127.0.0.1:8000/api/
    curl http://127.0.0.1:8000/

Ray sends a deployment to the processes of its replicas. A Flask app has locks, which can't be sent. So
``serve.ingress`` gets a function that makes the adapter, and each replica calls it. docs/guides/ray.md says more.
"""

import itertools
import os
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import TypedDict

import fastapi
from flask import Flask, Response, request
from ray import serve

from bridge import ConnectionClosed, Dispatcher, WsgiToAsgi

flask_app = Flask(__name__)
visits = itertools.count(1)


@flask_app.get("/")
def home() -> dict[str, str | int | bool]:
    """Who answers: the count is this replica's own, as all is that a process keeps in memory."""
    return {
        "replica": serve.get_replica_context().replica_id.unique_id,
        "process": os.getpid(),
        "thread": threading.current_thread().name,
        "visits": next(visits),
        "multiprocess": request.environ["wsgi.multiprocess"],
    }


@flask_app.get("/countdown")
def countdown() -> Response:
    """A stream: each line is at the client before the next one is made."""

    def lines() -> Iterator[str]:
        for second in range(3, 0, -1):
            yield f"{second}\n"
            time.sleep(1)
        yield "Lift-off!\n"

    return Response(lines(), mimetype="text/plain")


@flask_app.post("/size")
def size() -> dict[str, int]:
    return {"size": len(request.get_data())}


@flask_app.route("/echo", websocket=True)
def echo() -> str:
    """A WebSocket: it is on one replica for as long as it is open."""
    with suppress(ConnectionClosed):
        for message in request.environ["wsgi.websocket"]:
            request.environ["wsgi.websocket"].send(
                f"{serve.get_replica_context().replica_id.unique_id}: {message}"
            )
    return ""


def make_shop() -> WsgiToAsgi:
    return WsgiToAsgi(flask_app, threads=20)


# With Ray's own default, 5, a replica has no more than five requests at a time, whatever the number of its threads.
@serve.deployment(num_replicas=2, max_ongoing_requests=20, graceful_shutdown_timeout_s=40)
@serve.ingress(make_shop)
class Shop:
    pass


class State(TypedDict):
    opened: float


@asynccontextmanager
async def lifespan(app: fastapi.FastAPI) -> AsyncIterator[State]:
    yield {"opened": time.time()}


api = fastapi.FastAPI(lifespan=lifespan)


@api.get("/")
async def opened(request: fastapi.Request) -> dict[str, str | float]:
    return {
        "replica": serve.get_replica_context().replica_id.unique_id,
        "opened": request.state.opened,
    }


def make_site() -> Dispatcher:
    return Dispatcher({"/api": api, "/": flask_app})


@serve.deployment(num_replicas=2, max_ongoing_requests=20)
@serve.ingress(make_site)
class Site:
    pass


shop = Shop.bind()  # type: ignore[attr-defined]  # the decorator has made a Deployment of it
site = Site.bind()  # type: ignore[attr-defined]  # the decorator has made a Deployment of it
