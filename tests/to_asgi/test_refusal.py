"""What ``WsgiToAsgi`` answers in place of the app, and how it refuses a handshake."""

import asyncio
import logging
from typing import Any

import pytest

from bridge.to_asgi.refusal import Refused, denial, refuse, refuse_handshake
from bridge.to_asgi.watch import Watch, Watches, listen_with
from bridge.types import Message, Receive, Scope, Send
from tests.support.asgi import HANG, Exchange, http_scope, request
from tests.support.listening import leaves_a_send_that_waits
from tests.support.served import Served
from tests.support.wsgi_apps import Visitor, get

pytestmark = pytest.mark.usefixtures("no_bridge_threads")

OVERLOADED = Refused(503, "try again")
WRONG = Refused(400, "no such thing")


async def refused(scope: Scope, receive: Receive, send: Send, refusal: Refused) -> None:
    """As ``Request.refuse()`` and the WebSocket's side do it: with a watch, or by their own function."""
    watches = Watches(asyncio.get_running_loop())
    if scope["type"] == "websocket":
        await refuse_handshake(scope, receive, send, refusal, watches)
        return
    watch = Watch(watches, listen_with(receive, scope, more=True), send, lambda: None)
    try:
        await refuse(scope, watch, refusal)
    finally:
        watch.cancel()


async def nothing_comes() -> Message:
    message: Message = await asyncio.get_running_loop().create_future()
    return message


def answer(scope: Scope, refusal: Refused) -> Exchange:
    async def main() -> Exchange:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await refused(scope, receive, send, refusal)

        return await Exchange(app, scope).run()

    return asyncio.run(main())


def handshake(**more: Any) -> Scope:
    return {"type": "websocket", "path": "/talk", "headers": [], **more}


@pytest.mark.parametrize(
    ("version", "refusal", "header"),
    [
        # What is left of the body is not read, so the connection can't be used again (RFC 9112, section 9.3).
        ("1.1", WRONG, (b"connection", b"close")),
        ("1.0", WRONG, (b"connection", b"close")),
        # Not allowed there (RFC 9113, section 8.2.2), nor needed: the stream is reset alone.
        ("2", WRONG, None),
        ("3", WRONG, None),
        # The body was read; who comes back later may use the same connection (RFC 9110, section 10.2.3).
        ("1.1", OVERLOADED, (b"retry-after", b"1")),
        ("2", OVERLOADED, (b"retry-after", b"1")),
    ],
)
def test_a_refusal_is_a_short_text(
    version: str, refusal: Refused, header: tuple[bytes, bytes] | None
) -> None:
    exchange = answer(http_scope("POST", http_version=version), refusal)
    text = f"{refusal.text}\n".encode()
    assert (exchange.status, exchange.body, exchange.complete) == (refusal.status, text, True)
    assert exchange.headers == [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(text)).encode()),
        *([header] if header else []),
    ]


@pytest.mark.parametrize("scope", [http_scope(), handshake()], ids=["http", "websocket"])
def test_a_client_that_is_gone_is_no_error(scope: Scope, caplog: pytest.LogCaptureFixture) -> None:
    """By the ASGI specification, ``send()`` raises an ``OSError`` to a client that has left."""
    caplog.set_level(logging.DEBUG, "bridge")

    async def send(message: Message) -> None:
        raise ConnectionResetError("gone")

    asyncio.run(refused(scope, nothing_comes, send, WRONG))
    (record,) = caplog.records
    assert record.levelno == logging.DEBUG
    assert repr(scope["path"]) in record.getMessage()


def test_another_error_of_send_is_raised() -> None:
    async def send(message: Message) -> None:
        raise ValueError("mine")

    for scope in (http_scope(), handshake()):
        with pytest.raises(ValueError, match="mine"):
            asyncio.run(refused(scope, nothing_comes, send, WRONG))


# WebSocket.


@pytest.mark.parametrize(
    ("refusal", "messages"),
    [
        (WRONG, [{"type": "websocket.close", "code": 1000, "reason": ""}]),
        # Opened, so that the client hears that it may try again (1013).
        (
            OVERLOADED,
            [{"type": "websocket.accept"}, {"type": "websocket.close", "code": 1013, "reason": "try again"}],
        ),
    ],
)
def test_a_handshake_where_the_server_takes_no_response(refusal: Refused, messages: list[Message]) -> None:
    assert answer(handshake(), refusal).messages == messages


@pytest.mark.parametrize("refusal", [WRONG, OVERLOADED])
def test_a_handshake_where_the_server_takes_a_response(refusal: Refused) -> None:
    exchange = answer(handshake(extensions={"websocket.http.response": {}}), refusal)
    start, body = exchange.messages
    assert (start["type"], start["status"]) == ("websocket.http.response.start", refusal.status)
    assert body["type"] == "websocket.http.response.body"
    assert (body["body"], body["more_body"]) == (f"{refusal.text}\n".encode(), False)


@pytest.mark.parametrize(
    ("pieces", "sent"),
    [
        ([b""], [(0, False)]),
        ([b"a", b"b", b"c"], [(3, False)]),
        # From 256 KiB on it goes out.
        ([b"a" * 262143, b"b", b"c"], [(262144, True), (1, False)]),
        ([b"a" * 300_000], [(300_000, False)]),
    ],
)
def test_a_short_denial_goes_out_as_one(pieces: list[bytes], sent: list[tuple[int, bool]]) -> None:
    messages: list[Message] = []

    async def send(message: Message) -> None:
        messages.append(message)

    async def main() -> None:
        send_denial = denial(send)
        await send_denial({"type": "http.response.start", "status": 403, "headers": []})
        assert not messages, "the head goes out right before the body"
        for number, piece in enumerate(pieces, 1):
            more = number < len(pieces)
            await send_denial({"type": "http.response.body", "body": piece, "more_body": more})

    asyncio.run(main())
    assert messages.pop(0) == {"type": "websocket.http.response.start", "status": 403, "headers": []}
    assert {message["type"] for message in messages} == {"websocket.http.response.body"}
    assert [(len(message["body"]), message["more_body"]) for message in messages] == sent
    assert b"".join(message["body"] for message in messages) == b"".join(pieces)


# A client that leaves while ``send()`` waits.


@pytest.mark.parametrize("status", [400, 413, 503])
def test_a_client_that_leaves_a_refusal_that_waits(status: int) -> None:
    visitor = Visitor()

    async def main() -> None:
        async with Served(visitor, threads=1, backlog=0, max_body_size=5) as adapter:
            tasks = []
            body = request()
            headers = [(b"content-length", b"x")] if status == 400 else []
            if status == 413:
                # The rest of it is on its way.
                body = request(b"too large", more_body=True)
            elif status == 503:
                tasks.append(asyncio.create_task(get(adapter).run()))
                await visitor.wait_for_arrival()
            exchange = Exchange(adapter, http_scope("POST", headers=headers), [body])
            if status == 413:
                exchange.feed(request(b"more", more_body=True), request(b"and more"))
            await leaves_a_send_that_waits(exchange, "http.response.start")
            assert exchange.status == status
            visitor.go.release()
            await asyncio.gather(*tasks)

    asyncio.run(main())


@pytest.mark.parametrize("denial", [False, True])
@pytest.mark.parametrize("threads", [0, 1])
def test_a_client_that_leaves_a_refused_handshake_that_waits(threads: int, denial: bool) -> None:
    visitor = Visitor()

    async def main() -> None:
        async with Served(visitor, websocket_threads=threads) as adapter:
            scope: dict[str, Any] = {"type": "websocket", "path": "/", "headers": []}
            connect = {"type": "websocket.connect"}
            tasks = []
            for _ in range(threads):
                tasks.append(asyncio.create_task(Exchange(adapter, dict(scope), [connect]).run()))
                await visitor.wait_for_arrival()
            if denial:
                scope["extensions"] = {"websocket.http.response": {}}
            exchange = Exchange(adapter, scope, [connect])
            exchange.hold_sends()
            async with asyncio.timeout(HANG), exchange:
                await exchange.wait_until(lambda: bool(exchange.messages))
                exchange.feed({"type": "websocket.disconnect", "code": 1006})
            assert len(exchange.messages) == 1
            for _ in tasks:
                visitor.go.release()
            await asyncio.gather(*tasks)

    asyncio.run(main())
