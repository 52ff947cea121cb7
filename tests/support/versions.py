"""Which versions of servers and frameworks the tests run on: the pinned ones, the newest or the oldest."""

from importlib.metadata import version

from packaging.version import Version

__all__ = ["NO_CONTROL_SOCKET", "at_least"]


def at_least(distribution: str, least: str) -> bool:
    """Whether ``distribution`` is installed in the version ``least`` or a later one."""
    return Version(version(distribution)) >= Version(least)


#: gunicorn's control socket is one file for all gunicorns of a user. Older ones have none.
NO_CONTROL_SOCKET = ("--no-control-socket",) if at_least("gunicorn", "25.1") else ()
