"""Which loops an ASGI app is run on where nobody says."""

import logging
from typing import Literal

from ._greenlets import patched_by

__all__ = ["LoopMode", "default_mode", "log_default_mode"]

logger = logging.getLogger("bridge")

LoopMode = Literal["request", "shared"]


def default_mode() -> LoopMode:
    """What ``loop=None`` means in this process."""
    return "request" if patched_by() is None else "shared"


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
