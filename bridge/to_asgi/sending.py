"""What a channel holds, as messages of the ASGI server's ``send()``; and a WebSocket's close."""

from ..types import Send
from .channel import Batch, End
from .daphne import daphne_protocol

__all__ = ["send_batch", "send_close"]

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


async def send_close(server_send: Send, send: Send, code: int, reason: str) -> None:
    """Closes an open WebSocket by ``send``, which is the server's own ``send()`` or one around it."""
    protocol = daphne_protocol(server_send)
    if protocol is None:
        await send({"type": "websocket.close", "code": code, "reason": reason})
    else:
        # Its send() drops the reason, and raises for codes below 3000 other than 1000.
        protocol.sendCloseFrame(code=code, reasonUtf8=reason.encode(), isReply=False)
