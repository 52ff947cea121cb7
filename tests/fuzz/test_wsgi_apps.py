"""Any calls that a WSGI app may make, against a model of PEP 3333, on a server that holds ASGI's order of messages.

The apps and the model are in ``wsgi_plans``.
"""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from bridge import ApplicationError, WsgiToAsgi
from bridge.types import Message
from tests.fuzz.profile import examples
from tests.fuzz.wsgi_plans import BODY, HINTS, PATH, ZERO_COPY, App, Model, Plan, fails_in_call, plans
from tests.support.asgi import Exchange, disconnect, http_scope, request
from tests.support.threads import wait_for_no_bridge_threads


class Server(Exchange):
    """Holds the order of messages of the ASGI specification (HTTP, extensions), and what values may be."""

    over = False
    content = b""

    @property
    def started(self) -> bool:
        return any(message["type"] == "http.response.start" for message in self.messages)

    @property
    def hints(self) -> list[list[bytes]]:
        return [message["links"] for message in self.messages if message["type"] == HINTS]

    async def send(self, message: Message) -> None:
        assert not self.over, "a message after the end"
        kind = message["type"]
        if kind == "http.response.start":
            assert not self.started
            assert type(message["status"]) is int
            for name, value in message["headers"]:
                assert type(name) is type(value) is bytes
                assert name == name.lower()
        elif kind == HINTS:
            assert not self.started
            assert all(type(link) is bytes for link in message["links"])
        else:
            assert self.started, "a body without a start"
            self._take(kind, message)
        assert kind in {"http.response.start", "http.response.body", *self.scope["extensions"]}
        await super().send(message)

    def _take(self, kind: str, message: Message) -> None:
        if kind == PATH:
            path = Path(message["path"])
            assert path.is_absolute()
            assert not self.content, "in place of the body"
            self.content = path.read_bytes()
            self.over = True
            self.disconnect()  # as granian does
            return
        if kind == ZERO_COPY:
            assert message["count"] > 0
            data = os.pread(message["file"].fileno(), message["count"], message["offset"])
            assert len(data) == message["count"]
        else:
            assert kind == "http.response.body"
            data = message["body"]
            assert type(data) is bytes
        self.content += data
        self.over = not message["more_body"]


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner
    wait_for_no_bridge_threads()


@pytest.mark.parametrize("mode", ["buffer", "stream"])
def test_any_app(mode: Any, runner: asyncio.Runner, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    # Hundreds of apps that fail log hundreds of lines.
    caplog.set_level("CRITICAL", "bridge")
    app = App(tmp_path)
    adapter = WsgiToAsgi(
        app, request_body=mode, request_buffer=8, response_buffer=16, threads=1, sendfile=True
    )

    @examples(300)
    @given(plans)
    def check(plan: Plan) -> None:
        app.plan = plan
        model = Model(plan.method, plan.extensions).run(plan)
        parts = [BODY[:9], BODY[9:12], BODY[12:]] if plan.more else [BODY]
        events = [request(part, more_body=part is not parts[-1]) for part in parts]
        if plan.leaves:
            events.append(disconnect())
        scope = http_scope(plan.method, extensions={name: {} for name in plan.extensions})
        server = Server(adapter, scope, events)
        error: BaseException | None = None
        try:
            runner.run(server.run())
        except Exception as exc:
            error = exc
        assert model.hints[: len(server.hints)] == server.hints
        assert app.file is None or app.file.closed
        if plan.leaves and error is None and not server.over:
            # The app has heard of it, by an error or by close(); it may not even have been called.
            assert model.body.startswith(server.content)
            assert app.closes <= 1
            return
        if not plan.leaves:
            assert server.hints == model.hints
        _compare(server, model, error, plan)
        if plan.kind in {"iterator", "file"} and not fails_in_call(plan):
            assert app.closes == 1

    async def end() -> None:
        await Exchange(
            adapter, {"type": "lifespan"}, [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
        ).run()

    try:
        check()
    finally:
        runner.run(end())


def _compare(server: Server, model: Model, error: BaseException | None, plan: Plan) -> None:
    if model.error is None:
        assert error is None, f"the model sees no error, and there is {error!r}"
        assert server.over
    else:
        assert not server.over, "a response that broke off passes for a whole one"
        assert error is not None, f"the model sees {model.error}"
        kind = model.error if issubclass(model.error, Exception) else ApplicationError
        assert isinstance(error, kind), f"{error!r} in place of {model.error}"
    if model.error is not None and (plan.kind in {"list", "tuple"} or plan.leaves):
        # All of the body is there, and its error may be seen before the rest of it is sent. To who leaves, little is.
        assert model.body.startswith(server.content)
        return
    if model.out:
        assert server.status == model.status
        assert server.content == model.body
    else:
        assert not server.started
