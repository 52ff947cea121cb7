"""The adapter itself: its parameters, the lifespan, and its end."""

import asyncio
import pickle
import sys
import threading
from typing import Any

import cloudpickle
import pytest

from bridge.errors import ApplicationExit, ClientDisconnected, LifespanError
from bridge.to_wsgi.adapter import AsgiToWsgi
from bridge.types import ASGIApp, Receive, Scope, Send
from tests.support.threads import wait_for_no_bridge_threads
from tests.support.wsgi import call, environ_for
from tests.to_wsgi.apps import hello, until


class TestLifespan:
    @staticmethod
    def app_with(events: list[str]) -> ASGIApp:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "lifespan":
                while True:
                    kind = (await receive())["type"]
                    events.append(kind)
                    scope["state"]["since"] = len(events)
                    await send({"type": f"{kind}.complete"})
                    if kind == "lifespan.shutdown":
                        return
            else:
                events.append(str(scope["state"]))
                scope["state"]["request"] = True
                await hello(scope, receive, send)

        return app

    def test_once_before_the_first_request_and_at_close(self, adapt: Any) -> None:
        events: list[str] = []
        with adapt(self.app_with(events), lifespan="on") as adapter:
            assert events == []
            call(adapter, environ_for())
            call(adapter, environ_for())
        assert events == ["lifespan.startup", "{'since': 1}", "{'since': 1}", "lifespan.shutdown"]
        adapter.close()
        call(adapter, environ_for())
        assert events[4:] == ["lifespan.startup", "{'since': 5}"]

    def test_the_first_request_wins_and_the_others_wait(self, adapt: Any) -> None:
        starting, go_on = threading.Event(), threading.Event()
        events: list[str] = []
        inner = self.app_with(events)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "lifespan":
                starting.set()
                assert go_on.wait(60)
            await inner(scope, receive, send)

        adapter = adapt(app, lifespan="auto")
        callers = [threading.Thread(target=call, args=(adapter, environ_for())) for _ in range(4)]
        for caller in callers:
            caller.start()
        assert starting.wait(60)
        assert events == []
        go_on.set()
        for caller in callers:
            caller.join()
        assert events == ["lifespan.startup"] + ["{'since': 1}"] * 4

    def test_one_that_fails_is_an_error_for_who_waited_and_is_tried_again(
        self, adapt: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("bridge.to_wsgi.attempts.RETRY_AFTER", 0.0)
        attempts: list[int] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "lifespan":
                attempts.append(1)
                await receive()
                if len(attempts) == 1:
                    await send({"type": "lifespan.startup.failed"})
                    return
                await send({"type": "lifespan.startup.complete"})
                await receive()
            else:
                await hello(scope, receive, send)

        adapter = adapt(app, lifespan="auto")
        with pytest.raises(LifespanError):
            call(adapter, environ_for())
        assert call(adapter, environ_for()).body == b"Hello"
        assert len(attempts) == 2

    def test_auto_and_an_app_without(self, adapt: Any) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            assert scope["type"] == "http"
            await hello(scope, receive, send)

        assert call(adapt(app, lifespan="auto"), environ_for()).body == b"Hello"
        with pytest.raises(LifespanError):
            call(adapt(app, lifespan="on"), environ_for())


class TestShutdown:
    """On the shared loop an app may go on after its request; the end of the loop waits for it."""

    def test_work_after_the_response_is_waited_for_and_comes_before_the_shutdown(self) -> None:
        events: list[str] = []
        go_on = threading.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "lifespan":
                await receive()
                await send({"type": "lifespan.startup.complete"})
                events.append((await receive())["type"])
                await send({"type": "lifespan.shutdown.complete"})
            else:
                await hello(scope, receive, send)
                await until(go_on.is_set)
                events.append("work")

        adapter = AsgiToWsgi(app, loop="shared")
        call(adapter, environ_for())
        closing = threading.Thread(target=adapter.close)
        closing.start()
        go_on.set()
        closing.join()
        assert events == ["work", "lifespan.shutdown"]
        wait_for_no_bridge_threads()

    def test_not_from_the_loop_itself(self) -> None:
        errors: list[str] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            with pytest.raises(RuntimeError, match="inside one of its requests") as caught:
                adapter.close()
            errors.append(str(caught.value))
            await hello(scope, receive, send)

        with AsgiToWsgi(app, loop="shared", lifespan="off") as adapter:
            call(adapter, environ_for())
        assert len(errors) == 1

    def test_but_not_for_ever(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("bridge.to_wsgi.lifespan_loop._WORK_LIMIT", 0.01)
        ended: list[str] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await hello(scope, receive, send)
            try:
                await asyncio.sleep(100)
            finally:
                ended.append("ended")

        with AsgiToWsgi(app, loop="shared", lifespan="off") as adapter:
            call(adapter, environ_for())
        assert ended == ["ended"]

    def test_one_that_can_not_be_cancelled_does_not_keep_the_shutdown(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr("bridge.to_wsgi.lifespan_loop._WORK_LIMIT", 0.01)
        monkeypatch.setattr("bridge.to_wsgi.lifespan_loop.GRACE", 0.01)
        # Where it does, the test fails, and does not hang.
        monkeypatch.setattr("bridge.to_wsgi.lifespan_loop._LIMIT", 5.0)
        monkeypatch.setattr("bridge.to_wsgi.loops.shared._JOIN", 5.0)
        shut_down, over = threading.Event(), threading.Event()
        events: list[str] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "lifespan":
                await receive()
                await send({"type": "lifespan.startup.complete"})
                await receive()
                events.append("shutdown")
                shut_down.set()
                await send({"type": "lifespan.shutdown.complete"})
                return
            await hello(scope, receive, send)
            while not (shut_down.is_set() or over.is_set()):
                try:
                    await until(lambda: shut_down.is_set() or over.is_set())
                except asyncio.CancelledError:
                    events.append("cancelled")

        adapter = AsgiToWsgi(app, loop="shared", lifespan="on")
        call(adapter, environ_for("/path"))
        try:
            adapter.close()
        finally:
            over.set()
        assert events[:2] == ["cancelled", "shutdown"]
        assert "GET '/path': the application was cancelled, and runs on" in caplog.text
        wait_for_no_bridge_threads()

    def test_requests_that_are_under_way_are_told(self) -> None:
        events: list[object] = []
        waiting = threading.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            waiting.set()
            events.append(await receive())

        def serve() -> None:
            try:
                call(adapter, environ_for())
            except ClientDisconnected:
                events.append("left")

        adapter = AsgiToWsgi(app, loop="shared", lifespan="off")
        thread = threading.Thread(target=serve)
        thread.start()
        assert waiting.wait(60)
        adapter.close()
        thread.join()
        assert events == [{"type": "http.disconnect"}, "left"]


class TestAdapter:
    @pytest.mark.parametrize(
        ("options", "error"),
        [
            ({"loop": "other"}, ValueError),
            ({"lifespan": "yes"}, ValueError),
            ({"loop_factory": 5}, TypeError),
        ],
    )
    def test_bad_parameters(self, options: dict[str, Any], error: type[Exception]) -> None:
        with pytest.raises(error, match=next(iter(options))):
            AsgiToWsgi(hello, **options)

    def test_what_is_no_application(self) -> None:
        with pytest.raises(TypeError, match=r"^AsgiToWsgi: an object of class 'str' is not an app"):
            AsgiToWsgi("module:app")  # type: ignore[arg-type]

    @pytest.mark.parametrize("pickler", [pickle, cloudpickle])
    def test_it_pickles_even_after_use(self, adapt: Any, pickler: Any) -> None:
        adapter = adapt(hello)
        call(adapter, environ_for())
        with pickle.loads(pickler.dumps(adapter)) as copy:
            assert call(copy, environ_for()).body == b"Hello"
        assert "AsgiToWsgi" in repr(adapter)

    @pytest.mark.parametrize("group", [None, "", "localhost:8000|"])
    def test_mod_wsgis_interpreters(
        self, adapt: Any, group: str | None, caplog: pytest.LogCaptureFixture
    ) -> None:
        adapter = adapt(hello)
        for _ in range(2):
            call(adapter, environ_for() | ({} if group is None else {"mod_wsgi.application_group": group}))
        warned = [
            record for record in caplog.records if "WSGIApplicationGroup %{GLOBAL}" in record.getMessage()
        ]
        assert len(warned) == (1 if group and sys.version_info < (3, 12) else 0)

    def test_a_loop_that_can_not_run_fails_the_request(self, adapt: Any) -> None:
        class Refusing(asyncio.SelectorEventLoop):
            def run_forever(self) -> None:
                if refusals:
                    raise refusals.pop()
                super().run_forever()

        # asyncio says so where a server runs the app in two interpreters, before Python 3.12.
        refusals = [RuntimeError("Cannot run the event loop while another loop is running")]
        adapter = adapt(hello, loop_factory=Refusing)
        with pytest.raises(RuntimeError, match="another loop is running"):
            call(adapter, environ_for())
        assert call(adapter, environ_for()).body == b"Hello"

    def test_shared_and_exits(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            raise SystemExit(3)

        with AsgiToWsgi(app, loop="shared", lifespan="off") as adapter:
            for _ in range(2):
                with pytest.raises(ApplicationExit, match="SystemExit"):
                    call(adapter, environ_for())
        wait_for_no_bridge_threads()
