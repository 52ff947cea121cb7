"""The body of a request that a WSGI server has, as ASGI messages. No loop and no thread is known here."""

import contextlib
import importlib
import io
import logging
import tempfile
from typing import IO, TYPE_CHECKING

from ..log import request_name
from ..mapping.headers import is_chunked, parse_content_length
from ..mapping.scope import path_for_log
from ..types import Environ, Message
from .client import DISCONNECT

if TYPE_CHECKING:
    from collections.abc import Buffer  # type: ignore[attr-defined,unused-ignore]  # since 3.12; here for types only

__all__ = ["NO_BODY", "RefusedBodyError", "RequestBody", "body_length", "find_body", "find_chunks"]

logger = logging.getLogger("bridge")

# The most that is read from ``wsgi.input`` at once, in bytes.
_INPUT_BLOCK = 65536


class RefusedBodyError(ValueError):
    """Where the body ends is not known for sure, or there is no room for it. The text is the client's answer."""

    def __init__(self, status: str, text: str) -> None:
        super().__init__(text)
        self.status = status


def find_body(environ: Environ) -> "RequestBody":
    """The body of the request; ``NO_BODY`` where there is none.

    It ends where ``CONTENT_LENGTH`` says, or, without one or with chunks, where the stream does if the server promises
    that it has an end (``wsgi.input_terminated``); else there is none (PEP 3333, "Input and Error Streams").

    Raises:
        ValueError: ``CONTENT_LENGTH`` is not a number.
        RefusedBodyError: there is a body, and no way to find its end, or two that differ.
    """
    chunked = "HTTP_TRANSFER_ENCODING" in environ
    if chunked:
        _check_chunks(environ)
        find_chunks(environ)
    if chunked or environ.get("CONTENT_LENGTH"):
        length = body_length(environ)
        if length is not None:
            return RequestBody(environ, length) if length else NO_BODY
    if environ.get("wsgi.input_terminated"):
        # In HTTP/1 a body without length has Transfer-Encoding (RFC 9112, 6.3). For methods that hardly ever
        # have one that is taken by its word; for the others a server may have removed the field with the
        # encoding.
        if (
            chunked
            or environ.get("REQUEST_METHOD") not in {"GET", "HEAD"}
            or not environ.get("SERVER_PROTOCOL", "").startswith("HTTP/1.")
        ):
            return RequestBody(environ, None)
    elif chunked:
        raise RefusedBodyError("411 Length Required", "This server takes no body without a Content-Length.")
    return NO_BODY


def find_chunks(environ: Environ) -> None:
    """Let ``wsgi.input`` have a chunked body that the server has elsewhere: uWSGI.

    ``wsgi.input_terminated`` says so afterwards, to whoever comes next: the body can be read once, and what an app
    before has read may be in another ``wsgi.input`` then. It is the caller's to refuse what no server should take.
    """
    if (
        "uwsgi.version" in environ
        and is_chunked(environ.get("HTTP_TRANSFER_ENCODING", ""))
        and not environ.get("CONTENT_LENGTH")
        and not environ.get("wsgi.input_terminated")
    ):
        environ["wsgi.input"] = _UwsgiChunks()
        environ["wsgi.input_terminated"] = True


def _check_chunks(environ: Environ) -> None:
    """Refuse a Transfer-Encoding with which it is not known for sure where the body ends.

    A server that does not say that it has joined the chunks may not have: on some, ``wsgi.input`` has them as they
    came. So they may not stand beside a length, which is how a request is smuggled past a proxy: where the proxy goes
    by the one, and this server by the other, they disagree on where the next request begins (RFC 9112, sections 6.1
    and 6.3). Nor may they stand in HTTP/1.0, which has no chunks.

    Raises:
        RefusedBodyError: as above; or it is another encoding than chunks.
    """
    if not is_chunked(environ["HTTP_TRANSFER_ENCODING"]):
        raise RefusedBodyError("501 Not Implemented", "This server takes no Transfer-Encoding but chunked.")
    joined = environ.get("wsgi.input_terminated") or _was_joined(environ)
    if environ.get("SERVER_PROTOCOL") == "HTTP/1.0" or (environ.get("CONTENT_LENGTH") and not joined):
        raise RefusedBodyError(
            "400 Bad Request", "The request has a Transfer-Encoding where it may have none (RFC 9112, 6.1)."
        )


def _was_joined(environ: Environ) -> bool:
    """Whether a server in front of uWSGI, with which it speaks its own protocol, has joined the chunks.

    nginx passes on the client's Transfer-Encoding, and as CONTENT_LENGTH what it has counted itself: RFC 3875, 4.1.2,
    wants that. DOCUMENT_ROOT is among its ``uwsgi_params``; uWSGI sets none where it reads HTTP itself.
    """
    return "uwsgi.version" in environ and "DOCUMENT_ROOT" in environ


class RequestBody:
    """``wsgi.input`` as ``http.request`` messages, of at most 64 KiB each. Reading blocks.

    The body ends where its length says, or, without one, where the stream does.
    """

    __slots__ = ("_environ", "_kept", "_remaining", "broken")

    def __init__(self, environ: Environ, length: int | None) -> None:
        self._environ = environ
        # Bytes still to come; None: until the stream ends.
        self._remaining = length
        # The rest of the body, where the server would have thrown it away.
        self._kept: IO[bytes] | None = None
        #: It has ended early: the client has left, or what it sent can't be read on.
        self.broken = False

    def read(self) -> Message:
        """The next message. A body that ends early is ``http.disconnect``, never a whole request.

        Not to be called after the last one, which has no ``more_body``.
        """
        remaining = self._remaining
        size = _INPUT_BLOCK if remaining is None else min(_INPUT_BLOCK, remaining)
        block = self._input(size) if self._kept is None else self._kept.read(size)
        if block is None or (remaining is not None and not block):
            self.broken = True
            return {"type": DISCONNECT}
        if remaining is None:
            return {"type": "http.request", "body": block, "more_body": bool(block)}
        self._remaining = remaining = remaining - len(block)
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
            name = request_name(self._environ.get("REQUEST_METHOD", "GET"), path_for_log(self._environ))
            logger.warning("%s: the request body is taken for broken off: wsgi.input raised %r", name, exc)
            return None
        return block

    def keep(self) -> None:
        """To be called before the head of a response goes out whose app may still read the body.

        Some servers read, with the head, what the app has not read of the body, and throw it away: what the app asks
        for afterwards would look broken off. There it is read here instead, into memory or a temporary file. It takes
        as long as the client does, as it would there.

        Raises:
            RefusedBodyError: the disk does not take it.
        """
        remaining = self._remaining
        if not remaining or not _throws_away(self._environ):
            return
        self._kept = kept = tempfile.SpooledTemporaryFile(_INPUT_BLOCK)  # noqa: SIM115 # closed by close()
        try:
            # Where it breaks off, read() finds its end.
            while remaining and (block := self._input(min(_INPUT_BLOCK, remaining))):
                kept.write(block)
                remaining -= len(block)
            kept.seek(0)
        except OSError as error:
            self._kept = None
            with contextlib.suppress(OSError):  # it tries to write the rest once more
                kept.close()
            raise _no_room(self._environ, error) from None

    def close(self) -> None:
        """Nobody reads any more."""
        if self._kept is not None:
            self._kept.close()


def _no_room(environ: Environ, error: OSError) -> RefusedBodyError:
    """The answer to a body that the disk does not take (RFC 4918, section 11.5), which the log says why of."""
    name = request_name(environ.get("REQUEST_METHOD", "GET"), path_for_log(environ))
    logger.error("%s: the request body can't be kept; its client gets 507: %s", name, error)
    return RefusedBodyError("507 Insufficient Storage", "The server has no room for the request body.")


#: Of all requests without one.
NO_BODY = RequestBody({}, 0)


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


class _UwsgiChunks(io.RawIOBase):
    """uWSGI's own way to a chunked body, which its ``wsgi.input`` does not have.

    A read takes what has come, and at most a chunk; ``io`` makes the other methods of it.
    """

    def __init__(self) -> None:
        self._rest = b""

    def readable(self) -> bool:
        return True

    def peek(self, _size: int = 0, /) -> bytes:
        """What the next read has; ``readline()`` goes byte by byte without it. Empty at the end."""
        if not self._rest:
            # Nothing that can be installed without it: the module exists in the server's process alone.
            self._rest = importlib.import_module("uwsgi").chunked_read()
        return self._rest

    def readinto(self, buffer: "Buffer", /) -> int:
        view = memoryview(buffer)
        block = self.peek()[: len(view)]
        view[: len(block)] = block
        self._rest = self._rest[len(block) :]
        return len(block)
