"""The servers whose threads are greenlets."""

import pytest

__all__ = ["GREENLETS", "skip_request_loops"]

GREENLETS = ("gunicorn-gevent",)


def skip_request_loops(server: str, loop: str) -> None:
    """Skip what asks for ``loop="request"`` there: all greenlets share a thread, and a thread runs one loop."""
    if server in GREENLETS and loop == "request":
        pytest.skip("greenlets have one thread, which can't run a loop for each of their requests")
