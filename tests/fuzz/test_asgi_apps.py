"""Any events that an ASGI app may send, in any order, against a model of the specification, on a server of PEP 3333.

An app is data: what it does, step by step. The model goes through the same data and says what has to reach the server:
the status, the bytes, and how it ends. ``wsgiref.validate`` stands around the adapter.
"""

import asyncio
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from wsgiref.util import FileWrapper

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import ApplicationError, AsgiToWsgi
from bridge.types import Receive, Scope, Send
from tests.fuzz.profile import examples
from tests.fuzz.values import mostly
from tests.support.asgi import HANG
from tests.support.threads import wait_for_no_bridge_threads
from tests.support.wsgi import environ_for, started

BODY = b"x" * 70000
#: Has a file of each of these sizes, by that name; -1 is a folder, and -2 is not there.
FILES = Path(tempfile.gettempdir())
SIZES = (0, 1, 3, 70000)


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
    #: What the server has: early hints; means of its own to send a file.
    hints: bool = False
    wrapper: bool = False


class PlannedError(Exception):
    """What an app raises."""


# The app.


class _App:
    """Does what a plan says; counts what it has begun and what has ended."""

    def __init__(self) -> None:
        self.begun = 0
        self.ended = 0
        self._left: set[asyncio.Task[None]] = set()
        self.begin(Plan([], "GET", False, None))

    def begin(self, plan: Plan) -> None:
        self.plan = plan
        #: Where it is; set when it has ended.
        self.place = 0
        self.over = threading.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        offered = {"http.response.pathsend"} if self.plan.wrapper else set()
        if self.plan.hints:
            offered.add("http.response.early_hint")
        assert set(scope["extensions"]) == offered
        self.begun += 1
        try:
            await self._follow(receive, send)
        finally:
            self.ended += 1
            self.over.set()

    async def _follow(self, receive: Receive, send: Send) -> None:
        received = b""
        more = True
        for self.place, step in enumerate(self.plan.steps):  # noqa: B020
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
        self.place = len(self.plan.steps)

    async def _sleep(self) -> None:
        self.begun += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.ended += 1


def _message(value: Any) -> Any:
    """A copy, for what is sent is the server's.

    A number of bytes stands for them, or for a file that has so many, so that a failure can be read.
    """
    if not isinstance(value, dict):
        return value
    message = dict(value)
    if type(message.get("body")) is int:
        message["body"] = b"x" * message["body"]
    if type(message.get("path")) is int:
        message["path"] = str(FILES / str(message["path"]))
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
    #: The Link headers of early hints, as they came.
    hints: list[list[str]] = field(default_factory=list)
    #: More trailers may come.
    trailers: bool = False
    #: How far the app comes.
    place: int = 0

    def run(self, plan: Plan) -> "Model":
        try:
            for self.place, step in enumerate(plan.steps):
                if step.what == "send":
                    self._send(step.value, plan)
                elif step.what == "wait":
                    self.delivered = self.body
                elif step.what == "raise":
                    raise step.value
            self.place = len(plan.steps)
            if self.phase != "complete":
                raise ApplicationError
        except BaseException as exc:
            if self.phase != "complete":  # what comes after it is for the log
                self.error = type(exc)
        return self

    def _send(self, sent: Any, plan: Plan) -> None:
        message = _message(sent)
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
            self.trailers = message.get("trailers", False)
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
        elif (self.phase, kind) == ("started", "http.response.pathsend"):
            self._send_file(sent.get("path"))
        elif (self.phase, kind) == ("empty", "http.response.early_hint"):
            links = message.get("links", [])
            if not plan.hints or type(links) is not list or any(type(link) is not bytes for link in links):
                raise ApplicationError
            if any(b"\n" in link for link in links):
                raise ApplicationError  # it would be a header of its own
            self.hints.append([link.decode("latin-1") for link in links])
        elif (self.phase, kind) == ("complete", "http.response.trailers") and self.trailers:
            self.trailers = message.get("more_trailers", False)
        else:
            raise ApplicationError

    def _send_file(self, size: Any) -> None:
        """In place of the body; a file that is longer than its length is sent as far as that."""
        if type(size) is not int:
            raise ApplicationError
        if self.method != "HEAD" and self.status not in {204, 304}:
            if size < 0:
                raise OSError
            if size < (self.length or 0):
                raise ApplicationError
            self.body = b"x" * (size if self.length is None else self.length)
        self.phase = "complete"


# What is drawn.


def _start(status: int, length: int | None, trailers: bool | None = None) -> dict[str, Any]:
    headers = [] if status in {204, 304} else [(b"content-type", b"text/plain")]
    if length is not None:
        headers.append((b"content-length", str(length).encode()))
    start = {"type": "http.response.start", "status": status, "headers": headers}
    return start if trailers is None else {**start, "trailers": trailers}


_starts = st.builds(
    _start,
    st.sampled_from([200, 200, 404, 204, 304, 599]),
    st.sampled_from([None, None, None, 0, 1, 3, 70000]),
    st.sampled_from([None, None, False, True]),
)
_hints = st.sampled_from(
    [
        *([b"</a>; rel=preload"], [b"</a>", b"</b>"], []),
        *(["</a>"], [b"</a>\r\nSet-Cookie: a"], None, 5, b"</a>", ...),
    ]
).map(lambda links: {"type": "http.response.early_hint", **({} if links is ... else {"links": links})})
_files = st.sampled_from([*SIZES, -1, -2, "relative", b"/bytes", None]).map(
    lambda path: {"type": "http.response.pathsend", "path": path}
)
_trailers = st.fixed_dictionaries(
    {"type": st.just("http.response.trailers"), "headers": st.just([(b"x-sum", b"1")])},
    optional={"more_trailers": st.booleans()},
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
        {"type": "http.response.pathsend"},
        {"type": "http.response.zerocopysend", "file": 0},
        {"type": "websocket.accept"},
        {"type": None},
        {},
        None,
        "http.response.start",
    ]
)
_messages = st.one_of(_bodies, _bodies, _bodies, _starts, _odd, _hints, _files, _trailers)
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
    start = _start(
        draw(st.sampled_from([200, 200, 200, 404, 204, 304])),
        length,
        draw(st.sampled_from([None, None, True])),
    )
    hints = draw(st.lists(_hints, max_size=draw(st.sampled_from([0, 0, 2]))))
    steps = [*(Step("send", hint) for hint in hints), *draw(_waits), Step("send", start)]
    if draw(st.sampled_from([False, False, False, True])):
        steps += [*draw(_waits), Step("send", draw(_files))]
    else:
        for number, chunk in enumerate(data, 1):
            body = {"type": "http.response.body", "body": chunk, "more_body": number < len(data)}
            steps += [*draw(_waits), Step("send", body)]
    trailers = draw(st.lists(_trailers, max_size=2)) if start.get("trailers") else []
    steps += [Step("send", message) for message in trailers]
    return [*steps, *draw(st.lists(_steps, max_size=2))]


plans = st.tuples(
    mostly(_responses(), st.lists(_steps, max_size=6)),
    st.sampled_from(["GET", "GET", "POST", "HEAD"]),
    st.booleans(),
    st.sampled_from([None, None, None, 0, 1]),
    st.booleans(),
    st.booleans(),
).map(lambda drawn: Plan(*drawn))


@pytest.mark.parametrize("loop", ["request", "shared"])
def test_any_app(
    loop: Any, caplog: pytest.LogCaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.fuzz.test_asgi_apps.FILES", tmp_path)
    for size in SIZES:
        (tmp_path / str(size)).write_bytes(b"x" * size)
    (tmp_path / "-1").mkdir()
    # Hundreds of apps that fail log hundreds of lines.
    caplog.set_level("CRITICAL", "bridge")
    app = _App()
    adapter = AsgiToWsgi(app, loop=loop, lifespan="off", sendfile=True)

    @examples(300)
    @given(plans)
    def check(plan: Plan) -> None:
        app.begin(plan)
        model = Model(plan.method).run(plan)
        environ = environ_for(method=plan.method, body=BODY if plan.body else None)
        hints: list[Any] = []
        if plan.hints:
            environ["wsgi.early_hints"] = hints.append
        if plan.wrapper:
            environ["wsgi.file_wrapper"] = FileWrapper
        status, headers, chunks, error = _serve(adapter, environ, plan.takes)
        body = b"".join(chunks)
        assert app.over.wait(HANG)
        assert hints == [[("Link", link) for link in links] for links in model.hints]
        if plan.takes is not None:
            assert model.body.startswith(body)
            return
        assert app.place == model.place
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
