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
from collections.abc import Callable, Coroutine
from typing import Any

from ..threads.waiting import until_done
from ..types import Message, Scope, Send
from .handing_on import NOT_HERE, log_dropped
from .mounts import Part
from .tape import Reader, Tape

__all__ = ["serve_with_fallback"]

_DENIAL = "websocket.http.response"


async def serve_with_fallback(part: Part, scope_for: Callable[[Part], Scope], tape: Tape, send: Send) -> None:
    """Call the app of ``part``, and those that it falls back to, one after the other until one has the answer.

    The last one has it whatever it says. What that app raises is raised.

    Args:
        part: the one to ask now.
        scope_for: gives the scope of each; it is asked when that app is.
        tape: the request's messages; the caller's to close.
        send: the server's.
    """
    scope = scope_for(part)
    reader = Reader(tape)
    following = part.fallback
    if following is None:
        receive = tape.receive if tape.untouched else _Rest(tape, reader).receive
        try:
            await part.asgi(scope, receive, send)
        finally:
            scope = {}  # an error of the app's would show it: see mapping.hidden
        return
    asked = _Asked(scope, tape, reader, send, lambda: serve_with_fallback(following, scope_for, tape, send))
    try:
        try:
            await part.asgi(_own(scope), asked.receive, asked.send)
        except Exception as exc:
            if asked.next is None:
                raise
            log_dropped("the application", part.place, scope.get("method", "GET"), scope["path"], exc)
        if asked.next is not None:
            await asked.next
    finally:
        if asked.next is not None and not asked.next.done():
            asked.next.cancel()
            await until_done(asked.next)
        scope = {}


def _own(scope: Scope) -> Scope:
    """A scope for an app that others may follow: what it does to it, to its state and headers, is its own.

    Middleware adds headers in place.
    """
    own = {**scope}
    if "headers" in own:
        own["headers"] = list(own["headers"])
    if own.get("state") is not None:
        own["state"] = {**own["state"]}
    if own["type"] == "websocket":
        # Without this extension a 401 and a 404 of the app would look the same.
        own["extensions"] = {**(own.get("extensions") or {}), _DENIAL: {}}
    return own


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


class _Answer(enum.Enum):
    """What is known of an app's answer."""

    #: The app has not begun it.
    OPEN = enum.auto()
    #: It is the one that the client gets.
    STANDS = enum.auto()
    #: The same, but the server can't send it, and has closed the WebSocket in its place.
    DENIED = enum.auto()
    #: Another app has the request.
    DROPPED = enum.auto()


class _Asked:
    """An app's side of a request that the next app gets if this one has nothing there."""

    def __init__(
        self,
        scope: Scope,
        tape: Tape,
        reader: Reader,
        send: Send,
        call_next: Callable[[], Coroutine[Any, Any, None]],
    ) -> None:
        """``scope`` is the app's, without what it does to it; ``call_next`` has the next app called."""
        #: The task of the next app.
        self.next: asyncio.Task[None] | None = None
        self._scope = scope
        self._tape = tape
        self._reader = reader
        self._send = send
        self._call_next = call_next
        self._answer = _Answer.OPEN
        # The next app's context is the server's, without what this app does to it.
        self._context = contextvars.copy_context()
        self._dropped = asyncio.get_running_loop().create_future()
        # Set when nothing more comes of a dropped answer: time to say that the client has left.
        self._over = asyncio.Event()

    async def receive(self) -> Message:
        while True:
            if self._answer is _Answer.DROPPED:
                await self._over.wait()
                return _disconnect(self._scope)
            message = await self._reader.replay()
            if message is not None:
                return message
            if self._answer is not _Answer.OPEN and not self._tape.fetching:
                return await self._tape.receive()
            await self._next_message()

    async def _next_message(self) -> None:
        """Wait until the tape has another message, or the request is another app's."""
        fetch = self._tape.fetch()
        await asyncio.wait({fetch, self._dropped}, return_when=asyncio.FIRST_COMPLETED)
        if fetch.done() and self._answer is not _Answer.DROPPED:
            fetch.result()

    async def send(self, message: Message) -> None:
        answer = self._answer
        if answer is _Answer.OPEN:
            self._answer = answer = self._decide(message)
            if answer is _Answer.DROPPED:
                self._hand_on()
            elif answer is _Answer.DENIED:
                await self._send({"type": "websocket.close", "code": 1000, "reason": ""})
        if answer in {_Answer.OPEN, _Answer.STANDS}:
            await self._send(message)
        elif answer is _Answer.DROPPED:
            if _ends(message):
                self._over.set()
            else:
                # A body without end must not hold the loop.
                await asyncio.sleep(0)

    def _decide(self, message: Message) -> _Answer:
        kind = message["type"]
        if kind in {"http.response.start", f"{_DENIAL}.start"}:
            drop = message.get("status") in NOT_HERE
        elif kind == "websocket.close":
            # With the code that says nothing, as Starlette's router closes what it has no route for.
            drop = message.get("code", 1000) == 1000
        elif kind == "websocket.accept":
            drop = False
        else:
            return _Answer.OPEN  # early hints, and what else comes before a response
        if drop:
            return _Answer.DROPPED
        if kind.startswith(_DENIAL) and _DENIAL not in (self._scope.get("extensions") or {}):
            return _Answer.DENIED
        return _Answer.STANDS

    def _hand_on(self) -> None:
        """Have the next app called. A task factory of before Python 3.11 takes no ``context``."""
        self._dropped.set_result(None)
        self.next = self._context.run(asyncio.get_running_loop().create_task, self._call_next())
        self.next.add_done_callback(lambda _: self._over.set())


def _ends(message: Message) -> bool:
    """Whether a response is complete with ``message``."""
    return not message["type"].endswith((".start", ".early_hint")) and not message.get("more_body", False)


def _disconnect(scope: Scope) -> Message:
    if scope["type"] == "websocket":
        return {"type": "websocket.disconnect", "code": 1005, "reason": ""}
    return {"type": "http.disconnect"}
