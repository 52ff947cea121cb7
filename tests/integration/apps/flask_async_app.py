"""Async code inside Flask: async views, and one httpx client for all requests, called through async_to_sync.

The client's connections belong to one event loop. It can serve many requests only if they all find the
server's.
"""

import asyncio
from typing import Any

import httpx
from asgiref.sync import async_to_sync
from flask import Flask, Response, jsonify, request

from bridge import WsgiToAsgi
from bridge._types import Receive, Scope, Send
from tests.support.validation import validated

__all__ = ["app"]

flask_app = Flask(__name__)
# It calls the very server that it runs in, whose certificate is the test's own.
# Fewer connections than requests at once, so that requests wait for each other's connections on one loop.
client = httpx.AsyncClient(
    limits=httpx.Limits(max_connections=4), trust_env=False, timeout=30.0, verify=False
)
loops: set[int] = set()


async def fetch(number: str) -> str:
    loops.add(id(asyncio.get_running_loop()))
    response = await client.get(f"{request.host_url}upstream", params={"number": number})
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


wsgi_part = WsgiToAsgi(validated(flask_app))


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve ``/upstream`` itself, without a thread, and all else through bridge."""
    if scope["type"] == "http" and scope["path"] == "/upstream":
        body: Any = b"upstream " + scope["query_string"]
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}
        )
        await send({"type": "http.response.body", "body": body})
        return
    await wsgi_part(scope, receive, send)
