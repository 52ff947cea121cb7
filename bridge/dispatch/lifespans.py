"""The lifespans of several apps as the one of a site (ASGI specification, "Lifespan Protocol").

They start one after the other, in the order in which they are mounted, and are shut down in reverse. An app that does
not answer lifespan is gone on without, as servers do. All of this is on the loop that the server runs the lifespan on.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from ..errors import LifespanError
from ..lifespan import Lifespan, LifespanMode
from ..types import ASGIApp, Receive, Send

__all__ = ["LifespanPart", "States", "run_lifespans"]

#: The ``state`` of each app that has one, by the ``id()`` of the app, which whoever has these keeps alive.
States: TypeAlias = Mapping[int, dict[str, Any]]


class LifespanPart(NamedTuple):
    """An app, where it is mounted, and what is expected of it, as for ``AsgiToWsgi``."""

    prefix: str
    app: ASGIApp
    mode: LifespanMode = "auto"


async def run_lifespans(
    parts: Sequence[LifespanPart], receive: Receive, send: Send, publish: Callable[[States], None]
) -> None:
    """Answer the server for the lifespans of all ``parts``, from the startup to the shutdown.

    If a startup fails, those before it are shut down, and the server is told which one failed, and why. If a shutdown
    fails, the others still have theirs.

    Args:
        parts: the apps, each once.
        receive, send: the server's.
        publish: gets the states when all have started, before the server is told.
    """
    await receive()  # lifespan.startup; a server has nothing else to say
    running: list[tuple[str, Lifespan]] = []
    try:
        states: dict[int, dict[str, Any]] = {}
        for prefix, app, mode in parts:
            if mode == "off":
                continue
            lifespan = Lifespan(app, mode, label=f"{prefix}: ")
            try:
                await lifespan.startup()
            except LifespanError as exc:
                await _shut_down(running)
                await send({"type": "lifespan.startup.failed", "message": str(exc)})
                return
            if lifespan.running:
                running.append((prefix, lifespan))
                states[id(app)] = lifespan.state
        publish(states)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        failed = await _shut_down(running)
    finally:
        # A server that is cancelled, or that fails: what has been started is shut down all the same.
        await _shut_down(running)
    if failed:
        message = f"the shutdown failed of what is mounted at {', '.join(failed)}; the log says why"
        await send({"type": "lifespan.shutdown.failed", "message": message})
    else:
        await send({"type": "lifespan.shutdown.complete"})


async def _shut_down(running: list[tuple[str, Lifespan]]) -> list[str]:
    """Shut down and forget each, the last one first; return where it failed."""
    failed = []
    while running:
        prefix, lifespan = running.pop()
        if not await lifespan.shutdown():
            failed.append(prefix)
    return failed
