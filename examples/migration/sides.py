"""Which side of the bridge called, and on which thread: told from what the bridge puts into an environ and a scope.

Each part of the site says it of each response, in two headers: ``X-Served-By`` for people with curl, and
``Server-Timing`` for the page, which browsers let a page read of all that it loads.
"""

import threading
from collections.abc import Mapping, MutableMapping
from time import perf_counter
from typing import Any

__all__ = ["HEADER", "TIMING", "side_of_environ", "side_of_scope", "timing", "way_of_environ", "way_of_scope"]

#: The response header in which each part says who it is and how it was called.
HEADER = "X-Served-By"
#: The one in which it says where the request ran, and for how long: https://www.w3.org/TR/server-timing/.
TIMING = "Server-Timing"


def side_of_environ(environ: Mapping[str, Any]) -> str:
    """How the server got to a WSGI app."""
    return "WSGI through WsgiToAsgi" if "asgi.scope" in environ else "WSGI directly"


def side_of_scope(scope: MutableMapping[str, Any]) -> str:
    """How the server got to an ASGI app."""
    return "ASGI through AsgiToWsgi" if "wsgi_environ" in scope else "ASGI directly"


def way_of_environ(environ: Mapping[str, Any]) -> str:
    """On which thread a WSGI app was called. To be asked on that thread."""
    thread = threading.current_thread().name
    if "asgi.scope" in environ:
        return f"handed over by the server's loop to the thread {thread}"
    return f"in the server's own thread {thread}"


def way_of_scope(scope: MutableMapping[str, Any]) -> str:
    """On which event loop an ASGI app was called. To be asked in its coroutine."""
    thread = threading.current_thread().name
    if "wsgi_environ" in scope:
        return f"on a loop of its own, in the server's thread {thread}"
    return f"on the server's loop, in the thread {thread}"


def timing(framework: str, method: str, way: str, started: float) -> str:
    """What ``TIMING`` says; ``started`` is what ``perf_counter()`` said when the app was called."""
    milliseconds = (perf_counter() - started) * 1000
    return f'framework;desc={framework}, method;desc={method}, app;dur={milliseconds:.2f}, way;desc="{way}"'
