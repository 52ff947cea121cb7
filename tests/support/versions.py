"""What the tests' command lines have to know of the versions that they run on."""

from tests.support.faults.row import installed

__all__ = ["NO_CONTROL_SOCKET"]

#: gunicorn's control socket is one file for all gunicorns of a user. Older ones have none.
NO_CONTROL_SOCKET = ("--no-control-socket",) if installed("gunicorn>=25.1") else ()
