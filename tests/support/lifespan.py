"""Runs the lifespan of an app, which ends what the app has started."""

from bridge.types import ASGIApp
from tests.support.asgi import Exchange

__all__ = ["run_lifespan"]


async def run_lifespan(app: ASGIApp) -> None:
    """Start the app's lifespan and shut it down at once; ``AssertionError`` if either fails."""
    events = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    lifespan = Exchange(app, {"type": "lifespan", "asgi": {"version": "3.0"}}, events)
    await lifespan.run()
    types = [message["type"] for message in lifespan.messages]
    assert types == ["lifespan.startup.complete", "lifespan.shutdown.complete"], lifespan.messages
