"""How messages leave: what a channel holds as messages of the server's ``send()``, and the two ends that need more.

A response that broke off must not be taken for a whole one by its client. By the ASGI specification the application
raises, and the server cuts the connection. uvicorn, granian, and hypercorn for HTTP/1 do. Two cases need more
(hypercorn 0.18, daphne 4.2):

- hypercorn, HTTP/2: an ``Exception`` leaves the stream open for ever, and its client waiting. So the stream is reset by
  hypercorn's own objects. Below a middleware they can't be had, and the error raised is no ``Exception``: it ends the
  connection, with the other streams on it. Where one of those has no answer yet, hypercorn never closes it. In HTTP/3
  all connections are in one group of tasks, and with it would end the server's HTTP/3: there the stream is left open.
- daphne: an exception after the start of a response ends its task that watches over all requests, which from then on
  never answers an error again. So nothing may leave the application; its own protocol object resets the connection.

And two things that daphne does with WebSockets: its ``send()`` takes a part of a close only; and if it accepts one that
was dropped, nobody hears of its end.
"""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

from ..log import log_app_error, scope_name
from ..types import Message, Scope, Send
from .channel import Batch, End

__all__ = ["ResponseCut", "break_off", "is_dropped", "messages_of", "send_batch", "send_close"]

# Looked up once: Python 3.11 takes as long for that as for a call.
_COMPLETE = End.COMPLETE

#: Bytes from which a piece of the body is sent as it is. Smaller ones that are there together are joined: a message
#: costs more than a copy of it, and a copy of a large piece more than a message.
_LARGE = 16384
#: Bytes in one body message: a larger piece is cut, so that the server's buffer stays small.
_PIECE = 262144


def messages_of(batch: Batch) -> Iterable[Message]:
    """What ``send()`` gets of ``batch``; the last message says that it is, where the end of the body is known."""
    if batch.end is _COMPLETE and len(batch.items) == 2:
        start, data = batch.items
        if not isinstance(start, bytes) and isinstance(data, bytes) and len(data) <= _PIECE:
            # A response of one piece, as most are.
            return start, {"type": "http.response.body", "body": data, "more_body": False}
    return _messages(batch)


def _messages(batch: Batch) -> Iterator[Message]:
    held: list[bytes] = []
    size = 0
    for item in batch.items:
        if isinstance(item, bytes):
            if held and (size >= _LARGE or len(item) >= _LARGE):
                yield from _body(held, more=True)
                held = []
                size = 0
            held.append(item)
            size += len(item)
        else:
            if held:
                yield from _body(held, more=True)
                held = []
                size = 0
            yield item
    complete = batch.end is _COMPLETE
    if held or complete:
        yield from _body(held, more=not complete)


def _body(pieces: list[bytes], *, more: bool) -> Iterable[Message]:
    data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
    if len(data) <= _PIECE:
        return ({"type": "http.response.body", "body": data, "more_body": more},)
    return (
        {
            "type": "http.response.body",
            "body": data[offset : offset + _PIECE],
            "more_body": more or offset + _PIECE < len(data),
        }
        for offset in range(0, len(data), _PIECE)
    )


async def send_batch(send: Send, batch: Batch) -> None:
    """All of ``batch``."""
    for message in messages_of(batch):
        await send(message)


# The end of a response that broke off.


#: The code of an error of the server's (RFC 9113, section 7).
_INTERNAL_ERROR = 2


class ResponseCut(BaseException):
    """Ends an HTTP/2 connection on which a response broke off, where its stream can't be reset alone.

    The application's error is in the log by then, and no part of this one, which the server logs again.
    """


def break_off(error: BaseException, scope: Scope, send: Send) -> BaseException | None:
    """Loop side: the response is under way and ``error`` ends it. ``send`` is the server's own.

    Returns what the caller has to raise, ``error`` or a ``ResponseCut``; ``None`` on daphne, where it is done.
    """
    protocol = _daphne_protocol(send)
    if protocol is not None:
        _log(error, scope)
        protocol.channel.forceAbortClient()
        return None
    if scope.get("http_version") == "2" and not _reset(send):
        _log(error, scope)
        return ResponseCut(
            "the WSGI app failed in the middle of a response: the log has its error before this"
        )
    return error


def _reset(send: Any) -> bool:
    """Resets the stream of ``send`` (RFC 9113, section 5.4.2). ``False``: it is not hypercorn's own, of HTTP/2.

    It waits for nothing: what is to be sent is sent by a task of the connection's. hypercorn forgets the stream, and
    logs the error, when that is raised to it.
    """
    stream: Any = getattr(send, "__self__", None)
    if type(stream).__module__ != "hypercorn.protocol.http_stream":
        return False
    protocol: Any = getattr(stream.send, "__self__", None)
    if type(protocol).__module__ != "hypercorn.protocol.h2":
        return False
    from h2.exceptions import ProtocolError  # hypercorn needs it

    # Where the client has left meanwhile, or the connection ends, there is nothing to reset.
    with contextlib.suppress(ProtocolError, RuntimeError):
        if not stream.closed:
            protocol.connection.reset_stream(stream.stream_id, _INTERNAL_ERROR)
            protocol.task_group.spawn(protocol._flush)
            # What waits to go out is dropped, as where the client resets it.
            protocol.task_group.spawn(protocol._window_updated, stream.stream_id)
    return True


def _log(error: BaseException, scope: Scope) -> None:
    log_app_error(
        "%s: the WSGI app failed in the middle of its response", scope_name(scope), error=error, errors=None
    )


# WebSockets on daphne.


def is_dropped(server_send: Send) -> bool:
    """Whether daphne has dropped the connection of a handshake that is not answered yet, and has still to say so.

    It does so 4 to 5 seconds after the request. An app that a busy machine has kept waiting may accept right then. If
    daphne got that, autobahn would take the connection for an open one again, and raise at its end, which it has had:
    the app would wait for messages for ever, and never be told that its client is gone (daphne 4.2).
    """
    protocol = _daphne_protocol(server_send)
    return protocol is not None and protocol.state == protocol.STATE_CLOSED


async def send_close(server_send: Send, send: Send, code: int, reason: str) -> None:
    """Closes an open WebSocket by ``send``, which is the server's own ``send()`` or one around it."""
    protocol = _daphne_protocol(server_send)
    if protocol is None:
        await send({"type": "websocket.close", "code": code, "reason": reason})
    else:
        # Its send() drops the reason, and raises for codes below 3000 other than 1000.
        protocol.sendCloseFrame(code=code, reasonUtf8=reason.encode(), isReply=False)


def _daphne_protocol(send: Any) -> Any:
    """daphne's own protocol object, which its ``send`` carries along (daphne 4.2); ``None`` on other servers."""
    server = getattr(getattr(send, "func", None), "__self__", None)
    return send.args[0] if type(server).__module__ == "daphne.server" else None
