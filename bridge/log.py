"""The package's logger, and where an app's error goes that no server sees.

An app may fail when its response is out: FastAPI and Starlette send their 500 themselves and raise after it, background
tasks come after the response, and so does ``close()``. A native server writes such an error into its error log. The
bridge has a logger, ``bridge``, which may lead nowhere:

- The application has configured ``logging``, and a handler of it takes what the logger says. That is the application's
  log: the error goes there, and nowhere else.
- No handler takes it. Python's last resort would print the bare message to ``sys.stderr``, which is not where
  ``gunicorn --error-logfile`` and mod_wsgi have their log. So the logger has a last resort of its own, as Flask's has:
  a handler that writes what no other one takes to ``wsgi.errors``, by PEP 3333 ("environ Variables") the server's place
  for errors, and with a time. What is said of no request goes to ``sys.stderr``, as Python's own has it. Who configures
  the logger ``bridge`` itself has no use for it, and ``logging.config`` takes it away then.
- The logger is disabled. ``dictConfig()`` and ``fileConfig()`` do that to each logger that they don't name, unless told
  otherwise (``disable_existing_loggers``); hardly anyone means it. An app's error goes to ``wsgi.errors`` then; the
  rest stays unsaid. A level, and ``logging.disable()``, are meant, and hold.

So an error is written once. What looks at records without being a handler, such as Sentry, sees it in the first two
cases, with or without a handler.

An error that goes to an ASGI server is logged by the server, in the context of the request's task. At home that is the
app's own, where structured logs find the ids that the app has bound, and where Sentry sees that it has had this error
already, from its integration for the app. So that task adopts what the app has set of its context, with its error, by
``adopt()``; it ends with the task. The thread of a WSGI server goes from request to request, and what one app has set
there would be seen by the next: there the server logs an error without it.

``wsgi.errors`` may be of no more use when its request is over (mod_wsgi), and an app on the shared loop may fail later
than that: then ``sys.stderr`` has it. Handlers run on any thread; the stream is told to the handler by a context
variable, which is set for the time of one log call.
"""

import contextlib
import logging
import sys
from collections.abc import Mapping
from contextvars import Context, ContextVar
from typing import Any

__all__ = ["adopt", "log_app_error", "logger", "request_name", "scope_name"]

logger = logging.getLogger("bridge")

_errors: ContextVar[Any] = ContextVar("bridge_wsgi_errors", default=None)

_UNSET: Any = object()


class _LastResort(logging.Handler):
    """Writes what no other handler takes."""

    def emit(self, record: logging.LogRecord) -> None:
        errors = _errors.get()
        if errors is None:
            if not any(True for _ in _other_handlers(self)):
                self.write(record, sys.stderr)
        elif not any(record.levelno >= handler.level for handler in _other_handlers(self)):
            self.write(record, errors)

    def write(self, record: logging.LogRecord, stream: Any) -> None:
        text = self.format(record) + "\n"
        try:
            stream.write(text)
            # The request may end between the two, on mod_wsgi: what is written is written.
            with contextlib.suppress(Exception):
                stream.flush()
        except Exception:  # noqa: BLE001 - a log that fails may not fail what is logged
            # sys.stderr is None in a process without one.
            if stream is not sys.stderr and sys.stderr is not None:
                self.write(record, sys.stderr)


def _other_handlers(own: logging.Handler) -> "list[logging.Handler]":
    """The handlers that ``Logger.callHandlers()`` calls, but for ``own``."""
    handlers: list[logging.Handler] = []
    at: logging.Logger | None = logger
    while at is not None:
        handlers += [handler for handler in at.handlers if handler is not own]
        at = at.parent if at.propagate else None
    return handlers


_last_resort = _LastResort(logging.WARNING)
_last_resort.setFormatter(
    logging.Formatter("[%(asctime)s] [%(process)d] [%(levelname)s] bridge: %(message)s")
)
logger.addHandler(_last_resort)


def log_app_error(message: str, *args: object, error: BaseException, errors: Any) -> None:
    """Log an app's error that its server does not see, with its traceback. See the module's text.

    Args:
        message, args: as for ``Logger.error()``. They name the request: ``request_name()``.
        error: what the app raised.
        errors: ``wsgi.errors`` of the request; ``None``: there is none.
    """
    errors = sys.stderr if errors is None else errors
    if not logger.disabled:
        token = _errors.set(errors)
        try:
            logger.error(message, *args, exc_info=error, stacklevel=2)
        finally:
            _errors.reset(token)
    elif max(logger.getEffectiveLevel(), logger.manager.disable + 1) <= logging.ERROR:
        exc_info = (type(error), error, error.__traceback__)
        _last_resort.write(
            logger.makeRecord(logger.name, logging.ERROR, __file__, 0, message, args, exc_info), errors
        )


def adopt(context: Context) -> None:
    """Set what differs in ``context`` from the current one, which ends with the request that failed."""
    for variable, value in context.items():
        if variable.get(_UNSET) is not value:
            variable.set(value)


def request_name(method: str, path: str) -> str:
    """A request as log lines name it: ``GET '/path'``. It is the client's text, and has no line breaks after this."""
    return f"{method if method.isalnum() else repr(method)} {path!r}"


def scope_name(scope: Mapping[str, Any]) -> str:
    """The same of an ASGI scope; a WebSocket's handshake is a GET."""
    return request_name(scope.get("method", "GET"), scope["path"])
