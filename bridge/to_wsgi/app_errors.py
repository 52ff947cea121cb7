"""Errors of an app: what they say of it, and where one goes that nobody can be told of any more."""

import contextvars
import logging
import sys
from collections.abc import Iterator
from typing import Any

from ..errors import ClientDisconnected
from ..log import log_app_error

__all__ = ["chain", "log_late_error", "note_trio", "raised_by"]

logger = logging.getLogger("bridge")


def log_late_error(
    error: BaseException,
    request: str,
    errors: Any,
    status: str,
    context: contextvars.Context | None,
    *,
    gone: bool,
) -> None:
    """Log what an app raised when nobody could be told any more.

    Args:
        error: what it raised.
        request: its name, for the log.
        errors: the request's ``wsgi.errors``.
        status: of the response that is complete.
        context: the app's, at its end.
        gone: its client had left; that it couldn't send is then no news.
    """
    if context is not None:
        context.run(log_late_error, error, request, errors, status, None, gone=gone)
    elif gone and _is_of_client(error):
        logger.debug("%s: the client left, and the application ended with %r", request, error)
    elif gone:
        log_app_error(
            "%s: the application failed after its client had left", request, error=error, errors=errors
        )
    else:
        log_app_error(
            "%s: the application raised an error; it had answered with %r",
            request,
            status,
            error=error,
            errors=errors,
        )


# What frameworks raise for http.disconnect: Starlette, Django, Litestar. Quart cancels.
_DISCONNECTS = {"ClientDisconnect", "RequestAborted", "ClientDisconnectedException"}


def _is_of_client(error: BaseException) -> bool:
    """Whether ``error`` of an app says that its client has left."""
    return any(
        isinstance(exc, ClientDisconnected) or type(exc).__name__ in _DISCONNECTS for exc in chain(error)
    )


def chain(error: BaseException) -> Iterator[BaseException]:
    """``error``, what it was raised from, and the members of groups."""
    errors: list[BaseException | None] = [error]
    seen: set[int] = set()
    while errors:
        exc = errors.pop()
        if exc is None or id(exc) in seen:
            continue
        seen.add(id(exc))
        yield exc
        errors += [exc.__cause__, exc.__context__]
        if isinstance(exc, BaseExceptionGroup):
            errors += exc.exceptions


def note_trio(error: Exception) -> None:
    """Trio's own words, such as "must be called from async context", don't tell what is wrong."""
    if "trio" not in sys.modules:
        return
    for exc in chain(error):
        if isinstance(exc, (RuntimeError, AttributeError)) and raised_by("trio", exc):
            exc.add_note("AsgiToWsgi runs applications on asyncio: what is written for trio is not served")


def raised_by(package: str, error: BaseException) -> bool:
    """Whether a module of ``package`` itself has raised ``error``."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    if traceback is None:
        return False
    module: str = traceback.tb_frame.f_globals.get("__name__", "")
    return module.startswith(f"{package}.")
