"""Knowing that a client has left while its request waits, or its response is on the way.

Servers don't raise from ``send()`` then; ``http.disconnect`` from ``receive()`` is the only sign. A short response is
over before anybody need listen. So a ``Watch`` begins to listen when it has been there for ``DELAY`` seconds; a request
that waits for a thread has one when it has waited for ``PATIENCE``, for under load each may wait for a moment. The
``Watches`` of a loop have one timer for all: a response that is done by then costs no timer of its own.

All of it is on the loop's thread.
"""

import asyncio
import contextvars
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from ..log import scope_name
from ..threads.waiting import until_done
from ..types import Message, Receive, Scope, Send

__all__ = ["DELAY", "PATIENCE", "Listening", "Watch", "Watches", "listen_with", "until_disconnect"]

logger = logging.getLogger("bridge")

#: Seconds before listening begins: at least this, at most twice as long.
DELAY = 0.005
#: The same, for a request that waits for a thread. A client that gave up holds its place in the queue and no more, and
#: a task for each request that waits would cost a busy server more than the requests do.
PATIENCE = 1.0

#: Seconds in which a server says that the client has left, after a ``send()`` that failed or had all of the response.
SAYS = 1.0

#: What a watch runs; it calls its argument when the client has left.
Listening = Callable[[Callable[[], None]], Coroutine[Any, Any, None]]


async def until_disconnect(receive: Receive, scope: Scope, *, more: bool = False) -> bool:
    """Waits for the client's leaving. ``False``: it can't be known, for the server says other things than it should.

    ``more``: the request body is not complete; the rest of it is dropped.
    """
    try:
        message = await receive()
        while more and message["type"] == "http.request":
            more = message.get("more_body", False)
            message = await receive()
    except Exception:
        logger.exception(
            "%s: receive() of the ASGI server raised; the bridge can't notice any more if the client leaves",
            scope_name(scope),
        )
        return False
    # A second http.request is against the specification; asking again might be answered so for ever.
    return message["type"] in {"http.disconnect", "websocket.disconnect"}


def listen_with(receive: Receive, scope: Scope, *, more: bool = False) -> Listening:
    """What a watch runs when the request body is complete, or, with ``more``, when nobody wants the rest of it."""

    async def listen(left: Callable[[], None]) -> None:
        if await until_disconnect(receive, scope, more=more):
            left()

    return listen


class Due(Protocol):
    """A watch, or what makes one when it is due."""

    def start(self) -> object: ...


class Watches:
    """The watches of one loop that have not begun to listen.

    There are two generations. At each tick the old ones begin to listen, and the young ones become old: so each has
    been here for the whole delay when it begins.

    Each begins in the context that it came in: that of its request, where a middleware's ``receive()`` finds what it
    has set. The timer is for all of them, so it is in a context of its own. In that of the request that started it,
    the others would listen there too: their spans would be in the trace of that one, and its ids in their logs.
    """

    __slots__ = ("_context", "_delay", "_loop", "_old", "_ticking", "_young")

    def __init__(self, loop: asyncio.AbstractEventLoop, delay: float = DELAY) -> None:
        self._loop = loop
        self._delay = delay
        self._context = contextvars.Context()
        self._young: dict[Due, contextvars.Context] = {}
        self._old: dict[Due, contextvars.Context] = {}
        self._ticking = False

    def add(self, watch: Due) -> None:
        self._young[watch] = contextvars.copy_context()
        if not self._ticking:
            self._ticking = True
            self._loop.call_later(self._delay, self._tick, context=self._context)

    def discard(self, watch: Due) -> None:
        self._young.pop(watch, None)
        self._old.pop(watch, None)

    def _tick(self) -> None:
        due, self._old, self._young = self._old, self._young, {}
        for watch, context in due.items():
            context.run(watch.start)
        self._ticking = bool(self._old)
        if self._ticking:
            self._loop.call_later(self._delay, self._tick, context=self._context)


class Watch:
    """Listens beside one response: the one place that calls ``receive()`` then. It is the ``send()`` of that response.

    When the client has left, ``abort`` is called, and a ``send()`` that waits is given up: on hypercorn (0.18, HTTP/2)
    it would never return. From then on nothing is sent; granian logs a line for each message that is.
    """

    __slots__ = ("_abort", "_gives_up", "_left", "_listening", "_send", "_sender", "_task", "_watches")

    def __init__(self, watches: Watches, listening: Listening, send: Send, abort: Callable[[], None]) -> None:
        self._watches = watches
        self._listening = listening
        self._send = send
        self._abort = abort
        self._left = False
        self._task: asyncio.Task[None] | None = None
        # The task that is in send(), and whether leave() has cancelled it there.
        self._sender: asyncio.Task[object] | None = None
        self._gives_up = False
        watches.add(self)

    def start(self) -> asyncio.Task[None]:
        """Begins to listen now, if that has not begun."""
        if self._task is None:
            self._watches.discard(self)
            self._task = asyncio.get_running_loop().create_task(self._listening(self.leave))
        return self._task

    async def has_left(self) -> bool:
        """Whether the client has left; the server has ``SAYS`` seconds to say so."""
        await until_done(self.start(), SAYS)
        return self._left

    def cancel(self) -> None:
        """Ends the listening. Nobody calls ``start()`` or ``has_left()`` after it, which would begin it anew.

        ``send()`` and ``leave()`` do what they did before.
        """
        if self._task is None:
            self._watches.discard(self)
        else:
            self._task.cancel()
            # A cancelled task keeps its exception, whose traceback leads back here, and to the server's send(): a
            # circle that would be left to the garbage collector.
            self._task = None

    def leave(self) -> None:
        """The client has left."""
        self._abort()
        self._left = True
        if self._sender is not None and not self._gives_up:
            self._gives_up = True
            self._sender.cancel()

    async def send(self, message: Message) -> None:
        """As the server's ``send()``, as long as the client is there.

        Two may cancel the task in one turn of the loop: ``leave()``, and the server. The task gets one
        ``CancelledError`` for both. Only the number of requests to cancel tells that there was a second one. So it is
        compared with the number on entry, and the server's cancellation is passed on, whichever of the two came
        first.
        """
        if self._left:
            return
        self._sender = task = (
            asyncio.current_task()
        )  # None on a server that runs coroutines by itself, as granian
        before = 0 if task is None else task.cancelling()
        try:
            await self._send(message)
        except asyncio.CancelledError:
            if task is None or not self._gives_up or task.cancelling() > before + 1:
                raise
        finally:
            self._sender = None
            if task is not None and self._gives_up:
                task.uncancel()
