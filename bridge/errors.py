"""The exceptions of bridge: one tree, split by whose fault it is.

    BridgeError
    ├── ApplicationError        the application broke PEP 3333 or the ASGI specification
    │   └── ApplicationExit     it raised what may not end a server: SystemExit, KeyboardInterrupt, StopIteration
    ├── ClientDisconnected      the client left before its request or its response was complete
    ├── RequestBodyTooLarge     the client sent more than ``max_body_size``
    ├── Overloaded              nobody's: no thread is free, and ``backlog`` requests wait already
    └── LifespanError           the ASGI application's startup failed

What an application raises itself is passed on as it is, never wrapped, as long as it is an ``Exception``.
"""

__all__ = [
    "ApplicationError",
    "ApplicationExit",
    "BridgeError",
    "ClientDisconnected",
    "LifespanError",
    "Overloaded",
    "RequestBodyTooLarge",
]


class BridgeError(Exception):
    """The root of everything that bridge itself raises."""


class ApplicationError(BridgeError, RuntimeError):
    """The application broke a rule of its interface; the message names the mistake and the rule."""


class ApplicationExit(ApplicationError):
    """The application raised ``SystemExit`` or its like, which ends one request and must not end the server.

    What it raised is the ``__cause__``.
    """


class ClientDisconnected(BridgeError, ConnectionError):
    """The client left: raised by ``wsgi.input`` when the body can't be complete, and by ``write()``.

    It is an ``OSError``, because that is what frameworks expect from a broken request body: Django makes it an
    ``UnreadablePostError``, Werkzeug a ``ClientDisconnected``.
    """


class RequestBodyTooLarge(BridgeError, OSError):
    """The request body is longer than ``max_body_size``; the client gets 413 unless the app answers itself.

    It is an ``OSError`` for the same reason as ``ClientDisconnected``.
    """


class Overloaded(BridgeError):
    """All threads are busy and the backlog is full; the client gets 503."""


class LifespanError(BridgeError):
    """The ASGI application's lifespan startup failed, or it does not answer lifespan and ``lifespan="on"``."""
