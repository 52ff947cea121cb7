"""The exceptions of bridge: one tree, split by whose fault it is.

    BridgeError
    ├── ApplicationError      the application broke PEP 3333 or ASGI
    │   └── ApplicationExit   it raised what may not end a server: SystemExit
    ├── ClientDisconnected    the client left before the request's or response's end
    │   └── ConnectionClosed  a WebSocket is closed, by whichever side
    ├── RequestBodyTooLarge   the client sent more than max_body_size
    ├── Overloaded            nobody's: all threads are busy, the backlog is full
    └── LifespanError         the ASGI application's startup failed

What an application raises itself is passed on as it is, never wrapped, as long as it is an ``Exception``.
"""

__all__ = [
    "ApplicationError",
    "ApplicationExit",
    "BridgeError",
    "ClientDisconnected",
    "ConnectionClosed",
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


class ConnectionClosed(ClientDisconnected):
    """A WebSocket is closed: raised by its ``receive()`` and ``send()``, whichever side closed it.

    An app that lets it pass has simply ended; bridge logs nothing. Flask and Django, which get it from a view before,
    log it as an error unless the view, or an error handler, takes it.

    Attributes:
        code: of RFC 6455, section 7.4: 1000 for a normal end, 1001 for a page that was left or a server that stops,
            1005 where the client sent none, 1006 for a connection that was lost.
        reason: a text of up to 123 bytes, often empty.
    """

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        # The reason is the client's text: where this is logged, it begins no line of the log.
        return f"the WebSocket is closed: {self.code}" + (f" ({self.reason!r})" if self.reason else "")


class RequestBodyTooLarge(BridgeError, OSError):
    """The request body is longer than ``max_body_size``; the client gets 413 unless the app answers itself.

    It is an ``OSError`` for the same reason as ``ClientDisconnected``.
    """


class Overloaded(BridgeError):
    """All threads are busy and the backlog is full; the client gets 503."""


class LifespanError(BridgeError):
    """The ASGI application's lifespan startup failed, or it does not answer lifespan and ``lifespan="on"``."""
