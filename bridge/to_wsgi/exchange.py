"""What one WSGI request and one ASGI app say to each other, without a running loop and without thread.

``Response`` takes the app's messages, checks them, and keeps what the server has not had yet, for which
``to_wsgi.iterables`` has the iterables. The two ways of running an app, ``to_wsgi.own_loop`` and
``to_wsgi.shared_loop``, are built on these. No object here locks: whoever shares one between threads does.
"""

import asyncio
import contextvars
import enum
import errno
import io
import logging
import sys
from collections.abc import Awaitable, Iterator
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from asgiref.sync import SyncToAsync, ThreadSensitiveContext

from ..errors import ApplicationError, ClientDisconnected
from ..log import log_app_error
from ..mapping.headers import Head, response_head
from ..types import ASGIApp, Environ, Headers, Message, Receive, Scope, Send
from .request_body import BLOCK

__all__ = [
    "BODY",
    "COMPLETE",
    "EMPTY",
    "GRACE",
    "STARTED",
    "ClientLeftError",
    "Phase",
    "Response",
    "call_app",
    "chain",
    "client_left",
    "early_hints",
    "log_late_error",
    "raised",
    "work_for",
    "works_for",
]

logger = logging.getLogger("bridge")

#: Seconds that an app which is listening for http.disconnect has for its own way out, before it is cancelled.
GRACE = 1.0


class _Context(ThreadSensitiveContext):
    """A request or a startup, in the context of all that works for it: its tasks, the threads of its sync code."""

    #: Whose it is, as long as it runs.
    owner: object = None
    #: What it is a part of.
    outer: object = None


# Requests are in asgiref's own variable; a startup shares asgiref's thread with the rest of the process.
_startup: ContextVar[_Context | None] = ContextVar("bridge_startup", default=None)


def works_for(owner: object) -> bool:
    """Whether the caller, in whichever thread, is a part of what is still done for ``owner``."""
    contexts: list[Any] = [SyncToAsync.thread_sensitive_context.get(None), _startup.get()]
    while contexts:
        context = contexts.pop()
        if getattr(context, "owner", None) is owner:
            return True
        if isinstance(context, _Context):
            contexts.append(context.outer)
        elif isinstance(context, ThreadSensitiveContext) and context.token is not None:
            # The app's own, with an executor; another one changes nothing within ours.
            contexts.append(context.token.old_value)
    return False


async def work_for(owner: object, work: Awaitable[None]) -> None:
    """Do something that is no request for ``owner``, in a task of its own."""
    context = _Context()
    context.owner = owner
    context.outer = _startup.get()
    _startup.set(context)
    try:
        await work
    finally:
        context.owner = None


class Failing(Protocol):
    """Who runs an app."""

    #: The app's context as it was when the app raised an error. What is logged of it later is logged in this one, as
    #: on an ASGI server: trackers of errors and structured logs find there which request it was, and what they know.
    context: contextvars.Context | None


async def call_app(
    app: ASGIApp, scope: Scope, receive: Receive, send: Send, owner: object, failing: Failing
) -> BaseException | None:
    """The app, in a thread-sensitive context of asgiref's own: its sync code waits for no other request's.

    The context is a mark in the task's context; its thread is made when it is first used, and ends here.

    Returns:
        What the app raised to end the process, if it did. A task that raises it would raise it out of the loop as
        well, through frames of asyncio that keep the task, and with it all that the request had.
    """
    context: Any = _Context()  # its methods have no types
    context.owner = owner
    context.outer = SyncToAsync.thread_sensitive_context.get(None)
    token = SyncToAsync.thread_sensitive_context.set(context)
    try:
        await app(scope, receive, send)
    except (SystemExit, KeyboardInterrupt) as exc:
        failing.context = contextvars.copy_context()
        return exc
    except Exception as error:
        failing.context = contextvars.copy_context()
        _note_trio(error)
        raise
    finally:
        context.owner = None
        if context in SyncToAsync.context_to_thread_executor:
            # Not before: the token refers to the context, and only __aexit__() takes the two apart.
            context.token = token
            await context.__aexit__(*sys.exc_info())
    return None


def raised(task: "asyncio.Task[BaseException | None]") -> BaseException | None:
    """What the app raised, by the task of ``call_app()``, which has ended and was not cancelled."""
    return task.exception() or task.result()


def _note_trio(error: Exception) -> None:
    """Trio's own words, such as "must be called from async context", don't tell what is wrong."""
    if "trio" not in sys.modules:
        return
    for exc in chain(error):
        traceback = exc.__traceback__
        while traceback is not None and traceback.tb_next is not None:
            traceback = traceback.tb_next
        if traceback is None or not isinstance(exc, (RuntimeError, AttributeError)):
            continue
        if traceback.tb_frame.f_globals.get("__name__", "").startswith("trio."):
            exc.add_note("AsgiToWsgi runs applications on asyncio: what is written for trio is not served")


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


class Phase(enum.IntEnum):
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
EMPTY, STARTED, BODY, COMPLETE = Phase


_NO_HEAD = Head("", [], None, False)


class Response:
    """The app's messages, checked, and what of them the server has not had yet.

    Every ``ApplicationError`` names a rule of the ASGI specification's HTTP chapter.
    """

    __slots__ = ("_chunks", "_omit_body", "_trailers", "_written", "file", "head", "hints", "phase", "size")

    def __init__(self, method: str) -> None:
        self.phase = EMPTY
        self.head = _NO_HEAD
        #: An open file that is the whole body, from ``http.response.pathsend``.
        self.file: BinaryIO | None = None
        #: Bytes that wait for the server.
        self.size = 0
        self._chunks: list[bytes] = []
        self._written = 0
        #: Early hints, from before the start, as the app sent them.
        self.hints: list[Message] = []
        self._omit_body = method == "HEAD"
        self._trailers = False

    def put(self, message: Message) -> None:
        """Take a message of the app.

        Raises:
            ApplicationError: it is out of order, of an unknown type, or has a value of the wrong type.
        """
        try:
            kind = message["type"]
        except (TypeError, KeyError):
            raise ApplicationError(
                f"send() got {message!r}; ASGI wants a dictionary with a 'type' (specification, \"Events\")"
            ) from None
        phase = self.phase
        if kind == "http.response.body" and (phase is STARTED or phase is BODY):
            self._put_body(message)
        elif kind == "http.response.start" and phase is EMPTY:
            self.head = response_head(message.get("status"), message.get("headers", ()))
            self._omit_body = self._omit_body or self.head.bodyless
            self._trailers = bool(message.get("trailers", False))
            self.phase = STARTED
        elif kind == "http.response.pathsend" and phase is STARTED:
            self._put_file(message)
        elif kind == "http.response.early_hint" and phase is EMPTY:
            self.hints.append(message)
        elif kind == "http.response.trailers" and phase is COMPLETE and self._trailers:
            # WSGI has none: they are taken, and dropped.
            self._trailers = bool(message.get("more_trailers", False))
        else:
            raise ApplicationError(_out_of_order(kind, phase))

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
            self.file = io.FileIO(path)
        self.phase = COMPLETE

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

    def read_file(self) -> bytes:
        """The next block of the file; empty at its end, and where there is no file."""
        return self.file.read(BLOCK) if self.file is not None else b""


def _out_of_order(kind: object, phase: Phase) -> str:
    match kind, phase:
        case "http.response.start", Phase.COMPLETE:
            return "http.response.start was sent after the response was complete"
        case "http.response.start", _:
            return "http.response.start was sent twice; a response has one"
        case (("http.response.body" | "http.response.pathsend"), Phase.EMPTY):
            return f"{kind} was sent before http.response.start"
        case (("http.response.body" | "http.response.pathsend"), Phase.COMPLETE):
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


def log_late_error(
    error: BaseException,
    request: str,
    errors: Any,
    status: str,
    context: contextvars.Context | None,
    *,
    gone: bool,
) -> None:
    """Log what an app raised when nobody could be told any more.

    Args:
        error: what it raised.
        request: its name, for the log.
        errors: the request's ``wsgi.errors``.
        status: of the response that is complete.
        context: the app's, at its end.
        gone: its client had left; that it couldn't send is then no news.
    """
    if context is not None:
        context.run(log_late_error, error, request, errors, status, None, gone=gone)
    elif gone and _is_of_client(error):
        logger.debug("%s: the client left, and the application ended with %r", request, error)
    elif gone:
        log_app_error(
            "%s: the application failed after its client had left", request, error=error, errors=errors
        )
    else:
        log_app_error(
            "%s: the application raised an error; it had answered with %r",
            request,
            status,
            error=error,
            errors=errors,
        )


# What frameworks raise for http.disconnect: Starlette, Django, Litestar. Quart cancels.
_DISCONNECTS = {"ClientDisconnect", "RequestAborted", "ClientDisconnectedException"}


def _is_of_client(error: BaseException) -> bool:
    """Whether ``error`` of an app says that its client has left."""
    return any(
        isinstance(exc, ClientDisconnected) or type(exc).__name__ in _DISCONNECTS for exc in chain(error)
    )


def chain(error: BaseException) -> Iterator[BaseException]:
    """``error``, what it was raised from, and the members of groups."""
    errors: list[BaseException | None] = [error]
    seen: set[int] = set()
    while errors:
        exc = errors.pop()
        if exc is None or id(exc) in seen:
            continue
        seen.add(id(exc))
        yield exc
        errors += [exc.__cause__, exc.__context__]
        if isinstance(exc, BaseExceptionGroup):
            errors += exc.exceptions


def early_hints(environ: Environ, message: Message) -> Headers:
    """What ``wsgi.early_hints`` is to be called with for an ``http.response.early_hint`` message."""
    if "wsgi.early_hints" not in environ:
        raise ApplicationError(
            "http.response.early_hint was sent, but the server has none: the scope's extensions tell"
        )
    links = list(message.get("links", ()))
    if not all(isinstance(link, bytes) for link in links):
        raise ApplicationError(f"http.response.early_hint has the links {links!r}; ASGI wants byte strings")
    return [("Link", link.decode("latin-1")) for link in links]
