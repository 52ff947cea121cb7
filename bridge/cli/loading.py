"""Loading the app in the server's process: once, as natively, with one clear line where it can't be served.

The first lines say what the app is, what is in between, and what that means for streams. They go to the server's own
log; so does what the logger ``bridge`` says later, in the server's format, unless the application has a log of its own
(``bridge.log``).
"""

import copy
import logging
import sys
import traceback

from ..errors import BridgeError
from ..kind import UnknownKindError
from .errors import UsageError
from .find_app import AppNotFoundError, user_frames
from .meaning import lines
from .servers import SERVERS, Server
from .target import AppKind, Target
from .unused import refuse_unused

__all__ = ["NotServedError", "found", "tell", "why_not"]


class NotServedError(BridgeError):
    """The target can't be served. The message is one line; the user's traceback, where there is one, is printed."""


def found(target: Target) -> tuple[object, list[AppKind]]:
    """Return what the server is to call, and what the apps are.

    Raises:
        NotServedError: it can't be served.
        KeyboardInterrupt: the user has had enough of waiting for the import.
    """
    name = ""
    try:
        apps: list[object] = []
        for name in target.names:
            apps.append(target.find(name))
        served, kinds = target.assemble(apps)
        said = {**target.to_asgi, **target.to_wsgi}
        refuse_unused(said, SERVERS[target.server], target.interface, kinds, name)
    except UsageError as exc:
        raise NotServedError(str(exc)) from None
    except (Exception, SystemExit) as exc:
        raise NotServedError(why_not(name, exc, mounted=bool(target.mounts))) from exc
    return served, kinds


def why_not(name: str, exc: Exception | SystemExit, *, mounted: bool = False) -> str:
    """Return the line that says why the app can't be had; print the user's traceback first, where there is one.

    Args:
        name: where the app is.
        exc: what was raised on the way.
        mounted: it is one of several; an error that is about them together says itself which it means.
    """
    if isinstance(exc, SystemExit):  # such as of a script without "if __name__ == ..."
        return f"{name}: it ends the process instead of making an app, by {_place(exc)}"
    frames = user_frames(exc)
    if frames is None and isinstance(exc, (AppNotFoundError, TypeError, ValueError)):
        if mounted and not isinstance(exc, AppNotFoundError):
            return str(exc)
        hint = "; say --kind wsgi or --kind asgi" if isinstance(exc, UnknownKindError) else ""
        return f"{name}: {exc}{hint}"
    traceback.print_exception(type(exc), exc, frames)
    return f"{name}: {type(exc).__name__} was raised, with the traceback above"


def tell(target: Target, kinds: list[AppKind], *, first: bool, also: str = "") -> None:
    """Say what is served, if this is the first of the processes that serve it, and set the logs up.

    ``also`` is a line that only the server's own module knows.
    """
    server = SERVERS[target.server]
    log = logging.getLogger(server.logger or None)
    if target.log_level:
        logging.getLogger("bridge").setLevel(target.log_level.upper())
        if not server.sets_level:
            log.setLevel(target.log_level.upper())
    _take_format(log, server)
    if first and target.log_level in {"", "info", "debug"}:
        for line in (*lines(target, kinds), *([also] if also else [])):
            _say(log, f"bridge: {line}", server)


def _place(exc: SystemExit) -> str:
    what = f"SystemExit({'' if exc.code is None else repr(exc.code)})"
    frames = traceback.extract_tb(user_frames(exc))
    return f"{what} in line {frames[-1].lineno} of {frames[-1].filename}" if frames else what


# --- the server's log ---------------------------------------------------------------------------------------


class _Named(logging.Formatter):
    """The server's format, with the name of who speaks."""

    def __init__(self, of_server: logging.Formatter) -> None:
        super().__init__()
        self._of_server = of_server

    def format(self, record: logging.LogRecord) -> str:
        named = copy.copy(record)
        named.msg, named.args = f"bridge: {record.getMessage()}", None
        return self._of_server.format(named)


def _handler_of(log: logging.Logger) -> logging.Handler | None:
    """The handler that the server has set up for its log; None: it has not, or not yet."""
    at: logging.Logger | None = log
    while at is not None:
        if at.handlers:
            return at.handlers[0]
        at = at.parent if at.propagate else None
    return None


def _take_format(log: logging.Logger, server: Server) -> None:
    """Have the last resort of the logger ``bridge`` write as the server does; what the application has set up stays."""
    handler = _handler_of(log) if server.logger != "bridge" else None
    formatter = handler.formatter if handler is not None else None
    if formatter is None and server.logger != "bridge":
        formatter = logging.Formatter(*server.log_format)
    if formatter is not None:
        for own in logging.getLogger("bridge").handlers:
            if type(own).__module__ == "bridge.log":
                own.setFormatter(_Named(formatter))


def _say(log: logging.Logger, line: str, server: Server) -> None:
    if server.logger != "bridge" and _handler_of(log) is not None:
        log.info("%s", line)
        return
    record = logging.LogRecord("bridge", logging.INFO, __file__, 0, line, None, None)
    print(logging.Formatter(*server.log_format).format(record), file=sys.stderr)
