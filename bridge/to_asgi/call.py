"""One call of a WSGI app: the server's half of PEP 3333, on the worker's thread.

Everything in here runs on one thread and in one context: the call, the iteration, ``write()``, ``close()``. What leaves
goes through the channel; see there for how the loop takes it.
"""

import contextvars
import io
import logging
import os
from asyncio import AbstractEventLoop
from collections.abc import Iterable
from types import GeneratorType
from typing import Any, BinaryIO
from urllib.parse import unquote

from asgiref.sync import SyncToAsync

from ..errors import ApplicationError, ApplicationExit, ClientDisconnected
from ..log import request_name
from ..mapping.headers import BODYLESS, Start, start_of_response
from ..threads.jobs import After
from ..types import Environ, ExcInfo, Message, Write, WSGIApp
from .channel import Channel, Item
from .file import FileWrapper, file_message, plain_file
from .hints import EarlyHints
from .lost import log_late, log_of_close

__all__ = ["WsgiCall"]

logger = logging.getLogger("bridge")

#: A body that is there as a whole is joined up to this size; a larger one goes as it is, rather than twice in memory.
_JOINED = 65536


class WsgiCall:
    """A request for a worker: a job of ``threads.jobs``."""

    __slots__ = (
        "_app",
        "_body",
        "_bodyless",
        "_channel",
        "_context",
        "_defer",
        "_environ",
        "_extensions",
        "_hints",
        "_loop",
        "_polls",
        "_remaining",
        "_request",
        "_start",
        "_started",
        "_tell",
    )

    def __init__(
        self,
        app: WSGIApp,
        environ: Environ,
        channel: Channel,
        loop: AbstractEventLoop | None,
        extensions: Any,
        hints: EarlyHints | None = None,
    ) -> None:
        """Loop side. ``environ`` is complete; its ``wsgi.input`` is closed at the end.

        ``loop`` is where ``async_to_sync()`` runs the app's async code; ``None``: on a loop of its own for each call.
        """
        self._app = app
        self._environ = environ
        # Kept here: the environ is the app's from the call on, and middleware puts inputs of its own in it.
        self._body: BinaryIO = environ["wsgi.input"]
        self._request = (environ["REQUEST_METHOD"], environ["REQUEST_URI"])
        self._channel = channel
        self._loop = loop
        self._extensions = extensions
        self._hints = hints
        self._context = contextvars.copy_context()
        # HEAD, 204, 304: nothing of the body is sent.
        self._bodyless = self._request[0] == "HEAD"
        self._start: Start | None = None
        # True: the start has been handed over, and start_response() can't replace it any more.
        self._started = False
        # Bytes that the app's Content-Length still promises.
        self._remaining: int | None = None
        # Where nothing is left to do after the end of the response, the loop is told of it when this thread is free
        # again (see Job.run). Else it is told first, and close() may take its time.
        self._defer = False
        self._tell: After | None = None
        # There was an empty chunk.
        self._polls = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {request_name(*self._named)}>"

    @property
    def _named(self) -> tuple[str, str]:
        """Method and path, for a log: what a query holds, such as a token, is nobody's there."""
        method, target = self._request
        return method, unquote(target.partition("?")[0])

    # The job.

    def run(self) -> After | None:
        try:
            self._context.run(self._run)
        except Exception as exc:  # noqa: BLE001  # it is raised on the loop
            # The app's error can't say what it is, or the log has failed. The loop hears of the end all the same.
            self._defer = False
            self._finish([], 0, exc)
        return self._channel.end if self._tell is None else self._tell

    def abandon(self, error: BaseException) -> None:
        self._close(None)  # the body alone: there is no iterable
        tell = self._context.run(self._channel.finish, error=error, ends=True)
        if tell is not None:
            tell()

    def _run(self) -> None:
        # Where asgiref's async_to_sync() looks for the loop to run on. None has it make one, whatever loop others have
        # told the thread of an executor of before.
        local = SyncToAsync.threadlocal
        local.main_event_loop = loop = self._loop
        if loop is not None:
            local.main_event_loop_pid = os.getpid()
            local.task_context = None
        iterable: Iterable[bytes] | None = None
        try:
            # The client may have left while the request waited for a thread.
            if self._channel.begin():
                iterable = self._app(self._environ, self.start_response)
                self._iterate(iterable)
        except BaseException as exc:  # noqa: BLE001  # it is raised on the loop; SystemExit must not end this thread
            if iterable is None:
                self._defer = type(self._body) is io.BytesIO
            self._fail(exc)
        finally:
            self._close(iterable)
            # A thread without work keeps no loop alive: neither the server's, nor that of a view of the app's, which
            # asgiref leaves here where the view has called sync_to_async(). The same for the list of its tasks.
            local.main_event_loop = local.task_context = None

    def _fail(self, exc: BaseException) -> None:
        """Ends the response with ``exc``; where nobody takes that any more, it is logged."""
        if not isinstance(exc, Exception) or isinstance(exc, (StopIteration, StopAsyncIteration)):
            # A coroutine can't raise StopIteration, and SystemExit in a task ends the server.
            cause, exc = exc, ApplicationExit(f"the WSGI app raised {type(exc).__name__}: {exc}")
            exc.__cause__ = cause
        self._finish([], 0, exc)
        if not self._channel.broken:
            # The client has left, or the server has given the request up; or write() had all of the response.
            self._log_late(exc)

    def _log_late(self, error: BaseException) -> None:
        log_late(error, *self._named, self._environ.get("wsgi.errors"))

    def _finish(self, items: list[Item], size: int = 0, error: BaseException | None = None) -> None:
        """The end of the response."""
        tell = self._channel.finish(items, size, error, ends=self._defer)
        if self._defer:
            self._tell = tell
        elif tell is not None:
            tell()

    def _close(self, iterable: Any) -> None:
        """PEP 3333: ``close()`` is called once, however the request ended. The response is out: errors are logged.

        "Upon completion of the current request", it says. That is here: the loop has all of the response, and sends it
        meanwhile. Waiting for its last send() would hold this thread for as long as a slow client likes, and cost each
        request a wake-up more on either side; the servers with an output buffer, such as waitress, don't wait either.
        """
        try:
            close = getattr(iterable, "close", None)
            if close is not None:
                close()
        except BaseException as exc:  # noqa: BLE001 - SystemExit must not end this thread
            log_of_close(exc, *self._named, self._environ.get("wsgi.errors"))
        try:
            self._body.close()
        except (BufferError, ValueError):
            pass  # the app still has a view of it (getbuffer()), or has taken it apart (detach()): it is the app's
        except OSError:
            logger.exception(
                "%s: the temporary file of the request body could not be closed", request_name(*self._named)
            )

    # What the app calls.

    def start_response(self, status: str, headers: Any, exc_info: ExcInfo | None = None) -> Write:
        """PEP 3333, "The start_response() Callable". Apps may use the names, which are those of wsgiref and others."""
        if exc_info is not None:
            try:
                if self._started:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # PEP 3333: it would be a circular reference
        elif self._start is not None:
            raise ApplicationError(
                "start_response() was called a second time without exc_info, which PEP 3333 allows only with it"
            )
        self._start = start = start_of_response(status, headers)
        self._remaining = start.content_length
        self._bodyless = start.status in BODYLESS or self._request[0] == "HEAD"
        return self._write

    def _write(self, data: bytes, /) -> None:
        """PEP 3333, "The write() Callable": the data has been handed over when it returns."""
        _check(data)
        if data and self._remaining is not None and len(data) > self._remaining and not self._bodyless:
            raise ApplicationError(
                f"write() got {len(data)} bytes where the app's Content-Length leaves {self._remaining} (PEP 3333)"
            )
        if data:
            self._put(data)
        else:
            self._look()

    # The body.

    def _iterate(self, iterable: Any) -> None:
        kind = type(iterable)
        if kind is list or kind is tuple:
            self._defer = type(self._body) is io.BytesIO
            self._send_list(iterable)
            return
        if isinstance(iterable, (str, bytes)) or not (
            hasattr(kind, "__iter__") or hasattr(kind, "__getitem__")
        ):
            raise ApplicationError(
                f"the WSGI app returned {kind.__name__}; PEP 3333 wants an iterable of bytes, such as [b'...']"
            )
        if isinstance(iterable, FileWrapper) and self._send_file(iterable):
            return
        whole = False
        for chunk in iterable:
            if type(chunk) is not bytes:
                _check(chunk)
            if not chunk:
                # It does not start the response: the app may still call start_response() again.
                if not whole:
                    self._look()
            elif whole:
                return  # PEP 3333, "Handling the Content-Length Header": enough has been sent
            else:
                whole = self._put(chunk)
                if whole and self._bodyless:
                    return
                # Else the loop has it all. One step more is the app's alone: what a generator does behind its last
                # chunk, such as deleting the file that it has sent, every WSGI server lets it do.
        if whole:
            return
        if kind is GeneratorType:  # which has come to its end, so that its close() does nothing
            self._defer = type(self._body) is io.BytesIO
        self._send_end()

    def _look(self) -> None:
        """At an empty chunk: an app that waits for something may yield many, to hear whether its client has left.

        One alone is how an empty body looks (Werkzeug makes such ones), and has nobody listen. Behind a complete
        response there is nothing to hear: the loop may be done with the request, and nobody has left.
        """
        if self._started and self._remaining == 0:
            return
        if self._polls:
            self._channel.ask()
        self._polls = True
        if self._channel.aborted:
            raise ClientDisconnected("the client left before the end of the response")

    def _send_list(self, chunks: list[bytes] | tuple[bytes, ...]) -> None:
        """All of the body is there: it goes out with the start and the end in one hand-over."""
        for chunk in chunks:
            if type(chunk) is not bytes:
                _check(chunk)
        if len(chunks) > 1:
            if sum(map(len, chunks)) <= _JOINED:
                chunks = [b"".join(chunks)]
            else:
                for chunk in chunks[:-1]:
                    if chunk and self._put(chunk):
                        return
        if not chunks or not chunks[-1]:
            self._send_end()
            return
        chunk = chunks[-1]
        if self._bodyless:
            self._send_end()
            return
        remaining = self._remaining
        if remaining is not None and len(chunk) != remaining:
            if len(chunk) < remaining:
                raise self._short(len(chunk))
            chunk = chunk[:remaining]
        self._last(chunk)

    def _put(self, chunk: bytes) -> bool:
        """Hands one chunk over, not empty. ``True``: the response is complete with it, whatever the app has left."""
        if not self._started and self._start is None:
            raise _no_start()
        if self._bodyless:
            self._send_end()
            return True
        if self._remaining is not None:
            if len(chunk) >= self._remaining:
                self._last(chunk[: self._remaining])
                return True
            self._remaining -= len(chunk)
        self._channel.put([chunk] if self._started else [self._take_start(), chunk], len(chunk))
        return False

    def _last(self, chunk: bytes) -> None:
        """The last chunk, together with the start where that is still here."""
        items: list[Item] = [] if self._started else [self._take_start()]
        if chunk:
            items.append(chunk)
        self._remaining = 0
        self._finish(items, len(chunk))

    def _send_end(self) -> None:
        """The end of the body, where no chunk comes with it."""
        if self._remaining and not self._bodyless:
            raise self._short(0)
        self._last(b"")

    def _take_start(self) -> Message:
        if self._start is None:
            raise _no_start()
        self._started = True
        if self._hints is not None:
            self._hints.over = True
        return self._start.message

    def _short(self, size: int) -> ApplicationError:
        missing = (self._remaining or 0) - size
        return ApplicationError(
            f"the body is {missing} bytes shorter than the app's Content-Length of "
            f"{self._start.content_length if self._start else 0} (PEP 3333)"
        )

    def _send_file(self, wrapper: FileWrapper) -> bool:
        """A plain file by the server's own means, where it has any. ``False``: it goes in chunks."""
        extensions = self._extensions
        if not extensions or self._start is None or self._started or self._bodyless:
            return False
        status = plain_file(wrapper.filelike)
        if status is None:
            return False
        offset: int = wrapper.filelike.tell()
        count = status.st_size - offset
        if self._remaining is not None:
            if count < self._remaining:
                return False  # the way of the chunks reports it
            count = self._remaining
        if count <= 0:
            return False  # at its end, or behind it: there is nothing to send
        message = file_message(wrapper, status, offset, count, extensions)
        if message is None:
            return False
        start = self._take_start()
        if self._remaining is None:
            start["headers"].append((b"content-length", str(count).encode()))
        self._channel.put([start, message], 0)
        # The file stays open, and where it is, until the server has it.
        self._channel.flush()
        self._finish([])
        return True


def _check(chunk: object) -> None:
    if not isinstance(chunk, bytes):
        raise ApplicationError(
            f"the WSGI app's body has a chunk of type {type(chunk).__name__}; PEP 3333 wants bytes"
        )


def _no_start() -> ApplicationError:
    return ApplicationError("the WSGI app sent its body without a call of start_response() (PEP 3333)")
