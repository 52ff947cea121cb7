"""``Mount(app, fallback=True)`` on the ASGI side."""

import asyncio
import contextvars
import hashlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from fastapi import FastAPI
from flask import Flask
from flask import request as flask_request
from hypothesis import given, settings
from hypothesis import strategies as st
from litestar import Litestar
from quart import Quart
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.testclient import TestClient

from bridge import Dispatcher, Mount
from bridge.dispatch import tape as tape_module
from bridge.threads.pool import ThreadPool
from bridge.types import ASGIApp, Message, Receive, Scope, Send
from tests.support.asgi import Exchange, disconnect, http_scope, request
from tests.support.jobs import idle, until
from tests.support.lifespan import run_lifespan
from tests.support.loop_thread import LoopThread
from tests.support.threads import wait_for_no_bridge_threads

pytestmark = pytest.mark.usefixtures("no_bridge_threads")


async def answer(send: Send, status: int, body: bytes = b"") -> None:
    await send(
        {"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]}
    )
    await send({"type": "http.response.body", "body": body})


def replies(status: int, body: bytes = b"first") -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, status, body)

    return app


async def read_all(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        assert message["type"] == "http.request"
        body += bytes(message["body"])
        if not message["more_body"]:
            return body


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Say who is asked, and the digest of the body."""
    body = await read_all(receive)
    text = f"{scope['root_path']}|{scope['path']}|{len(body)}|{hashlib.sha256(body).hexdigest()}"
    await answer(send, 200, text.encode())


def said(root_path: str, path: str, body: bytes = b"") -> bytes:
    return f"{root_path}|{path}|{len(body)}|{hashlib.sha256(body).hexdigest()}".encode()


def over(first: Any, second: Any = echo) -> Dispatcher:
    return Dispatcher({"/new": Mount(first, fallback=True), "/": second})


def exchange_with(app: ASGIApp, *events: Message, path: str = "/new/x", **scope: Any) -> Exchange:
    return Exchange(app, http_scope("POST", path, **scope), events or [request()])


def run(exchange: Exchange) -> Exchange:
    async def main() -> Exchange:
        try:
            return await exchange.run()
        finally:
            await run_lifespan(exchange.app)  # which ends the threads

    return asyncio.run(main())


# Who answers.


@pytest.mark.parametrize("status", [404, 405])
def test_where_the_first_app_has_nothing_the_next_one_answers(status: int) -> None:
    done = run(exchange_with(over(replies(status))))
    assert (done.status, done.body, done.complete) == (200, said("", "/new/x"), True)


@pytest.mark.parametrize("status", [200, 204, 302, 400, 401, 403, 406, 410, 500, 503])
def test_any_other_answer_stands(status: int) -> None:
    done = run(exchange_with(over(replies(status))))
    assert (done.status, done.body, done.complete) == (status, b"first", True)


def test_the_last_answer_stands_whatever_it_is() -> None:
    done = run(exchange_with(over(replies(405), replies(404, b"second"))))
    assert (done.status, done.body) == (404, b"second")


def test_a_chain() -> None:
    app = Dispatcher(
        {
            "/a/b/c": Mount(replies(404), fallback=True),
            "/a/b": Mount(replies(405), fallback=True),
            "/a": Mount(echo, fallback=True),
            "/": replies(418),
        }
    )
    done = run(exchange_with(app, path="/s/a/b/c/d", root_path="/s"))
    assert done.body == said("/s/a", "/s/a/b/c/d")


def test_an_inner_dispatcher_that_has_nothing_there() -> None:
    app = Dispatcher({"/new": Mount(Dispatcher({"/v1": replies(200)}), fallback=True), "/": echo})
    assert run(exchange_with(app, path="/new/v1")).body == b"first"
    assert run(exchange_with(app, path="/new/v2")).body == said("", "/new/v2")


def test_without_fallback_an_app_has_the_servers_own_functions() -> None:
    seen: list[object] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        seen.extend([scope, receive, send])
        await answer(send, 200)

    exchange = exchange_with(Dispatcher({"/new": Mount(echo, fallback=True), "/": app}), path="/")
    run(exchange)
    scope, receive, send = seen
    assert scope is exchange.scope
    assert receive == exchange.receive
    assert send == exchange.send


def test_early_hints_go_out_and_do_not_decide() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.early_hint", "links": [b"</x>"]})
        await answer(send, 404)

    done = run(exchange_with(over(app)))
    assert [message["type"] for message in done.messages][:2] == [
        "http.response.early_hint",
        "http.response.start",
    ]
    assert done.status == 200


# The body.

BODIES = [[b""], [b"small"], [b"a", b"b", b"c"], [b"x" * 65536] * 5, [b"y" * 300_000], [b"z" * 200_000, b""]]


def events(blocks: list[bytes]) -> list[Message]:
    *before, last = blocks
    return [*(request(block, more_body=True) for block in before), request(last)]


def reads(count: int, status: int = 404) -> ASGIApp:
    """An app that takes so many messages, and has nothing there."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for _ in range(count):
            if not (await receive()).get("more_body"):
                break
        await answer(send, status)

    return app


@pytest.mark.parametrize("blocks", BODIES, ids=lambda blocks: f"{len(blocks)}x{len(blocks[0])}")
@pytest.mark.parametrize("count", [0, 1, 2, 99])
def test_the_next_app_has_the_body_from_its_beginning(blocks: list[bytes], count: int) -> None:
    done = run(exchange_with(over(reads(count)), *events(blocks)))
    assert done.body == said("", "/new/x", b"".join(blocks))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.binary(max_size=40), min_size=1, max_size=8),
    st.lists(st.integers(0, 9), min_size=1, max_size=3),
    st.integers(0, 60),
)
def test_any_body_however_it_is_read_and_wherever_it_is_kept(
    blocks: list[bytes], counts: list[int], memory: int
) -> None:
    prefixes = ["/a/a/a", "/a/a", "/a"][: len(counts)]
    mounts: dict[str, Any] = {
        prefix: Mount(reads(count), fallback=True) for prefix, count in zip(prefixes, counts, strict=True)
    }
    app = Dispatcher({**mounts, "/": echo})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tape_module, "_MEMORY", memory)
        patch.setattr(tape_module, "_MESSAGE", 0)
        patch.setattr(tape_module, "BLOCK", 7)
        done = run(exchange_with(app, *events(blocks), path="/a/a/a"))
    assert done.body == said("", "/a/a/a", b"".join(blocks))


def test_an_app_that_answers_has_its_body_passed_through() -> None:
    """Nothing is kept once the answer stands, and it is the server that is asked."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200})
        body = await read_all(receive)
        await send({"type": "http.response.body", "body": b"%d" % len(body)})

    done = run(exchange_with(over(app), *events([b"a" * 10, *[b"b" * 65536] * 9])))
    assert done.body == b"%d" % (9 * 65536)
    wait_for_no_bridge_threads()


def test_the_files_of_large_bodies_have_threads_that_end_with_the_lifespan() -> None:
    app = over(reads(99))
    with TestClient(app) as client:
        body = bytes(range(256)) * 4096
        assert client.post("/new/x", content=iter([body, body])).content == said("", "/new/x", body * 2)


def test_the_last_of_two_loops_ends_the_threads_of_both() -> None:
    """Also those of a dispatcher below."""
    app = Dispatcher({"/": over(reads(99))})
    (part,) = app._parts
    disk: ThreadPool = part.asgi._disk  # type: ignore[attr-defined]  # it is a Dispatcher
    one, other = LoopThread(), LoopThread()

    async def start() -> Exchange:
        lifespan = Exchange(app, {"type": "lifespan", "state": {}}, [{"type": "lifespan.startup"}])
        await lifespan.__aenter__()
        await lifespan.wait_for("lifespan.startup.complete")
        return lifespan

    async def stop(lifespan: Exchange) -> None:
        lifespan.feed({"type": "lifespan.shutdown"})
        await lifespan.__aexit__(None, None, None)

    def idle_threads() -> int:
        until(lambda: disk.unfinished() == 0)
        return idle(disk)

    try:
        on_one, on_other = one.run(start()), other.run(start())
        one.run(stop(on_one))
        done = other.run(exchange_with(app, *events([b"x" * 200_000] * 2)).run())
        assert done.body == said("", "/new/x", b"x" * 400_000)
        assert idle_threads() > 0
        other.run(stop(on_other))
        wait_for_no_bridge_threads()
    finally:
        one.close()
        other.close()


def test_a_client_that_leaves_in_the_middle_of_its_body() -> None:
    seen: list[str] = []

    async def second(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        seen.extend([(await receive())["type"] for _ in range(4)])

    app = over(reads(99), second)
    run(exchange_with(app, request(b"part", more_body=True), disconnect()))
    assert seen == ["http.request", "http.disconnect", "http.disconnect", "http.disconnect"]


def test_a_client_that_leaves_while_the_next_app_answers() -> None:
    async def second(scope: Scope, receive: Receive, send: Send) -> None:
        assert await read_all(receive) == b"whole"
        await send({"type": "http.response.start", "status": 200})
        assert (await receive())["type"] == "http.disconnect"
        await send({"type": "http.response.body", "body": b"gone"})

    async def main() -> None:
        exchange = exchange_with(over(reads(1), second), request(b"whole"))
        async with exchange:
            await exchange.wait_for("http.response.start")
            exchange.disconnect()

    asyncio.run(main())


# The app whose answer is dropped.


def listens(then: Callable[[list[Message]], None]) -> ASGIApp:
    """An app with a task of its own that listens for the client's leaving, as Django has it."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "http.request"
        heard: list[Message] = []

        async def listen() -> None:
            heard.append(await receive())

        listening = asyncio.ensure_future(listen())
        await asyncio.sleep(0)
        await answer(send, 404)
        await listening
        then(heard)

    return app


def test_it_hears_of_a_disconnect_when_its_answer_is_complete() -> None:
    heard: list[Message] = []
    done = run(exchange_with(over(listens(heard.extend)), request(b"body")))
    assert heard == [disconnect()]
    assert done.body == said("", "/new/x", b"body")
    assert done.receives_waiting == 0


def test_its_listening_takes_nothing_from_the_next_app() -> None:
    """The first app listens on while the body's rest comes: the next one gets it."""
    order: list[str] = []
    dropped = asyncio.Event()

    async def first(scope: Scope, receive: Receive, send: Send) -> None:
        listening = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        await send({"type": "http.response.start", "status": 404})
        dropped.set()
        # Its answer is not complete, so that it waits for the next app's end.
        order.append((await listening)["type"])
        await send({"type": "http.response.body", "body": b""})

    async def second(scope: Scope, receive: Receive, send: Send) -> None:
        await echo(scope, receive, send)
        order.append("second")

    async def main() -> Exchange:
        exchange = Exchange(over(first, second), http_scope("POST", "/new/x"))
        async with exchange:
            await dropped.wait()
            exchange.feed(*events([b"one", b"two"]))
        return exchange

    assert asyncio.run(main()).body == said("", "/new/x", b"onetwo")
    assert order == ["second", "http.disconnect"]


def test_it_runs_to_its_end_and_the_call_with_it() -> None:
    order: list[str] = []
    answered = asyncio.Event()

    async def first(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, 404)
        await answered.wait()
        order.append("work after the response")

    async def main() -> None:
        exchange = exchange_with(over(first))
        async with exchange:
            await exchange.wait_until(lambda: exchange.complete)
            order.append("answered")
            answered.set()

    asyncio.run(main())
    assert order == ["answered", "work after the response"]


def test_a_body_without_end_does_not_hold_the_loop() -> None:
    async def first(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 404})
        while (await peek())["type"] != "http.disconnect":
            await send({"type": "http.response.body", "body": b"x", "more_body": True})

    over_now = asyncio.Event()

    async def peek() -> Message:
        return disconnect() if over_now.is_set() else request()

    async def main() -> None:
        exchange = exchange_with(over(first))
        async with exchange:
            await exchange.wait_until(lambda: exchange.complete)
            over_now.set()

    asyncio.run(main())


@pytest.mark.parametrize("kind", ["before", "after"])
def test_what_it_raises(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    error = LookupError("as it is")

    async def first(scope: Scope, receive: Receive, send: Send) -> None:
        if kind == "before":
            raise error
        await answer(send, 404)
        raise error

    if kind == "before":
        with pytest.raises(LookupError) as caught:
            run(exchange_with(over(first)))
        assert caught.value is error
        return
    with caplog.at_level(logging.ERROR, "bridge"):
        done = run(exchange_with(over(first)))
    assert done.status == 200
    assert "application at '/new' failed" in caplog.text
    assert "LookupError: as it is" in caplog.text


def test_what_the_next_app_raises_is_raised() -> None:
    error = LookupError("as it is")

    async def second(scope: Scope, receive: Receive, send: Send) -> None:
        raise error

    with pytest.raises(LookupError) as caught:
        run(exchange_with(over(replies(404), second)))
    assert caught.value is error


def test_what_receive_raises_reaches_the_app_that_asks() -> None:
    async def receive() -> Message:
        raise OSError("no server")

    async def first(scope: Scope, receive: Receive, send: Send) -> None:
        with pytest.raises(OSError, match="no server"):
            await receive()
        await answer(send, 404)

    async def second(scope: Scope, receive: Receive, send: Send) -> None:
        with pytest.raises(OSError, match="no server"):
            await receive()
        await answer(send, 200)

    exchange = exchange_with(over(first, second))
    asyncio.run(over(first, second)(exchange.scope, receive, exchange.send))
    assert exchange.status == 200


@pytest.mark.parametrize("first_is_done", [True, False])
def test_a_server_that_cancels_the_call_cancels_both(first_is_done: bool) -> None:
    ended: list[str] = []

    def waits(name: str, before: Callable[[Send], Awaitable[None]], *, done: bool = False) -> ASGIApp:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await before(send)
                if not done:
                    await asyncio.Event().wait()
            except asyncio.CancelledError:
                ended.append(name)
                raise

        return app

    async def start(send: Send) -> None:
        await send({"type": "http.response.start", "status": 200})

    app = over(waits("first", lambda send: answer(send, 404), done=first_is_done), waits("second", start))

    async def interrupted() -> None:
        exchange = exchange_with(app)
        async with exchange:
            await exchange.wait_for("http.response.start")
            raise LookupError  # which cancels the app

    with pytest.raises(LookupError):
        asyncio.run(interrupted())
    assert ended == ["second"] if first_is_done else sorted(ended) == ["first", "second"]


def test_a_slow_client_holds_the_app_back() -> None:
    sent: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200})
        for number in range(3):
            await send({"type": "http.response.body", "body": b"%d" % number, "more_body": number < 2})
            sent.append(number)

    async def main() -> None:
        exchange = exchange_with(over(app))
        exchange.hold_sends()
        async with exchange:
            await exchange.wait_for("http.response.start")
            for _ in range(10):
                await asyncio.sleep(0)
            assert len(exchange.messages) == 1
            assert not sent
            exchange.release_sends()
        assert exchange.body == b"012"

    asyncio.run(main())


def test_one_app_sees_nothing_of_the_other() -> None:
    user = contextvars.ContextVar("user", default="nobody")

    async def first(scope: Scope, receive: Receive, send: Send) -> None:
        user.set("first")
        scope["state"]["key"] = scope["first"] = "first"
        scope["headers"].append((b"x-user", b"first"))
        await answer(send, 404)

    async def second(scope: Scope, receive: Receive, send: Send) -> None:
        assert user.get() == "server"
        assert scope["state"] == {"server": 1}
        assert "first" not in scope
        assert b"x-user" not in dict(scope["headers"])
        await answer(send, 200)

    async def main() -> None:
        user.set("server")
        exchange = await exchange_with(over(first, second), state={"server": 1}).run()
        assert exchange.status == 200

    asyncio.run(main())


# WebSocket.

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


# Frameworks.


def fastapi() -> FastAPI:
    app = FastAPI()

    @app.get("/items")
    async def items() -> str:
        return "new"

    return app


def flask() -> Flask:
    app = Flask(__name__)

    @app.route("/new/items", methods=["GET", "POST"])
    @app.route("/new/old", methods=["POST"])
    def items() -> str:
        return f"old {len(flask_request.get_data())}"

    return app


def test_frameworks() -> None:
    for first, second in ((fastapi(), flask()), (Dispatcher({"/": fastapi()}), flask())):
        with TestClient(over(first, second)) as client:
            assert client.get("/new/items").json() == "new"
            assert client.post("/new/items", content=b"x" * 1000).text == "old 1000", "405"
            assert client.post("/new/old", content=b"x" * 1_000_000).text == "old 1000000", "404"
            assert client.get("/new/old").status_code == 405
            assert client.get("/new/none").status_code == 404


def with_middleware() -> FastAPI:
    """FastAPI behind middleware that listens to the client and makes the response anew, with an endless-looking 404."""
    app = FastAPI()

    async def pass_on(request: Request, call_next: RequestResponseEndpoint) -> Response:
        return await call_next(request)

    app.add_middleware(BaseHTTPMiddleware, dispatch=pass_on)
    app.add_middleware(GZipMiddleware)

    @app.get("/items")
    async def items() -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(100):
                yield b"x" * 1000

        return StreamingResponse(pieces(), status_code=404)

    return app


@pytest.mark.parametrize("first", [with_middleware, lambda: Quart("new"), lambda: Litestar([])])
def test_asgi_apps_with_their_own_ways_of_listening(first: Callable[[], ASGIApp]) -> None:
    with TestClient(over(first(), flask())) as client:
        assert client.get("/new/items").text == "old 0"
        assert client.post("/new/items", content=b"x" * 300_000).text == "old 300000"
        assert client.post("/new/old", content=iter([b"x" * 100_000] * 3)).text == "old 300000"


def test_a_wsgi_app_as_the_first() -> None:
    first = Flask("first")

    @first.post("/x")
    def known() -> str:
        return f"first {len(flask_request.get_data())}"

    with TestClient(over(first, flask())) as client:
        assert client.post("/new/x", content=b"x" * 300_000).text == "first 300000"
        assert client.post("/new/old", content=b"x" * 300_000).text == "old 300000"
        assert client.get("/new/x").status_code == 404
