"""Answers that the bridge itself gives in place of the app, and how any answer refuses a WebSocket.

400, 413, 501 and 507 are of the request and its body (``collect``), 503 is of threads that are all busy (``busy``).
"""

import logging

from ..log import scope_name
from ..types import Message, Receive, Scope, Send
from .sending import send_close
from .watch import Watch, Watches, listen_with

__all__ = ["Refused", "denial", "denies", "refuse", "refuse_handshake"]

logger = logging.getLogger("bridge")

#: Seconds that a client is asked to wait before it tries again.
_RETRY_AFTER = 1
#: Bytes of a refusing response that go out as one message: granian (2.8) takes no second one.
_DENIAL = 262144
#: RFC 6455, section 7.4, and its registry: try again later.
_TRY_AGAIN = 1013


class Refused(Exception):  # noqa: N818  # not an error: an answer
    """The request is answered without the app, or without more of it."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(status, text)
        self.status = status
        self.text = text


async def refuse(scope: Scope, watch: Watch, refused: Refused) -> None:
    """Sends the short response that ``refused`` names.

    A client may leave without having taken it, which ``send()`` does not notice on hypercorn's HTTP/2: so it is sent
    by the ``watch``, which the caller makes, and cancels.
    """
    try:
        await _send_refusal(scope, watch.send, refused)
    except OSError:
        # By the ASGI specification (2.4) what send() raises to a client that has left.
        logger.debug("%s: the client left before it got %d", scope_name(scope), refused.status)


async def _send_refusal(scope: Scope, send: Send, refused: Refused) -> None:
    body = f"{refused.text}\n".encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    if refused.status == 503:
        headers.append((b"retry-after", str(_RETRY_AFTER).encode()))
    elif scope.get("http_version", "1.1").startswith("1"):
        # The rest of the body, if there is more, is not read.
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


# WebSocket.


def denies(scope: Scope) -> bool:
    """Whether the server can answer a handshake with a response of the app's ("WebSocket Denial Response")."""
    return "websocket.http.response" in (scope.get("extensions") or ())


def denial(send: Send) -> Send:
    """``send()`` for the messages of an HTTP response, which refuses a handshake.

    A short body goes out as one, and the head right before it: with websockets' older protocol (uvicorn 0.50 has
    another as its default) uvicorn answers in the loop's next turn, with what it has of the body.
    """
    held = bytearray()
    start: list[Message] = []

    async def send_denial(message: Message) -> None:
        if message["type"] == "http.response.start":
            start.append({**message, "type": "websocket.http.response.start"})
            return
        held.extend(message["body"])
        if message["more_body"] and len(held) < _DENIAL:
            return
        body = bytes(held)
        held.clear()
        if start:
            await send(start.pop())
        await send({**message, "type": "websocket.http.response.body", "body": body})

    return send_denial


async def refuse_handshake(
    scope: Scope, receive: Receive, send: Send, refused: Refused, watches: Watches
) -> None:
    """Answers a handshake, before it reached the app, with the response that ``refused`` names.

    Where the server can't send one, the client gets 403; but a client that may try again is told so, by a WebSocket
    that is closed with 1013 as soon as it is open.
    """
    denied = denies(scope)
    watch = Watch(watches, listen_with(receive, scope), denial(send) if denied else send, _nothing)
    try:
        if denied:
            await refuse(scope, watch, refused)
        elif refused.status == 503:
            await watch.send({"type": "websocket.accept"})
            await send_close(send, watch.send, _TRY_AGAIN, refused.text)
        else:
            await watch.send({"type": "websocket.close", "code": 1000, "reason": ""})
    except OSError:
        logger.debug("%s: the client left before its handshake was refused", scope_name(scope))
    finally:
        watch.cancel()


def _nothing() -> None:
    """Nobody else has to know that the client has left."""
