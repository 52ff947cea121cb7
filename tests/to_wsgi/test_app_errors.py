"""Apps that fail, and clients that leave."""

import asyncio
import re
import socket
import threading
import traceback
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
import trio
import waitress.channel
from starlette.requests import ClientDisconnect

from bridge.errors import ApplicationError, ClientDisconnected
from bridge.to_wsgi.shared_loop import SharedExchange
from bridge.types import ASGIApp, Receive, Scope, Send
from tests.support.wsgi import Answer, call, environ_for, started
from tests.to_wsgi.apps import START, last, part, until


class TestErrors:
    @staticmethod
    def raises(adapt: Any, app: ASGIApp, kind: type[BaseException], match: str = "") -> None:
        answer = Answer()
        with pytest.raises(kind, match=match):
            adapt(app)(environ_for(), answer.start_response)
        assert answer.status == ""

    def test_before_the_start(self, adapt: Any) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await asyncio.sleep(0)
            raise KeyError("mine")

        self.raises(adapt, app, KeyError, "mine")

    def test_in_the_first_burst(self, adapt: Any) -> None:
        """Nothing has left yet: the server can answer with an error."""

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(START)
            await send(part(b"half"))
            raise KeyError("mine")

        self.raises(adapt, app, KeyError, "mine")

    @pytest.mark.parametrize("mode", ["shared"])
    def test_the_first_burst_is_not_due_before_its_error_is_known(
        self, adapt: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The server's thread would take it, if it came between the two."""
        due: list[bool] = []
        end = SharedExchange._end

        def look(exchange: SharedExchange, task: "asyncio.Task[BaseException | None]") -> None:
            due.append(exchange._due)
            end(exchange, task)

        monkeypatch.setattr(SharedExchange, "_end", look)
        self.test_in_the_first_burst(adapt)
        assert due == [False]

    def test_in_the_middle_of_the_body(self, adapt: Any) -> None:
        taken = threading.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(START)
            await send(part(b"half"))
            await until(taken.is_set)
            raise KeyError("mine")

        with started(adapt(app), environ_for()) as (answer, body):
            chunks = iter(body)
            answer.chunks.append(next(chunks))
            taken.set()
            with pytest.raises(KeyError, match="mine"):
                next(chunks)
            assert answer.exc_info is not None
            assert answer.exc_info[0] is KeyError

    def test_after_the_last_body_message_it_is_for_the_log(
        self, adapt: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(START)
            await send(last(b"whole"))
            raise KeyError("mine")

        adapter = adapt(app)
        assert call(adapter, environ_for("/a b", "PUT")).body == b"whole"
        adapter.close()
        (record,) = (record for record in caplog.records if record.name == "bridge")
        assert (
            record.getMessage()
            == "PUT '/a b': the application raised an error; it had answered with '200 OK'"
        )
        assert record.exc_info
        assert record.exc_info[0] is KeyError

    def test_no_response(self, adapt: Any) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            pass

        self.raises(adapt, app, ApplicationError, r"without a response: no http\.response\.start")

    def test_only_a_start(self, adapt: Any) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(START)

        self.raises(adapt, app, ApplicationError, "more_body=False")

    def test_no_last_body_message(self, adapt: Any) -> None:
        taken = threading.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(START)
            await send(part(b"half"))
            # Not before the server has it: the error would be all that it is told.
            await until(taken.is_set)

        with started(adapt(app), environ_for()) as (answer, body):
            chunks = iter(body)
            answer.chunks.append(next(chunks))
            taken.set()
            with pytest.raises(ApplicationError, match="more_body=False"):
                next(chunks)

    @pytest.mark.parametrize(
        ("messages", "match"),
        [
            ([last(b"x")], r"body was sent before http\.response\.start"),
            ([START, START], "twice"),
            ([START, last(b"x"), START], "after the response was complete"),
            ([START, last(b"x"), last(b"y")], "after the response was complete"),
            ([START, part(b"x"), {"type": "http.response.pathsend", "path": "/x"}], "in place of the body"),
            ([{"type": "http.response.pathsend", "path": "/x"}], r"before http\.response\.start"),
            ([START, {"type": "http.response.trailers"}], "trailers"),
            ([START, {"type": "http.response.early_hint"}], r"after http\.response\.start"),
            ([{"type": "http.response.early_hint"}], "the server has none"),
            ([{"type": "http.response.push"}], "none of the ASGI specification's"),
            ([{"type": "websocket.accept"}], "none of the ASGI specification's"),
            ([{}], "a dictionary with a 'type'"),
            ([None], "a dictionary with a 'type'"),
            ([START, part("text")], "body has str as its body"),  # type: ignore[arg-type]
            ([START, {"type": "http.response.body", "body": None}], "NoneType"),
            ([{**START, "status": "200"}], "integer"),
            ([{**START, "headers": [("a", "b")]}], "byte strings"),
            ([{**START, "headers": [(b"a", b"b\r\nc: d")]}], "control character"),
            (
                [{**START, "headers": [(b"content-length", b"1")]}, part(b"ab")],
                "more than its Content-Length",
            ),
            ([{**START, "headers": [(b"content-length", b"3")]}, last(b"ab")], "after 2 of the 3 bytes"),
        ],
    )
    def test_each_rule_that_an_app_can_break(self, adapt: Any, messages: list[Any], match: str) -> None:
        caught: list[BaseException] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                for message in messages:
                    await send(message)
            except ApplicationError as error:
                caught.append(error)
                raise

        adapter = adapt(app)
        with suppress(ApplicationError):
            call(adapter, environ_for())
        adapter.close()
        (error,) = caught
        assert re.search(match, str(error)), str(error)

    def test_an_app_that_cancels_itself(self, adapt: Any) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(1)

        self.raises(adapt, app, ApplicationError, "cancelled")

    def test_stop_iteration(self, adapt: Any) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            raise StopIteration

        self.raises(adapt, app, RuntimeError, "StopIteration")

    def test_a_server_that_refuses_the_head(self, adapt: Any) -> None:
        ended = threading.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await send(START)
                await send(part(b"x"))
                await asyncio.sleep(100)
            finally:
                ended.set()

        def start_response(*args: object) -> Any:
            raise ValueError("bad header")

        with pytest.raises(ValueError, match="bad header"):
            adapt(app)(environ_for(), start_response)
        assert ended.wait(30)


class TestEarlyClose:
    def test_the_app_is_cancelled_and_its_finally_runs(self, adapt: Any) -> None:
        events: list[str] = []
        ended = threading.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(START)
            try:
                await send(part(b"x"))
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                events.append("cancelled")
                raise
            finally:
                await asyncio.sleep(0)
                events.append("finally")
                ended.set()

        with started(adapt(app), environ_for()) as (_, body):
            next(iter(body))
        assert ended.wait(30)
        assert events[-2:] == ["cancelled", "finally"]

    def test_who_listens_gets_disconnect_first_and_time(self, adapt: Any) -> None:
        events: list[str] = []
        ended = threading.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()

            async def listen() -> None:
                events.append((await receive())["type"])
                await asyncio.sleep(0.01)
                with pytest.raises(OSError, match="client left"):
                    await send(part(b"late"))
                ended.set()

            async with asyncio.TaskGroup() as group:
                group.create_task(listen())
                await asyncio.sleep(0)
                await send(START)
                await send(part(b"x"))

        with started(adapt(app), environ_for()) as (_, body):
            next(iter(body))
        assert ended.wait(30)
        assert events == ["http.disconnect"]

    def test_who_waits_in_send_is_told(self, adapt: Any) -> None:
        ended = threading.Event()
        errors: list[BaseException] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(START)
            try:
                while True:
                    await send(part(b"x" * 100_000))
            except BaseException as error:
                errors.append(error)
                raise
            finally:
                ended.set()

        with started(adapt(app), environ_for()) as (_, body):
            next(iter(body))
        assert ended.wait(30)
        assert isinstance(errors[0], (OSError, asyncio.CancelledError))

    def test_a_body_that_is_never_iterated(self, adapt: Any) -> None:
        ended = threading.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await send(START)
                await send(part(b"x"))
                await asyncio.sleep(100)
            finally:
                ended.set()

        body = adapt(app)(environ_for(), Answer().start_response)
        body.close()
        body.close()
        assert ended.wait(30)

    @pytest.mark.parametrize("key", ["waitress.client_disconnected", "gunicorn.socket"])
    @pytest.mark.parametrize("waits", ["stream", "poll"])
    def test_a_client_that_leaves_is_noticed_where_the_server_shows_it(
        self, adapt: Any, key: str, waits: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for module in ("loop_run", "shared_loop"):
            monkeypatch.setattr(f"bridge.to_wsgi.{module}.PROBE_INTERVAL", 0.01)
        ours, theirs = socket.socketpair()
        probe: Any = (lambda: theirs.fileno() < 0) if key.startswith("waitress") else ours
        ended = threading.Event()
        events: list[str] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                if waits == "poll":
                    theirs.close()
                    while (await receive())["type"] != "http.disconnect":
                        pass
                    events.append("disconnect")
                    return
                await send(START)
                await send(part(b"x"))
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                events.append("cancelled")
                raise
            finally:
                ended.set()

        adapter, environ = adapt(app), environ_for() | {key: probe}

        def take_two_chunks() -> None:
            with started(adapter, environ) as (_, body):
                chunks = iter(body)
                next(chunks)
                theirs.close()
                next(chunks)

        with pytest.raises(ClientDisconnected):
            take_two_chunks()
        ours.close()
        assert ended.wait(30)
        assert events == ["disconnect" if waits == "poll" else "cancelled"]


def test_an_error_that_the_server_does_not_ask_for_is_logged(
    adapt: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """On the shared loop the app runs ahead, and may have failed when the server closes the response."""
    goes_on, ended = threading.Event(), threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        task = asyncio.current_task()
        assert task is not None
        # Callbacks come in their order: the exchange's was added before.
        task.add_done_callback(lambda _: ended.set())
        await send(START)
        await send(part(b"half"))
        await until(goes_on.is_set)
        raise KeyError("mine")

    adapter = adapt(app, loop="shared")
    body = adapter(environ_for(), Answer().start_response)
    assert next(iter(body)) == b"half"
    goes_on.set()
    assert ended.wait(30)
    body.close()
    (record,) = (record for record in caplog.records if record.name == "bridge")
    assert record.exc_info
    assert record.exc_info[0] is KeyError


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("what", ["sleep", "checkpoint", "nursery"])
def test_an_app_of_trio_is_told_that_it_is_not_served(adapt: Any, what: str, grouped: bool) -> None:
    async def nursery() -> None:
        async with trio.open_nursery():
            pass

    work: dict[str, Callable[[], Coroutine[Any, Any, None]]]
    work = {"sleep": partial(trio.sleep, 0.001), "checkpoint": trio.lowlevel.checkpoint, "nursery": nursery}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if grouped:
            async with asyncio.TaskGroup() as group:
                group.create_task(work[what]())
        await work[what]()

    with pytest.raises((RuntimeError, AttributeError, ExceptionGroup)) as caught:
        call(adapt(app), environ_for())
    assert "what is written for trio is not served" in "".join(traceback.format_exception(caught.value))


class TestClientThatLeft:
    """It is no error of anybody: the server gets what it logs nothing for, and the log has no error."""

    @staticmethod
    def take_all(adapter: Any, monkeypatch: pytest.MonkeyPatch) -> BaseException:
        for module in ("loop_run", "shared_loop"):
            monkeypatch.setattr(f"bridge.to_wsgi.{module}.PROBE_INTERVAL", 0.01)
        left = threading.Event()
        environ = environ_for() | {"waitress.client_disconnected": left.is_set}

        def serve() -> None:
            with started(adapter, environ) as (_, body):
                for _ in body:
                    left.set()

        with pytest.raises(ClientDisconnected) as caught:
            serve()
        adapter.close()
        return caught.value

    def test_an_app_that_sends_in_its_grace(
        self, adapt: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()

            async def listen() -> None:
                await receive()
                await send(part(b"late"))

            async with asyncio.TaskGroup() as group:
                group.create_task(listen())
                await send(START)
                await send(part(b"x"))

        error = self.take_all(adapt(app), monkeypatch)
        assert isinstance(error, BrokenPipeError)
        assert not [record for record in caplog.records if record.levelno > 10 and record.name == "bridge"]

    def test_an_app_that_raises_its_frameworks_own(
        self, adapt: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(START)
            await send(part(b"x"))
            await receive()
            assert (await receive())["type"] == "http.disconnect"
            raise ClientDisconnect

        self.take_all(adapt(app), monkeypatch)
        assert not [record for record in caplog.records if record.levelno > 10 and record.name == "bridge"]

    def test_a_mistake_on_its_way_out_is_logged_once(
        self, adapt: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(START)
            await send(part(b"x"))
            await receive()
            assert (await receive())["type"] == "http.disconnect"
            raise KeyError("mine")

        self.take_all(adapt(app), monkeypatch)
        (record,) = (record for record in caplog.records if record.levelno > 10 and record.name == "bridge")
        assert record.getMessage() == "GET '/': the application failed after its client had left"

    def test_waitress_gets_its_own(self, adapt: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(START)
            await send(part(b"x"))
            await asyncio.sleep(3600)

        assert isinstance(self.take_all(adapt(app), monkeypatch), waitress.channel.ClientDisconnected)
