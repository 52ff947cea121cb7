"""Server-sent events from a sync generator: each event is at the client before the next one is made.

Run it from the directory above:

    pip install '.[serve]' flask
    uvicorn examples.sse:app

    curl --no-buffer --max-time 3 http://127.0.0.1:8000/

Each open stream holds one thread of the app for as long as its client stays; when it leaves, the generator's
``finally`` runs, and the thread is free.
"""

import itertools
import logging
import time
from collections.abc import Iterator

from flask import Flask, Response

from bridge import WsgiToAsgi

logger = logging.getLogger("uvicorn.error")
flask_app = Flask(__name__)


@flask_app.get("/")
def events() -> Response:
    def ticks() -> Iterator[str]:
        try:
            for number in itertools.count():
                yield f"id: {number}\ndata: {time.strftime('%H:%M:%S')}\n\n"
                time.sleep(0.5)
        finally:
            logger.info("a client has left the events")

    return Response(ticks(), content_type="text/event-stream", headers={"Cache-Control": "no-store"})


app = WsgiToAsgi(flask_app, threads=100)
