"""A few of the kinds of ``websockets`` in plain ASGI: what a server does by itself."""

from urllib.parse import parse_qsl

from bridge.types import Message, Receive, Scope, Send
from tests.integration.apps.cases import report_of

__all__ = ["native"]


async def native(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "websocket":
        raise ValueError(f"there is no {scope['type']} here")
    _, _, kind, token = scope["path"].split("/", 3)
    query = dict(parse_qsl(scope["query_string"].decode()))
    assert (await receive())["type"] == "websocket.connect"
    if kind == "close_first":
        await send({"type": "websocket.close"})
    elif kind == "fail_first":
        raise RuntimeError("failed before the handshake")
    elif kind == "respond":
        await _respond(send, int(token))
    else:
        headers = [(b"set-cookie", b"seen=yes"), (b"set-cookie", b"again=yes"), (b"x-mark", b"mark")]
        await send(
            {
                "type": "websocket.accept",
                "subprotocol": query.get("subprotocol"),
                "headers": headers if "headers" in query else [],
            }
        )
        await _open(kind, query, receive, send, token)


async def _respond(send: Send, status: int) -> None:
    headers = [(b"content-type", b"text/plain"), (b"x-why", b"because")]
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": b"not here"})


async def _open(kind: str, query: dict[str, str], receive: Receive, send: Send, token: str) -> None:
    while (message := await receive())["type"] == "websocket.receive":
        if kind == "echo":
            await send(_echo(message))
        elif kind == "close":
            await send(
                {"type": "websocket.close", "code": int(query["code"]), "reason": query.get("reason", "")}
            )
        elif kind == "leave":
            return
        elif kind == "fail":
            raise RuntimeError("failed after a message")
    report = report_of(token)
    # By the specification 1005 is the default for an absent code; daphne has None for it.
    report.facts["end"] = [message.get("code") or 1005, message.get("reason") or ""]
    report.done.set()


def _echo(message: Message) -> Message:
    if message.get("text") is not None:
        return {"type": "websocket.send", "text": message["text"]}
    return {"type": "websocket.send", "bytes": message["bytes"]}
