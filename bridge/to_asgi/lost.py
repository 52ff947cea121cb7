"""The log lines of an app's errors that reach no server: nobody waits for the response of that request any more.

What says no more than that the client has left is the client's, and no error of the app.
"""

import logging
from typing import Any

from ..errors import ClientDisconnected, RequestBodyTooLarge
from ..log import log_app_error, request_name, scope_name
from ..types import Scope

__all__ = ["is_of_client", "log_beside", "log_late", "log_of_close"]

logger = logging.getLogger("bridge")

#: What Werkzeug and Django make of an error of ``wsgi.input``.
_OF_CLIENT = frozenset({"ClientDisconnected", "UnreadablePostError"})


def is_of_client(error: BaseException) -> bool:
    """Whether ``error`` of an app says no more than that its client has left, or has sent too much.

    What it was raised from does not count: an error in a ``finally`` that ``ClientDisconnected`` passes is the app's.
    """
    return isinstance(error, (ClientDisconnected, RequestBodyTooLarge)) or type(error).__name__ in _OF_CLIENT


# ``method`` and ``path`` name the request; ``errors`` is its ``wsgi.errors``, None where it has none.


def log_late(error: BaseException, method: str, path: str, errors: Any) -> None:
    """The app failed when its client had left, or the server had given the request up, or ``write()`` had it all."""
    name = request_name(method, path)
    if is_of_client(error):
        logger.debug("%s: the client left, and the WSGI app ended with %r", name, error)
    else:
        log_app_error(
            "%s: the WSGI app raised an error; its client had left, or had all of the response",
            name,
            error=error,
            errors=errors,
        )


def log_of_close(error: BaseException, method: str, path: str, errors: Any) -> None:
    """The iterable's ``close()`` failed, when the response was out."""
    name = request_name(method, path)
    if is_of_client(error):
        logger.debug("%s: the client left, and close() of the response ended with %r", name, error)
    else:
        log_app_error("%s: close() of the response raised an error", name, error=error, errors=errors)


def log_beside(error: BaseException, scope: Scope) -> None:
    """The app had handed its error over when something else ended the request."""
    if not is_of_client(error):
        log_app_error(
            "%s: the WSGI app raised an error; its client had left, or the server could not send the response",
            scope_name(scope),
            error=error,
            errors=None,
        )
