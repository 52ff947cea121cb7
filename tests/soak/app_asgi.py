"""The app as ASGI: the twin of ``app_wsgi``. What has no twin in ASGI is not drawn for it."""

import asyncio
import contextvars
import hashlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from bridge.types import Receive, Scope, Send

from .app_wsgi import PAUSE, Planned
from .counts import COUNTS, GATHERED
from .heads import of_app
from .scenarios import App, Work, content, pieces

__all__ = ["app"]

_owner: contextvars.ContextVar[int] = contextvars.ContextVar("owner")
#: A loop has its tasks by weak references.
_tasks: set["asyncio.Task[None]"] = set()


class _Gone(Exception):  # noqa: N818  # no mistake
    """The client left before its body was whole."""


class _Call:
    """One request."""

    def __init__(self, work: Work, receive: Receive, send: Send) -> None:
        self.work = work
        self.receive = receive
        self._send = send

    async def start(self, status: int = 200, length: int | None = None) -> None:
        headers = [
            (name.lower().encode(), value.encode("latin-1"))
            for name, value in of_app(self.work.index, length)
        ]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def body(self, data: Any, *, more: bool = True) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": more})

    async def whole(self, data: bytes) -> None:
        await self.start(length=len(data))
        await self.body(data, more=False)

    async def all_pieces(self) -> None:
        for piece in self.pieces():
            await self.body(piece)
        await self.body(b"", more=False)

    @property
    def data(self) -> bytes:
        return content(self.work.index, self.work.down)

    def pieces(self) -> Iterator[bytes]:
        return pieces(self.data, self.work.piece)

    async def read(self, size: int | None = None) -> bytes:
        """All of the body, or about ``size`` bytes."""
        data, more = b"", True
        while more and (size is None or len(data) < size):
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise _Gone
            data += message.get("body", b"")
            more = message.get("more_body", False)
        if not more and len(data) != self.work.up:
            COUNTS.add("broken uploads taken for whole")
        return data


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    work = Work.parse(scope["query_string"].decode())
    COUNTS.add("calls begun")
    try:
        await _DOES[work.app](_Call(work, receive, send))
    except _Gone:
        pass
    finally:
        COUNTS.add("calls ended")


async def _lifespan(receive: Receive, send: Send) -> None:
    for kind in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{kind}.complete"})


async def _plain(call: _Call) -> None:
    await call.whole(call.data)


async def _chunks(call: _Call) -> None:
    await call.start()
    await call.all_pieces()


async def _sized(call: _Call) -> None:
    await call.start(length=call.work.down)
    await call.all_pieces()


async def _empty(call: _Call) -> None:
    await call.start(204)
    await call.body(b"", more=False)


async def _slow(call: _Call) -> None:
    await call.start()
    for piece in call.pieces():
        await asyncio.sleep(PAUSE)
        await call.body(piece)
    await call.body(b"", more=False)


async def _gather(call: _Call) -> None:
    there = GATHERED.come(call.work.piece)
    while not there():  # noqa: ASYNC110  # the others may be on other loops, which one event can't tell
        await asyncio.sleep(PAUSE)
    await call.whole(call.data)


async def _endless(call: _Call) -> None:
    """Where send() does not raise, http.disconnect is what tells (ASGI specification, "Disconnect").

    Most listen while they send, as Starlette's streams do. One of eight stops sending to listen: a write can't tell the
    server then that its client has left.
    """
    await call.start()
    gone = asyncio.ensure_future(_until_gone(call))
    piece = content(call.work.index, call.work.piece)
    try:
        for number in range(100_000):  # no client takes so many
            await call.body(piece)
            if number % 100 == 99:
                await asyncio.wait([gone], timeout=PAUSE if call.work.index % 8 else None)
            if gone.done():
                return
    finally:
        gone.cancel()
        await asyncio.wait([gone])


async def _until_gone(call: _Call) -> None:
    while (await call.receive())["type"] != "http.disconnect":
        pass


async def _replace(call: _Call) -> None:
    await call.start(203, call.work.down)
    await call.body(call.data, more=False)


async def _echo(call: _Call) -> None:
    await call.whole(await call.read())


async def _digest(call: _Call) -> None:
    await call.whole(hashlib.sha256(await call.read()).hexdigest().encode())


async def _read_twice(call: _Call) -> None:
    """Who asks behind the end waits for the client's leaving."""
    data = await call.read()
    reading = asyncio.ensure_future(call.receive())
    await asyncio.wait([reading], timeout=PAUSE)
    if reading.done() and reading.result()["type"] != "http.disconnect":
        data += b"something behind the end"
    reading.cancel()
    await asyncio.wait([reading])
    await call.whole(data)


async def _read_half(call: _Call) -> None:
    await call.read(call.work.up // 2)
    await call.whole(call.data)


async def _context(call: _Call) -> None:
    index = call.work.index
    fresh = _owner.get(None) is None
    _owner.set(index)
    await call.start()
    for piece in call.pieces():
        await call.body(piece if fresh and _owner.get(None) == index else b"lost")
    await call.body(b"", more=False)
    if _owner.get(None) != index:
        COUNTS.add("contexts lost at close()")


async def _fail_before(call: _Call) -> None:
    raise Planned("soak: before the head")


async def _fail_odd(call: _Call) -> None:
    raise asyncio.CancelledError("soak: planned")


async def _fail_started(call: _Call) -> None:
    await call.start()
    raise Planned("soak: before the first piece")


async def _fail_middle(call: _Call) -> None:
    await call.start()
    for piece in call.pieces():
        await call.body(piece)
    await asyncio.sleep(PAUSE)
    raise Planned("soak: in the middle")


async def _fail_after(call: _Call) -> None:
    await _sized(call)
    raise Planned("soak: after the last message")


async def _short(call: _Call) -> None:
    await call.start(length=call.work.down + 1)
    await call.all_pieces()


async def _wrong_type(call: _Call) -> None:
    await call.start()
    await call.body("text")


async def _no_answer(call: _Call) -> None:
    return


async def _work_after(call: _Call) -> None:
    await _sized(call)
    await asyncio.sleep(PAUSE)


async def _left_behind(call: _Call) -> None:
    async def work() -> None:
        try:
            await asyncio.sleep(PAUSE)
        finally:
            COUNTS.add("tasks ended")

    COUNTS.add("tasks begun")
    task = asyncio.ensure_future(work())
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
    await asyncio.sleep(0)  # one that is cancelled before it has begun has no end to count
    await call.whole(call.data)


_DOES: dict[App, Callable[[_Call], Awaitable[None]]] = {
    App.PLAIN: _plain,
    App.CHUNKS: _chunks,
    App.SIZED: _sized,
    App.EMPTY: _empty,
    App.SLOW: _slow,
    App.GATHER: _gather,
    App.ENDLESS: _endless,
    # What is of WSGI alone is answered alike, so that a native ASGI app can stand beside it.
    App.WRITE: _chunks,
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
}
