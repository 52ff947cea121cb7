"""An ASGI app with a probe around it: it writes down what the app sees and does, and changes nothing of it."""

import asyncio
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from ..types import ASGIApp, Message, Receive, Scope, Send
from .recorder import Recorder, in_a_line
from .rules import AsgiRules

__all__ = ["in_request", "probe_asgi"]

_MARK = b"x-bridge-check"

#: Whether the code that runs was called, over any number of steps, for a request of the check.
in_request: ContextVar[bool] = ContextVar("bridge_check_in_request", default=False)


def probe_asgi(
    app: ASGIApp,
    recorder: Recorder,
    measure: Callable[[str], None],
    look: Callable[[], None],
    started: Callable[[dict[str, Any], set["asyncio.Task[Any]"]], None],
) -> ASGIApp:
    """Return ``app`` with the probe around it.

    Args:
        app: what is checked.
        recorder: who writes it down.
        measure: called for a request that asks for it, with its name.
        look: called after each request of the check.
        started: called when the startup is complete, with the lifespan's state and the tasks that it has left.
    """

    async def probed(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await app(scope, receive, _watched_startup(scope, send, started))
            return
        mark = b"".join(value for name, value in scope.get("headers", ()) if name.lower() == _MARK)
        command = recorder.command(mark.decode("latin-1"))
        if scope["type"] != "http" or not command:
            await app(scope, receive, send)
        elif not command.isdecimal():
            measure(command)
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body"})
        else:
            scope["headers"] = [(name, value) for name, value in scope["headers"] if name.lower() != _MARK]
            token = in_request.set(True)
            try:
                await _call(int(command), app, scope, receive, send, recorder=recorder, look=look)
            finally:
                in_request.reset(token)

    return probed


def _watched_startup(
    scope: Scope, send: Send, started: Callable[[dict[str, Any], set["asyncio.Task[Any]"]], None]
) -> Send:
    before = asyncio.all_tasks()

    async def watched(message: Message) -> None:
        if message["type"] == "lifespan.startup.complete":
            started(scope.get("state") or {}, asyncio.all_tasks() - before)
        await send(message)

    return watched


async def _call(
    number: int,
    app: ASGIApp,
    scope: Scope,
    receive: Receive,
    send: Send,
    *,
    recorder: Recorder,
    look: Callable[[], None],
) -> None:
    rules = AsgiRules(scope)
    record: dict[str, Any] = {"raised": "", "status": 0, "first_made": None, "last_made": None, "file": False}
    completed: float | None = None
    disconnected = False

    def broken(by: list[str]) -> None:
        for rule in by:
            recorder.write_once("rule", number, interface="asgi", rule=rule)

    async def received() -> Message:
        nonlocal disconnected
        message = await receive()
        disconnected = disconnected or message["type"] == "http.disconnect"
        return message

    async def sent(message: Message) -> None:
        nonlocal completed
        broken(rules.message(message))
        kind = message.get("type")
        if kind == "http.response.start":
            record["status"] = message.get("status", 0)
        elif kind == "http.response.body" and message.get("body"):
            record["last_made"] = time.monotonic()
            record["first_made"] = record["first_made"] or record["last_made"]
        elif kind in {"http.response.pathsend", "http.response.zerocopysend"}:
            record["file"] = True
        await send(message)
        if rules.complete and completed is None:
            completed = time.monotonic()

    client = scope.get("client") or ("",)
    recorder.write("begin", number=number, peer=client[0], scheme=scope.get("scheme", "http"))
    try:
        await app(scope, received, sent)
    except BaseException as exc:
        record["raised"] = in_a_line(exc)
        raise
    else:
        broken(rules.end(disconnected=disconnected))
    finally:
        look()
        now = time.monotonic()
        after = now - completed if completed is not None else 0.0
        recorder.write("end", number=number, after=after, ended_at=now, **record)
