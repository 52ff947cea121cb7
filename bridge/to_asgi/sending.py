"""How messages leave: what a channel holds as messages of the server's ``send()``, and the two ends that need more.

A response that broke off must not be taken for a whole one by its client. By the ASGI specification the application
raises, and the server cuts the connection. uvicorn, granian, and hypercorn for HTTP/1 do. Two cases need more
(hypercorn 0.18, daphne 4.2):

- hypercorn, HTTP/2: an ``Exception`` leaves the stream open for ever, and its client waiting. What is no ``Exception``
  ends the connection, with the other streams on it: the lesser evil.
- daphne: an exception after the start of a response ends its task that watches over all requests, which from then on
  never answers an error again. So nothing may leave the application; its own protocol object resets the connection.

And a WebSocket's close, which daphne's ``send()`` takes a part of only.
"""

from typing import Any

from ..log import log_app_error, request_name
from ..types import Scope, Send
from .channel import Batch, End

__all__ = ["ResponseCut", "break_off", "send_batch", "send_close"]

#: Bytes in one body message: a larger chunk is sent in pieces, so that the server's buffer stays small.
_PIECE = 262144


async def send_batch(send: Send, batch: Batch) -> None:
    """All items of ``batch``, neighbouring pieces of the body as one; and the end of the body, where it is known."""
    pieces: list[bytes] = []
    for item in batch.items:
        if isinstance(item, bytes):
            pieces.append(item)
            continue
        if pieces:
            await _send_body(send, b"".join(pieces), more=True)
            pieces.clear()
        await send(item)
    complete = batch.end is End.COMPLETE
    if pieces or complete:
        await _send_body(send, pieces[0] if len(pieces) == 1 else b"".join(pieces), more=not complete)


async def _send_body(send: Send, data: bytes, *, more: bool) -> None:
    if len(data) > _PIECE:
        for offset in range(0, len(data) - _PIECE, _PIECE):
            await send(
                {"type": "http.response.body", "body": data[offset : offset + _PIECE], "more_body": True}
            )
        data = data[-((len(data) - 1) % _PIECE + 1) :]
    await send({"type": "http.response.body", "body": data, "more_body": more})


# The end of a response that broke off.


class ResponseCut(BaseException):
    """Ends an HTTP/2 connection on which a response broke off.

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
    if scope.get("http_version") in {"2", "3"}:
        _log(error, scope)
        return ResponseCut(
            "the WSGI app failed in the middle of a response: the log has its error before this"
        )
    return error


def _log(error: BaseException, scope: Scope) -> None:
    name = request_name(scope.get("method", "GET"), scope["path"])
    log_app_error("%s: the WSGI app failed in the middle of its response", name, error=error, errors=None)


# The end of a WebSocket.


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
