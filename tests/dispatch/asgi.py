"""ASGI apps behind ``Mount(app, fallback=True)``, and how they are asked."""

import asyncio
import hashlib
from typing import Any

from bridge import Dispatcher, Mount
from bridge.types import ASGIApp, Message, Receive, Scope, Send
from tests.support.asgi import Exchange, http_scope, request
from tests.support.lifespan import run_lifespan

__all__ = ["answer", "echo", "events", "exchange_with", "over", "read_all", "reads", "replies", "run", "said"]


async def answer(send: Send, status: int, body: bytes = b"") -> None:
    await send(
        {"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]}
    )
    await send({"type": "http.response.body", "body": body})


def replies(status: int, body: bytes = b"first") -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, status, body)

    return app


async def read_all(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        assert message["type"] == "http.request"
        body += bytes(message["body"])
        if not message["more_body"]:
            return body


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Say who is asked, and the digest of the body."""
    body = await read_all(receive)
    text = f"{scope['root_path']}|{scope['path']}|{len(body)}|{hashlib.sha256(body).hexdigest()}"
    await answer(send, 200, text.encode())


def said(root_path: str, path: str, body: bytes = b"") -> bytes:
    return f"{root_path}|{path}|{len(body)}|{hashlib.sha256(body).hexdigest()}".encode()


def over(first: Any, second: Any = echo) -> Dispatcher:
    return Dispatcher({"/new": Mount(first, fallback=True), "/": second})


def exchange_with(app: ASGIApp, *events: Message, path: str = "/new/x", **scope: Any) -> Exchange:
    return Exchange(app, http_scope("POST", path, **scope), events or [request()])


def run(exchange: Exchange) -> Exchange:
    async def main() -> Exchange:
        try:
            return await exchange.run()
        finally:
            await run_lifespan(exchange.app)  # which ends the threads

    return asyncio.run(main())


def events(blocks: list[bytes]) -> list[Message]:
    *before, last = blocks
    return [*(request(block, more_body=True) for block in before), request(last)]


def reads(count: int, status: int = 404) -> ASGIApp:
    """An app that takes so many messages, and has nothing there."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for _ in range(count):
            if not (await receive()).get("more_body"):
                break
        await answer(send, status)

    return app
