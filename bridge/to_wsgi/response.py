"""What an ASGI app has to say to one request: its messages, checked, and what of them the server has not had yet.

No loop and no thread is known here, and no object locks: whoever shares one between threads does.
"""

import enum
import io
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

from ..errors import ApplicationError
from ..mapping.headers import Head, check_value, response_head
from ..types import Environ, Headers, Message

__all__ = [
    "BODY",
    "COMPLETE",
    "EMPTY",
    "FILE_BLOCK",
    "STARTED",
    "UNSENT_LIMIT",
    "Response",
    "ResponsePhase",
    "early_hints",
]

#: Bytes that wait for the server, above which ``send()`` waits too.
UNSENT_LIMIT = 65536
#: The most that is read from a file at once, in bytes.
FILE_BLOCK = 65536


class ResponsePhase(enum.IntEnum):
    """How far the app is with its response."""

    #: Nothing was sent.
    EMPTY = 0
    #: ``http.response.start`` was sent.
    STARTED = 1
    #: A body message was sent: the server may have the head.
    BODY = 2
    #: The last body message, or a file in its place.
    COMPLETE = 3


# Members of an Enum are looked up by a call.
EMPTY, STARTED, BODY, COMPLETE = ResponsePhase


_NO_HEAD = Head("", [], None, False)


class Response:
    """The app's messages, checked, and what of them the server has not had yet.

    Every ``ApplicationError`` names a rule of the ASGI specification's HTTP chapter.
    """

    __slots__ = (
        *("_chunks", "_file_left", "_omit_body", "_trailers", "_written"),
        *("file", "file_is_whole", "head", "phase", "size"),
    )

    # Set with the file; a response without one pays nothing for them.
    #: Whether all of the file is the body, so that whoever sends files may send it.
    file_is_whole: bool
    #: Bytes of it that are still to be read, where a Content-Length promises them.
    _file_left: int | None

    def __init__(self, method: str) -> None:
        self.phase = EMPTY
        self.head = _NO_HEAD
        #: An open file that is the whole body, from ``http.response.pathsend``.
        self.file: BinaryIO | None = None
        #: Bytes that wait for the server.
        self.size = 0
        self._chunks: list[bytes] = []
        self._written = 0
        self._omit_body = method == "HEAD"
        self._trailers = False

    def put(self, message: Message) -> None:
        """Take a message of the app.

        Raises:
            ApplicationError: it is out of order, of an unknown type, or has a value of the wrong type.
        """
        try:
            kind = message["type"]
            take = _TAKEN_BY[self.phase].get(kind)
        except (TypeError, KeyError):
            raise ApplicationError(
                f"send() got {_shown(message)}; ASGI wants a dictionary with a 'type' (specification, \"Events\")"
            ) from None
        if take is None:
            raise ApplicationError(_out_of_order(kind, self.phase))
        take(self, message)

    def _put_hint(self, message: Message) -> None:
        """Early hints, from before the start: they are passed on at once, by who has called ``put()``."""

    def _put_start(self, message: Message) -> None:
        self.head = response_head(message.get("status"), message.get("headers", ()))
        self._omit_body = self._omit_body or self.head.bodyless
        self._trailers = bool(message.get("trailers", False))
        self.phase = STARTED

    def _put_body(self, message: Message) -> None:
        body = message.get("body", b"")
        if type(body) is not bytes:
            if not isinstance(body, (bytes, bytearray, memoryview)):
                raise ApplicationError(
                    f"http.response.body has {type(body).__name__} as its body; ASGI wants bytes"
                )
            # A copy: what may change later can't wait for the server.
            body = bytes(body)
        last = not message.get("more_body", False)
        head = self.head
        if self._omit_body:
            # To HEAD and with 204 and 304 there is no content, whatever apps send (RFC 9110, 6.4.1).
            pass
        elif body:
            self._written += len(body)
            if head.content_length is not None and self._written > head.content_length:
                raise ApplicationError(
                    f"the app sent more than its Content-Length, {head.content_length} bytes (RFC 9110, 8.6)"
                )
            self._chunks.append(body)
            self.size += len(body)
        if last:
            if not self._omit_body and self._written < (head.content_length or 0):
                raise ApplicationError(
                    f"the app ended its response after {self._written} of the {head.content_length} bytes "
                    "that its Content-Length promises (RFC 9110, 8.6)"
                )
            self.phase = COMPLETE
        else:
            self.phase = BODY

    def _put_file(self, message: Message) -> None:
        path = message.get("path")
        if not isinstance(path, str) or not Path(path).is_absolute():
            raise ApplicationError(
                f"http.response.pathsend has the path {path!r}; ASGI wants a string that is an absolute path"
            )
        if not self._omit_body:
            file = io.FileIO(path)
            size, promised = os.fstat(file.fileno()).st_size, self.head.content_length
            if promised is not None and size < promised:
                file.close()
                raise _short_file(promised - size)
            # One that has grown since the app looked at it, as logs do, is sent as far as the app has promised.
            self.file_is_whole = promised in {None, size}
            self._file_left = promised
            self.file = file
        self.phase = COMPLETE

    def _put_trailers(self, message: Message) -> None:
        """WSGI has none: they are taken, and dropped."""
        if not self._trailers:
            raise ApplicationError(_out_of_order("http.response.trailers", COMPLETE))
        self._trailers = bool(message.get("more_trailers", False))

    def say_length(self) -> None:
        """Add the Content-Length of a response that is complete before its head has gone out, and has none.

        The servers that end a body without a length after ``close()``, cheroot and granian, would hold the end back
        until then. To HEAD the length would be that of what GET gets (RFC 9110, 8.6), which only the app knows.
        """
        head = self.head
        if not self._omit_body and self.file is None:
            head.headers.append(("Content-Length", str(self._written)))

    def take(self) -> bytes:
        """What the server has not had yet, as one chunk."""
        chunks = self._chunks
        chunk = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        self.size = 0
        return chunk

    def incomplete(self) -> ApplicationError:
        """Which rule an app broke that has returned in this phase."""
        if self.phase is EMPTY:
            return ApplicationError("the app returned without a response: no http.response.start was sent")
        return ApplicationError(
            "the app returned before its response was complete: no http.response.body had more_body=False"
        )

    def take_file(self) -> BinaryIO | None:
        """The file, for who sends and closes it."""
        file, self.file = self.file, None
        return file

    def read_file(self) -> bytes:
        """The next block of the file; empty at its end, and where there is no file.

        Raises:
            ApplicationError: it has become shorter than the Content-Length.
        """
        file = self.file
        if file is None:
            return b""
        left = self._file_left
        if left is None:
            return file.read(FILE_BLOCK)
        block = file.read(min(FILE_BLOCK, left))
        if left and not block:
            raise _short_file(left)
        self._file_left = left - len(block)
        return block


# By phase: which messages an app may send, and what takes each of them on.
_TAKEN_BY: tuple[dict[object, Callable[[Response, Message], None]], ...] = (
    # EMPTY
    {
        "http.response.early_hint": Response._put_hint,  # EMPTY
        "http.response.start": Response._put_start,  # STARTED
    },
    # STARTED
    {
        "http.response.body": Response._put_body,  # BODY, or COMPLETE without more_body
        "http.response.pathsend": Response._put_file,  # COMPLETE
    },
    # BODY
    {"http.response.body": Response._put_body},
    # COMPLETE
    {"http.response.trailers": Response._put_trailers},
)


def _out_of_order(kind: object, phase: ResponsePhase) -> str:
    match kind, phase:
        case "http.response.start", ResponsePhase.COMPLETE:
            return "http.response.start was sent after the response was complete"
        case "http.response.start", _:
            return "http.response.start was sent twice; a response has one"
        case (("http.response.body" | "http.response.pathsend"), ResponsePhase.EMPTY):
            return f"{kind} was sent before http.response.start"
        case (("http.response.body" | "http.response.pathsend"), ResponsePhase.COMPLETE):
            return f"{kind} was sent after the response was complete"
        case "http.response.pathsend", _:
            return "http.response.pathsend was sent after http.response.body; it stands in place of the body"
        case "http.response.early_hint", _:
            return "http.response.early_hint was sent after http.response.start"
        case "http.response.trailers", _:
            return (
                "http.response.trailers was sent before the body's end, or without trailers=True in the start"
            )
    return (
        f"send() got a message of the type {kind!r}, which is none of the ASGI specification's HTTP messages"
    )


def _short_file(missing: int) -> ApplicationError:
    return ApplicationError(
        f"the file of http.response.pathsend is {missing} bytes shorter than the app's Content-Length (RFC 9110, 8.6)"
    )


def _shown(message: object) -> str:
    """What an error shows of a message: its values may be cookies, or somebody's data."""
    return f"the keys {sorted(map(str, message))}" if isinstance(message, dict) else type(message).__name__


def early_hints(environ: Environ, message: Message) -> Headers:
    """What ``wsgi.early_hints`` is to be called with for an ``http.response.early_hint`` message.

    Each becomes a header of a response, and is checked as one.
    """
    if "wsgi.early_hints" not in environ:
        raise ApplicationError(
            "http.response.early_hint was sent, but the server has none: the scope's extensions tell"
        )
    given = message.get("links", ())
    links = list(given) if isinstance(given, Iterable) else [given]
    if not all(isinstance(link, bytes) for link in links):
        types = ", ".join(sorted({type(link).__name__ for link in links}))
        raise ApplicationError(f"http.response.early_hint has links of type {types}; ASGI wants byte strings")
    hints = [("Link", link.decode("latin-1")) for link in links]
    for name, value in hints:
        check_value(name, value)
    return hints
