"""One ASGI app with each framework's app behind bridge, mounted at ``/flask``, ``/django`` and so on.

The mount is the one of the ASGI specification: ``root_path`` grows by the prefix, ``path`` keeps it.
"""

from typing import Any

from bridge import WsgiToAsgi
from bridge.types import Receive, Scope, Send
from tests.integration.apps.native_site import FRAMEWORKS
from tests.support.validation import validated

__all__ = ["FRAMEWORKS", "app"]


MOUNTS = {name: WsgiToAsgi(validated(wsgi_app)) for name, wsgi_app in FRAMEWORKS.items()}


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Call the app whose name the path begins with, below the server's own root path."""
    if scope["type"] == "lifespan":
        # Each adapter has its own threads, so each hears of the shutdown: from the first one's lifespan on.
        await _lifespan(receive, send)
        return
    root = scope.get("root_path", "")
    name = scope["path"].removeprefix(root).split("/")[1]
    await MOUNTS[name]({**scope, "root_path": f"{root}/{name}"}, receive, send)


async def _lifespan(receive: Receive, send: Send) -> None:
    """Answer the server, and pass the shutdown on to every mounted app."""
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    for mount in MOUNTS.values():
        events = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

        async def next_event(events: Any = events) -> Any:
            return next(events)

        async def ignore(message: Any) -> None:
            assert message["type"].endswith(".complete"), message

        await mount({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, next_event, ignore)
    await send({"type": "lifespan.shutdown.complete"})
