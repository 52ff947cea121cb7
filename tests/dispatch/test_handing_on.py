"""What both sides of handing a request on share: the log, and what becomes of early hints."""

import asyncio
import io
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from bridge import Dispatcher, log
from bridge.dispatch.handing_on import NOT_HERE, log_dropped
from bridge.types import Environ, Receive, Scope, Send, StartResponse
from tests.dispatch import asgi, wsgi
from tests.support.asgi import Exchange
from tests.support.wsgi import call, environ_for

pytestmark = pytest.mark.usefixtures("no_bridge_threads")


def test_the_log_names_the_request_the_app_and_the_error(caplog: pytest.LogCaptureFixture) -> None:
    try:
        raise LookupError("as it is")
    except LookupError as exc:
        with caplog.at_level(logging.ERROR, "bridge"):
            log_dropped("the application", "/new", "GET", "/new/x\n", exc)
    assert caplog.messages == [
        "GET '/new/x\\n': the application at '/new' failed after its answer had been dropped"
    ]
    assert "LookupError: as it is" in caplog.text


def test_an_error_goes_where_the_request_has_its_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has configured nothing: pytest has handlers, and other tests may have left theirs."""
    errors = io.StringIO()
    logger = logging.getLogger("bridge")
    monkeypatch.setattr(logger, "parent", None)
    monkeypatch.setattr(logger, "handlers", [log._last_resort])
    log_dropped("the application", "/new", "GET", "/", LookupError("as it is"), errors)
    assert "LookupError: as it is" in errors.getvalue()


# Early hints: RFC 8297.

LINK = [("Link", "</style.css>; rel=preload")]


def asked_wsgi(status: str, *moments: str) -> list[list[tuple[str, str]]]:
    """What reaches the client of the hints that the first app gives at these moments."""
    sent: list[list[tuple[str, str]]] = []

    def first(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        hint: Callable[..., object] = environ["wsgi.early_hints"]
        if "before" in moments:
            hint(headers=LINK)  # by the name that gunicorn has for it
        start_response(status, wsgi.TEXT)
        if "after" in moments:
            hint(LINK)
        yield b"a part"
        if "late" in moments:
            hint(LINK)

    def take(headers: list[tuple[str, str]]) -> None:
        sent.append(headers)

    answer = call(wsgi.over(first), environ_for("/new/x") | {"wsgi.early_hints": take})
    assert answer.status == "200 OK"
    return sent


def asked_asgi(status: int, *moments: str) -> list[Any]:
    async def first(scope: Scope, receive: Receive, send: Send) -> None:
        hint = {"type": "http.response.early_hint", "links": [b"</style.css>; rel=preload"]}
        if "before" in moments:
            await send(hint)
        await send({"type": "http.response.start", "status": status, "headers": []})
        if "after" in moments:
            await send(hint)
        await send({"type": "http.response.body", "body": b"a part", "more_body": True})
        if "late" in moments:
            await send(hint)
        await send({"type": "http.response.body", "body": b""})

    done: Exchange = asgi.run(asgi.exchange_with(asgi.over(first)))
    assert done.status == 200
    return [message for message in done.messages if message["type"] == "http.response.early_hint"]


@pytest.mark.parametrize(
    "asked", [lambda *m: asked_wsgi("404 Not Found", *m), lambda *m: asked_asgi(404, *m)]
)
def test_hints_of_a_dropped_answer_go_out_until_it_is_dropped(asked: Callable[..., list[Any]]) -> None:
    """They promise nothing, and are of use only while the app is thinking; then they are of another answer."""
    assert len(asked("before")) == 1
    assert len(asked("before", "after", "late")) == 1
    assert asked("after", "late") == []


def test_the_hints_of_each_app_that_is_asked_go_out() -> None:
    sent: list[str] = []

    def hinting(name: str, status: str) -> Callable[[Environ, StartResponse], Iterable[bytes]]:
        def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
            environ["wsgi.early_hints"]([("Link", f"</{name}>")])
            start_response(status, wsgi.TEXT)
            return [name.encode()]

        return app

    app = Dispatcher({"/": [hinting("a", "404 No"), hinting("b", "405 No"), hinting("c", "404 No")]})
    answer = call(app, environ_for() | {"wsgi.early_hints": lambda headers: sent.append(headers[0][1])})
    assert (answer.status, answer.body) == ("404 No", b"c")
    assert sent == ["</a>", "</b>", "</c>"]


def test_a_hint_of_a_dropped_answer_does_not_end_it() -> None:
    """The app hears of a disconnect when its answer is complete, not before."""
    order: list[str] = []
    told = asyncio.Event()

    async def first(scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "http.request"
        await send({"type": "http.response.start", "status": 404, "headers": []})

        async def listen() -> None:
            order.append((await receive())["type"])

        listening = asyncio.ensure_future(listen())
        await send({"type": "http.response.early_hint", "links": []})
        for _ in range(5):
            await asyncio.sleep(0)
        order.append("complete")
        await send({"type": "http.response.body", "body": b""})
        await listening
        told.set()

    async def second(scope: Scope, receive: Receive, send: Send) -> None:
        await told.wait()
        await asgi.answer(send, 200)

    assert asgi.run(asgi.exchange_with(asgi.over(first, second))).status == 200
    assert order == ["complete", "http.disconnect"]


def test_no_hints_are_offered_where_the_server_has_none() -> None:
    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        assert "wsgi.early_hints" not in environ
        start_response("404 Not Found", wsgi.TEXT)
        return []

    assert call(Dispatcher({"/": [app, wsgi.replies("200 OK")]}), environ_for()).status == "200 OK"


# What is made for an app is made when it is asked.


@pytest.mark.parametrize("status", sorted(NOT_HERE | {200}))
def test_a_scope_is_made_for_an_app_when_it_is_asked(status: int) -> None:
    made: list[str] = []

    class Watched(Dispatcher):
        def _scope_for(self, part: Any, *args: Any) -> Scope:
            made.append(part.which)
            return super()._scope_for(part, *args)

    async def main() -> int:
        app = Watched({"/": [asgi.replies(status), asgi.replies(200), asgi.replies(200)]})
        return (await asgi.exchange_with(app).run()).status

    assert asyncio.run(main()) == 200
    assert made == [" (app 1 of 3)", " (app 2 of 3)"][: 1 if status == 200 else 2]


def test_the_last_app_has_the_servers_own_scope() -> None:
    """Nobody comes after it who could see what it does to it."""
    seen: list[Scope] = []

    async def last(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        seen.append(scope)
        await asgi.answer(send, 200)

    exchange = asgi.exchange_with(Dispatcher({"/": [asgi.replies(404), last]}))
    asyncio.run(exchange.run())
    assert seen[0] is exchange.scope
