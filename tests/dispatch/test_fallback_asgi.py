"""``Mount(app, fallback=True)`` on the ASGI side: who answers, and what becomes of the one that has nothing there."""

import asyncio
import contextvars
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from fastapi import FastAPI
from flask import Flask
from flask import request as flask_request
from litestar import Litestar
from quart import Quart
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.testclient import TestClient

from bridge import Dispatcher, Mount
from bridge.types import ASGIApp, Message, Receive, Scope, Send
from tests.dispatch.asgi import answer, echo, events, exchange_with, over, replies, run, said
from tests.support.asgi import Exchange, disconnect, http_scope, request

pytestmark = pytest.mark.usefixtures("no_bridge_threads")


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


def test_a_task_factory_that_takes_no_context() -> None:
    """One of before Python 3.11."""
    user = contextvars.ContextVar("user", default="nobody")

    async def first(scope: Scope, receive: Receive, send: Send) -> None:
        user.set("somebody")
        await answer(send, 404)

    async def second(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, 200, user.get().encode())

    async def main() -> Exchange:
        asyncio.get_running_loop().set_task_factory(lambda loop, coro: asyncio.Task(coro, loop=loop))
        async with asyncio.timeout(30):
            return await exchange_with(over(first, second)).run()

    assert asyncio.run(main()).body == b"nobody"


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
