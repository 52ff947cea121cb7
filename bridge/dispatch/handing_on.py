"""Handing a request on to the next app: what the ASGI side and the WSGI side of it share.

That is which answers are dropped, how much of a body is kept in memory for the next app, and what the log says of an
app that fails when its answer has been dropped.

Early hints (103). An app's hints go to the client as they come, also where its answer is dropped later. They promise
nothing: "they do not replace the header fields on the final response" (RFC 8297, section 2), and a server may learn
only after them that they were wrong. At worst a client fetches something for nothing; hints that wait for the answer
are of no use to anybody. Once its answer is dropped, no hint of an app goes out.
"""

from typing import Any

from ..log import log_app_error, request_name

__all__ = ["IN_MEMORY", "NOT_HERE", "log_dropped"]

#: The statuses that hand a request on.
NOT_HERE = frozenset({404, 405})

#: Bytes of a body that are kept in memory for the next app; the rest goes to a temporary file.
IN_MEMORY = 131072


def log_dropped(what: str, place: str, method: str, path: str, error: Exception, errors: Any = None) -> None:
    """Log what an app raised after its answer had been dropped: nobody else hears of it.

    Args:
        what: what has failed: "the application", or its ``close()``.
        place: where it is mounted.
        method, path: of the request.
        errors: its ``wsgi.errors``; ``None``: there is none.
    """
    log_app_error(
        "%s: %s at %r failed after its answer had been dropped",
        request_name(method, path),
        what,
        place,
        error=error,
        errors=errors,
    )
