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
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any

from ..errors import ApplicationError
from ..log import logger, request_name
from ..mapping.scope import path_for_log
from ..to_asgi.body import BLOCK
from ..to_wsgi.request_body import body_length, find_chunks
from ..types import Environ, ExcInfo, Headers, StartResponse, Write
from .handing_on import IN_MEMORY, NOT_HERE, log_dropped
from .mounts import Part

__all__ = ["serve_with_fallback"]

_NOT_HERE = frozenset(map(str, NOT_HERE))


def serve_with_fallback(
    part: Part, script_name: str, rest: str, environ: Environ, start_response: StartResponse
) -> Iterable[bytes]:
    """Call the app of ``part``, and those that it falls back to, one after the other until one has the answer.

    The last one has it whatever it says. What that app raises is raised, and what one before it raises while it could
    still have answered 500.

    Args:
        part: the first one to ask.
        script_name, rest: the environ's ``SCRIPT_NAME`` and ``PATH_INFO``, as ``split_environ()`` gives them.
        environ, start_response: the server's.
    """
    kept = _KeptBody(environ)
    try:
        for asked in part.chain():
            place = {"SCRIPT_NAME": script_name + asked.wire, "PATH_INFO": rest[len(asked.wire) :]}
            if asked.fallback is None:
                break
            held = _HeldBack(start_response)
            body = _KeptInput(kept, keep=True)
            own = {**environ, **place, "wsgi.input": body}
            if "wsgi.early_hints" in own:
                own["wsgi.early_hints"] = held.early_hints(own["wsgi.early_hints"])
            answer = _answer(asked, own, held)
            if answer is not None:
                body.keep = False
                return answer
            if kept.lost is not None:
                return _refuse(environ, start_response, kept.lost)
        if kept.size or kept.broken:
            environ["wsgi.input"] = _KeptInput(kept, keep=False)
        environ.update(place)
        return asked.wsgi(environ, start_response)
    finally:
        environ = own = {}  # an error of the app's would show them: see mapping.hidden


def _answer(part: Part, environ: Environ, held: "_HeldBack") -> Iterable[bytes] | None:
    """What the app answers, from when it is clear that it stands; ``None``: it is dropped, and over."""
    try:
        try:
            body = part.wsgi(environ, held.start_response)
        except Exception as exc:
            if not held.committed():
                raise
            _log("the application", part, environ, exc)  # it has called write()
            return None
        if held.stands():
            return body
        chunks: list[bytes] = []
        try:
            iterator = iter(body)
            for chunk in iterator:
                held.count(chunk)
                # An app may begin its response as late as with the first chunk (PEP 3333, "The start_response()
                # Callable").
                if held.stands() or not held.called():
                    chunks.append(chunk)
                if held.stands():
                    return _Begun(body, iterator, chunks)
            if held.stands() or not held.called():
                return _Begun(body, iterator, chunks)  # one without a response is the server's to tell
        except BaseException as exc:
            if not isinstance(exc, Exception) or not held.committed():
                _close(body)
                raise
            _log("the application", part, environ, exc)
        try:
            _close(body)
        except Exception as exc:  # noqa: BLE001 - the next app answers
            _log("close() of the application", part, environ, exc)
        return None
    finally:
        environ = {}


def _refuse(environ: Environ, start_response: StartResponse, error: OSError) -> Iterable[bytes]:
    """Answer in place of the next app, which would get half a body: RFC 4918, section 11.5."""
    name = request_name(environ.get("REQUEST_METHOD", "GET"), path_for_log(environ))
    logger.error("%s: the request body can't be kept for the next app; its client gets 507: %s", name, error)
    text = b"the server has no room for the request body\n"
    start_response(
        "507 Insufficient Storage", [("Content-Type", "text/plain"), ("Content-Length", str(len(text)))]
    )
    return [text]


def _log(what: str, part: Part, environ: Environ, error: Exception) -> None:
    method, path = environ.get("REQUEST_METHOD", "GET"), path_for_log(environ)
    log_dropped(what, part.place, method, path, error, environ.get("wsgi.errors"))


def _close(body: Iterable[bytes]) -> None:
    close = getattr(body, "close", None)
    if close is not None:
        close()


class _Progress(enum.Enum):
    """How far an app is with its answer."""

    #: ``start_response()`` was not called.
    NEW = enum.auto()
    #: It was, with a 404 or 405, which an error may still replace.
    NOT_HERE = enum.auto()
    #: A part of the body has come as well, so that a server would have sent the head.
    DROPPED = enum.auto()
    #: The server has been told: the answer is this app's.
    STANDS = enum.auto()


class _HeldBack:
    """``start_response()`` of an app that may turn out not to have the answer."""

    def __init__(self, start_response: StartResponse) -> None:
        self._progress = _Progress.NEW
        self._start_response = start_response

    def called(self) -> bool:
        return self._progress is not _Progress.NEW

    def committed(self) -> bool:
        return self._progress is _Progress.DROPPED

    def stands(self) -> bool:
        return self._progress is _Progress.STANDS

    def start_response(self, status: str, headers: Headers, exc_info: ExcInfo | None = None) -> Write:
        """PEP 3333, "The start_response() Callable"; a later call with ``exc_info`` replaces a 404 as well."""
        try:
            if self._progress is _Progress.STANDS:
                return self._start_response(status, headers, exc_info)
            if self.called() and exc_info is None:
                raise ApplicationError(
                    "start_response() was called twice without exc_info; PEP 3333 forbids it"
                )
            if self.committed() and exc_info is not None:
                raise exc_info[1].with_traceback(exc_info[2])
            if status[:3] in _NOT_HERE:
                self._progress = _Progress.NOT_HERE
                return self.count
            self._progress = _Progress.STANDS
            return self._start_response(status, headers, exc_info)
        finally:
            exc_info = None  # what it holds may be raised here, and its traceback has this frame then

    def early_hints(self, send: Callable[[Headers], object]) -> Callable[[Headers], None]:
        """The server's ``wsgi.early_hints``, up to the app's 404 or 405."""

        def early_hints(headers: Headers) -> None:
            if self._progress not in {_Progress.NOT_HERE, _Progress.DROPPED}:
                send(headers)

        return early_hints

    def count(self, chunk: bytes) -> None:
        """Take note of a part of the body. What is dropped goes nowhere, so this is its ``write()`` as well."""
        if chunk and self._progress is _Progress.NOT_HERE:
            self._progress = _Progress.DROPPED


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


class _KeptBody:
    """What has been read from ``wsgi.input``. All of it is on the request's thread."""

    def __init__(self, environ: Environ) -> None:
        find_chunks(environ)  # before the apps do, each for itself: what one had read the next would not have
        self.input: Any = environ["wsgi.input"]
        #: Bytes that are still to come, if the request says so. Beyond them the input of some servers waits for what
        #: the client never sends.
        self.left: int | None = None
        with contextlib.suppress(ValueError):  # the app's to answer
            self.left = body_length(environ.copy())  # it may rewrite the length, which the app has as it came
        #: Bytes kept.
        self.size = 0
        #: A read has failed. After that the input of some servers ends as if all were well (gunicorn's chunks).
        self.broken = False
        #: Why nothing more is kept: the disk takes no more. The app that reads has its body all the same.
        self.lost: OSError | None = None
        self._file: IO[bytes] | None = None

    def append(self, data: bytes) -> bool:
        """Keep ``data``; false: the disk does not take it, and nothing more is kept."""
        if self.lost is None:
            try:
                self._write(data)
            except OSError as exc:
                self.lost = exc.with_traceback(None)
                # What it has is of no use; and its close() would try to write the rest once more.
                if self._file is not None:
                    with contextlib.suppress(OSError):
                        self._file.close()
                    self._file = None
            else:
                self.size += len(data)
        return self.lost is None

    def _write(self, data: bytes) -> None:
        if self._file is None:
            self._file = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115  # closed with this object
            # Who has the last input on it may be anybody: the server, the app's iterable.
            weakref.finalize(self, self._file.close)
        self._file.seek(self.size)
        self._file.write(data)
        self._file.flush()

    def at(self, position: int) -> IO[bytes] | None:
        """The file at this position; ``None``: nothing is kept from there on."""
        if self._file is None or position == self.size:
            return None
        self._file.seek(position)
        return self._file


class _KeptInput(io.BufferedIOBase):
    """``wsgi.input`` of one app: what is kept, and then the server's own input. It never reads ahead."""

    def __init__(self, kept: _KeptBody, *, keep: bool) -> None:
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
        """Read from the server at most ``size`` bytes, or all where it is negative."""
        if self._kept.broken:
            raise OSError("the request body broke off when it was read before")
        left = self._kept.left
        if left is not None:
            size = left if size < 0 else min(size, left)
        # granian (2.8) knows no negative size.
        try:
            data = b"" if size == 0 else read() if size < 0 else read(size)
        except (OSError, ValueError):  # cheroot's is the latter
            self._kept.broken = True
            raise
        if left is not None:
            self._kept.left = left - len(data)
        if self.keep and data and self._kept.append(data):
            self._position += len(data)
        return data
