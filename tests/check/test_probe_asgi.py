"""The probe around an ASGI app: it writes down what the app does, and changes nothing of it."""

import asyncio
from typing import Any

import pytest

from bridge.check.probe_asgi import in_request, probe_asgi
from bridge.types import ASGIApp
from tests.check.written import Written


def scope(mark: str = "token:7", **values: Any) -> dict[str, Any]:
    headers = [(b"host", b"a"), (b"X-Bridge-Check", mark.encode())]
    return {
        "type": "http",
        "method": "GET",
        "headers": headers,
        "client": ("192.0.2.1", 5),
        "scheme": "https",
    } | values


def call(app: ASGIApp, scope: dict[str, Any], *received: dict[str, Any]) -> list[Any]:
    """What an ASGI app sends, for what it receives."""
    sent: list[Any] = []
    messages = iter(received)

    async def receive() -> dict[str, Any]:
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(message)

    async def called() -> None:
        await app(scope, receive, send)

    asyncio.run(called())
    return sent


START = {"type": "http.response.start", "status": 200, "headers": []}
BODY = {"type": "http.response.body", "body": b"body"}


def test_an_asgi_app(written: Written) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope, in_request.get(), await receive()))
        await send(START)
        await send(BODY)

    request = {"type": "http.request", "body": b"in"}
    assert call(written.asgi(app), scope(), request) == [START, BODY]
    (of_app, inside, received) = seen[0]
    assert of_app["headers"] == [(b"host", b"a")]
    assert inside
    assert received is request
    (begin,) = written.events("begin")
    assert (begin["number"], begin["peer"], begin["scheme"]) == (7, "192.0.2.1", "https")
    assert (written.end()["status"], written.looks) == (200, 1)
    assert written.events("rule") == []


def test_an_asgi_app_that_raises_or_breaks_a_rule(written: Written) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(BODY)
        raise LookupError("late")

    with pytest.raises(LookupError):
        call(written.asgi(app), scope())
    assert written.end()["raised"] == "LookupError: late"
    assert [event["rule"] for event in written.events("rule")] == [
        "it sends http.response.body before http.response.start"
    ]


def test_an_asgi_app_whose_client_left_owes_no_end(written: Written) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()

    assert call(written.asgi(app), scope(), {"type": "http.disconnect"}) == []
    assert written.events("rule") == []


def test_asgi_commands_other_scopes_and_requests_of_others(written: Written) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": f"from {scope['type']}"})

    probed = written.asgi(app)
    assert [message["type"] for message in call(probed, scope("token:end"))] == [
        "http.response.start",
        "http.response.body",
    ]
    assert written.measured == ["end"]
    assert call(probed, scope("other:7")) == [{"type": "from http"}]
    assert call(probed, scope(type="websocket")) == [{"type": "from websocket"}]
    assert call(probed, {"type": "lifespan"}) == [{"type": "from lifespan"}]
    assert not in_request.get()


def test_what_the_startup_leaves(written: Written) -> None:
    found: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["state"]["name"] = "value"
        task = asyncio.create_task(asyncio.sleep(60), name="left")
        await send({"type": "lifespan.startup.complete"})
        task.cancel()

    def started(state: Any, tasks: Any) -> None:
        found.append((dict(state), {task.get_name() for task in tasks}))

    probed = probe_asgi(app, written.recorder, written.measured.append, written.look, started)
    call(probed, {"type": "lifespan", "state": {}})
    assert found == [({"name": "value"}, {"left"})]
