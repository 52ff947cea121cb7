"""The client of a request: whether it is there, and how its server and its app are told that it isn't."""

import _socket
import enum
import errno
import select
import socket
import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from ..errors import ClientDisconnected
from ..types import Environ
from .loops.greenlets import original_poll

__all__ = [
    "DISCONNECT",
    "DONE",
    "GRACE",
    "HERE",
    "LEFT",
    "PROBE_INTERVAL",
    "ClientLeftError",
    "ClientState",
    "client_left",
    "client_probe",
]

#: The type of the message by which an app learns that nobody listens any more.
DISCONNECT = "http.disconnect"
#: Seconds that an app which is listening for http.disconnect has for its own way out, before it is cancelled.
GRACE = 1.0
#: Seconds between two looks at whether an idle client is still there.
PROBE_INTERVAL = 0.5


class ClientState(enum.Enum):
    """Who a response is for. It goes down this list, and may leave out ``LEFT``."""

    #: Somebody, as far as is known.
    HERE = enum.auto()
    #: Nobody, and the response was not complete: the client has left, or the server has no use for the rest.
    LEFT = enum.auto()
    #: The server is done with the response.
    DONE = enum.auto()


# Members of an Enum are looked up by a call.
HERE, LEFT, DONE = ClientState


class ClientLeftError(ClientDisconnected, BrokenPipeError):
    """The client left; with the number that gunicorn and cheroot know, and of the type that wsgiref does.

    A client that leaves is no error of the server or the application: for this one they log nothing.
    """


def client_left(environ: Environ | None = None) -> ClientLeftError:
    """What the app gets from ``send()``; with ``environ`` what its server gets, as one of its own errors."""
    kind = ClientLeftError
    if environ is not None and "waitress.client_disconnected" in environ:
        kind = _of_waitress(sys.modules.get("waitress.channel"))
    return kind(errno.EPIPE, "the client left before the response was complete")


@lru_cache(maxsize=1)
def _of_waitress(module: Any) -> type[ClientLeftError]:
    """As waitress' ``write_soon()`` raises it: one line at INFO, where any other error has a traceback."""
    own = getattr(module, "ClientDisconnected", None)
    return (
        ClientLeftError
        if own is None
        else type("ClientLeftError", (ClientLeftError, own), {"__module__": __name__})
    )


def client_probe(environ: Environ) -> Callable[[], bool] | None:
    """A function that tells at once whether the client has gone, where the server shows the connection."""
    probe: Callable[[], bool] | None = environ.get("waitress.client_disconnected")
    if probe is not None:
        return probe
    sock = environ.get("gunicorn.socket")
    if sock is not None:
        return lambda: _hung_up(sock)
    return None


def _hung_up(sock: Any) -> bool:
    """Whether the peer of ``sock`` has closed its side; what it has sent stays unread.

    The socket may be of TLS, which can't peek: it is its file descriptor that is looked at.
    """
    fd: int = sock.fileno()
    if fd < 0:
        return True
    new_poll = original_poll()
    if new_poll is None or not hasattr(select, "POLLRDHUP"):
        return _at_end(sock)
    poll = new_poll()
    poll.register(fd, select.POLLRDHUP)
    return bool(poll.poll(0))


def _at_end(sock: Any) -> bool:
    """The same on systems whose ``poll()`` can't tell, such as macOS: whether there is nothing to read but the end.

    What is unread hides the end, such as a request that came early, or TLS's own goodbye.
    """
    if socket.getdefaulttimeout() is not None:
        # Each new socket object is given it, and with it the descriptor's flags, which are the server's.
        return False
    # The system's own socket, whatever the server's is (of TLS, or a greenlet's), for as long as it takes to look.
    plain = _socket.socket(sock.family, sock.type, sock.proto, fileno=sock.fileno())
    try:
        return plain.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except (BlockingIOError, InterruptedError):
        return False
    except OSError:
        return True
    finally:
        plain.detach()
