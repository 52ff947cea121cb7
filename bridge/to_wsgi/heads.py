"""Which servers can send the head of a response before there is a part of its body, and how.

An app that sends its start and then waits, as event streams do, has its head delivered at once by ASGI servers. WSGI
servers wait for the first part of the body that is not empty (PEP 3333, "The start_response() Callable"). ``write()``
with nothing is no such part; yet the servers below send the head for it, and nothing else. A chunk of no bytes in the
iterable would do it on some of them, and ends a chunked body on others that are not known.

Each row was read in the server's source, and is tested with the real one.
"""

import enum
from collections.abc import Callable

from ..types import Environ

__all__ = ["DUE", "EXPECTED", "HEAD_WAIT", "HELD", "OUT", "HeadState", "send_head", "sends_head"]

#: Seconds that an app which has sent its start has for the first part of the body, before the head goes out alone.
#: Until then an error can still become a 500, and the two leave together.
HEAD_WAIT = 0.02


class HeadState(enum.Enum):
    """The way of a head out of the bridge.

    state      what comes next
    HELD       EXPECTED, where the loop has to look whether the app waits; DUE, by an app that waits; OUT
    EXPECTED   DUE, by an app that waits; OUT
    DUE        OUT
    """

    #: It waits for a part of the body.
    HELD = enum.auto()
    #: It may be due soon: the loop looks.
    EXPECTED = enum.auto()
    #: The app waits between its start and its body: the head is to go out alone.
    DUE = enum.auto()
    #: The server has it, or can't send it alone: nothing is left to decide.
    OUT = enum.auto()


# Members of an Enum are looked up by a call.
HELD, EXPECTED, DUE, OUT = HeadState


class _By(enum.Enum):
    #: ``write(b"")``.
    WRITE = enum.auto()
    #: The iterable, as soon as the server has it.
    RETURN = enum.auto()


# What SERVER_SOFTWARE begins with, before a slash, in lower case.
_BY_SOFTWARE = {
    "gunicorn": _By.WRITE,  # 27.0, http/wsgi.py, Response.write(): no chunk of no bytes is written
    "wsgiserver": _By.WRITE,  # wsgiref of Python 3.11, and Django's runserver: BaseHandler.write()
    "werkzeug": _By.WRITE,  # 3.1, serving.py, run_wsgi()
    "waitress": _By.WRITE,  # 3.0, task.py, Task.write()
    "granian": _By.RETURN,  # 2.8: hyper writes the head while the body is not ready; start_response() returns nothing
}
# Keys that a server alone has.
_BY_KEY = {
    "ACTUAL_SERVER_PROTOCOL": _By.WRITE,  # cheroot 11.1, wsgi.py, Gateway.write(); its software has many names
    "uwsgi.version": _By.WRITE,  # 2.0.31, core/writer.c, uwsgi_response_write_body_do()
}
# Not in these: mod_wsgi (5.0, daemon mode), which takes the head and keeps it until there is a part of the body.


def _by(environ: Environ) -> _By | None:
    software: str = environ.get("SERVER_SOFTWARE", "")
    by = _BY_SOFTWARE.get(software.partition("/")[0].lower())
    if by is not None:
        return by
    for key, by in _BY_KEY.items():
        if key in environ:
            return by
    return None


def sends_head(environ: Environ) -> bool:
    """Whether the server can send the head alone."""
    return _by(environ) is not None


def send_head(environ: Environ, write: Callable[[bytes], object] | None) -> None:
    """Have the head sent, with what ``start_response()`` has returned.

    Raises:
        Exception: what the server raises because it can't write.
    """
    # A middleware that gives no write() of its own breaks PEP 3333; then the head comes with the first chunk.
    if _by(environ) is _By.WRITE and callable(write):
        write(b"")
