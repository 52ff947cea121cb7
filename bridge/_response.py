"""One response of a WSGI app: the loop's side, from the hand-over of its call to the last ``send()``.

The worker puts what the app makes into a ``Channel``; here it is taken and sent. All of this is on the loop's thread,
in the task of the request.
"""

from ._body import Stream, disconnected
from ._channel import Batch, Channel, End
from ._cut import break_off
from ._refusal import Refused
from ._sending import send_batch
from ._types import Receive, Scope, Send
from ._watch import Listening, Watch, Watches, listen_with
from .errors import RequestBodyTooLarge

__all__ = ["respond"]


async def respond(
    scope: Scope,
    receive: Receive,
    send: Send,
    channel: Channel,
    watches: Watches,
    *,
    stream: Stream | None,
    feed: Listening | None,
    waits: bool,
) -> None:
    """Sends what the worker puts into ``channel``, until its end.

    ``stream`` is the request body, if it still arrives, and ``feed`` what feeds it. ``waits``: no thread is free yet.

    Raises:
        Refused: the request body got too long, and the app gave no answer of its own.
        BaseException: the app's, or what cuts a response off.
    """
    watch: Watch | None = None
    if feed is not None:
        # It listens too, once the body has come to its end: receive() has one caller at a time.
        watch = Watch(watches, feed, send, channel.abort)
        watch.start()
    elif waits:
        # For a thread, perhaps for long: the client may give up, and need not have its turn then.
        watch = Watch(watches, listen_with(receive), send, channel.abort)
    started = False
    error: BaseException | None = None
    try:
        batch = await channel.take()
        if batch.end is End.MORE and watch is None:
            # Before the first send(): with a client that does not read, even that may take for ever.
            watch = Watch(watches, listen_with(receive), send, channel.abort)
        while True:
            await send_batch(send if watch is None else watch.send, batch)
            started = started or _starts(batch)
            if batch.end is not End.MORE or watch is None:
                break
            if _ends_by_path(batch):
                # granian opens the file after send() has returned. Its http.disconnect comes about then, not
                # surely later: see _is_path() in _call for the files that this is good enough for.
                await watch.until_left()
                break
            batch = channel.more() or await channel.take()
            if batch.end is End.MORE:
                # So that a client that left before this chunk is known to have left at the next one.
                watch.start()
    finally:
        # On every way out of here: the worker waits for nobody any more, and nobody has its error.
        channel.abort()
        error = channel.take_error()
        if watch is not None:
            watch.cancel()
        if stream is not None:
            stream.end(disconnected())
    if error is not None:
        error = _as_raised(error, started, scope, send)
    if error is not None:
        try:
            raise error
        finally:
            # Its traceback leads to this frame.
            del error


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
