"""Calls an ASGI app in process: the test scripts what ``receive()`` gives and sees what ``send()`` took.

Simple calls::

    response = call_asgi(app, path="/x", method="POST", body=b"data")

Anything else is an ``Exchange``, inside a running loop::

    exchange = Exchange(app, http_scope(path="/x"))
    exchange.feed(request(b"first", more_body=True))
    async with exchange:                 # the app runs in a task of its own
        await exchange.wait_for("http.response.start")
        exchange.disconnect()
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self

from bridge.types import ASGIApp, Message, Scope

__all__ = ["Exchange", "call_asgi", "disconnect", "http_scope", "request"]

HANG = 30.0  # seconds; guards against hanging only


def http_scope(method: str = "GET", path: str = "/", *, query: bytes = b"", **more: Any) -> Scope:
    """Return an HTTP scope as uvicorn makes it; ``more`` replaces and adds keys, the value ``...`` removes
    one.
    """
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 50000),
        "scheme": "http",
        "method": method,
        "root_path": "",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "headers": [(b"host", b"127.0.0.1:8000")],
        "state": {},
    }
    scope.update(more)
    return {key: value for key, value in scope.items() if value is not ...}


def request(body: bytes = b"", *, more_body: bool = False) -> Message:
    return {"type": "http.request", "body": body, "more_body": more_body}


def disconnect() -> Message:
    return {"type": "http.disconnect"}


class Exchange:
    """One call of an ASGI app, and both ends of its messages.

    ``receive()`` gives the events fed so far in their order, then waits for more. ``send()`` appends to
    ``messages``; with ``hold_sends()`` it then waits until the test lets it go on, as a server does whose
    client reads slowly. Everything here belongs to the loop's thread.
    """

    def __init__(self, app: ASGIApp, scope: Scope, events: Iterable[Message] = ()) -> None:
        self.app = app
        self.scope = scope
        self.messages: list[Message] = []
        self.receives_waiting = 0
        self._events: deque[Message] = deque(events)
        self._changed = asyncio.Condition()
        self._sending = asyncio.Event()
        self._sending.set()
        self._task: asyncio.Task[None] | None = None
        self._notifiers: set[asyncio.Task[None]] = set()

    # What the app gets.

    async def receive(self) -> Message:
        self.receives_waiting += 1
        try:
            # For as long as the app likes: what the test does has a bound. With one here too, a lifespan would end
            # by itself beside a test that waits in vain, and leave the app's threads to all tests after it.
            async with self._changed:
                await self._changed.wait_for(lambda: bool(self._events))
            return self._events.popleft()
        finally:
            self.receives_waiting -= 1

    async def send(self, message: Message) -> None:
        self.messages.append(message)
        self._notify()
        await self._sending.wait()

    # What the test does.

    def feed(self, *events: Message) -> None:
        """Let ``receive()`` give these events."""
        self._events.extend(events)
        self._notify()

    def disconnect(self) -> None:
        """The client leaves."""
        self.feed(disconnect())

    def hold_sends(self) -> None:
        """From now on ``send()`` takes its message and does not return."""
        self._sending.clear()

    def release_sends(self) -> None:
        self._sending.set()

    async def wait_for(self, kind: str, count: int = 1) -> None:
        """Return when the app has sent ``count`` messages of a type; raise its error if it ends before."""
        await self.wait_until(lambda: sum(message["type"] == kind for message in self.messages) >= count)

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        """Return when ``condition()`` is true; it is looked at after each message of either side."""
        task = self._task
        assert task is not None, "the app is not running"
        await self._until(lambda: condition() or task.done())
        if not condition():
            await task
            raise AssertionError(f"the app ended before; it sent {self.messages}")

    async def run(self) -> Self:
        """Run the app to its end; raise what it raises."""
        async with asyncio.timeout(HANG):
            await self.app(self.scope, self.receive, self.send)
        return self

    async def __aenter__(self) -> Self:
        self._task = asyncio.ensure_future(self.app(self.scope, self.receive, self.send))
        self._task.add_done_callback(lambda _: self._notify())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Wait for the app's end and raise its error; if the block failed, cancel the app instead."""
        assert self._task is not None
        if error is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            return
        async with asyncio.timeout(HANG):
            await self._task

    # What came of it.

    @property
    def status(self) -> int:
        return int(self._start["status"])

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        return [(bytes(name), bytes(value)) for name, value in self._start.get("headers", [])]

    @property
    def chunks(self) -> list[bytes]:
        """The body of each ``http.response.body`` message."""
        return [
            message.get("body", b"") for message in self.messages if message["type"] == "http.response.body"
        ]

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)

    @property
    def complete(self) -> bool:
        """Whether a message with ``more_body`` false ended the body."""
        ends = [
            m for m in self.messages if m["type"] == "http.response.body" and not m.get("more_body", False)
        ]
        return len(ends) == 1 and self.messages[-1] is ends[0]

    def header(self, name: bytes) -> bytes | None:
        """Return the value of a header, fields of one name joined with ``", "``; None if it is absent."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        return b", ".join(values) if values else None

    @property
    def _start(self) -> Message:
        starts = [message for message in self.messages if message["type"] == "http.response.start"]
        assert len(starts) == 1, f"{len(starts)} response starts in {self.messages}"
        return starts[0]

    async def _until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(HANG), self._changed:
            await self._changed.wait_for(condition)

    def _notify(self) -> None:
        async def notify() -> None:
            async with self._changed:
                self._changed.notify_all()

        task = asyncio.get_running_loop().create_task(notify())
        self._notifiers.add(task)
        task.add_done_callback(self._notifiers.discard)


def call_asgi(
    app: ASGIApp, method: str = "GET", path: str = "/", *, body: bytes = b"", query: bytes = b"", **more: Any
) -> Exchange:
    """Call the app once on a loop of its own, with a request that is there whole; return its exchange."""

    async def call() -> Exchange:
        return await Exchange(app, http_scope(method, path, query=query, **more), [request(body)]).run()

    return asyncio.run(call())
