"""The lifespan protocol (ASGI specification, "Lifespan Protocol"), from the server's side.

``Lifespan`` runs it for an ASGI app. It knows its loop only as the one that its coroutines run on: who has
the loop, and in which thread it runs, is the caller's affair.
"""

import asyncio
import enum
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Literal

from ._types import ASGIApp, Message, Receive, Send
from .errors import ApplicationError, LifespanError

__all__ = ["Lifespan", "LifespanMode", "answer_lifespan"]

LifespanMode = Literal["auto", "on", "off"]

logger = logging.getLogger("bridge")

# Seconds that the app has for its way out after shutdown.complete, before it is cancelled.
_LINGER = 5


class _Phase(enum.Enum):
    NEW = "new"
    STARTING = "starting"
    #: Startup is complete: the app waits for shutdown.
    RUNNING = "running"
    STOPPING = "stopping"
    #: It is over, or the app does not answer lifespan.
    ENDED = "ended"


class Lifespan:
    """One run of an app's lifespan: ``await startup()``, later ``await shutdown()``, both on the same loop.

    Attributes:
        state: what the app keeps for its requests; each scope has a shallow copy.
    """

    def __init__(self, app: ASGIApp, mode: LifespanMode, label: str = "") -> None:
        """``label`` stands before what is said of the app, where there are several."""
        self._label = label
        self.state: dict[str, Any] = {}
        self._app = app
        self._mode = mode
        self._phase = _Phase.NEW
        self._task: asyncio.Task[None] | None = None
        # The app's answer to the event that it was given, and what it was given to be answered.
        self._answered = asyncio.Event()
        self._shutdown = asyncio.Event()
        self._receives = 0
        self._failed: str | None = None

    def __repr__(self) -> str:
        return f"<Lifespan {self._phase.value}>"

    @property
    def running(self) -> bool:
        """Whether the startup is complete and the shutdown is still to come."""
        return self._phase is _Phase.RUNNING

    async def startup(self) -> None:
        """Run the app until it says that its startup is complete.

        Raises:
            LifespanError: the app says that its startup failed; or, with ``"on"``, it does not answer
            lifespan.
        """
        self._phase = _Phase.STARTING
        self._task = task = asyncio.get_running_loop().create_task(self._run(), name="lifespan")
        try:
            await self._answer()
        except asyncio.CancelledError:
            task.cancel()
            raise
        if self._phase is _Phase.RUNNING:
            return
        self._phase = _Phase.ENDED
        if self._failed is not None:
            await self._end_task()
            error = f"{self._label}the application's startup failed: {self._failed or 'it does not say why'}"
            exc = self._exception()
            # Starlette's message is the traceback, and then it raises as well.
            logger.error("%s", error, exc_info=None if "Traceback" in error else exc)
            raise LifespanError(error) from exc
        exc = self._exception()
        if self._mode == "on":
            error = f"{self._label}the application does not answer lifespan, and lifespan is 'on'"
            logger.error("%s", error, exc_info=exc)
            raise LifespanError(error) from exc
        logger.info("%sthe application does not answer lifespan (%r): going on without", self._label, exc)

    async def shutdown(self) -> bool:
        """Tell the app to shut down, and wait until it has; what goes wrong is logged. Return whether all went well."""
        if self._phase is not _Phase.RUNNING:
            return True
        self._phase = _Phase.STOPPING
        self._answered.clear()
        self._shutdown.set()
        await self._answer()
        await self._end_task()
        self._phase = _Phase.ENDED
        if self._failed is not None:
            why = self._failed or "it does not say why"
            logger.error("%sthe application's shutdown failed: %s", self._label, why)
            return False
        if (exc := self._exception()) is not None:
            logger.error("%sthe application failed at shutdown", self._label, exc_info=exc)
            return False
        return True

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
        kind = message["type"]
        match kind, self._phase:
            case "lifespan.startup.complete", _Phase.STARTING:
                self._phase = _Phase.RUNNING
            case "lifespan.startup.failed", _Phase.STARTING:
                self._failed = message.get("message", "")
            case "lifespan.shutdown.complete", _Phase.STOPPING:
                pass
            case "lifespan.shutdown.failed", _Phase.STOPPING:
                self._failed = message.get("message", "")
            case _:
                raise ApplicationError(
                    f"lifespan: {kind!r} was sent while the application is {self._phase.value}"
                )
        self._answered.set()

    # The server's side.

    async def _answer(self) -> None:
        """Wait until the app answers, or ends."""
        task = self._task
        if task is None:
            raise RuntimeError("the lifespan was not started")
        answer = asyncio.get_running_loop().create_task(self._answered.wait())
        try:
            await asyncio.wait({task, answer}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            answer.cancel()

    async def _end_task(self) -> None:
        if self._task is not None:
            _, pending = await asyncio.wait({self._task}, timeout=_LINGER)
            for task in pending:
                task.cancel()
                await asyncio.wait({task})

    def _exception(self) -> BaseException | None:
        task = self._task
        if task is None or not task.done() or task.cancelled():
            return None
        return task.exception()


async def answer_lifespan(
    receive: Receive,
    send: Send,
    startup: Callable[[], Awaitable[None]],
    shutdown: Callable[[], Awaitable[None]],
) -> None:
    """Answers lifespan for an app that has none, a WSGI app: the application's side of the protocol."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await startup()
            await send({"type": "lifespan.startup.complete"})
        else:
            await shutdown()
            await send({"type": "lifespan.shutdown.complete"})
            return
