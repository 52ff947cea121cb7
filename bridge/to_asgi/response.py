"""One response of a WSGI app: the loop's side, from the hand-over of its call to the end of it.

The worker puts what the app makes into a ``Channel``; here it is taken and sent. All of this is on the loop's thread,
in the task of the request.

When it returns, the call has ended, ``close()`` included: a test client sees what the app's teardown did, and a server
that waits for its requests at its end waits for the app. The client does not wait for ``close()``: it runs while the
last batch is sent. So there are two orders. A quick ``close()`` is over when the loop has sent, and the loop, which
looks then, needs no second wake-up; a slow one wakes it. Where the response was a list, nothing is left to close, and
the worker has ended before it wakes the loop at all. What else may happen:

- The client leaves: the app hears of it at its next chunk, and its end is waited for.
- The app fails, or ``send()`` raises. The server can answer, or cut the connection, when it gets the error, and so the
  client does wait for ``close()`` then; for a second, in case that it hangs.
- Both at once, or the client leaves before: the server gets one error. That of the app is logged.
- The task is cancelled: that ends it at once. Who cancels does not want to wait; the pool still counts the call, and
  the lifespan's shutdown waits for it.
- The loop stops: nobody waits any more, and what the worker posts is lost.
"""

from ..errors import RequestBodyTooLarge
from ..types import Receive, Scope, Send
from .body import Stream
from .channel import Batch, Channel, End
from .lost import log_beside
from .refusal import Refused
from .sending import break_off, send_batch
from .watch import Listening, Watch, Watches, listen_with

__all__ = ["Response"]

#: Bytes of a body up to which a response is short: servers have 64 KiB between themselves and a connection before
#: send() waits (asyncio's high-water mark, and uvicorn's own).
_SHORT = 65536
#: Seconds that an app's error waits for the end of its call.
_CLOSING = 1.0


class Response:
    """What the worker puts into ``channel``, as it is sent. All fields are of the request's own task."""

    __slots__ = ("_channel", "_receive", "_scope", "_send", "_started", "_stream", "_watch", "_watches")

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, channel: Channel, watches: Watches
    ) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._channel = channel
        self._watches = watches
        self._watch: Watch | None = None
        # The request body, where it still arrives.
        self._stream: Stream | None = None
        self._started = False

    def feed(self, stream: Stream, feed: Listening) -> None:
        """Has ``feed`` fill ``stream`` meanwhile; it listens too, for receive() has one caller at a time."""
        self._stream = stream
        self._watch = Watch(self._watches, feed, self._send, self._channel.leave)
        self._watch.start()

    def listen(self) -> Watch:
        """Begins to listen for the client's leaving, soon."""
        watch = self._watch
        if watch is None:
            listening = listen_with(self._receive)
            watch = self._watch = Watch(self._watches, listening, self._send, self._channel.leave)
        return watch

    async def run(self) -> None:
        """Until the end of the call.

        Raises:
            Refused: the request body got too long, and the app gave no answer of its own.
            BaseException: the app's, or what cuts a response off.
        """
        channel = self._channel
        failed: BaseException | None = None
        sent = False
        try:
            await self._send_all()
            sent = True
        except Exception as exc:  # noqa: BLE001  # it is raised at the end
            # Of send(): by the ASGI specification (2.4) an OSError says that the client has left.
            failed = exc
            channel.leave()
        except BaseException:
            channel.leave()
            raise
        finally:
            # On every way out of here: the worker waits for nobody any more, and nobody has its error.
            error, running = channel.close()
            if error is not None and not sent:
                # What is raised is another one.
                log_beside(error, self._scope.get("method", "GET"), self._scope["path"])
                error = None
            if self._watch is not None:
                self._watch.cancel()
            if self._stream is not None:
                self._stream.release()
        if error is None and failed is None:
            if running:
                await channel.until_ended()
            return
        try:
            if running:
                await channel.until_ended(_CLOSING)
            if failed is None and error is not None:
                failed = _as_raised(error, self._started, self._scope, self._send)
            if failed is not None:
                raise failed
        finally:
            # Their tracebacks lead to this frame.
            del error, failed

    async def _send_all(self) -> None:
        channel = self._channel
        batch = await channel.take()
        if _may_wait(self._scope, batch):
            # Before the first send(): with a client that does not read, even that may take for ever.
            self.listen()
        watch = self._watch
        send = self._send if watch is None else watch.send
        while True:
            if self._stream is not None and batch.end is not End.MORE:
                # The app reads no more, and what it left must not keep anybody from listening.
                self._stream.release()
            await send_batch(send, batch)
            self._started = self._started or _starts(batch)
            if batch.end is not End.MORE or watch is None:
                return
            if _ends_by_path(batch):
                # granian opens the file after send() has returned. Its http.disconnect comes about then, not
                # surely later: see _is_path() in _file for the files that this is good enough for. It does not come
                # at all where a middleware has kept the path to itself, and the app's thread waits meanwhile.
                await watch.has_left()
                return
            if not batch.items:
                watch.start()  # the app asks whether the client is there
            batch = channel.more() or await channel.take()
            if batch.end is End.MORE:
                # So that a client that left before this chunk is known to have left at the next one.
                watch.start()


def _may_wait(scope: Scope, batch: Batch) -> bool:
    """Whether a ``send()`` of ``batch``, the first one, may wait for the client.

    A stream of HTTP/2 or HTTP/3 has a window that the client gives, for it alone and with the others of the connection;
    it may be used up, so that one byte waits. In HTTP/1 what is short fits between the server and the connection; and
    if it should not, for the client reads nothing of the responses before, its leaving ends the connection and with it
    the wait.
    """
    if batch.end is End.MORE or scope.get("http_version") in {"2", "3"}:
        return True
    last = batch.items[-1] if batch.items else b""
    return len(batch.items) > 2 or (isinstance(last, bytes) and len(last) > _SHORT)


def _as_raised(error: BaseException, started: bool, scope: Scope, send: Send) -> BaseException | None:
    """The app's error, in the way in which the server understands it."""
    if started:
        return break_off(error, scope, send)
    if isinstance(error, RequestBodyTooLarge):
        return Refused(413, str(error))
    return error


def _starts(batch: Batch) -> bool:
    """Whether ``batch``, the first one or after others of early hints, has the start of the response."""
    # Early hints come before it alone, so the last item tells.
    last = batch.items[-1] if batch.items else None
    return last is not None and (isinstance(last, bytes) or last["type"] != "http.response.early_hint")


def _ends_by_path(batch: Batch) -> bool:
    """Whether the last item of ``batch`` hands a file over by its path."""
    last = batch.items[-1] if batch.items else b""
    return not isinstance(last, bytes) and last["type"] == "http.response.pathsend"
