"""The loop's side of a request body: collecting it whole, or feeding it to the app as it arrives.

What the app reads from is in ``to_asgi.body``. All of this is on the loop's thread.
"""

import logging
import sys
from collections.abc import Callable
from io import BytesIO
from typing import BinaryIO, Literal, NamedTuple

from ..errors import BridgeError, ClientDisconnected, RequestBodyTooLarge
from ..log import request_name, scope_name
from ..mapping.headers import is_chunked, parse_content_length
from ..mapping.scope import path_for_log
from ..threads.jobs import run_in
from ..threads.mailbox import Mailbox
from ..threads.pool import ThreadPool
from ..threads.tally import Tally
from ..types import Environ, Receive, Scope
from .body import BLOCK, Input, Spool, SpoolError, Stream, disconnected
from .refusal import Refused
from .watch import until_disconnect

__all__ = ["Body", "BodyMode", "Collector", "no_room"]

logger = logging.getLogger("bridge")

BodyMode = Literal["buffer", "stream"]

#: Threads that write large bodies into temporary files; they are short at work.
_DISK_THREADS = 2


class Body(NamedTuple):
    """A request body, complete or with its rest on the way into ``stream``."""

    input: BinaryIO
    size: int
    #: The request's Content-Length, if it has one.
    declared: int | None = None
    stream: Stream | None = None


class Collector:
    """How one adapter takes the bodies of its requests. Has no thread until a body is larger than its buffer."""

    def __init__(self, mode: BodyMode, buffer: int, max_size: int | None, tally: Tally) -> None:
        """``buffer``: bytes in memory; ``max_size``: bytes, ``None`` for any; ``tally`` counts bytes on disk."""
        self._mode = mode
        self._buffer = buffer
        self._max_size = max_size
        self._tally = tally
        # For all loops. No limit but that of the requests: each has one job here at a time.
        self.disk = ThreadPool(_DISK_THREADS, sys.maxsize, name="bridge-disk")

    async def collect(self, environ: Environ, receive: Receive, mailbox: Mailbox) -> Body | None:
        """The body of a request, which is put into its ``environ``; ``None``: the client left before its end.

        Raises:
            Refused: 400 where its length is not what the client says, 413 where it is too long, 507 where the disk
                does not take it; before anything is received 501 for another Transfer-Encoding than chunked, and 400
                and 413 for a Content-Length that says so.
        """
        chunked = "HTTP_TRANSFER_ENCODING" in environ
        if chunked and not is_chunked(environ["HTTP_TRANSFER_ENCODING"]):
            raise Refused(501, "this server takes no Transfer-Encoding but chunked (RFC 9112, section 6.1)")
        declared = self._declared_length(environ, chunked) if "CONTENT_LENGTH" in environ else None
        try:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            block: bytes = message.get("body", b"")
            if message.get("more_body", False):
                body = await self._rest(receive, block, declared, mailbox)
                if body is None:
                    return None  # a body that is not complete reaches no app
            else:
                # As Body(...) does it, in a third of the time.
                body = tuple.__new__(Body, (BytesIO(block), len(block), declared, None))
                if not block and declared is None and not chunked:
                    environ["wsgi.input"] = (
                        body.input
                    )  # as for nearly each GET, there is nothing to say of it
                    return body
        except SpoolError as exc:
            # Of the spool here, or of receive(), where a Dispatcher keeps the body for another app.
            raise _not_kept(environ, exc) from None
        try:
            self._describe(environ, body, chunked)
        except Refused:
            self.discard(body.input, mailbox)
            raise
        return body

    def _declared_length(self, environ: Environ, chunked: bool) -> int | None:
        try:
            declared = parse_content_length(environ)
        except ValueError as exc:
            raise Refused(400, f"{exc}, which is not one number (RFC 9110, section 8.6)") from None
        if declared is not None:
            self._check_size(declared)
        if chunked and self._mode == "stream":
            # Beside chunks it says nothing (RFC 9112, section 6.3). A body that is buffered is counted.
            del environ["CONTENT_LENGTH"]
            return None
        return declared

    def _check_size(self, size: int) -> None:
        if self._max_size is not None and size > self._max_size:
            raise Refused(413, f"the request body is longer than the {self._max_size} bytes allowed")

    async def _rest(
        self, receive: Receive, block: bytes, declared: int | None, mailbox: Mailbox
    ) -> Body | None:
        """The body whose first ``block`` is not all of it."""
        held = bytearray()  # not a list of blocks: a client may send them byte by byte
        size = len(block)
        spool: Spool | None = None
        more = True
        try:
            while more:
                self._check_size(size)
                if len(held) + len(block) < self._buffer:
                    held += block
                else:
                    if held:  # else it goes as it is: most of a large body comes in large blocks
                        block = bytes(held + block)
                        held.clear()
                    if self._mode == "stream":
                        stream = Stream(mailbox, self._buffer)
                        stream.feed(block)
                        return Body(Input(stream, BLOCK), size, declared, stream)
                    spool = spool or Spool(self.disk, mailbox)
                    await spool.write(block)
                message = await receive()
                if message["type"] == "http.disconnect":
                    return None
                block = message.get("body", b"")
                size += len(block)
                more = message.get("more_body", False)
            held += block
            if spool is None:
                return Body(BytesIO(held), size, declared)
            if held:
                await spool.write(bytes(held))
            whole, spool = await spool.file(), None
            self._tally.add("bytes_spooled", size)
            return Body(whole, size, declared)
        finally:
            if spool is not None:
                spool.discard()

    def _describe(self, environ: Environ, body: Body, chunked: bool) -> None:
        """Puts the body into ``environ``. Raises ``Refused``: 413, or 400 where it is shorter than it should be."""
        environ["wsgi.input"] = body.input
        if body.stream is not None:
            return  # its length is what the client says, if it says one
        size, declared = body.size, body.declared
        self._check_size(size)
        if declared is not None and size < declared:
            raise Refused(400, f"the request body has {size} bytes, Content-Length says {declared}")
        # The length as counted, also for a chunked body: frameworks read nothing without one. It is not chunked here.
        if chunked:
            del environ["HTTP_TRANSFER_ENCODING"]
        if size or chunked or declared is not None:
            environ["CONTENT_LENGTH"] = str(size)

    def discard(self, body: BinaryIO, mailbox: Mailbox) -> None:
        """Closes the input of a request that no app gets: a large file takes a while, which is not the loop's."""
        if isinstance(body, Input) and not isinstance(body.raw, Stream):
            run_in(self.disk, mailbox, body.close)
        else:
            body.close()

    async def feed(self, receive: Receive, scope: Scope, body: Body, left: Callable[[], None], /) -> None:
        """Stream mode: the rest of the body as it arrives, then listening for the client's leaving.

        Once the app reads no more, the rest is dropped: what it left must not keep anybody from listening. Until then
        an app that does not read may hide that the client has left: ``Stream`` says for how long.
        """
        stream, size, declared = body.stream, body.size, body.declared
        assert stream is not None  # noqa: S101  # for the type: it is fed
        more = True
        end: BridgeError | SpoolError | None = None
        try:
            while more and not stream.released:
                await stream.room()
                message = await receive()
                if message["type"] == "http.disconnect":
                    # In this order: what the app's read raises can then be no error that somebody waits for.
                    left()
                    stream.end(disconnected())
                    return
                block = message.get("body", b"")
                size += len(block)
                more = message.get("more_body", False)
                self._check_size(size)
                stream.feed(block)
        except Refused as refused:
            end = RequestBodyTooLarge(refused.text)
        except SpoolError as exc:
            # Of receive(), as in collect(); the app that is told may answer all the same.
            _log_not_kept(scope_name(scope), exc, "the application is told")
            end = SpoolError(*exc.args)
        except Exception:
            logger.exception(
                "%s: receive() of the ASGI server raised; the request body is taken for broken off",
                scope_name(scope),
            )
            stream.end(disconnected())
            return
        if end is None and not more and declared is not None and size != declared:
            end = ClientDisconnected(f"the request body has {size} bytes, Content-Length says {declared}")
        stream.end(end)
        if more:
            # Not before: a body that is too long may be without an end.
            await stream.until_released()
        if await until_disconnect(receive, scope, more=more):
            left()


def _not_kept(environ: Environ, error: SpoolError) -> Refused:
    """The answer to a body that there is no room for, which the log says why of."""
    name = request_name(environ["REQUEST_METHOD"], path_for_log(environ))
    _log_not_kept(name, error, "its client gets 507")
    return no_room()


def _log_not_kept(name: str, error: SpoolError, what_follows: str) -> None:
    logger.error("%s: the request body can't be kept in a temporary file; %s: %s", name, what_follows, error)


def no_room() -> Refused:
    """RFC 4918, section 11.5."""
    return Refused(507, "the server has no room for the request body")
