"""Which kind of loop an ASGI app is run on, and what the log says of a process that leaves no choice."""

import logging
import sys
from typing import Literal

from ...types import Environ
from .greenlets import patched_by

__all__ = ["LoopMode", "default_mode", "log_default_mode", "refuse_in_greenlets", "warn_of_interpreters"]

logger = logging.getLogger("bridge")

LoopMode = Literal["request", "shared"]


def default_mode() -> LoopMode:
    """What ``loop=None`` means in this process."""
    return "request" if patched_by() is None else "shared"


def refuse_in_greenlets() -> None:
    """To be called for ``loop="request"``.

    Raises:
        RuntimeError: greenlets share a thread here.
    """
    library = patched_by()
    if library is not None:
        raise RuntimeError(
            f"{library} runs several requests in one thread by turns, and each thread can have one event loop at a "
            "time, so that loop='request' can't be served: AsgiToWsgi(app, loop='shared') is for that"
        )


def log_default_mode() -> None:
    """Say what ``loop=None`` means here, where that is ``"shared"``.

    Not to be called with a lock: a log's handler may give another greenlet its turn.
    """
    library = patched_by()
    if library is not None:
        logger.warning(
            "%s has replaced the threads of this process by greenlets, which share one thread: the application runs "
            "as with AsgiToWsgi(app, loop='shared')",
            library,
        )


def warn_of_interpreters(environ: Environ) -> None:
    """Say what to do where mod_wsgi does not run the application in the main interpreter.

    Until Python 3.12 asyncio keeps the running loop in one place for all interpreters of a process, and takes
    one's for another's. mod_wsgi makes an interpreter for each application and port unless told otherwise.
    """
    group = environ.get("mod_wsgi.application_group")
    if group and sys.version_info < (3, 12):
        logger.warning(
            "mod_wsgi runs the application in the interpreter %r, and asyncio mixes up the event loops of several "
            "before Python 3.12: use WSGIApplicationGroup %%{GLOBAL}",
            group,
        )
