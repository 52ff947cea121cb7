"""What the command line says no with."""

from ..errors import BridgeError

__all__ = ["UsageError"]


class UsageError(BridgeError, ValueError):
    """What is asked for can't be done; the message is one line that says why, and what can be done instead."""
