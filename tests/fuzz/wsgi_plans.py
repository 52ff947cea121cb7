"""WSGI apps of any calls, as data, and the model of PEP 3333 for them.

An app does what a plan says, while it is called and while it is iterated. The model goes through the same plan and says
what has to reach the server: the status, the bytes, early hints, and how it ends.
"""

import asyncio
import io
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import strategies as st

from bridge import ApplicationError
from bridge.types import Environ, StartResponse
from tests.fuzz.values import mostly

__all__ = ["BODY", "HINTS", "PATH", "ZERO_COPY", "App", "Model", "Plan", "Step", "fails_in_call", "plans"]

BODY = b"first line\nsecond\n\nlast"
HINTS, PATH, ZERO_COPY = (f"http.response.{name}" for name in ("early_hint", "pathsend", "zerocopysend"))
#: Not of the form that PEP 3333 wants headers in, or more than one.
BAD_HINTS: list[Any] = [
    *(None, {"Link": "</a>"}, [("Link",)], [(5, "</a>")], [("Link", 5)], [("Link", b"</a>")]),
    *([("Link", "</a>\r\nSet-Cookie: a")], [("X Y", "a")]),
]


class Step(NamedTuple):
    """One thing that an app does; ``what`` is a method of ``App`` and of ``Model``."""

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
    #: What the server has in its scope.
    extensions: frozenset[str] = frozenset()
    #: Where in its file the app stands.
    offset: int = 0


class PlannedError(Exception):
    """What an app raises."""


# The app.


class App:
    """Does what a plan says."""

    def __init__(self, folder: Path) -> None:
        self.plan = Plan([], "list", [])
        self.closes = 0
        #: What it has opened of the disk.
        self.file: io.BufferedReader | None = None
        self._path = folder / "file"
        self.reads: list[bytes] = []
        self._twin = io.BytesIO(BODY)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        self.closes, self.file = 0, None
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
            case "disk" | "gone":
                data = b"".join(chunk for chunk in chunks if isinstance(chunk, bytes))
                return environ["wsgi.file_wrapper"](self._open(data))  # type: ignore[no-any-return]
            case "generator":
                return self._generate()
            case "none":
                return None  # type: ignore[return-value]
        return _Lazy(self, self._generate())

    def _open(self, data: bytes) -> io.BufferedReader:
        self._path.write_bytes(data)
        self.file = file = self._path.open("rb")
        file.seek(self.plan.offset)
        if self.plan.kind == "gone":
            self._path.unlink()
        return file

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
        elif step.what == "hint":
            assert ("wsgi.early_hints" in self._environ) is (HINTS in self.plan.extensions)
            if HINTS in self.plan.extensions:
                self._environ["wsgi.early_hints"](step.data)
        else:
            raise step.data

    def close(self) -> None:
        self.closes += 1
        if self.plan.close_raises:
            raise PlannedError("by close()")


class _Lazy:
    """An iterator with a ``close()``."""

    def __init__(self, app: App, chunks: Iterator[bytes]) -> None:
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
    def __init__(self, app: App, data: bytes) -> None:
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
    extensions: frozenset[str] = frozenset()
    status: int | None = None
    length: int | None = None
    #: The head is on its way, and can't be replaced.
    out: bool = False
    done: bool = False
    body: bytes = b""
    error: type[BaseException] | None = None
    left: int | None = field(default=None)
    #: The links of early hints, as they came.
    hints: list[list[bytes]] = field(default_factory=list)

    def run(self, plan: Plan) -> "Model":
        try:
            for step in plan.called:
                self._do(step)
            if plan.kind == "none":
                raise ApplicationError
            steps = plan.iterated
            if plan.kind not in {"generator", "iterator"}:
                steps = [step for step in steps if step.what == "chunk"]
            if plan.kind in {"file", "disk", "gone"}:
                data = b"".join(step.data for step in steps if isinstance(step.data, bytes))
                data = data if plan.kind == "file" else data[plan.offset :]
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
        elif step.what == "hint":
            self._hint(step.data)
        elif step.what == "raise":
            raise step.data

    def _hint(self, headers: Any) -> None:
        """A hint that comes after the start of the response is of no effect."""
        if HINTS not in self.extensions:
            return
        if headers in BAD_HINTS:
            raise ApplicationError
        links = [value.encode() for name, value in headers if name.lower() == "link"]
        if links and not self.out:
            self.hints.append(links)

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


def fails_in_call(plan: Plan) -> bool:
    """Whether the app gives no iterable that could be closed."""
    model = Model(plan.method, plan.extensions)
    try:
        for step in plan.called:
            model._do(step)
    except BaseException:
        return True
    return False


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
_hints = st.sampled_from(
    [
        *([("Link", "</a>; rel=preload")], [("Link", "</a>"), ("X-Other", "no"), ("link", "</b>")]),
        *([("X-Other", "no")], [], *BAD_HINTS),
    ]
).map(lambda headers: Step("hint", drawn=headers))
_errors = st.sampled_from([ValueError, SystemExit, KeyboardInterrupt, asyncio.CancelledError, OSError])
_steps = st.one_of(
    _starts,
    _data.map(lambda data: Step("write", drawn=data)),
    _reads.map(lambda how: Step("read", drawn=how)),
    _errors.map(lambda error: Step("raise", drawn=error)),
    _hints,
)
_chunks = _data.map(lambda data: Step("chunk", drawn=data))
_kinds = st.sampled_from(
    ["list", "tuple", "generator", "iterator", "sequence", "file", "disk", "disk", "gone", "none"]
)


@st.composite
def _responses(draw: st.DrawFn) -> tuple[list[Step], str, list[Step]]:
    """A response that is one, or nearly so: its length may be wrong, and it may come by ``write()``."""
    data: list[Any] = draw(st.lists(st.sampled_from([b"", b"a", b"bc", 70000]), max_size=4))
    size = sum(chunk if isinstance(chunk, int) else len(chunk) for chunk in data)
    length = draw(st.sampled_from([None, None, size, size, size + 1, max(size - 1, 0)]))
    start = draw(_starts)._replace(length=length, exc_info=False)
    written = draw(st.integers(0, 1)) * draw(st.integers(0, len(data)))
    reads = st.lists(_reads.map(lambda how: Step("read", drawn=how)), max_size=2)
    again = draw(st.sampled_from([None, None, None, start._replace(exc_info=True), start]))
    hints = draw(st.lists(_hints, max_size=draw(st.sampled_from([0, 0, 2]))))
    called = [*hints, *draw(reads), start, *(Step("write", drawn=chunk) for chunk in data[:written])]
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
    st.frozensets(st.sampled_from([HINTS, PATH, ZERO_COPY, "http.response.trailers"])),
    st.sampled_from([0, 0, 0, 2]),
).map(lambda drawn: Plan(drawn[0][0], drawn[0][1], drawn[0][2], *drawn[1:]))
