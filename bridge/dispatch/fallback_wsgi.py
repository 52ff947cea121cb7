"""Handing a request on to the next app, where the first one answers that it has nothing there. The WSGI side.

What the server gives is held back until an app has called ``start_response()``. If that is with a 404 or a 405, the
rest of the answer is thrown away: the iterable is taken to its end and closed, all on the server's thread, and then the
next app is called, with an environ of its own and the body from its beginning.
"""

import contextlib
import enum
import io
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import IO, Any, NamedTuple

from ..errors import ApplicationError
from ..log import log_app_error, request_name
from ..mapping.scope import path_for_log
from ..to_asgi.body import BLOCK
from ..to_wsgi.request_body import body_length
from ..types import Environ, ExcInfo, Headers, StartResponse, Write, WSGIApp
from .fallback_asgi import NOT_HERE

__all__ = ["Call", "serve_with_fallback"]

#: Bytes of the body that are kept in memory; the rest goes to a temporary file.
_MEMORY = 131072

_NOT_HERE = frozenset(map(str, NOT_HERE))


class Call(NamedTuple):
    """An app, and the two keys that tell it where it is mounted."""

    app: WSGIApp
    script_name: str
    path_info: str
    #: Where it is mounted, for the log.
    prefix: str


def serve_with_fallback(
    calls: Sequence[Call], environ: Environ, start_response: StartResponse
) -> Iterable[bytes]:
    """Calls one app after the other until one has the answer; the last one has it whatever it says.

    Raises what that app raises, and what one before it raises while it could still have answered 500.
    """
    *attempts, last = calls
    kept = _Kept(environ)
    for call in attempts:
        attempt = _Attempt(start_response)
        body = _Input(kept, keep=True)
        copy = {**environ, "SCRIPT_NAME": call.script_name, "PATH_INFO": call.path_info, "wsgi.input": body}
        answer = _answer(call, copy, attempt)
        if answer is not None:
            body.keep = False
            return answer
    if kept.size:
        environ["wsgi.input"] = _Input(kept, keep=False)
    environ["SCRIPT_NAME"], environ["PATH_INFO"] = last.script_name, last.path_info
    return last.app(environ, start_response)


def _answer(call: Call, environ: Environ, attempt: "_Attempt") -> Iterable[bytes] | None:
    """What the app answers, from when it is clear that it stands; ``None``: it is dropped, and over."""
    body = call.app(environ, attempt.start_response)
    if attempt.stands():
        return body
    chunks: list[bytes] = []
    try:
        iterator = iter(body)
        for chunk in iterator:
            attempt.count(chunk)
            # An app may begin its response as late as with the first chunk (PEP 3333, "The start_response() Callable").
            if attempt.stands() or not attempt.called():
                chunks.append(chunk)
            if attempt.stands():
                return _Begun(body, iterator, chunks)
        if attempt.stands() or not attempt.called():
            return _Begun(body, iterator, chunks)  # one without a response is the server's to tell
    except BaseException as exc:
        if not isinstance(exc, Exception) or not attempt.committed():
            _close(body)
            raise
        _log("%s: the application at %r failed after its answer had been dropped", call, environ, exc)
    try:
        _close(body)
    except Exception as exc:  # noqa: BLE001 - the next app answers
        _log(
            "%s: close() of the application at %r failed after its answer had been dropped",
            call,
            environ,
            exc,
        )
    return None


def _log(message: str, call: Call, environ: Environ, error: Exception) -> None:
    request = request_name(environ.get("REQUEST_METHOD", "GET"), path_for_log(environ))
    log_app_error(message, request, call.prefix, error=error, errors=environ.get("wsgi.errors"))


def _close(body: Iterable[bytes]) -> None:
    close = getattr(body, "close", None)
    if close is not None:
        close()


class _Phase(enum.IntEnum):
    #: ``start_response()`` was not called.
    NEW = 0
    #: It was, with a 404 or 405, which an error may still replace.
    NOT_HERE = 1
    #: A part of the body has come as well, so that a server would have sent the head.
    DROPPED = 2
    #: The server has been told: the answer is this app's.
    STANDS = 3


class _Attempt:
    """``start_response()`` of an app that may turn out not to have the answer."""

    def __init__(self, start_response: StartResponse) -> None:
        self._phase = _Phase.NEW
        self._start_response = start_response

    def called(self) -> bool:
        return self._phase is not _Phase.NEW

    def committed(self) -> bool:
        return self._phase is _Phase.DROPPED

    def stands(self) -> bool:
        return self._phase is _Phase.STANDS

    def start_response(self, status: str, headers: Headers, exc_info: ExcInfo | None = None) -> Write:
        """PEP 3333, "The start_response() Callable"; a later call with ``exc_info`` replaces a 404 as well."""
        try:
            if self._phase is _Phase.STANDS:
                return self._start_response(status, headers, exc_info)
            if self.called() and exc_info is None:
                raise ApplicationError(
                    "start_response() was called twice without exc_info; PEP 3333 forbids it"
                )
            if self.committed() and exc_info is not None:
                raise exc_info[1].with_traceback(exc_info[2])
            if status[:3] in _NOT_HERE:
                self._phase = _Phase.NOT_HERE
                return self.count
            self._phase = _Phase.STANDS
            return self._start_response(status, headers, exc_info)
        finally:
            exc_info = None  # what it holds may be raised here, and its traceback has this frame then

    def count(self, chunk: bytes) -> None:
        """A part of the body; what is dropped goes nowhere, so this is its ``write()`` as well."""
        if chunk and self._phase is _Phase.NOT_HERE:
            self._phase = _Phase.DROPPED


class _Begun:
    """An answer whose first chunks have been taken already."""

    def __init__(self, body: Iterable[bytes], iterator: Iterator[bytes], chunks: list[bytes]) -> None:
        self._body = body
        self._iterator = iterator
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        yield from self._chunks
        yield from self._iterator

    def close(self) -> None:
        _close(self._body)


class _Kept:
    """What has been read from ``wsgi.input``. All of it is on the request's thread."""

    def __init__(self, environ: Environ) -> None:
        self.input: Any = environ["wsgi.input"]
        #: Bytes that are still to come, if the request says so. Beyond them the input of some servers waits for what
        #: the client never sends.
        self.left: int | None = None
        with contextlib.suppress(ValueError):  # the app's to answer
            self.left = body_length(environ.copy())  # it may rewrite the length, which the app has as it came
        #: Bytes kept.
        self.size = 0
        self._file: IO[bytes] | None = None

    def append(self, data: bytes) -> None:
        if self._file is None:
            self._file = tempfile.SpooledTemporaryFile(_MEMORY)  # noqa: SIM115  # closed with this object
            # Who has the last input on it may be anybody: the server, the app's iterable.
            weakref.finalize(self, self._file.close)
        self._file.seek(0, 2)
        self._file.write(data)
        self.size += len(data)

    def at(self, position: int) -> IO[bytes] | None:
        """The file at this position; ``None``: nothing is kept from there on."""
        if self._file is None or position == self.size:
            return None
        self._file.seek(position)
        return self._file


class _Input(io.BufferedIOBase):
    """``wsgi.input`` of one app: what is kept, and then the server's own input. It never reads ahead."""

    def __init__(self, kept: _Kept, *, keep: bool) -> None:
        self._kept = kept
        self._position = 0
        #: What comes from the server is kept for the next app.
        self.keep = keep

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        size = -1 if size is None or size < 0 else size
        kept = self._kept.at(self._position)
        data = b"" if kept is None else kept.read(size)
        self._position += len(data)
        if len(data) == size:
            return data
        return data + self._fresh(self._kept.input.read, size - len(data) if size > 0 else -1)

    def read1(self, size: int = -1, /) -> bytes:
        return self.read(size if size >= 0 else BLOCK)

    def readline(self, size: int | None = -1, /) -> bytes:
        size = -1 if size is None or size < 0 else size
        kept = self._kept.at(self._position)
        line = b"" if kept is None else kept.readline(size)
        self._position += len(line)
        if line.endswith(b"\n") or len(line) == size:
            return line
        return line + self._fresh(self._kept.input.readline, size - len(line) if size > 0 else -1)

    def readlines(self, hint: int | None = None, /) -> list[bytes]:
        lines: list[bytes] = []
        size = 0
        for line in self:
            lines.append(line)
            size += len(line)
            # io.IOBase reads one more where the lines have exactly so many bytes.
            if hint is not None and 0 < hint <= size:
                break
        return lines

    def _fresh(self, read: Callable[..., bytes], size: int) -> bytes:
        """From the server: at most ``size`` bytes, or all where it is negative."""
        left = self._kept.left
        if left is not None:
            size = left if size < 0 else min(size, left)
        # granian (2.8) knows no negative size.
        data = b"" if size == 0 else read() if size < 0 else read(size)
        if left is not None:
            self._kept.left = left - len(data)
        if self.keep and data:
            self._kept.append(data)
            self._position += len(data)
        return data
