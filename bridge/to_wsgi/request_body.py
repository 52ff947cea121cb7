"""The request that a WSGI server has: its body as ASGI messages, and whether its client is still there.

Nothing here knows a loop or a thread. Reading blocks, looking for the client does not.
"""

import _socket
import importlib
import logging
import select
import socket
import tempfile
from collections.abc import Callable
from typing import IO, Any

from ..mapping.headers import parse_content_length
from ..types import Environ, Message
from .loops.greenlets import original_poll

__all__ = [
    "BLOCK",
    "DISCONNECT",
    "PROBE_INTERVAL",
    "LengthRequiredError",
    "RequestBody",
    "body_length",
    "client_probe",
]

logger = logging.getLogger("bridge")

#: The most that is read from ``wsgi.input`` at once, in bytes.
BLOCK = 65536
#: Seconds between two looks at whether an idle client is still there.
PROBE_INTERVAL = 0.5
DISCONNECT = "http.disconnect"


class RequestBody:
    """``wsgi.input`` as ``http.request`` messages, of at most 64 KiB each.

    The body ends where ``CONTENT_LENGTH`` says, or, without one or with chunks, where the stream does if the
    server promises that it has an end (``wsgi.input_terminated``); else there is none (PEP 3333, "Input and
    Error Streams").

    Raises:
        ValueError: ``CONTENT_LENGTH`` is not a number.
        LengthRequiredError: there is a body, and no way to find its end.
    """

    __slots__ = ("_environ", "_remaining", "finished", "kept")

    def __init__(self, environ: Environ) -> None:
        self._environ = environ
        #: The rest of the body, where the server would have thrown it away; whoever is done with the body closes it.
        self.kept: IO[bytes] | None = None
        # Bytes still to come; None: until the stream ends.
        self._remaining = body_length(environ)
        if self._remaining is None and not _until_the_end(environ):
            self._remaining = 0
        #: The last message of the body, or http.disconnect in its place, has been read.
        self.finished = False

    @property
    def blocks(self) -> bool:
        """The next message is read from the server, which may take as long as the client likes."""
        return self._remaining != 0

    def read(self) -> Message:
        """The next message. A body that ends early is ``http.disconnect``, never a whole request."""
        remaining = self._remaining
        if remaining == 0:
            self.finished = True
            return {"type": "http.request", "body": b"", "more_body": False}
        size = BLOCK if remaining is None else min(BLOCK, remaining)
        block = self._input(size) if self.kept is None else self.kept.read(size)
        if block is None:
            self.finished = True
            return {"type": DISCONNECT}
        if remaining is None:
            self.finished = not block
            return {"type": "http.request", "body": block, "more_body": bool(block)}
        if not block:
            self.finished = True
            return {"type": DISCONNECT}
        self._remaining = remaining = remaining - len(block)
        self.finished = remaining == 0
        return {"type": "http.request", "body": block, "more_body": remaining > 0}

    def _input(self, size: int) -> bytes | None:
        """What ``wsgi.input`` has; ``None``: the body breaks off."""
        try:
            block: bytes = self._environ["wsgi.input"].read(size)
        except OSError:
            # How servers tell that the client has gone, or that its chunks are not what they should be.
            return None
        except ValueError as exc:
            # cheroot tells it so, also where the chunks break off. It may be another mistake too, such as a read of
            # a closed stream, so the log has it.
            logger.warning("the request body is taken for broken off: wsgi.input raised %r", exc)
            return None
        return block

    def keep(self) -> None:
        """To be called before the head of a response goes out whose app may still read the body.

        Some servers read, with the head, what the app has not read of the body, and throw it away: what the app asks
        for afterwards would look broken off. There it is read here instead, into memory or a temporary file. It takes
        as long as the client does, as it would there.
        """
        remaining = self._remaining
        if not remaining or not _throws_away(self._environ):
            return
        self.kept = kept = tempfile.SpooledTemporaryFile(BLOCK)  # noqa: SIM115 # see __init__()
        # Where it breaks off, read() finds its end.
        while remaining and (block := self._input(min(BLOCK, remaining))):
            kept.write(block)
            remaining -= len(block)
        kept.seek(0)


def body_length(environ: Environ) -> int | None:
    """The bytes of the body, where it is its length that says where it ends.

    Raises:
        ValueError: ``CONTENT_LENGTH`` is not a number.
    """
    length = parse_content_length(environ)
    if "HTTP_TRANSFER_ENCODING" in environ and environ.get("wsgi.input_terminated"):
        # Beside it a length says nothing (RFC 9112, 6.3); cheroot and granian pass on both.
        return None
    return length


class LengthRequiredError(ValueError):
    """The server passes a chunked body on and does not say that it ends it: what is read may never come."""


def _until_the_end(environ: Environ) -> bool:
    """Whether a body without a length has to be read to find out that there is one."""
    chunked = "HTTP_TRANSFER_ENCODING" in environ
    if environ.get("wsgi.input_terminated"):
        # In HTTP/1 a body without length has Transfer-Encoding (RFC 9112, 6.3). For methods that hardly ever
        # have one that is taken by its word; for the others a server may have removed the field with the
        # encoding.
        return (
            chunked
            or environ.get("REQUEST_METHOD") not in {"GET", "HEAD"}
            or not environ.get("SERVER_PROTOCOL", "").startswith("HTTP/1.")
        )
    if chunked and "uwsgi.version" in environ:
        environ["wsgi.input"] = _UwsgiChunks()
        return True
    if chunked:
        raise LengthRequiredError
    return False


def _throws_away(environ: Environ) -> bool:
    """Whether the server reads a body of a known length itself, for the sake of the next request on the connection.

    cheroot does, in ``HTTPRequest.send_headers()`` (11.1), unless it will close the connection; the key is its own.
    """
    if "ACTUAL_SERVER_PROTOCOL" not in environ:
        return False
    # Compared as cheroot does.
    connection: str = environ.get("HTTP_CONNECTION", "")
    return (
        connection == "Keep-Alive" if environ.get("SERVER_PROTOCOL") == "HTTP/1.0" else connection != "close"
    )


class _UwsgiChunks:
    """uWSGI's own way to a chunked body, which its ``wsgi.input`` does not have."""

    def __init__(self) -> None:
        self._rest = b""

    def read(self, size: int) -> bytes:
        if not self._rest:
            # Nothing that can be installed without it: the module exists in the server's process alone.
            self._rest = importlib.import_module("uwsgi").chunked_read()
        block, self._rest = self._rest[:size], self._rest[size:]
        return block


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
