"""A plain ASGI app, without bridge: what a server does by itself where bridge has to work round it."""

import asyncio

from bridge.types import Message, Receive, Scope, Send
from tests.support.gate import pass_gate

__all__ = ["app"]


class Cut(BaseException):
    """What no server takes for an error of the app."""


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await _websocket(scope["path"], receive, send)
    elif scope["type"] == "http":
        await _http(scope["path"], receive, send)
    else:
        raise RuntimeError("it has no lifespan")


async def _http(path: str, receive: Receive, send: Send) -> None:
    """Read the whole request, and answer it in full.

    ``/early``: read nothing. ``/fail``: fail in the middle. ``/cut``: with what is no ``Exception``. ``/gate/PORT``:
    hold up the server until the gate is passed, and fail. ``/pour``: send on when the client has left. ``/tasks``: how
    many the loop has.
    """
    message: Message = {"type": "http.request", "more_body": path != "/early"}
    while message["type"] == "http.request" and message.get("more_body"):
        message = await receive()
    if path.startswith("/gate/"):
        pass_gate(int(path.rpartition("/")[2]))
        raise RuntimeError("failed behind the gate")
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send(
        {"type": "http.response.body", "body": b"" if path == "/tasks" else b"half", "more_body": True}
    )
    if path == "/fail":
        raise RuntimeError("failed in the middle")
    if path == "/cut":
        raise Cut("failed in the middle")
    if path == "/pour":
        while (await receive())["type"] != "http.disconnect":
            pass
        for _ in range(20):
            await send({"type": "http.response.body", "body": b"more", "more_body": True})
    end = str(len(asyncio.all_tasks())).encode() if path == "/tasks" else b"whole"
    await send({"type": "http.response.body", "body": end})


async def _websocket(path: str, receive: Receive, send: Send) -> None:
    """Refuse it, and wait until its client has left.

    ``/deny``: refuse it by a response. ``/close``: open it, close it, and end. ``/open``: open it, until its client
    closes it. Both answers have a header that is not ASCII. ``/dropped``: have daphne drop the connection, as its timer
    does where an app takes 5 seconds; and accept in the same moment. ``/stopped/...``: have uvicorn answer the
    handshake, as its shutdown does; do the rest of the path in the same moment, and say what comes of it.
    """
    await receive()
    if path.startswith("/stopped/"):
        send.__self__.shutdown()  # type: ignore[attr-defined]  # uvicorn's own, of its own class
        try:
            await _answer(path.removeprefix("/stopped"), send)
        except OSError:
            got = "OSError"
        except Exception:
            got = "another error"
        else:
            got = "no error"
        print("it got", got, flush=True)
        await receive()
        return
    if path == "/dropped":
        send.args[0].onOpenHandshakeTimeout()  # type: ignore[attr-defined]  # daphne's own, of its own class
        await send({"type": "websocket.accept"})
        await receive()
        return
    await _answer(path, send)
    if path != "/close":
        await receive()


async def _answer(path: str, send: Send) -> None:
    if path in {"/close", "/open"}:
        await send({"type": "websocket.accept", "headers": [(b"x-named", b"caf\xe9")]})
        if path == "/close":
            await send({"type": "websocket.close", "code": 1000})
    elif path == "/deny":
        headers = [(b"x-named", b"caf\xe9")]
        await send({"type": "websocket.http.response.start", "status": 401, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": b"no"})
    else:
        await send({"type": "websocket.close"})
