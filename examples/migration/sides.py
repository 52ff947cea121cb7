"""Which side of the bridge called, told from what the bridge puts into an environ and into a scope."""

from collections.abc import Mapping, MutableMapping
from typing import Any

__all__ = ["HEADER", "side_of_environ", "side_of_scope"]

#: The response header in which each part says who it is and how it was called.
HEADER = "X-Served-By"


def side_of_environ(environ: Mapping[str, Any]) -> str:
    """How the server got to a WSGI app."""
    return "WSGI through WsgiToAsgi" if "asgi.scope" in environ else "WSGI directly"


def side_of_scope(scope: MutableMapping[str, Any]) -> str:
    """How the server got to an ASGI app."""
    return "ASGI through AsgiToWsgi" if "wsgi_environ" in scope else "ASGI directly"
