"""Any events of a client and any calls of an app on a WebSocket, on a server that holds the specification's order.

If the client stays until the end, a model says each message of the app that has to reach the server. If it leaves, it
does so at any moment: then the order is what holds, what the app receives, and that the call ends.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridge import ApplicationError, ConnectionClosed, WebSocket, WsgiToAsgi
from bridge.types import Environ, Message, StartResponse
from tests.fuzz.profile import examples
from tests.fuzz.values import mostly
from tests.support.asgi import Exchange
from tests.support.threads import wait_for_no_bridge_threads
from tests.support.websockets import disconnect, received, websocket_scope


class Step(NamedTuple):
    """One thing that an app does; ``what`` is a method of ``WebSocket``, or ``raise``, or ``respond``."""

    what: str
    value: Any = None


class Plan(NamedTuple):
    """What an app does, what its client sends, and whether that leaves; whether the server takes a denial."""

    steps: list[Step]
    messages: list[str | bytes]
    leaves: bool
    denial: bool


class PlannedError(Exception):
    """What an app raises."""


class _App:
    """Does what a plan says."""

    def __init__(self) -> None:
        self.plan = Plan([], [], False, False)
        self.received: list[str | bytes] = []
        self.calls = 0

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        self.calls += 1
        websocket: WebSocket = environ["wsgi.websocket"]
        closed = False
        for what, value in self.plan.steps:
            match what:
                case "accept":
                    websocket.accept(headers=[("X-Step", "1")])
                case "receive":
                    # One more would wait for the client to leave; and what comes after close() is a matter of time.
                    if not closed and (self.plan.leaves or len(self.received) < len(self.plan.messages)):
                        self.received.append(websocket.receive())
                case "send":
                    websocket.send(value)
                case "close":
                    closed = True
                    websocket.close(value)
                case "respond":
                    start_response(value, [("Content-Type", "text/plain")])
                    return [b"an answer"]
                case "raise":
                    raise value
        return []


# The model of an app whose client stays.


@dataclass
class Model:
    """What the app has done with its WebSocket, what goes out, and how its call ends."""

    state: str = "connecting"
    sent: list[str | bytes] = field(default_factory=list)
    code: int | None = None
    #: The status of the answer to the handshake, where that is a response.
    status: int | None = None
    error: type[BaseException] | None = None

    def run(self, plan: Plan) -> "Model":
        received = 0
        try:
            for what, value in plan.steps:
                if what == "receive":
                    if self.state == "closed" or received == len(plan.messages):
                        continue
                    received += 1
                    self._open()
                elif what == "respond":
                    self._respond(int(value[:3]))
                    return self
                elif what == "raise":
                    raise value
                else:
                    self._do(what, value)
            if self.state == "connecting":
                raise ApplicationError  # no start_response(), and nothing else
            self._close(1000)
        except ConnectionClosed:
            pass
        except BaseException as exc:
            self.error = type(exc)
            if self.state == "open":
                self._close(1011)
        return self

    def _do(self, what: str, value: Any) -> None:
        if what == "close":
            self._close(value)
            return
        if what == "send" and not isinstance(value, (str, bytes)):
            raise TypeError  # a mistake in the program, also where the WebSocket is closed
        if self.state == "closed":
            raise ConnectionClosed(1000)
        if what == "accept":
            if self.state == "open":
                raise ApplicationError
            self.state = "open"
        else:
            self._open()
            self.sent.append(value)

    def _open(self) -> None:
        self.state = "open" if self.state == "connecting" else self.state

    def _close(self, code: int) -> None:
        if self.state != "closed":
            self.state, self.code = "closed", code

    def _respond(self, status: int) -> None:
        if self.state == "connecting":
            self.status = status
        else:
            self._close(1011 if status >= 500 else 1000)


# The server.

#: The state after each message, by the ASGI specification (WebSocket) and its extension for denials.
ORDER: Mapping[str, Mapping[str, str]] = {
    "connecting": {
        "websocket.accept": "open",
        "websocket.close": "closed",
        "websocket.http.response.start": "denied",
    },
    "open": {"websocket.send": "open", "websocket.close": "closed"},
    "denied": {"websocket.http.response.body": "denied"},
    "closed": {},
}


class Server(Exchange):
    """Holds the order."""

    state = "connecting"
    denial = False

    async def send(self, message: Message) -> None:
        kind = message["type"]
        assert kind in ORDER[self.state], f"{kind} in the state {self.state}"
        assert self.denial or "http" not in kind
        self.state = ORDER[self.state][kind]
        if kind == "websocket.send":
            assert (message.get("text") is None) is not (message.get("bytes") is None)
        await super().send(message)


# What is drawn.

_data = st.sampled_from(["", "text", "é", b"", b"bytes", b"x" * 500])
_steps = st.one_of(
    _data.map(lambda data: Step("send", data)),
    _data.map(lambda data: Step("send", data)),
    st.sampled_from([Step("receive"), Step("receive"), Step("accept"), Step("send", 1)]),
    st.sampled_from([1000, 1001, 3000, 4999]).map(lambda code: Step("close", code)),
    st.sampled_from(["200 OK", "403 No", "500 Oh"]).map(lambda status: Step("respond", status)),
    st.sampled_from([PlannedError, ValueError]).map(lambda error: Step("raise", error)),
)
_talk = st.sampled_from([Step("receive"), Step("send", "a"), Step("send", b"b")])
plans = st.tuples(
    mostly(
        st.lists(_talk, max_size=5).map(lambda steps: [Step("accept"), *steps]),
        st.just([]),
    ).flatmap(lambda first: st.lists(_steps, max_size=4).map(lambda then: [*first, *then])),
    st.lists(_data, max_size=4),
    st.booleans(),
    st.booleans(),
).map(lambda drawn: Plan(*drawn))


def test_any_app_and_any_client(caplog: pytest.LogCaptureFixture) -> None:
    # Hundreds of apps that fail log hundreds of lines.
    caplog.set_level("CRITICAL", "bridge")
    app = _App()
    adapter = WsgiToAsgi(app, request_buffer=16, response_buffer=16, websocket_threads=8)

    @examples(300)
    @given(plans)
    @example(Plan([Step("close", 1000), Step("send", 1)], [], leaves=False, denial=False))
    def check(plan: Plan) -> None:
        app.plan, app.calls, app.received = plan, 0, []
        events = [{"type": "websocket.connect"}, *map(received, plan.messages)]
        server = Server(
            adapter,
            websocket_scope(denial=plan.denial),
            [*events, *([disconnect(1001)] if plan.leaves else [])],
        )
        server.denial = plan.denial
        error: BaseException | None = None
        try:
            runner.run(server.run())
        except Exception as exc:
            error = exc
        # Where the client leaves at once, no app need be called.
        assert app.calls == 1 or (plan.leaves and not app.calls)
        assert app.received == plan.messages[: len(app.received)]
        if plan.leaves:
            assert isinstance(error, (PlannedError, ValueError, TypeError, ApplicationError, type(None)))
        else:
            _compare(server, Model().run(plan), error)

    async def end() -> None:
        await Exchange(
            adapter, {"type": "lifespan"}, [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
        ).run()

    with asyncio.Runner() as runner:
        try:
            check()
        finally:
            runner.run(end())
    wait_for_no_bridge_threads()


def _compare(server: Server, model: Model, error: BaseException | None) -> None:
    assert type(error) is (model.error or type(None)), f"{error!r} in place of {model.error}"
    messages = server.messages
    sent = [
        m["text"] if m.get("text") is not None else m["bytes"]
        for m in messages
        if m["type"] == "websocket.send"
    ]
    assert sent == model.sent
    if model.status is not None:
        if server.denial:
            assert messages[0]["status"] == model.status
            assert server.state == "denied"
        else:
            assert [m["type"] for m in messages] == ["websocket.close"]  # the server says 403
    elif model.state == "connecting":
        assert not messages, "the server answers where the app has failed"
    else:
        assert messages[-1]["type"] == "websocket.close"
        assert messages[-1]["code"] == model.code
