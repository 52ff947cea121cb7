"""The lifespans of what a ``Dispatcher`` has mounted, on its ASGI side, and on its WSGI side."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from bridge import AsgiToWsgi, Dispatcher, LifespanError, WsgiToAsgi
from bridge.types import ASGIApp, Environ, Message, Receive, Scope, Send, StartResponse
from tests.support.asgi import HANG, Exchange, http_scope, request
from tests.support.loop_thread import LoopThread
from tests.support.wsgi import call, environ_for

pytestmark = pytest.mark.usefixtures("no_bridge_threads")

STARTUP: Message = {"type": "lifespan.startup"}
SHUTDOWN: Message = {"type": "lifespan.shutdown"}


class Part:
    """An app with a lifespan, which writes down what happens to it."""

    def __init__(self, name: str, log: list[str], *, fails: str = "") -> None:
        self.name = name
        self.log = log
        self.fails = fails
        self.states: list[dict[str, Any]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.lifespan(scope, receive, send)
            return
        self.states.append(scope.get("state", {}))
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}
        )
        await send({"type": "http.response.body", "body": self.name.encode()})

    async def lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert await receive() == STARTUP
        if self.fails == "startup":
            self.log.append(f"{self.name} fails")
            await send({"type": "lifespan.startup.failed", "message": f"{self.name} has no database"})
            raise OSError("refused")
        self.log.append(f"{self.name} up")
        scope["state"]["name"] = self.name
        scope["state"][f"only {self.name}"] = True
        await send({"type": "lifespan.startup.complete"})
        try:
            assert await receive() == SHUTDOWN
        finally:
            self.log.append(f"{self.name} down")
        if self.fails == "shutdown":
            raise OSError(f"{self.name} was not flushed")
        await send({"type": "lifespan.shutdown.complete"})


def lifespan_of(app: ASGIApp, state: dict[str, Any] | None, *events: Message) -> Exchange:
    scope: dict[str, Any] = {"type": "lifespan", "asgi": {"version": "3.0"}}
    return Exchange(app, scope if state is None else {**scope, "state": state}, events)


def lifespan_tasks() -> list[str]:
    return [task.get_name() for task in asyncio.all_tasks() if task.get_name() == "lifespan"]


def types(exchange: Exchange) -> list[str]:
    return [message["type"] for message in exchange.messages]


async def ask(app: ASGIApp, path: str, **scope: Any) -> None:
    await Exchange(app, http_scope(path=path, **scope), [request()]).run()


def wsgi(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"wsgi"]


async def no_lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    assert scope["type"] == "http"


def test_started_in_order_shut_down_in_reverse_each_with_its_own_state() -> None:
    log: list[str] = []
    a, b, c = (Part(name, log) for name in "abc")
    app = Dispatcher(
        {"/c": c, "/a": a, "/n": Dispatcher({"/b": b, "/c": c}), "/none": no_lifespan, "/": wsgi}
    )

    async def main(*, server_has_state: bool) -> None:
        state: dict[str, Any] = {}
        exchange = lifespan_of(app, state if server_has_state else None, STARTUP)
        async with exchange:
            await exchange.wait_for("lifespan.startup.complete")
            assert log == ["c up", "a up", "b up"], "c is mounted twice, and has one lifespan"
            for path in ("/a", "/n/b", "/c", "/n/c", "/a"):
                copy = {"state": {**state, "of the request": 1}} if server_has_state else {"state": ...}
                await ask(app, path, **copy)
            for part in (a, b, c):
                for seen in part.states:
                    seen.pop("of the request", None)
                    assert seen == {"name": part.name, f"only {part.name}": True}
            assert len(a.states) == len(c.states) == 2
            a.states[0]["name"] = "changed"
            assert a.states[1]["name"] == "a", "each request has a copy"
            exchange.feed(SHUTDOWN)
        assert log[3:] == ["b down", "a down", "c down"]
        assert types(exchange) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]

    for server_has_state in (True, False):
        for part in (a, b, c):
            part.states.clear()
        log.clear()
        asyncio.run(main(server_has_state=server_has_state))


def test_what_middleware_keeps_in_the_state_of_a_request_stays() -> None:
    a = Part("a", [])
    app = Dispatcher({"/a": a})
    with TestClient(app) as client:
        state = client.app_state.copy()
        asyncio.run(ask(app, "/a", state={**state, "user": "x"}))
    assert a.states == [{"user": "x", "name": "a", "only a": True}]


def test_without_a_lifespan_the_state_is_the_servers() -> None:
    a = Part("a", [])
    asyncio.run(ask(Dispatcher({"/a": a}), "/a", state={"key": 1}))
    assert a.states == [{"key": 1}]


def test_a_dispatcher_inside_other_middleware_has_its_states() -> None:
    log: list[str] = []
    a, b = Part("a", log), Part("b", log)
    inner = Dispatcher({"/a": a, "/b": b})

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        await inner(scope, receive, send)

    app = Dispatcher({"/in": middleware, "/a": a})
    with TestClient(app) as client:
        assert client.get("/in/a").text == client.get("/a").text == "a"
        assert client.get("/in/b").text == "b"
    assert [sorted(state) for state in (*a.states, *b.states)] == [["name", "only a"]] * 2 + [
        ["name", "only b"]
    ]


def test_a_startup_that_fails_fails_the_whole(caplog: pytest.LogCaptureFixture) -> None:
    log: list[str] = []
    parts = {
        "/a": Part("a", log),
        "/b": Part("b", log),
        "/c": Part("c", log, fails="startup"),
        "/d": Part("d", log),
    }
    app = Dispatcher({"/x": Dispatcher(parts)})

    async def main() -> Exchange:
        exchange = lifespan_of(app, {}, STARTUP)
        await exchange.run()
        assert not lifespan_tasks()
        return exchange

    exchange = asyncio.run(main())
    assert log == ["a up", "b up", "c fails", "b down", "a down"]
    assert types(exchange) == ["lifespan.startup.failed"]
    message = exchange.messages[0]["message"]
    assert "/x/c: " in message
    assert "c has no database" in message
    assert "/x/c: " in caplog.text
    assert "OSError: refused" in caplog.text, "with its traceback"


def connect() -> None:
    raise OSError("no database")


def test_a_starlette_startup_that_fails_tells_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        connect()
        yield

    app = Dispatcher({"/": wsgi, "/new": Starlette(lifespan=lifespan)})
    exchange = lifespan_of(app, {}, STARTUP)
    asyncio.run(exchange.run())
    assert "/new: " in exchange.messages[0]["message"]
    assert "in lifespan" in exchange.messages[0]["message"]
    assert caplog.text.count("Traceback") == 1


def test_a_shutdown_that_fails_leaves_none_of_the_others_out(caplog: pytest.LogCaptureFixture) -> None:
    log: list[str] = []
    app = Dispatcher({"/a": Part("a", log), "/b": Part("b", log, fails="shutdown"), "/c": Part("c", log)})
    exchange = lifespan_of(app, {}, STARTUP, SHUTDOWN)
    asyncio.run(exchange.run())
    assert log[3:] == ["c down", "b down", "a down"]
    assert types(exchange) == ["lifespan.startup.complete", "lifespan.shutdown.failed"]
    assert "/b" in exchange.messages[-1]["message"]
    assert "/b: " in caplog.text
    assert "b was not flushed" in caplog.text


@pytest.mark.parametrize("when", ["startup", "running"])
def test_a_server_that_cancels_the_lifespan_ends_them_all(when: str) -> None:
    log: list[str] = []
    reached = asyncio.Event()

    class Slow(Part):
        async def lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
            if when == "startup":
                reached.set()
                await asyncio.Event().wait()
            await super().lifespan(scope, receive, send)

    app = Dispatcher({"/a": Part("a", log), "/b": Slow("b", log)})

    async def main() -> None:
        exchange = lifespan_of(app, {}, STARTUP)

        async def interrupted() -> None:
            async with exchange:
                if when == "startup":
                    await reached.wait()
                else:
                    await exchange.wait_until(lambda: exchange.receives_waiting == 1)
                raise LookupError  # which cancels the app

        with pytest.raises(LookupError):
            await interrupted()
        assert not lifespan_tasks()

    asyncio.run(main())
    assert log == (["a up", "a down"] if when == "startup" else ["a up", "b up", "b down", "a down"])


def test_an_app_without_lifespan_is_not_asked_where_its_adapter_says_so() -> None:
    log: list[str] = []
    a, b = Part("a", log), Part("b", log)
    app = Dispatcher({"/a": a, "/off": AsgiToWsgi(b, lifespan="off"), "/bare": b})
    asyncio.run(lifespan_of(app, {}, STARTUP, SHUTDOWN).run())
    assert log == ["a up", "a down"]


def test_an_app_that_has_to_have_a_lifespan(caplog: pytest.LogCaptureFixture) -> None:
    log: list[str] = []
    app = Dispatcher({"/a": Part("a", log), "/on": AsgiToWsgi(no_lifespan, lifespan="on")})
    exchange = lifespan_of(app, {}, STARTUP)
    asyncio.run(exchange.run())
    assert log == ["a up", "a down"]
    assert types(exchange) == ["lifespan.startup.failed"]
    assert exchange.messages[0]["message"].startswith("/on: the application does not answer lifespan")


def test_an_app_that_does_not_answer_its_startup_is_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    go = asyncio.Event()

    class Slow(Part):
        async def lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
            await go.wait()
            await super().lifespan(scope, receive, send)

    monkeypatch.setattr("bridge.lifespan.SILENCE", 0.0)
    log: list[str] = []
    app = Dispatcher({"/n": Dispatcher({"/b": Slow("b", log)})})

    async def main() -> None:
        exchange = lifespan_of(app, {}, STARTUP, SHUTDOWN)
        async with exchange:
            async with asyncio.timeout(HANG):
                while "/n/b: the application has not answered" not in caplog.text:  # noqa: ASYNC110 - as it says
                    await asyncio.sleep(0)
            go.set()
        assert types(exchange) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]

    asyncio.run(main())
    assert log == ["b up", "b down"]


def test_a_shutdown_that_is_never_answered_leaves_none_of_the_others_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("bridge.lifespan.SHUTDOWN_LIMIT", 0.0)

    async def silent(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await asyncio.get_running_loop().create_future()

    log: list[str] = []
    app = Dispatcher({"/a": Part("a", log), "/silent": silent})

    async def main() -> Exchange:
        exchange = await lifespan_of(app, {}, STARTUP, SHUTDOWN).run()
        assert not lifespan_tasks()
        return exchange

    exchange = asyncio.run(main())
    assert log == ["a up", "a down"]
    assert "/silent" in exchange.messages[-1]["message"]
    assert "/silent: the application has not answered lifespan.shutdown" in caplog.text


def test_two_loops_in_two_threads_have_each_their_states() -> None:
    """Of servers that have no lifespan state; and the shutdown of one leaves the other its own."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            scope["state"]["loop"] = asyncio.get_running_loop()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
        else:
            seen.append(scope["state"]["loop"])
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body"})

    async def start() -> Exchange:
        exchange = await lifespan_of(dispatcher, None, STARTUP).__aenter__()
        await exchange.wait_for("lifespan.startup.complete")
        return exchange

    async def stop(exchange: Exchange) -> None:
        exchange.feed(SHUTDOWN)
        await exchange.__aexit__(None, None, None)

    seen: list[object] = []
    dispatcher = Dispatcher({"/a": app})
    one, other = LoopThread(), LoopThread()
    try:
        on_one, on_other = one.run(start()), other.run(start())
        for thread in (one, other):
            thread.run(ask(dispatcher, "/a", state=...))
        one.run(stop(on_one))
        other.run(ask(dispatcher, "/a", state=...))
        other.run(stop(on_other))
    finally:
        one.close()
        other.close()
    assert seen == [one.loop, other.loop, other.loop]
    assert not dispatcher._states


def test_a_second_run_starts_anew() -> None:
    log: list[str] = []
    app = Dispatcher({"/a": Part("a", log)})
    for _ in range(2):
        with TestClient(app) as client:
            assert client.get("/a").text == "a"
    assert log == ["a up", "a down"] * 2


def test_the_threads_of_wsgi_parts_end_with_the_lifespan() -> None:
    adapter = WsgiToAsgi(wsgi, threads=2)
    app = Dispatcher({"/w": adapter, "/x": wsgi})
    with TestClient(app) as client:
        assert client.get("/w").text == client.get("/x").text == "wsgi"
        assert adapter._pool is not None
    # The fixture proves it.


# The WSGI side.


def starlette(name: str, log: list[str]) -> Starlette:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
        log.append(f"{name} up")
        yield {"name": name}
        log.append(f"{name} down")

    async def show(request: Request) -> JSONResponse:
        return JSONResponse(dict(request.state._state))

    return Starlette(routes=[Route("/", show)], lifespan=lifespan)


def test_on_a_wsgi_server_each_app_has_its_lifespan_from_its_first_request_on() -> None:
    log: list[str] = []
    a, b = starlette("a", log), starlette("b", log)
    with Dispatcher({"/a": a, "/n": Dispatcher({"/b": b}), "/a2": a}) as app:
        assert call(app, environ_for("/n/b/")).body == b'{"name":"b"}'
        assert call(app, environ_for("/a/")).body == b'{"name":"a"}'
        assert call(app, environ_for("/a2/")).body == b'{"name":"a"}'
        assert log == ["b up", "a up"]
    assert log == ["b up", "a up", "b down", "a down"]


def test_on_a_wsgi_server_a_startup_that_fails_is_raised(caplog: pytest.LogCaptureFixture) -> None:
    log: list[str] = []
    app = Dispatcher({"/a": Part("a", log, fails="startup"), "/b": Part("b", log)})
    with app, caplog.at_level(logging.ERROR, "bridge"):
        with pytest.raises(LifespanError, match="a has no database"):
            call(app, environ_for("/a"))
        assert call(app, environ_for("/b")).body == b"b", "the others serve on"
    assert log == ["a fails", "b up", "b down"]
