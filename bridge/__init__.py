"""bridge: WSGI apps on ASGI servers, and ASGI apps on WSGI servers.

How the package is laid out; lower layers never import higher ones, and the two adapters never import each other:

0  errors, _types                                   one tree of exceptions; the types of both interfaces
   _log, _hidden, _waiting                          where errors go; what prints nothing of itself; waiting for a future
1  _mapping, _environ, _scope, _tls                 scope <-> environ, status, headers: pure functions
   _chain, _processes                               an app below both adapters; whether other processes serve the app
   _prefixes, _importing, _kind                     paths under prefixes; finding an app, telling its kind
   _asyncio_names, _loop_threads, _greenlets        asyncio's private names; a loop's threads; greenlets for threads
2  _body, _channel, _pool, _executor_pool           WSGI app: its body, the hand-over to the loop, its threads
   _file                                            WSGI app: its files
   _request, _exchange, _iterables, _heads          ASGI app: its body, its response, what the server gets
   _kept_loops, _loops, _loop_mode                  ASGI app: its loops, and which of them
3  _call, _watch, _cut                              WSGI app: one call; a client that leaves; a response that breaks off
   _response, _sending, _daphne                     WSGI app: sending a response
   _collect, _refusal, _busy                        WSGI app: collecting a body; own answers; a full pool
   _wires                                           WSGI app: what it has for each loop that calls it
   _inbox, _relay, _websocket, _websocket_session   WSGI app: its WebSockets
   _request_loop, _shared_loop, _loop_hints         ASGI app: one request, on its own loop or on the shared one
   _lifespan, _lifespans                            answering it for a WSGI app, running it for ASGI apps
   _attempts, _lifespan_loop                        ASGI app: who starts its lifespan, on which loop
4  to_asgi, to_wsgi                                 WsgiToAsgi, AsgiToWsgi
5  dispatch, _mounts                                Dispatcher
   compat                                           the names and parameters of a2wsgi and asgiref
   _fallback, _fallback_wsgi, _tape                 asking the next app where the first one answers 404
6  cli, _servers, _target, _serve_target, _root_path, _wsgiref        the command line
"""

from ._websocket import WebSocket
from .dispatch import Dispatcher, Mount
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
from .to_asgi import WsgiToAsgi
from .to_wsgi import AsgiToWsgi

__all__ = [
    "ApplicationError",
    "ApplicationExit",
    "AsgiToWsgi",
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
]

__version__ = "0.1.0"
