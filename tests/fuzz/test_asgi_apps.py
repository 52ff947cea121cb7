"""Any events that an ASGI app may send, in any order, against a model of the specification, on a server of PEP 3333.

An app is data: what it does, step by step. The model goes through the same data and says what has to reach the server:
the status, the bytes, and how it ends. ``wsgiref.validate`` stands around the adapter.
"""

import asyncio
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import ApplicationError, AsgiToWsgi
from bridge.types import Receive, Scope, Send
from tests.fuzz.profile import examples
from tests.fuzz.values import mostly
from tests.support.threads import wait_for_no_bridge_threads
from tests.support.wsgi import environ_for, started

BODY = b"x" * 70000


class Step(NamedTuple):
    """One thing that an app does: ``send``, ``receive``, ``wait`` for something, leave a ``task``, ``raise``."""

    what: str
    value: Any = None


class Plan(NamedTuple):
    """What an app does, and how many chunks the server takes of it; ``None``: all."""

    steps: list[Step]
    method: str
    body: bool
    takes: int | None


class PlannedError(Exception):
    """What an app raises."""


# The app.


class _App:
    """Does what a plan says; counts what it has begun and what has ended."""

    def __init__(self) -> None:
        self.plan = Plan([], "GET", False, None)
        self.begun = 0
        self.ended = 0
        self._left: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.begun += 1
        try:
            await self._follow(receive, send)
        finally:
            self.ended += 1

    async def _follow(self, receive: Receive, send: Send) -> None:
        received = b""
        more = True
        for step in self.plan.steps:
            if step.what == "send":
                await send(_message(step.value))
            elif step.what == "receive" and more:  # one more would wait for the client to leave
                message = await receive()
                if message["type"] == "http.request":
                    received += message["body"]
                    more = message["more_body"]
                    due = BODY if self.plan.body else b""
                    assert due.startswith(received)
                    assert more or received == due
                else:
                    assert message == {"type": "http.disconnect"}
                    more = False
            elif step.what == "wait":
                await asyncio.sleep(0.001)
            elif step.what == "task":
                task = asyncio.ensure_future(self._sleep())
                self._left.add(task)
                task.add_done_callback(self._left.discard)
            elif step.what == "raise":
                raise step.value

    async def _sleep(self) -> None:
        self.begun += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.ended += 1


def _message(value: Any) -> Any:
    """A copy, for what is sent is the server's; a number of bytes stands for them, so that a failure can be read."""
    if not isinstance(value, dict):
        return value
    message = dict(value)
    if type(message.get("body")) is int:
        message["body"] = b"x" * message["body"]
    return message


# The model.


@dataclass
class Model:
    """The specification's response: what was sent of it, what of that before a wait, and the first error."""

    method: str
    status: int | None = None
    length: int | None = None
    phase: str = "empty"
    body: bytes = b""
    delivered: bytes = b""
    error: type[BaseException] | None = None

    def run(self, plan: Plan) -> "Model":
        try:
            for step in plan.steps:
                if step.what == "send":
                    self._send(_message(step.value))
                elif step.what == "wait":
                    self.delivered = self.body
                elif step.what == "raise":
                    raise step.value
                if self.phase == "complete":
                    return self  # what comes now is for the log
            raise ApplicationError
        except BaseException as exc:
            self.error = type(exc)
        return self

    def _send(self, message: Any) -> None:
        kind = message.get("type") if isinstance(message, dict) else None
        if (self.phase, kind) == ("empty", "http.response.start"):
            status, headers = message.get("status"), message.get("headers", ())
            if (
                type(status) is not int
                or not 200 <= status <= 999
                or headers is None
                or isinstance(headers, str)
            ):
                raise ApplicationError
            lengths = [int(value) for name, value in headers if name == b"content-length"]
            self.status, self.length, self.phase = status, lengths[0] if lengths else None, "started"
        elif self.phase in {"started", "body"} and kind == "http.response.body":
            data = message.get("body", b"")
            if not isinstance(data, (bytes, bytearray, memoryview)):
                raise ApplicationError
            more = message.get("more_body", False)
            if self.method != "HEAD" and self.status not in {204, 304}:
                if self.length is not None and len(self.body) + len(data) > self.length:
                    raise ApplicationError
                self.body += bytes(data)
                if not more and len(self.body) < (self.length or 0):
                    raise ApplicationError  # as on uvicorn, what there is comes before the error
            self.phase = "body" if more else "complete"
        else:
            raise ApplicationError


# What is drawn.


def _start(status: int, length: int | None) -> dict[str, Any]:
    headers = [] if status in {204, 304} else [(b"content-type", b"text/plain")]
    if length is not None:
        headers.append((b"content-length", str(length).encode()))
    return {"type": "http.response.start", "status": status, "headers": headers}


_starts = st.builds(
    _start,
    st.sampled_from([200, 200, 404, 204, 304, 599]),
    st.sampled_from([None, None, None, 0, 1, 3, 70000]),
)
_bodies = st.fixed_dictionaries(
    {"type": st.just("http.response.body")},
    optional={
        "body": st.sampled_from([b"", b"a", b"bc", 70000, bytearray(b"d"), memoryview(b"ef")]),
        "more_body": st.sampled_from([True, True, False]),
    },
)
_odd = st.sampled_from(
    [
        {"type": "http.response.start"},
        {"type": "http.response.start", "status": "200"},
        {"type": "http.response.start", "status": 99, "headers": []},
        {"type": "http.response.start", "status": 200, "headers": None},
        {"type": "http.response.start", "status": 200, "headers": "x"},
        {"type": "http.response.body", "body": "text"},
        {"type": "http.response.body", "body": None},
        {"type": "http.response.trailers", "headers": []},
        {"type": "http.response.early_hint", "links": []},
        {"type": "http.response.pathsend", "path": "x"},
        {"type": "websocket.accept"},
        {"type": None},
        {},
        None,
        "http.response.start",
    ]
)
_messages = st.one_of(_bodies, _bodies, _bodies, _starts, _odd)
_steps = st.one_of(
    _messages.map(lambda message: Step("send", message)),
    _bodies.map(lambda message: Step("send", message)),
    st.sampled_from([Step("receive"), Step("wait"), Step("task")]),
    st.sampled_from([PlannedError, SystemExit, asyncio.CancelledError]).map(
        lambda error: Step("raise", error)
    ),
)
_waits = st.lists(st.sampled_from([Step("receive"), Step("wait"), Step("task")]), max_size=2)


@st.composite
def _responses(draw: st.DrawFn) -> list[Step]:
    """A response that is one, or nearly so: its length may be wrong, and what comes after it is anything."""
    data: list[Any] = draw(st.lists(st.sampled_from([b"", b"a", b"bc", 70000]), min_size=1, max_size=4))
    size = sum(chunk if isinstance(chunk, int) else len(chunk) for chunk in data)
    length = draw(st.sampled_from([None, None, size, size, size + 1, max(size - 1, 0)]))
    steps = [
        *draw(_waits),
        Step("send", _start(draw(st.sampled_from([200, 200, 200, 404, 204, 304])), length)),
    ]
    for number, chunk in enumerate(data, 1):
        body = {"type": "http.response.body", "body": chunk, "more_body": number < len(data)}
        steps += [*draw(_waits), Step("send", body)]
    return [*steps, *draw(st.lists(_steps, max_size=2))]


plans = st.tuples(
    mostly(_responses(), st.lists(_steps, max_size=6)),
    st.sampled_from(["GET", "GET", "POST", "HEAD"]),
    st.booleans(),
    st.sampled_from([None, None, None, 0, 1]),
).map(lambda drawn: Plan(*drawn))


@pytest.mark.parametrize("loop", ["request", "shared"])
def test_any_app(loop: Any, caplog: pytest.LogCaptureFixture) -> None:
    # Hundreds of apps that fail log hundreds of lines.
    caplog.set_level("CRITICAL", "bridge")
    app = _App()
    adapter = AsgiToWsgi(app, loop=loop, lifespan="off")

    @examples(250)
    @given(plans)
    def check(plan: Plan) -> None:
        app.plan = plan
        model = Model(plan.method).run(plan)
        environ = environ_for(method=plan.method, body=BODY if plan.body else None)
        status, headers, chunks, error = _serve(adapter, environ, plan.takes)
        body = b"".join(chunks)
        if plan.takes is not None:
            assert model.body.startswith(body)
            return
        if model.error is None:
            # What ends a process is for the server, where its loop is the request's own.
            if not (loop == "request" and isinstance(error, SystemExit)):
                assert error is None, f"the model sees no error, and there is {error!r}"
            assert status == model.status
            assert body == model.body
            lengths = [value for name, value in headers if name.lower() == "content-length"]
            assert lengths in ([], [str(len(model.body))], [str(model.length)])
        else:
            assert error is not None, f"the model sees {model.error}, and there is none"
            # A task that is cancelled ends by no error of its own; and a loop for all is ended by none.
            kinds = (model.error, ApplicationError)
            assert isinstance(error, kinds), f"{error!r} in place of {model.error}"
            assert model.body.startswith(body)
            if loop == "request":  # on the other one the server's thread may come later than the error
                assert body.startswith(model.delivered), "what was sent before a wait did not come"

    try:
        check()
    finally:
        adapter.close()
    assert app.begun == app.ended
    wait_for_no_bridge_threads()


def _serve(
    adapter: AsgiToWsgi, environ: dict[str, Any], takes: int | None
) -> tuple[int, list[tuple[str, str]], list[bytes], BaseException | None]:
    """As a server of PEP 3333: the status, the headers, the chunks; and the error, if one came out."""
    answers = []
    error: BaseException | None = None
    try:
        with started(adapter, environ) as (answer, body):
            answers.append(answer)
            for chunk in body:
                if takes is not None and len(answer.chunks) >= takes:
                    break
                answer.chunks.append(chunk)
    except AssertionError:
        raise  # the validator's
    except BaseException as exc:
        error = exc
    if not answers:
        return 0, [], [], error
    return int(answers[0].status[:3]), answers[0].headers, answers[0].chunks, error
