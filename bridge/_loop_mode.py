"""Which loops an ASGI app is run on where nobody says, and what is said to who has the wrong ones."""

import logging
from typing import Literal

from ._exchange import chain
from ._greenlets import patched_by

__all__ = ["LoopMode", "default_mode", "is_loop_bound"]

logger = logging.getLogger("bridge")

LoopMode = Literal["request", "shared"]

# What asyncio and its users say when something of one loop is used on another.
_LOOP_BOUND = (
    "attached to a different loop",
    "Event loop is closed",
    "bound to a different event loop",
    "is bound to a different loop",
    "different event loop",
)


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


def is_loop_bound(error: BaseException) -> bool:
    """Whether ``error`` is of the kind that comes of something that is used on another loop than its own."""
    return any(
        isinstance(exc, RuntimeError) and any(text in str(exc) for text in _LOOP_BOUND)
        for exc in chain(error)
    )
