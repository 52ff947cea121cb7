"""The app as WSGI: it does what the query says (``Work``), and counts what it opens and closes."""

import contextvars
import hashlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator

from bridge.types import Environ, StartResponse, Write

from .counts import COUNTS, GATHERED
from .heads import of_accept, of_app
from .scenarios import App, Work, content, pieces

__all__ = ["PAUSE", "Planned", "app"]

#: Seconds that what is slow sleeps.
PAUSE = 0.005

_owner: contextvars.ContextVar[int] = contextvars.ContextVar("owner")


class Planned(Exception):  # noqa: N818  # it is no mistake
    """An error that the scenario wants."""


class Body:
    """An iterable that counts its ends, and knows where it began."""

    def __init__(self, chunks: Iterable[bytes], *, closing: Callable[[], object] = lambda: None) -> None:
        COUNTS.add("iterables begun")
        self._chunks = iter(chunks)
        self._closing = closing
        self._closed = False
        self._thread = threading.get_ident()

    def __iter__(self) -> "Body":
        return self

    def __next__(self) -> bytes:
        return next(self._chunks)

    def close(self) -> None:
        if self._closed:
            COUNTS.add("iterables closed again")
            return
        self._closed = True
        COUNTS.add("iterables ended")
        if threading.get_ident() != self._thread:
            COUNTS.add("iterables closed in another thread")
        self._closing()


class _Call:
    """One request."""

    def __init__(self, work: Work, environ: Environ, start_response: StartResponse) -> None:
        self.work = work
        self.environ = environ
        self._start_response = start_response

    def start(self, status: str = "200 OK", length: int | None = None) -> Write:
        return self._start_response(status, of_app(self.work.index, length))

    def whole(self, data: bytes) -> list[bytes]:
        self.start(length=len(data))
        return [data]

    @property
    def data(self) -> bytes:
        return content(self.work.index, self.work.down)

    def pieces(self) -> Iterator[bytes]:
        return pieces(self.data, self.work.piece)

    def read(self) -> bytes:
        """All of the body. One that looks whole and is not is what no server and no adapter may give."""
        blocks: list[bytes] = []
        while block := self.environ["wsgi.input"].read(10_000):
            blocks.append(block)
        data = b"".join(blocks)
        if len(data) != self.work.up:
            COUNTS.add("broken uploads taken for whole")
        return data


def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    work = Work.parse(environ["QUERY_STRING"])
    COUNTS.add("calls begun")
    try:
        return _DOES[work.app](_Call(work, environ, start_response))
    finally:
        COUNTS.add("calls ended")


def _plain(call: _Call) -> Iterable[bytes]:
    return call.whole(call.data)


def _chunks(call: _Call) -> Iterable[bytes]:
    call.start()
    return Body(call.pieces())


def _sized(call: _Call) -> Iterable[bytes]:
    call.start(length=call.work.down)
    return Body(call.pieces())


def _empty(call: _Call) -> Iterable[bytes]:
    call.start("204 No Content")
    return []


def _slow(call: _Call) -> Iterable[bytes]:
    def chunks() -> Iterator[bytes]:
        for piece in call.pieces():
            time.sleep(PAUSE)
            yield piece

    call.start()
    return Body(chunks())


def _gather(call: _Call) -> Iterable[bytes]:
    there = GATHERED.come(call.work.piece)
    while not there():
        time.sleep(PAUSE)
    return call.whole(call.data)


def _endless(call: _Call) -> Iterable[bytes]:
    def chunks() -> Iterator[bytes]:
        piece = content(call.work.index, call.work.piece)
        for _ in range(100_000):  # no client takes so many
            yield piece

    call.start()
    return Body(chunks())


def _write(call: _Call) -> Iterable[bytes]:
    write = call.start()
    for piece in call.pieces():
        write(piece)
    return Body([])


def _replace(call: _Call) -> Iterable[bytes]:
    call.start(length=call.work.down)
    try:
        raise Planned("soak: replaced")
    except Planned as error:
        exc_info = (type(error), error, error.__traceback__)
        call._start_response("203 Replaced", of_app(call.work.index), exc_info)
        del exc_info
    return Body([call.data])


def _echo(call: _Call) -> Iterable[bytes]:
    return call.whole(call.read())


def _digest(call: _Call) -> Iterable[bytes]:
    return call.whole(hashlib.sha256(call.read()).hexdigest().encode())


def _read_twice(call: _Call) -> Iterable[bytes]:
    data = call.read()
    return call.whole(data + call.environ["wsgi.input"].read(10))


def _read_half(call: _Call) -> Iterable[bytes]:
    call.environ["wsgi.input"].read(call.work.up // 2)
    return call.whole(call.data)


def _context(call: _Call) -> Iterable[bytes]:
    """What is set in the call is there in the iteration and in close(), and nobody else has it."""
    index = call.work.index
    fresh = _owner.get(None) is None
    _owner.set(index)

    def chunks() -> Iterator[bytes]:
        for piece in call.pieces():
            yield piece if fresh and _owner.get(None) == index else b"lost"

    def closing() -> None:
        if _owner.get(None) != index:
            COUNTS.add("contexts lost at close()")

    call.start()
    return Body(chunks(), closing=closing)


def _fail_before(call: _Call) -> Iterable[bytes]:
    raise Planned("soak: before the head")


def _fail_odd(call: _Call) -> Iterable[bytes]:
    raise SystemExit("soak: planned")


def _fail_started(call: _Call) -> Iterable[bytes]:
    def chunks() -> Iterator[bytes]:
        yield b""
        raise Planned("soak: before the first piece")

    call.start()
    return Body(chunks())


def _fail_middle(call: _Call) -> Iterable[bytes]:
    def chunks() -> Iterator[bytes]:
        yield from call.pieces()
        raise Planned("soak: in the middle")

    call.start()
    return Body(chunks())


def _fail_after(call: _Call) -> Iterable[bytes]:
    def closing() -> None:
        raise Planned("soak: in close()")

    call.start(length=call.work.down)
    return Body(call.pieces(), closing=closing)


def _short(call: _Call) -> Iterable[bytes]:
    call.start(length=call.work.down + 1)
    return Body(call.pieces())


def _wrong_type(call: _Call) -> Iterable[bytes]:
    call.start()
    return Body(["text"])  # type: ignore[list-item]  # the mistake that is wanted


def _no_answer(call: _Call) -> Iterable[bytes]:
    return []


def _work_after(call: _Call) -> Iterable[bytes]:
    call.start(length=call.work.down)
    return Body(call.pieces(), closing=lambda: time.sleep(PAUSE))


def _left_behind(call: _Call) -> Iterable[bytes]:
    def work() -> None:
        time.sleep(PAUSE)
        COUNTS.add("threads ended")

    COUNTS.add("threads begun")
    threading.Thread(target=work, daemon=True).start()
    return call.whole(call.data)


def _socket_echo(call: _Call) -> Iterable[bytes]:
    websocket = call.environ["wsgi.websocket"]
    for message in websocket:
        websocket.send(message)
    return []


def _socket_fail(call: _Call) -> Iterable[bytes]:
    call.environ["wsgi.websocket"].accept(headers=of_accept(call.work.index))
    raise Planned("soak: in a WebSocket")


def _socket_refuse(call: _Call) -> Iterable[bytes]:
    call.start("418 Refused", call.work.down)
    return Body(call.pieces())


_DOES: dict[App, Callable[[_Call], Iterable[bytes]]] = {
    App.PLAIN: _plain,
    App.CHUNKS: _chunks,
    App.SIZED: _sized,
    App.EMPTY: _empty,
    App.SLOW: _slow,
    App.GATHER: _gather,
    App.ENDLESS: _endless,
    App.WRITE: _write,
    App.REPLACE: _replace,
    App.ECHO: _echo,
    App.DIGEST: _digest,
    App.READ_TWICE: _read_twice,
    App.READ_HALF: _read_half,
    App.CONTEXT: _context,
    App.FAIL_BEFORE: _fail_before,
    App.FAIL_ODD: _fail_odd,
    App.FAIL_STARTED: _fail_started,
    App.FAIL_MIDDLE: _fail_middle,
    App.FAIL_AFTER: _fail_after,
    App.SHORT: _short,
    App.WRONG_TYPE: _wrong_type,
    App.NO_ANSWER: _no_answer,
    App.WORK_AFTER: _work_after,
    App.LEFT_BEHIND: _left_behind,
    App.FORGOTTEN: _chunks,
    App.SOCKET_ECHO: _socket_echo,
    App.SOCKET_FAIL: _socket_fail,
    App.SOCKET_REFUSE: _socket_refuse,
}
