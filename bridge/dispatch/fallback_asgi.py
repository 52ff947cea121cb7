"""Handing a request on to the next app, where the first one answers that it has nothing there. The ASGI side.

An app runs with its own ``receive()`` and ``send()``. The first message of its response decides. If it is a 404 or a
405, the next app gets the request, from its beginning: a task of its own runs it, beside the first app, which goes on
to its end and talks to nobody from then on. Anything else stands, and everything after it goes through as it is.

Each wait ends: an app whose answer was dropped gets ``http.disconnect`` when that answer is complete, or at the latest
when the next app has ended. The call ends when both have. Whoever cancels it, cancels both.
"""

import asyncio
import contextvars
import enum
from collections.abc import Sequence
from typing import NamedTuple

from ..log import log_app_error, request_name
from ..threads.waiting import until_done
from ..types import ASGIApp, Message, Scope, Send
from .tape import Reader, Tape

__all__ = ["NOT_HERE", "Call", "serve_with_fallback"]

#: The statuses that hand a request on.
NOT_HERE = frozenset({404, 405})

_DENIAL = "websocket.http.response"


class Call(NamedTuple):
    """An app, and the scope that it would be called with."""

    app: ASGIApp
    scope: Scope
    #: Where it is mounted, for the log.
    prefix: str


async def serve_with_fallback(calls: Sequence[Call], tape: Tape, send: Send) -> None:
    """Calls one app after the other until one has the answer; the last one has it whatever it says.

    Raises what that app raises. ``tape`` is the caller's to close.
    """
    call, *rest = calls
    reader = Reader(tape)
    if not rest:
        receive = tape.receive if tape.untouched else _Rest(tape, reader).receive
        await call.app(call.scope, receive, send)
        return
    attempt = _Attempt(call.scope, tape, reader, send, rest)
    scope = call.scope
    if scope["type"] == "websocket":
        # Without this extension a 401 and a 404 of the app would look the same.
        scope = {**scope, "extensions": {**(scope.get("extensions") or {}), _DENIAL: {}}}
    try:
        try:
            await call.app(scope, attempt.receive, attempt.send)
        except Exception as exc:
            if attempt.next is None:
                raise
            log_app_error(
                "%s: the application at %r failed after its answer had been dropped",
                request_name(scope.get("method", "GET"), scope["path"]),
                call.prefix,
                error=exc,
                errors=None,
            )
        if attempt.next is not None:
            await attempt.next
    finally:
        if attempt.next is not None and not attempt.next.done():
            attempt.next.cancel()
            await until_done(attempt.next)


class _Rest:
    """The ``receive()`` of the last app: what is on the tape, and then the server's own."""

    def __init__(self, tape: Tape, reader: Reader) -> None:
        self._tape = tape
        self._reader = reader

    async def receive(self) -> Message:
        while (message := await self._reader.replay()) is None:
            if not self._tape.fetching:
                return await self._tape.receive()
            # Begun by an app before this one.
            fetch = self._tape.fetch()
            await until_done(fetch)
            fetch.result()
        return message


class _Phase(enum.Enum):
    #: The app has not begun its response.
    OPEN = enum.auto()
    #: Its response is the one that the client gets.
    STANDS = enum.auto()
    #: The same, but the server can't send it, and has closed the WebSocket in its place.
    DENIED = enum.auto()
    #: Another app has the request.
    DROPPED = enum.auto()


class _Attempt:
    """An app's side of a request that the next app gets if this one has nothing there."""

    def __init__(self, scope: Scope, tape: Tape, reader: Reader, send: Send, rest: Sequence[Call]) -> None:
        #: The task of the next app.
        self.next: asyncio.Task[None] | None = None
        self._scope = scope
        self._tape = tape
        self._reader = reader
        self._send = send
        self._rest = rest
        self._phase = _Phase.OPEN
        # The next app's context is the server's, without what this app does to it.
        self._context = contextvars.copy_context()
        self._dropped = asyncio.get_running_loop().create_future()
        #: Dropped, and nothing more comes of it: time to say that the client has left.
        self._over = asyncio.Event()

    async def receive(self) -> Message:
        while True:
            if self._phase is _Phase.DROPPED:
                await self._over.wait()
                return _disconnect(self._scope)
            message = await self._reader.replay()
            if message is not None:
                return message
            if self._phase is not _Phase.OPEN and not self._tape.fetching:
                return await self._tape.receive()
            await self._next_message()

    async def _next_message(self) -> None:
        """Until the tape has another message, or the request is another app's."""
        fetch = self._tape.fetch()
        await asyncio.wait({fetch, self._dropped}, return_when=asyncio.FIRST_COMPLETED)
        if fetch.done() and self._phase is not _Phase.DROPPED:
            fetch.result()

    async def send(self, message: Message) -> None:
        phase = self._phase
        if phase is _Phase.OPEN:
            self._phase = phase = self._decide(message)
            if phase is _Phase.DROPPED:
                self._hand_on()
            elif phase is _Phase.DENIED:
                await self._send({"type": "websocket.close", "code": 1000, "reason": ""})
        if phase in {_Phase.OPEN, _Phase.STANDS}:
            await self._send(message)
        elif phase is _Phase.DROPPED:
            if _ends(message):
                self._over.set()
            else:
                # A body without end must not hold the loop.
                await asyncio.sleep(0)

    def _decide(self, message: Message) -> _Phase:
        kind = message["type"]
        if kind in {"http.response.start", f"{_DENIAL}.start"}:
            drop = message.get("status") in NOT_HERE
        elif kind == "websocket.close":
            # With the code that says nothing, as Starlette's router closes what it has no route for.
            drop = message.get("code", 1000) == 1000
        elif kind == "websocket.accept":
            drop = False
        else:
            return _Phase.OPEN  # early hints, and what else comes before a response
        if drop:
            return _Phase.DROPPED
        if kind.startswith(_DENIAL) and _DENIAL not in (self._scope.get("extensions") or {}):
            return _Phase.DENIED
        return _Phase.STANDS

    def _hand_on(self) -> None:
        """Has the next app called."""
        self._dropped.set_result(None)
        self.next = asyncio.get_running_loop().create_task(
            serve_with_fallback(self._rest, self._tape, self._send), context=self._context
        )
        self.next.add_done_callback(lambda _: self._over.set())


def _ends(message: Message) -> bool:
    """Whether a response is complete with ``message``."""
    return not message["type"].endswith(".start") and not message.get("more_body", False)


def _disconnect(scope: Scope) -> Message:
    if scope["type"] == "websocket":
        return {"type": "websocket.disconnect", "code": 1005, "reason": ""}
    return {"type": "http.disconnect"}
