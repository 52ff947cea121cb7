"""Answers that the bridge itself gives in place of the app: 400, 413, 503."""

import logging

from ._types import Scope, Send

__all__ = ["Refused", "refuse"]

logger = logging.getLogger("bridge")

#: Seconds that a client is asked to wait before it tries again.
_RETRY_AFTER = 1


class Refused(Exception):  # noqa: N818  # not an error: an answer
    """The request is answered without the app, or without more of it."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(status, text)
        self.status = status
        self.text = text


async def refuse(scope: Scope, send: Send, refused: Refused) -> None:
    """Sends the short response that ``refused`` names."""
    body = f"{refused.text}\n".encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    if refused.status == 503:
        headers.append((b"retry-after", str(_RETRY_AFTER).encode()))
    elif scope.get("http_version", "1.1").startswith("1"):
        # The rest of the body, if there is more, is not read.
        headers.append((b"connection", b"close"))
    try:
        await send({"type": "http.response.start", "status": refused.status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})
    except OSError:
        # By the ASGI specification (2.4) what send() raises to a client that has left.
        logger.debug("the client left before it got %d", refused.status)
