"""Which loops an ASGI app is run on where nobody says."""

import logging
from typing import Literal

from ._greenlets import patched_by

__all__ = ["LoopMode", "default_mode"]

logger = logging.getLogger("bridge")

LoopMode = Literal["request", "shared"]


def default_mode() -> LoopMode:
    """What ``loop=None`` means in this process; ``"shared"`` is logged."""
    library = patched_by()
    if library is None:
        return "request"
    logger.warning(
        "%s has replaced the threads of this process by greenlets, which share one thread: the application runs as "
        "with AsgiToWsgi(app, loop='shared')",
        library,
    )
    return "shared"
