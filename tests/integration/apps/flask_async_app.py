"""Async code inside Flask: async views, and one httpx client for all requests, called through async_to_sync.

The client's connections belong to one event loop. It can serve many requests only if they all find the
server's. ``UPSTREAM`` in the environment is the URL of what it calls.
"""

import asyncio
import os

import httpx
from asgiref.sync import async_to_sync
from flask import Flask, Response, jsonify

from bridge import WsgiToAsgi
from tests.support.validation import validated

__all__ = ["app"]

flask_app = Flask(__name__)
# Fewer connections than requests at once, so that requests wait for each other's connections on one loop.
client = httpx.AsyncClient(
    base_url=os.environ["UPSTREAM"], limits=httpx.Limits(max_connections=4), trust_env=False, timeout=30.0
)
loops: set[int] = set()


async def fetch(number: str) -> str:
    loops.add(id(asyncio.get_running_loop()))
    response = await client.get(f"/{number}")
    return response.text


@flask_app.get("/sync/<number>")
def sync_view(number: str) -> Response:
    return Response(async_to_sync(fetch)(number))


@flask_app.get("/async/<number>")
async def async_view(number: str) -> Response:
    first, second = await asyncio.gather(fetch(number), fetch(number))
    assert first == second
    return Response(first)


@flask_app.get("/loops")
def loops_view() -> Response:
    return jsonify(len(loops))


app = WsgiToAsgi(validated(flask_app), async_views="server")
