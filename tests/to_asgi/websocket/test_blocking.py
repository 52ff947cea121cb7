"""``WsgiToAsgi`` and WebSockets, in process: the blocking interface and the session. The relay has its own tests."""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

import pytest

import bridge
from bridge import ApplicationError, ConnectionClosed, WebSocket
from bridge.to_asgi.websocket import session as session_module
from bridge.to_asgi.websocket.session import _Session, handshake_environ
from bridge.types import Environ, StartResponse
from tests.support.asgi import HANG, Exchange
from tests.support.served import Served, arrival
from tests.support.websockets import (
    closing,
    connect,
    disconnect,
    handler,
    received,
    sent,
    websocket_scope,
)
from tests.support.wsgi_apps import get, hello

pytestmark = pytest.mark.usefixtures("no_bridge_threads")


def serve(
    app: Callable[..., Any], *events: Any, options: dict[str, Any] | None = None, **scope: Any
) -> Exchange:
    """Serve one WebSocket whose client sends ``events``; raise what the adapter raises."""

    async def main() -> Exchange:
        async with Served(app, **(options or {})) as adapter:
            exchange = connect(adapter, **scope)
            exchange.feed(*events)
            await exchange.run()
            return exchange

    return asyncio.run(main())


async def turn() -> None:
    """Let everything run that is ready."""
    for _ in range(20):
        await asyncio.sleep(0)


def echo(websocket: WebSocket) -> None:
    for message in websocket:
        websocket.send(message)


class Ending:
    """Serves by ``serve``, and keeps what it raises."""

    def __init__(self, serve: Callable[[WebSocket], object]) -> None:
        self.serve = serve
        self.error: BaseException | None = None
        self.ended = threading.Event()

    def __call__(self, environ: Environ, start_response: StartResponse) -> list[bytes]:
        try:
            self.serve(environ["wsgi.websocket"])
        except BaseException as exc:
            self.error = exc
            raise
        finally:
            self.ended.set()
        return []


# Messages.


def test_messages_both_ways() -> None:
    def app(websocket: WebSocket) -> None:
        for _ in range(3):
            websocket.send(websocket.receive())

    exchange = serve(handler(app), received("text"), received(b"binary"), received(""))
    assert exchange.messages[0] == {"type": "websocket.accept", "subprotocol": None, "headers": []}
    assert sent(exchange) == ["text", b"binary", ""]
    assert closing(exchange) == (1000, "")


def test_a_server_that_names_both_kinds_of_a_message() -> None:
    """By the specification one of the two is there and not ``None``."""
    events = [
        {"type": "websocket.receive", "text": None, "bytes": b""},
        {"type": "websocket.receive", "text": "", "bytes": None},
    ]

    def app(websocket: WebSocket) -> None:
        websocket.send(repr([websocket.receive(), websocket.receive()]))

    assert sent(serve(handler(app), *events)) == ["[b'', '']"]


@pytest.mark.parametrize("data", [bytearray(b"abc"), memoryview(b"abc")])
def test_what_else_is_sent_as_binary(data: bytearray | memoryview) -> None:
    assert sent(serve(handler(lambda websocket: websocket.send(data)))) == [b"abc"]


def test_what_can_t_be_sent() -> None:
    not_bytes: Any = 7
    with pytest.raises(TypeError, match="not int"):
        serve(handler(lambda websocket: websocket.send(not_bytes)))


def test_text_that_is_not_unicode_is_refused_where_it_is_sent() -> None:
    def app(websocket: WebSocket) -> None:
        with pytest.raises(ValueError, match="surrogates"):
            websocket.send("half \ud83d")
        websocket.send("whole \U0001f600")

    exchange = serve(handler(app))
    assert sent(exchange) == ["whole \U0001f600"]
    assert closing(exchange) == (1000, "")


def test_an_iteration_ends_when_the_client_leaves() -> None:
    async def main() -> None:
        messages: list[str | bytes] = []
        ending = Ending(messages.extend)
        async with Served(ending) as adapter:
            async with connect(adapter) as exchange:
                await exchange.wait_for("websocket.accept")
                exchange.feed(received("1"), received("2"), disconnect(1001))
            await arrival(ending.ended)
        assert messages == ["1", "2"]
        assert ending.error is None

    asyncio.run(main())


def test_a_message_that_does_not_come() -> None:
    with pytest.raises(TimeoutError, match=r"0\.01 s"):
        serve(handler(lambda websocket: websocket.receive(timeout=0.01)))


def test_threads_that_send_at_once() -> None:
    def app(websocket: WebSocket) -> None:
        def send(n: int) -> None:
            for i in range(100):
                websocket.send(f"{n}.{i}")

        threads = [threading.Thread(target=send, args=[n]) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    messages = sent(serve(handler(app), options={"response_buffer": 20}))
    assert len(messages) == 400
    for n in range(4):
        assert [m for m in messages if str(m).startswith(f"{n}.")] == [f"{n}.{i}" for i in range(100)]


# Accepting.


def test_accept_with_a_subprotocol_and_headers() -> None:
    def app(websocket: WebSocket) -> None:
        assert websocket.subprotocols == ["v2", "v1"]
        websocket.accept("v1", [("Set-Cookie", "a=b"), ("X-Name", "h\xe9")])

    exchange = serve(handler(app), subprotocols=["v2", "v1"])
    assert exchange.messages[0] == {
        "type": "websocket.accept",
        "subprotocol": "v1",
        "headers": [(b"set-cookie", b"a=b"), (b"x-name", b"h\xe9")],
    }


@pytest.mark.parametrize(
    ("accept", "rule"),
    [
        (lambda websocket: websocket.accept("v3"), "RFC 6455, 4.2.2"),
        (
            lambda websocket: websocket.accept(headers=[("Sec-WebSocket-Protocol", "v1")]),
            "an argument of its own",
        ),
        (lambda websocket: websocket.accept(headers=[("X", "a\r\nb")]), "RFC 9110, 5.5"),
        (lambda websocket: websocket.accept(headers={"X-Name": "x"}), "header 'X-Name' is not of the form"),
        (lambda websocket: [websocket.accept() for _ in range(2)], "accepted already"),
        (lambda websocket: [call() for call in (websocket.receive, websocket.accept)], "accepted already"),
    ],
)
def test_an_accept_that_breaks_a_rule(accept: Callable[[WebSocket], object], rule: str) -> None:
    with pytest.raises(ApplicationError, match=rule):
        serve(handler(accept), received("x"), subprotocols=["v1"])


def test_accepting_after_the_client_has_left() -> None:
    async def main() -> None:
        ready = threading.Event()

        def app(websocket: WebSocket) -> None:
            ready.wait(10)
            websocket.accept()

        ending = Ending(app)
        async with Served(ending) as adapter:
            exchange = connect(adapter)
            exchange.feed(disconnect(1006))
            await exchange.run()
            ready.set()
            await arrival(ending.ended)
        assert isinstance(ending.error, ConnectionClosed)
        assert ending.error.code == 1006
        assert exchange.messages == []

    asyncio.run(main())


# Closing.


def test_the_app_closes() -> None:
    def app(websocket: WebSocket) -> None:
        websocket.send("last")
        websocket.close(4001, "enough")
        websocket.close(4002, "again")
        for call in (lambda: websocket.send("late"), websocket.receive, websocket.receive):
            with pytest.raises(ConnectionClosed) as raised:
                call()
            assert (raised.value.code, raised.value.reason) == (4001, "enough")

    exchange = serve(handler(app))
    assert sent(exchange) == ["last"]
    assert closing(exchange) == (4001, "enough")


def test_what_came_before_the_app_closed_can_still_be_received() -> None:
    def app(websocket: WebSocket) -> None:
        assert websocket.receive() == "1"
        websocket.close()
        assert websocket.receive() == "2"

    assert closing(serve(handler(app), received("1"), received("2"))) == (1000, "")


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 2000, 2999, 5000, 1000.0, "1000", True])
def test_a_code_that_nobody_may_send(code: Any) -> None:
    with pytest.raises(ValueError, match=f"{code!r}; RFC 6455, 7.4"):
        serve(handler(lambda websocket: websocket.close(code)))


def test_a_reason_that_is_too_long() -> None:
    with pytest.raises(ValueError, match=r"124 bytes; RFC 6455, 5\.5, allows 123"):
        serve(handler(lambda websocket: websocket.close(reason="é" * 62)))


def test_a_close_before_accept_refuses_the_handshake() -> None:
    exchange = serve(handler(lambda websocket: websocket.close()), denial=True)
    assert closing(exchange) == (1000, "")
    assert len(exchange.messages) == 1


def test_an_error_of_the_app_closes_with_1011_and_is_raised_to_the_server() -> None:
    async def main() -> None:
        def app(websocket: WebSocket) -> None:
            websocket.send("x")
            raise ZeroDivisionError

        async with Served(handler(app)) as adapter:
            exchange = connect(adapter)
            with pytest.raises(ZeroDivisionError):
                await exchange.run()
            assert sent(exchange) == ["x"]
            assert closing(exchange) == (1011, "")

    asyncio.run(main())


def test_an_error_before_accept_is_the_server_s() -> None:
    async def main() -> None:
        async with Served(handler(lambda websocket: 1 / 0)) as adapter:
            exchange = connect(adapter)
            with pytest.raises(ZeroDivisionError):
                await exchange.run()
            assert exchange.messages == []

    asyncio.run(main())


def test_a_framework_s_500_closes_with_1011() -> None:
    """Flask and Django make a response of a view's exception."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        environ["wsgi.websocket"].send("x")
        start_response("500 Internal Server Error", [("Content-Length", "4")])
        return [b"oops"]

    assert closing(serve(app)) == (1011, "")


def test_an_error_after_the_client_has_left_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        def app(websocket: WebSocket) -> None:
            for _ in websocket:
                pass
            raise ZeroDivisionError

        ending = Ending(app)
        async with Served(ending) as adapter:
            exchange = connect(adapter, "/chat")
            exchange.feed(disconnect())
            await exchange.run()
            await arrival(ending.ended)

    asyncio.run(main())
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert "/chat" in record.getMessage()
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError


class Finally:
    """An app that is at work in its ``finally`` until it is let go."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.go = threading.Event()
        self.ended = threading.Event()

    def __call__(self, websocket: WebSocket) -> None:
        try:
            echo(websocket)
        finally:
            self.entered.set()
            assert self.go.wait(HANG)
            self.ended.set()


def test_it_is_over_when_the_app_is_after_the_client_has_left() -> None:
    async def main() -> None:
        app = Finally()
        async with Served(handler(app)) as adapter:
            exchange = connect(adapter)
            async with exchange:
                exchange.feed(received("x"), disconnect())
                await arrival(app.entered)
                await turn()
                assert exchange._task is not None
                assert not exchange._task.done()
                app.go.set()
            assert app.ended.is_set()

    asyncio.run(main())


def test_an_error_of_the_server_is_raised_when_the_app_is_over() -> None:
    async def main() -> None:
        app = Finally()

        class Failing(Exchange):
            async def send(self, message: Any) -> None:
                raise LookupError("mine")

        async with Served(handler(app)) as adapter:
            exchange = Failing(adapter, websocket_scope(), [{"type": "websocket.connect"}, received("x")])
            with patch.object(session_module, "_ENDING", HANG):
                task = asyncio.create_task(exchange.run())
                await arrival(app.entered)
                await turn()
                assert not task.done()
                app.go.set()
                with pytest.raises(LookupError, match="mine"):
                    await task
            assert app.ended.is_set()

    asyncio.run(main())


@pytest.mark.parametrize("how", ["raises", "cancel"])
def test_an_error_beside_another_end_is_logged_once(how: str, caplog: pytest.LogCaptureFixture) -> None:
    """The app has raised when ``send()`` does, or when the server gives the WebSocket up."""

    async def main() -> None:
        def app(websocket: WebSocket) -> None:
            websocket.send("x")
            raise ZeroDivisionError

        async with Served(handler(app)) as adapter:
            over = asyncio.Event()

            class Failing(Exchange):
                async def send(self, message: Any) -> None:
                    assert adapter._websockets is not None
                    while adapter._websockets.pool.unfinished():  # noqa: ASYNC110  # a worker changes it
                        await asyncio.sleep(0)
                    over.set()
                    if how == "raises":
                        raise LookupError("mine")
                    await asyncio.get_running_loop().create_future()

            exchange = Failing(adapter, websocket_scope("/chat"), [{"type": "websocket.connect"}])
            task = asyncio.create_task(exchange.run())
            async with asyncio.timeout(HANG):
                await over.wait()
            if how == "cancel":
                task.cancel()
            with pytest.raises(asyncio.CancelledError if how == "cancel" else LookupError):
                await task

    asyncio.run(main())
    (record,) = caplog.records
    assert record.getMessage().startswith("GET '/chat': the WSGI app raised an error")
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError


def test_an_error_of_the_server_is_raised_although_the_app_hangs() -> None:
    async def main() -> None:
        app = Finally()

        class Failing(Exchange):
            async def send(self, message: Any) -> None:
                raise LookupError("mine")

        async with Served(handler(app)) as adapter:
            exchange = Failing(adapter, websocket_scope(), [{"type": "websocket.connect"}, received("x")])
            with patch.object(session_module, "_ENDING", 0.01), pytest.raises(LookupError, match="mine"):
                await exchange.run()
            assert not app.ended.is_set()
            app.go.set()

    asyncio.run(main())


@pytest.mark.parametrize("code", [1000, 1001, 1005, 1006, 4000])
def test_the_client_s_close(code: int, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        ending = Ending(lambda websocket: [websocket.receive() for _ in range(3)])
        async with Served(ending) as adapter:
            exchange = connect(adapter)
            exchange.feed(received("1"), disconnect(code, "why"))
            await exchange.run()
            await arrival(ending.ended)
        assert isinstance(ending.error, ConnectionClosed)
        assert (ending.error.code, ending.error.reason) == (code, "why")
        assert [message["type"] for message in exchange.messages] in ([], ["websocket.accept"])

    asyncio.run(main())
    assert not caplog.records


def test_a_close_without_code_or_reason() -> None:
    """The specification gives both a default; some servers name them ``None``."""

    async def main() -> None:
        for event in (
            {"type": "websocket.disconnect"},
            {"type": "websocket.disconnect", "code": None, "reason": None},
        ):
            ending = Ending(lambda websocket: websocket.receive())
            async with Served(ending) as adapter:
                exchange = connect(adapter)
                exchange.feed(event)
                await exchange.run()
                await arrival(ending.ended)
            assert isinstance(ending.error, ConnectionClosed)
            assert (ending.error.code, ending.error.reason) == (1005, "")

    asyncio.run(main())


def test_a_socket_that_outlives_the_call_is_closed() -> None:
    kept: list[WebSocket] = []

    def app(websocket: WebSocket) -> None:
        websocket.accept()
        kept.append(websocket)

    assert closing(serve(handler(app))) == (1000, "")
    for late in (lambda: kept[0].send("late"), kept[0].receive):
        with pytest.raises(ConnectionClosed) as raised:
            late()
        assert raised.value.code == 1000
    assert repr(kept[0]) == "<WebSocket closed>"


# Refusing by a response.


def refusing(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    start_response("403 Forbidden", [("Content-Type", "text/plain"), ("X-Why", "no")])
    yield b"not "
    yield b"here"


def test_a_response_is_the_denial() -> None:
    exchange = serve(refusing, denial=True)
    start, body = exchange.messages
    assert start == {
        "type": "websocket.http.response.start",
        "status": 403,
        "headers": [(b"content-type", b"text/plain"), (b"x-why", b"no")],
    }
    # granian takes no second one.
    assert body == {"type": "websocket.http.response.body", "body": b"not here", "more_body": False}


def test_a_long_denial_is_not_held_back() -> None:
    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("403 Forbidden", [])
        for _ in range(1000):
            yield b"x" * 1000

    _, *bodies = serve(app, denial=True).messages
    assert [message["more_body"] for message in bodies] == [True] * (len(bodies) - 1) + [False]
    assert sum(len(message["body"]) for message in bodies) == 1_000_000
    # 256 KiB, the response_buffer as well, and a chunk.
    assert max(len(message["body"]) for message in bodies) <= 2 * 262144 + 1000


def test_a_response_where_the_server_takes_none() -> None:
    exchange = serve(refusing)
    assert closing(exchange) == (1000, "")
    assert len(exchange.messages) == 1


def test_a_refused_handshake_can_t_be_accepted() -> None:
    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"x"
        environ["wsgi.websocket"].accept()

    with pytest.raises(ApplicationError, match="answered the handshake with a response"):
        serve(app, denial=True)


def test_a_generator_that_accepts_while_it_is_iterated() -> None:
    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        environ["wsgi.websocket"].send("x")
        start_response("200 OK", [("Content-Length", "1000")])
        yield b"nobody wants this"

    exchange = serve(app)
    assert sent(exchange) == ["x"]
    assert closing(exchange) == (1000, "")


# What the app sees of the handshake.


def test_the_environ_of_a_handshake() -> None:
    environ = handshake_environ(websocket_scope("/chat", scheme="wss", subprotocols=["a", "b"]))
    assert environ["REQUEST_METHOD"] == "GET"
    assert environ["PATH_INFO"] == "/chat"
    assert environ["wsgi.url_scheme"] == "https"
    assert environ["HTTP_UPGRADE"] == "websocket"
    assert environ["HTTP_CONNECTION"] == "Upgrade"
    assert environ["HTTP_SEC_WEBSOCKET_KEY"] == "dGhlIHNhbXBsZSBub25jZQ=="
    assert environ["HTTP_SEC_WEBSOCKET_PROTOCOL"] == "a, b"
    assert "HTTP_SEC_WEBSOCKET_EXTENSIONS" not in environ
    assert environ["wsgi.input"].read() == b""


def test_the_environ_of_a_handshake_over_http_2() -> None:
    """RFC 8441 has no Upgrade and no key; what the app looks for is there all the same."""
    scope = websocket_scope(http_version="2", headers=[])
    environ = handshake_environ(scope)
    assert environ["HTTP_HOST"] == "127.0.0.1:8000"
    assert environ["HTTP_UPGRADE"] == "websocket"
    assert environ["HTTP_SEC_WEBSOCKET_VERSION"] == "13"
    assert len(environ["HTTP_SEC_WEBSOCKET_KEY"]) == 24
    assert environ["HTTP_SEC_WEBSOCKET_KEY"] != handshake_environ(scope)["HTTP_SEC_WEBSOCKET_KEY"]


# Backpressure.


@pytest.mark.parametrize("data", ["x" * 100, b""])
def test_a_client_that_does_not_read_holds_the_app(no_bridge_threads: None, data: str | bytes) -> None:
    async def main() -> None:
        count = 0

        def app(websocket: WebSocket) -> None:
            nonlocal count
            while True:
                websocket.send(data)
                count += 1

        ending = Ending(app)
        async with Served(ending, response_buffer=1000) as adapter:
            async with connect(adapter) as exchange:
                exchange.hold_sends()
                await exchange.wait_for("websocket.accept")
                # The accept is in send(), and behind it 1000 bytes and one message at most: there the app waits. Each
                # counts 64 bytes more than it has.
                while count < 5:  # noqa: ASYNC110  # another thread counts
                    await asyncio.sleep(0)
                for _ in range(1000):
                    await asyncio.sleep(0)
                assert count <= 1000 // (len(data) + 64) + 1
                exchange.feed(disconnect(1006))
            await arrival(ending.ended)
        assert isinstance(ending.error, ConnectionClosed)

    asyncio.run(main())


def test_an_app_that_does_not_read_holds_the_client() -> None:
    async def main() -> None:
        go = threading.Event()

        def app(websocket: WebSocket) -> None:
            websocket.accept()
            go.wait(10)
            websocket.send(str(sum(len(websocket.receive()) for _ in range(50))))

        async with Served(handler(app), request_buffer=1000) as adapter:
            exchange = connect(adapter)
            async with exchange:
                await exchange.wait_for("websocket.accept")
                exchange.feed(*[received("x" * 100)] * 50)
                for _ in range(1000):
                    await asyncio.sleep(0)
                assert len(exchange._events) > 30  # not taken from the server
                go.set()
            assert sent(exchange) == ["5000"]

    asyncio.run(main())


def test_a_message_over_the_limit_closes_with_1009() -> None:
    async def main() -> None:
        ending = Ending(echo_forever)
        async with Served(ending, max_body_size=10) as adapter:
            exchange = connect(adapter)
            exchange.feed(received("x" * 10), received(b"x" * 10), received("é" * 6))
            await exchange.run()
            await arrival(ending.ended)
        assert closing(exchange) == (1009, "a message may have 10 bytes")
        assert isinstance(ending.error, ConnectionClosed)
        assert ending.error.code == 1009

    asyncio.run(main())


# An app that takes nothing of what the client sends.

FLOOD = [received("x" * 1000)] * 3
"""More than the inbox takes with ``request_buffer=1000``: what comes after it is not seen."""


@pytest.mark.parametrize("blocked", [False, True])
def test_an_app_that_sends_and_takes_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, blocked: bool
) -> None:
    """It would not learn that the client leaves, and hold its thread for ever."""
    monkeypatch.setattr(session_module, "_STUCK", 0.05)
    monkeypatch.setattr(session_module, "_CLOSE_TIMEOUT", 0.05)

    async def main() -> None:
        def app(websocket: WebSocket) -> None:
            while True:
                websocket.send("tick")

        ending = Ending(app)
        async with Served(ending, request_buffer=1000, response_buffer=1000) as adapter:
            exchange = connect(adapter)
            exchange.feed(*FLOOD)
            async with exchange:
                await exchange.wait_for("websocket.send")
                if blocked:
                    # As hypercorn's send() is when the client has left.
                    exchange.hold_sends()
                    exchange.feed(disconnect(1001))
                await arrival(ending.ended)
        assert isinstance(ending.error, ConnectionClosed)
        assert (ending.error.code, ending.error.reason) == (1008, "the app does not take the messages")
        if not blocked:
            assert closing(exchange) == (1008, "the app does not take the messages")

    asyncio.run(main())
    assert any("has taken none of the messages" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("sends", [False, True])
def test_an_app_that_takes_its_time(sends: bool) -> None:
    """It is at work, and sends nothing meanwhile; or it sends, and takes a message now and then."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        accepted = threading.Event()

        def look() -> None:
            looked = threading.Event()

            def looking() -> None:
                for session in adapter._loops.wires[loop].sessions:
                    assert isinstance(session, _Session)
                    session._look()
                looked.set()

            loop.call_soon_threadsafe(looking)
            assert looked.wait(10)

        def app(websocket: WebSocket) -> None:
            websocket.accept()
            assert accepted.wait(10)
            for _ in FLOOD:
                look()
                if sends:
                    websocket.send("tick")
                else:
                    look()
                websocket.receive()

        async with Served(handler(app), request_buffer=1000) as adapter:
            exchange = connect(adapter)
            exchange.feed(*FLOOD)
            async with exchange:
                await exchange.wait_for("websocket.accept")
                accepted.set()
        assert closing(exchange) == (1000, "")

    asyncio.run(main())


def echo_forever(websocket: WebSocket) -> None:
    while True:
        websocket.send(websocket.receive())


# Threads.


def test_sockets_do_not_take_the_threads_of_requests() -> None:
    async def main() -> None:
        def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
            if "wsgi.websocket" in environ:
                echo(environ["wsgi.websocket"])
                return []
            return list(hello(environ, start_response))

        async with Served(app, threads=2) as adapter:
            exchanges = [connect(adapter) for _ in range(10)]
            for exchange in exchanges:
                await exchange.__aenter__()
                await exchange.wait_for("websocket.accept")
            response = await get(adapter).run()
            assert response.status == 200
            for exchange in exchanges:
                exchange.feed(disconnect())
                await exchange.__aexit__(None, None, None)

    asyncio.run(main())


@pytest.mark.parametrize("denial", [True, False])
def test_one_socket_too_many(denial: bool, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with Served(handler(echo), websocket_threads=1) as adapter, connect(adapter) as first:
            await first.wait_for("websocket.accept")
            second = await connect(adapter, denial=denial).run()
            if denial:
                assert second.messages[0]["status"] == 503
                assert (b"retry-after", b"1") in second.messages[0]["headers"]
                assert second.messages[-1]["type"] == "websocket.http.response.body"
            else:
                assert second.messages[0]["type"] == "websocket.accept"
                assert closing(second)[0] == 1013
            first.feed(disconnect())

    asyncio.run(main())
    assert any("as websocket_threads allows: 1" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("options", [{"websocket_threads": 0}, {"threads": 1}])
def test_an_adapter_without_threads_for_them(
    options: dict[str, int], caplog: pytest.LogCaptureFixture
) -> None:
    """An app that is not thread-safe has one thread, which a WebSocket would hold."""
    assert closing(serve(handler(echo), options=options)) == (1000, "")
    exchange = serve(handler(echo), options=options, denial=True)
    assert exchange.messages[0]["status"] == 403
    assert any("no threads" in record.getMessage() for record in caplog.records)


def test_a_number_of_threads_that_is_none() -> None:
    with pytest.raises(ValueError, match="websocket_threads is -1"):
        bridge.WsgiToAsgi(hello, websocket_threads=-1)


def test_a_path_that_is_none() -> None:
    exchange = serve(handler(echo), path="ftp//x", denial=True)
    assert exchange.messages[0]["status"] == 400


# The server stops, or gives up.


def test_the_shutdown_closes_them() -> None:
    async def main() -> None:
        ending = Ending(echo_forever)
        async with Served(ending) as adapter:
            exchange = connect(adapter)
            await exchange.__aenter__()
            await exchange.wait_for("websocket.accept")
        await exchange.__aexit__(None, None, None)
        assert closing(exchange)[0] == 1012
        assert isinstance(ending.error, ConnectionClosed)
        assert ending.error.code == 1012

    asyncio.run(main())


def test_the_shutdown_ends_a_denial_under_way() -> None:
    async def main() -> None:
        closed = threading.Event()

        def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
            start_response("403 Forbidden", [])
            try:
                while True:
                    yield b"x" * 1000
            finally:
                closed.set()

        async with Served(app, response_buffer=1000) as adapter:
            exchange = connect(adapter, denial=True)
            await exchange.__aenter__()
            await exchange.wait_for("websocket.http.response.body")
        await exchange.__aexit__(None, None, None)
        await arrival(closed)
        assert all(message["type"].startswith("websocket.http.") for message in exchange.messages)
        assert exchange.messages[-1]["more_body"]

    asyncio.run(main())


def test_a_server_that_cancels_frees_the_thread() -> None:
    async def main() -> None:
        ending = Ending(echo_forever)
        async with Served(ending) as adapter:
            exchange = connect(adapter)
            await exchange.__aenter__()
            await exchange.wait_for("websocket.accept")
            assert exchange._task is not None
            exchange._task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await exchange.__aexit__(None, None, None)
            await arrival(ending.ended)
        assert isinstance(ending.error, ConnectionClosed)
        assert ending.error.code == 1006

    asyncio.run(main())


@pytest.mark.parametrize("error", [OSError, RuntimeError])
def test_a_server_whose_send_raises_when_the_client_has_left(error: type[Exception]) -> None:
    """``OSError`` by the specification (2.4), ``RuntimeError`` on granian."""

    async def main() -> None:
        def app(websocket: WebSocket) -> None:
            while True:
                websocket.send("x")

        ending = Ending(app)

        class Gone(Exchange):
            async def send(self, message: Any) -> None:
                await super().send(message)
                if message["type"] == "websocket.send":
                    self.feed(disconnect(1006))
                    raise error("closed")

        async with Served(ending) as adapter:
            await Gone(adapter, websocket_scope(), [{"type": "websocket.connect"}]).run()
            await arrival(ending.ended)
        assert isinstance(ending.error, ConnectionClosed)

    asyncio.run(main())


def test_a_server_whose_receive_raises(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        ending = Ending(echo_forever)

        class Broken(Exchange):
            async def receive(self) -> Any:
                message = await super().receive()
                if message["type"] == "websocket.receive":
                    raise ValueError("broken")
                return message

        async with Served(ending) as adapter:
            exchange = Broken(adapter, websocket_scope(), [{"type": "websocket.connect"}, received("x")])
            await exchange.run()
            await arrival(ending.ended)
        assert isinstance(ending.error, ConnectionClosed)

    asyncio.run(main())
    assert any("receive() of the ASGI server raised" in record.getMessage() for record in caplog.records)


def test_a_client_that_leaves_before_its_handshake_is_read() -> None:
    async def main() -> None:
        async with Served(handler(echo)) as adapter:
            exchange = Exchange(adapter, websocket_scope(), [disconnect()])
            await exchange.run()
            assert exchange.messages == []

    asyncio.run(main())
