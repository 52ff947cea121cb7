"""An ASGI app that answers with the scope it saw, and with the responses of ``echo_responses``.

``asgi_app`` runs natively, ``app`` is the same behind ``AsgiToWsgi``.
"""

import json
from typing import Any

from bridge import AsgiToWsgi
from bridge.types import Receive, Scope, Send
from tests.integration.apps.echo_responses import RESPONSES

__all__ = ["app", "asgi_app"]

Headers = list[tuple[bytes, bytes]]


async def asgi_app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer ``/r/NAME`` from ``RESPONSES``, and other paths with the scope."""
    if scope["type"] == "lifespan":
        raise ValueError("it has no lifespan")
    kind, _, name = scope["path"].removeprefix("/").partition("/")
    if kind == "r" and name in RESPONSES:
        status, text_headers, body = RESPONSES[name]
        # ASGI wants names in lower case.
        headers = [(key.lower().encode("latin-1"), value.encode("latin-1")) for key, value in text_headers]
        await _respond(send, int(status[:3]), headers, list(body()))
        return
    if kind in ("write", "late"):
        await _respond(send, 200, [(b"content-type", b"text/plain")], [kind.encode()])
        return
    content = {"unread": True} if kind == "unread" else await _seen(scope, receive)
    answer = json.dumps(content, sort_keys=True).encode()
    length = b"%d" % len(answer)
    await _respond(send, 200, [(b"content-type", b"application/json"), (b"content-length", length)], [answer])


async def _seen(scope: Scope, receive: Receive) -> dict[str, Any]:
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return {"body": "disconnect"}
        body += message.get("body", b"")
        more = message.get("more_body", False)
    headers: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
    seen = {key: scope[key] for key in ("method", "scheme", "path", "root_path", "http_version")}
    seen["query_string"] = scope["query_string"].decode("latin-1")
    seen["raw_path"] = scope["raw_path"].decode("latin-1")
    seen["client"] = scope["client"][0] if scope["client"] else None
    return seen | headers | {"body": body.decode("latin-1")}


async def _respond(send: Send, status: int, headers: Headers, chunks: list[bytes]) -> None:
    # Name the headers that the app sent itself: what else a response has is the server's.
    sent = (b"x-app", b",".join(sorted({name for name, _ in headers} | {b"x-app"})))
    await send({"type": "http.response.start", "status": status, "headers": [*headers, sent]})
    for chunk in chunks:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


app = AsgiToWsgi(asgi_app)
