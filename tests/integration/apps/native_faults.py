"""A plain ASGI app, without bridge: what a server does by itself where bridge has to work round it."""

from bridge.types import Message, Receive, Scope, Send

__all__ = ["app"]


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Read the whole request, and answer it in full. ``/early``: read nothing; ``/fail``: fail in the middle.

    Refuse a WebSocket, and wait until its client has left. ``/dropped``: have daphne drop the connection, as its timer
    does where an app takes 5 seconds; and accept in the same moment.
    """
    if scope["type"] == "websocket" and scope["path"] == "/dropped":
        await receive()
        send.args[0].onOpenHandshakeTimeout()  # type: ignore[attr-defined]  # daphne's own, of its own class
        await send({"type": "websocket.accept"})
        await receive()
        return
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close"})
        await receive()
        return
    if scope["type"] != "http":
        raise RuntimeError("it has no lifespan")
    message: Message = {"type": "http.request", "more_body": scope["path"] != "/early"}
    while message["type"] == "http.request" and message.get("more_body"):
        message = await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"half", "more_body": True})
    if scope["path"] == "/fail":
        raise RuntimeError("failed in the middle")
    await send({"type": "http.response.body", "body": b"whole"})
