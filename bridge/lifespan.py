"""The lifespan protocol (ASGI specification, "Lifespan Protocol"), from the server's side.

``Lifespan`` runs it for an ASGI app. It knows its loop only as the one that its coroutines run on: whose loop that is,
and in which thread it runs, is the caller's affair.

How its waits end. An app may take its time for its first startup, to load a model perhaps: uvicorn sets no limit
either. One that says nothing for ``SILENCE`` seconds is named in the log. Each other wait is bounded: that for a
startup with a ``limit``, that for the shutdown, and that for an app that was cancelled.
"""

import asyncio
import enum
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Literal

from .errors import ApplicationError, LifespanError
from .types import ASGIApp, Message, Receive, Send

__all__ = ["Lifespan", "LifespanMode", "answer_lifespan"]

LifespanMode = Literal["auto", "on", "off"]

logger = logging.getLogger("bridge")

# Seconds without an answer after which the log says what is waited for.
SILENCE = 10.0
# Seconds that the app has for its shutdown, before it is cancelled: as many as on hypercorn.
SHUTDOWN_LIMIT = 60.0
# Seconds that the app has for its way out after shutdown.complete, before it is cancelled; and after that.
_LINGER = 5.0
# Rounds of the loop that a task which is about to end has for it, before it is taken for left behind.
_ROUNDS = 3

# What to do about an app that does not answer its startup.
_ADVICE = (
    "; no request is served before. One that has no lifespan has to say so by an exception, or to be wrapped: "
    "AsgiToWsgi(app, lifespan='off')"
)
# What an app, or a middleware, sends that does not look at the scope's type.
_FOREIGN = ("http.", "websocket.")


class _Stage(enum.Enum):
    """How far the app is."""

    #: It was not called yet.
    NEW = "new"
    #: It is to answer startup.
    STARTING = "starting"
    #: Startup is complete: the app waits for shutdown.
    RUNNING = "running"
    #: It is to answer shutdown.
    STOPPING = "stopping"
    #: It is over: the app has given its last answer, or does not answer lifespan.
    ENDED = "ended"


class Lifespan:
    """One run of an app's lifespan: ``await startup()``, later ``await shutdown()``, both on the same loop."""

    def __init__(self, app: ASGIApp, mode: LifespanMode, label: str = "") -> None:
        """``label`` stands before what is said of the app, where there are several."""
        #: What the app keeps for its requests; each scope has a shallow copy.
        self.state: dict[str, Any] = {}
        #: The app was cancelled, and runs on.
        self.left_behind = False
        self._label = label
        self._app = app
        self._mode = mode
        self._stage = _Stage.NEW
        self._task: asyncio.Task[None] | None = None
        # Set when the app has answered the event that it was given.
        self._answered = asyncio.Event()
        # Set when the app is to get lifespan.shutdown.
        self._shutdown = asyncio.Event()
        self._receives = 0
        self._failed: str | None = None
        # What it sent in place of an answer.
        self._foreign: str | None = None
        # It failed between startup and shutdown, and the log has said so.
        self._failed_early = False

    def __repr__(self) -> str:
        return f"<Lifespan {self._stage.value}>"

    @property
    def running(self) -> bool:
        """Whether the startup is complete and the shutdown is still to come."""
        return self._stage is _Stage.RUNNING

    async def startup(self, limit: float | None = None) -> None:
        """Run the app until it says that its startup is complete, for ``limit`` seconds if that is given.

        An app that ends without an answer, raises an ``Exception``, or sends a message of HTTP or WebSocket has no
        lifespan.

        Raises:
            LifespanError: the app says that its startup failed, or means to end the process (``SystemExit``, where the
                loop goes on after it); it does not answer in time; or, with
            ``"on"``, it has no lifespan.
        """
        self._stage = _Stage.STARTING
        self._task = task = asyncio.get_running_loop().create_task(self._run(), name="lifespan")
        try:
            answered = await self._answer("lifespan.startup", limit, _ADVICE)
        except asyncio.CancelledError:
            self._stage = _Stage.ENDED  # even if it has just answered
            task.cancel()
            raise
        if self._stage is _Stage.RUNNING:
            # If it has ended already, this is called all the same.
            task.add_done_callback(self._note_end)
            return
        self._stage = _Stage.ENDED
        # Who has said that the startup failed may have an error to raise; the others are of no more use.
        await self._end_task(0.0 if self._failed is None else _LINGER)
        exc = self.error
        why = self._foreign or ("it ended" if exc is None else repr(exc))
        if self._failed is not None:
            error = f"the application's startup failed: {self._failed or 'it does not say why'}"
        elif not answered:
            error = f"the application has not answered lifespan.startup for {limit} s; it was cancelled"
        elif exc is not None and not isinstance(exc, Exception):
            error = f"the application's startup raised {exc!r}"
        elif self._mode == "on":
            error = f"the application does not answer lifespan ({why}), and lifespan is 'on'"
        else:
            logger.info("%sthe application does not answer lifespan (%s): going on without", self._label, why)
            return
        error = self._label + error
        # Starlette's message is the traceback, and then it raises as well.
        logger.error("%s", error, exc_info=None if "Traceback" in error else exc)
        raise LifespanError(error) from exc

    async def tasks_beside(self) -> set[asyncio.Task[Any]]:
        """The tasks on the loop beside the app's own; those that are about to end have a few rounds to do so."""
        for _ in range(_ROUNDS):
            await asyncio.sleep(0)
        return asyncio.all_tasks() - {self._task, asyncio.current_task()}

    async def shutdown(self) -> bool:
        """Tell the app to shut down, and wait until it has, for ``SHUTDOWN_LIMIT`` seconds; then it is cancelled.

        What goes wrong is logged. Return whether all went well. If this is cancelled, another call waits on.
        """
        if self._stage is _Stage.RUNNING:
            self._stage = _Stage.STOPPING
            self._answered.clear()
            self._shutdown.set()
        elif self._stage is not _Stage.STOPPING:
            return True
        answered = await self._answer("lifespan.shutdown", SHUTDOWN_LIMIT)
        await self._end_task(_LINGER if answered else 0.0)
        self._stage = _Stage.ENDED
        if not answered:
            logger.error(
                "%sthe application has not answered lifespan.shutdown for %s s; it was cancelled",
                self._label,
                SHUTDOWN_LIMIT,
            )
            return False
        if self._failed_early:
            return False
        if self._failed is not None:
            why = self._failed or "it does not say why"
            logger.error("%sthe application's shutdown failed: %s", self._label, why)
            return False
        if (exc := self.error) is not None:
            logger.error("%sthe application failed at shutdown", self._label, exc_info=exc)
            return False
        return True

    def _note_end(self, _task: object) -> None:
        """Log at once that an app has failed between startup and shutdown: with it ends what it runs for requests."""
        exc = self.error
        if self._stage is _Stage.RUNNING and (exc is not None or self._failed is not None):
            self._failed_early = True
            why = "" if exc is not None else f": {self._failed or 'it does not say why'}"
            logger.error(
                "%sthe application's lifespan failed before its shutdown%s", self._label, why, exc_info=exc
            )

    # The app's side.

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        await self._app(scope, self._receive, self._send)

    async def _receive(self) -> Message:
        self._receives += 1
        if self._receives == 1:
            return {"type": "lifespan.startup"}
        await self._shutdown.wait()
        if self._receives > 2:
            # There is no third event: who asks for one waits until it is cancelled.
            await asyncio.get_running_loop().create_future()
        return {"type": "lifespan.shutdown"}

    async def _send(self, message: Message) -> None:
        try:
            kind = message["type"]
        except (TypeError, KeyError):
            raise ApplicationError(
                "lifespan: what was sent has no 'type'; ASGI wants a dictionary with one (specification, \"Events\")"
            ) from None
        # The first answer to an event counts: who has failed can't say after it that all is well.
        match kind, self._stage:
            case "lifespan.startup.complete", _Stage.STARTING:
                self._stage = _Stage.RUNNING
            case "lifespan.startup.failed", _Stage.STARTING:
                self._stage = _Stage.ENDED
                self._failed = _reason(message)
            case "lifespan.shutdown.complete", _Stage.STOPPING:
                self._stage = _Stage.ENDED
            case "lifespan.shutdown.failed", _Stage.STOPPING:
                self._stage = _Stage.ENDED
                self._failed = _reason(message)
            # Starlette says so of a lifespan whose tasks fail, before it raises their error.
            case "lifespan.shutdown.failed", _Stage.RUNNING:
                self._failed = _reason(message)
            case str(), _Stage.STARTING if kind.startswith(_FOREIGN):
                # It can't go on, and says no more: the answer stands.
                self._stage = _Stage.ENDED
                self._foreign = f"it sent {kind!r}"
                self._answered.set()
                raise ApplicationError(f"lifespan: {kind!r} was sent in answer to 'lifespan.startup'")
            case _:
                raise ApplicationError(
                    f"lifespan: {kind!r} was sent while the application is {self._stage.value}"
                )
        self._answered.set()

    # The server's side.

    async def _answer(self, event: str, limit: float | None, advice: str = "") -> bool:
        """Wait until the app answers, or ends; ``False``: it did neither within ``limit`` seconds."""
        task = self._task
        if task is None:
            raise RuntimeError("the lifespan was not started")
        answer = asyncio.get_running_loop().create_task(self._answered.wait())
        either = {task, answer}
        silence = SILENCE if limit is None else min(SILENCE, limit)
        try:
            done, _ = await asyncio.wait(either, timeout=silence, return_when=asyncio.FIRST_COMPLETED)
            if not done and silence != limit:
                logger.warning(
                    "%sthe application has not answered %s for %s s, and is waited for%s",
                    self._label,
                    event,
                    silence,
                    advice,
                )
                rest = None if limit is None else limit - silence
                await asyncio.wait(either, timeout=rest, return_when=asyncio.FIRST_COMPLETED)
        finally:
            answer.cancel()
        return task.done() or self._answered.is_set()

    async def _end_task(self, linger: float) -> None:
        """Wait for the app's end for ``linger`` seconds, then cancel it."""
        task = self._task
        if task is None or task.done():
            return
        await asyncio.wait({task}, timeout=linger)
        if not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=_LINGER)
        if not task.done():
            self.left_behind = True
            logger.error(
                "%sthe application's lifespan was cancelled, and runs on; it is left behind", self._label
            )

    @property
    def error(self) -> BaseException | None:
        """What the app raised, once it has ended."""
        task = self._task
        if task is None or not task.done() or task.cancelled():
            return None
        return task.exception()


def _reason(message: Message) -> str:
    """Why the app failed, empty where it does not say. ``None`` is what some send then."""
    return str(message.get("message") or "")


async def answer_lifespan(
    receive: Receive,
    send: Send,
    startup: Callable[[], Awaitable[None]],
    shutdown: Callable[[], Awaitable[None]],
) -> None:
    """Answer lifespan for an app that has none, a WSGI app: the application's side of the protocol."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await startup()
            await send({"type": "lifespan.startup.complete"})
        else:
            await shutdown()
            await send({"type": "lifespan.shutdown.complete"})
            return
