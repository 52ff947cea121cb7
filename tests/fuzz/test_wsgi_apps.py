"""Any calls that a WSGI app may make, against a model of PEP 3333, on a server that holds ASGI's order of messages.

An app is data: what it does while it is called, and what while it is iterated. The model goes through the same data and
says what has to reach the server: the status, the bytes, and how it ends.
"""

import asyncio
import io
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import ApplicationError, WsgiToAsgi
from bridge.types import Environ, Message, StartResponse
from tests.fuzz.profile import examples
from tests.fuzz.values import mostly
from tests.support.asgi import Exchange, disconnect, http_scope, request
from tests.support.threads import wait_for_no_bridge_threads

BODY = b"first line\nsecond\n\nlast"


class Step(NamedTuple):
    """One thing that an app does; ``what`` is a method of ``_App`` and of ``Model``."""

    what: str
    status: str = ""
    length: int | None = None
    exc_info: bool = False
    #: A number of bytes stands for them, so that a failure can be read.
    drawn: Any = b""

    @property
    def data(self) -> Any:
        return b"x" * self.drawn if type(self.drawn) is int else self.drawn


class Plan(NamedTuple):
    """What an app does while it is called; its iterable, and what it does while that is iterated."""

    called: list[Step]
    kind: str
    iterated: list[Step]
    method: str = "GET"
    close_raises: bool = False
    #: The body comes in parts.
    more: bool = False
    #: The client leaves, at any moment after its request.
    leaves: bool = False


class PlannedError(Exception):
    """What an app raises."""


# The app.


class _App:
    """Does what a plan says."""

    def __init__(self) -> None:
        self.plan = Plan([], "list", [])
        self.closes = 0
        self.reads: list[bytes] = []
        self._twin = io.BytesIO(BODY)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        self.closes = 0
        self._environ, self._start_response, self._write = environ, start_response, None
        self._twin = io.BytesIO(BODY)
        for step in self.plan.called:
            self._do(step)
        chunks = [step.data for step in self.plan.iterated if step.what == "chunk"]
        match self.plan.kind:
            case "list":
                return chunks
            case "tuple":
                return tuple(chunks)
            case "sequence":
                return _Sequence(chunks)  # type: ignore[return-value]
            case "file":
                data = b"".join(chunk for chunk in chunks if isinstance(chunk, bytes))
                return environ["wsgi.file_wrapper"](_File(self, data))  # type: ignore[no-any-return]
            case "generator":
                return self._generate()
            case "none":
                return None  # type: ignore[return-value]
        return _Lazy(self, self._generate())

    def _generate(self) -> Iterator[bytes]:
        for step in self.plan.iterated:
            if step.what == "chunk":
                yield step.data
            else:
                self._do(step)

    def _do(self, step: Step) -> None:
        if step.what == "start":
            headers = [("X-Step", "1")]
            if step.length is not None:
                headers.append(("Content-Length", str(step.length)))
            if step.exc_info:
                try:
                    raise PlannedError("for exc_info")
                except PlannedError:
                    self._write = self._start_response(step.status, headers, sys.exc_info())  # type: ignore[assignment,arg-type]
            else:
                self._write = self._start_response(step.status, headers)  # type: ignore[assignment]
        elif step.what == "write":
            if self._write is not None:
                self._write(step.data)  # type: ignore[unreachable]
        elif step.what == "read":
            how, size = step.data
            stream = self._environ["wsgi.input"]
            given, due = (getattr(source, how)(*size) for source in (stream, self._twin))
            assert given == due, f"{how}{size} gave {given!r}, not {due!r}"
        else:
            raise step.data

    def close(self) -> None:
        self.closes += 1
        if self.plan.close_raises:
            raise PlannedError("by close()")


class _Lazy:
    """An iterator with a ``close()``."""

    def __init__(self, app: _App, chunks: Iterator[bytes]) -> None:
        self.close = app.close
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._chunks)


class _Sequence:
    """Iterated by the old protocol; PEP 3333 asks for no more than ``iter()``."""

    def __init__(self, chunks: list[bytes]) -> None:
        self._chunks = chunks

    def __getitem__(self, index: int) -> bytes:
        return self._chunks[index]


class _File(io.BytesIO):
    def __init__(self, app: _App, data: bytes) -> None:
        super().__init__(data)
        self._app = app

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._app.close()


# The model.


@dataclass
class Model:
    """The server of PEP 3333, whose client stays: what it sends, and the first error that comes before the end."""

    method: str
    status: int | None = None
    length: int | None = None
    #: The head is on its way, and can't be replaced.
    out: bool = False
    done: bool = False
    body: bytes = b""
    error: type[BaseException] | None = None
    left: int | None = field(default=None)

    def run(self, plan: Plan) -> "Model":
        try:
            for step in plan.called:
                self._do(step)
            if plan.kind == "none":
                raise ApplicationError
            steps = plan.iterated
            if plan.kind not in {"generator", "iterator"}:
                steps = [step for step in steps if step.what == "chunk"]
            if plan.kind == "file":
                data = b"".join(step.data for step in steps if isinstance(step.data, bytes))
                steps = [Step("chunk", drawn=data)] if data else []
            if plan.kind in {"list", "tuple"} and not all(isinstance(step.data, bytes) for step in steps):
                raise ApplicationError
            for step in steps:
                if step.what == "chunk":
                    self._chunk(step.data)
                    if self.done:
                        return self
                else:
                    self._do(step)
            self._end()
        except BaseException as exc:
            if not self.done:
                self.error = type(exc)
        return self

    @property
    def _bodyless(self) -> bool:
        return self.method == "HEAD" or self.status in {204, 304}

    def _do(self, step: Step) -> None:
        if step.what == "start":
            if step.exc_info and self.out:
                raise PlannedError
            if not step.exc_info and self.status is not None:
                raise ApplicationError
            self.status, self.length = int(step.status[:3]), step.length
        elif step.what == "write":
            if self.status is None:
                return
            if not isinstance(step.data, bytes):
                raise ApplicationError
            if (
                step.data
                and not self._bodyless
                and self._remaining is not None
                and len(step.data) > self._remaining
            ):
                raise ApplicationError
            self._chunk(step.data)
        elif step.what == "raise":
            raise step.data

    @property
    def _remaining(self) -> int | None:
        return None if self.length is None else self.length - len(self.body)

    def _chunk(self, data: Any) -> None:
        if not isinstance(data, bytes):
            raise ApplicationError
        if not data or self.done:
            # What comes after the end is nobody's; the end itself was seen by who iterates.
            return
        if self.status is None:
            raise ApplicationError
        self.out = True
        if self._bodyless:
            self.done = True
            return
        remaining = self._remaining
        self.body += data if remaining is None else data[:remaining]
        self.done = self._remaining == 0

    def _end(self) -> None:
        if self.done:
            return
        if self.status is None:
            raise ApplicationError
        if self._remaining and not self._bodyless:
            raise ApplicationError
        self.out = self.done = True


# The server.


class Server(Exchange):
    """Holds the order of messages of the ASGI specification (HTTP), and what their values may be."""

    over = False

    async def send(self, message: Message) -> None:
        assert not self.over, "a message after the end"
        if message["type"] == "http.response.start":
            assert not self.messages
            assert type(message["status"]) is int
            for name, value in message["headers"]:
                assert type(name) is type(value) is bytes
                assert name == name.lower()
        else:
            assert message["type"] == "http.response.body"
            assert self.messages, "a body without a start"
            assert type(message["body"]) is bytes
            self.over = not message["more_body"]
        await super().send(message)


# What is drawn.

_starts = st.tuples(
    st.sampled_from(["200 OK", "200 OK", "404", "204 No Content", "304 Not Modified", "500 Oh"]),
    st.sampled_from([None, None, None, 0, 1, 3, 5, 70000]),
    st.booleans(),
).map(lambda drawn: Step("start", *drawn))
_data = st.sampled_from([b"", b"", b"a", b"bc", b"def", 70000, "text", None, bytearray(b"ab")])
_reads = st.tuples(
    st.sampled_from(["read", "readline", "readlines"]), st.sampled_from([(), (0,), (1,), (7,), (-1,), (100,)])
) | st.tuples(st.just("read"), st.just((None,)))
_errors = st.sampled_from([ValueError, SystemExit, KeyboardInterrupt, asyncio.CancelledError, OSError])
_steps = st.one_of(
    _starts,
    _data.map(lambda data: Step("write", drawn=data)),
    _reads.map(lambda how: Step("read", drawn=how)),
    _errors.map(lambda error: Step("raise", drawn=error)),
)
_chunks = _data.map(lambda data: Step("chunk", drawn=data))
_kinds = st.sampled_from(["list", "tuple", "generator", "iterator", "sequence", "file", "none"])


@st.composite
def _responses(draw: st.DrawFn) -> tuple[list[Step], str, list[Step]]:
    """A response that is one, or nearly so: its length may be wrong, and it may come by ``write()``."""
    data: list[Any] = draw(st.lists(st.sampled_from([b"", b"a", b"bc", 70000]), max_size=4))
    size = sum(chunk if isinstance(chunk, int) else len(chunk) for chunk in data)
    length = draw(st.sampled_from([None, None, size, size, size + 1, max(size - 1, 0)]))
    start = draw(_starts)._replace(length=length, exc_info=False)
    written = draw(st.integers(0, 1)) * draw(st.integers(0, len(data)))
    reads = st.lists(_reads.map(lambda how: Step("read", drawn=how)), max_size=2)
    again = draw(st.sampled_from([None, None, None, start._replace(exc_info=True)]))
    called = [*draw(reads), start, *(Step("write", drawn=chunk) for chunk in data[:written])]
    chunks = [Step("chunk", drawn=chunk) for chunk in data[written:]]
    kind = draw(_kinds)
    if kind in {"generator", "iterator"} and draw(st.booleans()):
        called, chunks = [], [*called, *chunks]  # lazily: all of it comes in the iteration
    if again is not None:
        chunks.insert(draw(st.integers(0, len(chunks))), again)
    return called, kind, chunks


plans = st.tuples(
    mostly(
        _responses(), st.tuples(st.lists(_steps, max_size=4), _kinds, st.lists(_chunks | _steps, max_size=5))
    ),
    st.sampled_from(["GET", "GET", "POST", "HEAD"]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([False, False, True]),
).map(lambda drawn: Plan(drawn[0][0], drawn[0][1], drawn[0][2], *drawn[1:]))


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner
    wait_for_no_bridge_threads()


@pytest.mark.parametrize("mode", ["buffer", "stream"])
def test_any_app(mode: Any, runner: asyncio.Runner, caplog: pytest.LogCaptureFixture) -> None:
    # Hundreds of apps that fail log hundreds of lines.
    caplog.set_level("CRITICAL", "bridge")
    app = _App()
    adapter = WsgiToAsgi(app, request_body=mode, request_buffer=8, response_buffer=16, threads=1)

    @examples(250)
    @given(plans)
    def check(plan: Plan) -> None:
        app.plan = plan
        model = Model(plan.method).run(plan)
        parts = [BODY[:9], BODY[9:12], BODY[12:]] if plan.more else [BODY]
        events = [request(part, more_body=part is not parts[-1]) for part in parts]
        if plan.leaves:
            events.append(disconnect())
        server = Server(adapter, http_scope(plan.method), events)
        error: BaseException | None = None
        try:
            runner.run(server.run())
        except Exception as exc:
            error = exc
        if plan.leaves and error is None and not server.over:
            # The app has heard of it, by an error or by close(); it may not even have been called.
            assert model.body.startswith(server.body if server.messages else b"")
            assert app.closes <= 1
            return
        _compare(server, model, error, plan)
        if plan.kind in {"iterator", "file"} and not _failed_in_call(plan):
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
    if model.error is not None and plan.kind in {"list", "tuple"}:
        # All of the body is there, and its error may be seen before the rest of it is sent.
        assert model.body.startswith(server.body)
        return
    if model.out:
        assert server.status == model.status
        assert server.body == model.body
    else:
        assert not server.messages


def _failed_in_call(plan: Plan) -> bool:
    """Whether the app gives no iterable that could be closed."""
    model = Model(plan.method)
    try:
        for step in plan.called:
            model._do(step)
    except BaseException:
        return True
    return False
