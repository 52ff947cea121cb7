"""Messages and small apps that the tests of AsgiToWsgi share."""

import asyncio
from collections.abc import Callable
from typing import Any

from bridge.types import Message, Receive, Scope, Send

START: dict[str, Any] = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/plain")],
}


def part(body: bytes, *, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": more}


def last(body: bytes = b"") -> Message:
    return part(body, more=False)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what another thread does, in a way that any loop can."""
    while not condition():  # noqa: ASYNC110 - nothing to be told by
        await asyncio.sleep(0.001)


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    await send(START)
    await send(last(b"Hello"))


async def read_body(receive: Receive) -> tuple[bytes, list[Message]]:
    messages: list[Message] = []
    while True:
        messages.append(await receive())
        if messages[-1]["type"] == "http.disconnect" or not messages[-1]["more_body"]:
            return b"".join(message.get("body", b"") for message in messages), messages
