"""bridge: WSGI apps on ASGI servers, and ASGI apps on WSGI servers.

What is public: the names in ``__all__`` here, ``bridge.errors``, ``bridge.compat`` and ``bridge.metrics``.
Everything else may change with any release.

How the package is laid out. A folder imports from those above it and from no other, and inside a folder nothing goes
round in a circle; ``python -m tests.layers`` prints who imports whom:

errors, types, log           one tree of exceptions; the types of both interfaces; where errors go
kind, lifespan               telling a WSGI app from an ASGI app; the lifespan protocol from the server's side
processes                    whether other processes serve the app
mapping/                     scope <-> environ, status, headers, paths: pure functions
threads/                     worker threads, and waking a loop from them
to_asgi/                     a WSGI app on an ASGI server: ``WsgiToAsgi``
to_wsgi/                     an ASGI app on a WSGI server: ``AsgiToWsgi``; it and ``to_asgi/`` don't know each other
dispatch/                    several apps of either kind as one: ``Dispatcher``
compat                       the names and parameters of a2wsgi and asgiref
metrics                      figures of adapters for Prometheus
cli/                         the command ``bridge``
check/                       its part ``bridge check``: does an app behave the same through the bridge?
"""

from .dispatch.dispatcher import Dispatcher, Mount
from .errors import (
    ApplicationError,
    ApplicationExit,
    BridgeError,
    ClientDisconnected,
    ConnectionClosed,
    LifespanError,
    Overloaded,
    RequestBodyTooLarge,
)
from .to_asgi.adapter import WsgiToAsgi
from .to_asgi.stats import WsgiToAsgiStats
from .to_asgi.websocket.blocking import WebSocket
from .to_wsgi.adapter import AsgiToWsgi
from .to_wsgi.stats import AsgiToWsgiStats

__all__ = [
    "ApplicationError",
    "ApplicationExit",
    "AsgiToWsgi",
    "AsgiToWsgiStats",
    "BridgeError",
    "ClientDisconnected",
    "ConnectionClosed",
    "Dispatcher",
    "LifespanError",
    "Mount",
    "Overloaded",
    "RequestBodyTooLarge",
    "WebSocket",
    "WsgiToAsgi",
    "WsgiToAsgiStats",
]

__version__ = "0.1.0"
