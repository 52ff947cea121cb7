"""``Mount(app, fallback=True)`` and WebSockets."""

from typing import Any

import pytest

from bridge.types import ASGIApp, Message, Receive, Scope, Send
from tests.dispatch.asgi import over, replies, run
from tests.support.asgi import Exchange, http_scope

pytestmark = pytest.mark.usefixtures("no_bridge_threads")


CONNECT: Message = {"type": "websocket.connect"}
DENIAL: dict[str, Any] = {"websocket.http.response": {}}


async def accepting(scope: Scope, receive: Receive, send: Send) -> None:
    assert await receive() == CONNECT
    await send({"type": "websocket.accept", "subprotocol": scope["path"]})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})
    assert message["code"] == 1001


def websocket(app: ASGIApp, *, offered: bool, more: list[Message] | None = None) -> Exchange:
    scope = http_scope(path="/new/ws", type="websocket", extensions=DENIAL if offered else ...)
    events = [CONNECT, *(more or []), {"type": "websocket.disconnect", "code": 1001, "reason": ""}]
    return run(Exchange(app, scope, events))


def closes(**keys: Any) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert await receive() == CONNECT
        await send({"type": "websocket.close", **keys})
        assert (await receive())["type"] == "websocket.disconnect"

    return app


def denies(status: int) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert "websocket.http.response" in scope["extensions"]
        assert await receive() == CONNECT
        await send({"type": "websocket.http.response.start", "status": status, "headers": []})
        await send({"type": "websocket.http.response.body", "body": b"no"})
        assert (await receive())["type"] == "websocket.disconnect"

    return app


OFFERED = pytest.mark.parametrize("offered", [True, False])


@OFFERED
@pytest.mark.parametrize(
    "first", [closes(), closes(code=1000), closes(code=1000, reason="x"), denies(404), denies(405)]
)
def test_a_websocket_that_the_first_app_does_not_know(first: ASGIApp, offered: bool) -> None:
    more: list[Message] = [{"type": "websocket.receive", "text": "hello"}]
    done = websocket(over(first, accepting), offered=offered, more=more)
    assert done.messages == [
        {"type": "websocket.accept", "subprotocol": "/new/ws"},
        {"type": "websocket.send", "text": "hello"},
    ]


@OFFERED
def test_a_websocket_that_the_first_app_refuses_stays_refused(offered: bool) -> None:
    done = websocket(over(closes(code=1008), accepting), offered=offered)
    assert done.messages == [{"type": "websocket.close", "code": 1008}]
    done = websocket(over(denies(401), accepting), offered=offered)
    if offered:
        assert [message.get("status") for message in done.messages] == [401, None]
    else:
        assert done.messages == [{"type": "websocket.close", "code": 1000, "reason": ""}]


@OFFERED
def test_a_websocket_that_the_first_app_accepts(offered: bool) -> None:
    more: list[Message] = [{"type": "websocket.receive", "text": text} for text in "abc"]
    done = websocket(over(accepting, replies(500)), offered=offered, more=more)
    assert [message.get("text") for message in done.messages] == [None, "a", "b", "c"]
