"""daphne's own protocol objects, for the two things that its ``send()`` can't do (daphne 4.2): see who uses them."""

from typing import Any

__all__ = ["daphne_protocol"]


def daphne_protocol(send: Any) -> Any:
    """daphne's protocol object, which its ``send`` carries along; ``None`` on other servers."""
    server = getattr(getattr(send, "func", None), "__self__", None)
    return send.args[0] if type(server).__module__ == "daphne.server" else None
