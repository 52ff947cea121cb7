"""One request on the process' shared loop (``loop="shared"``).

Two threads meet in a ``SharedExchange``: the one that the WSGI server gave, which alone may touch
``wsgi.input`` and what the server handed over, and the loop's. All that both look at is guarded by the lock
of ``_changed``:

* the loop puts messages into ``to_asgi.response``, the thread takes what waits there;
* the loop asks for a block of the body (``_wanted``), the thread reads it and posts it to the loop;
* the loop says that the app waits between its start and its body (``_head_due``), so that the head goes out alone;
* either says that it is over (``_ended``, ``_gone``, ``over``).

The thread waits on ``_changed`` and nowhere else, but for the server's own reads and writes. Its wait ends:
the app's task ends some time, and its done callback says so, which also holds for a task that is cancelled
before its first step or with the loop. The loop never waits for the thread: ``send()`` and ``receive()``
await futures that the thread has resolved on the loop, and that ``_leave()`` resolves when the thread goes
away.
"""

import asyncio
import contextlib
import contextvars
import logging
import threading
from collections.abc import Callable, Iterable
from typing import Any

from ..errors import ApplicationError, ApplicationExit
from ..log import request_name
from ..threads.waiting import until_done
from ..types import ASGIApp, Environ, Headers, Message, Scope, StartResponse
from .exchange import (
    BODY,
    COMPLETE,
    GRACE,
    STARTED,
    Response,
    call_app,
    client_left,
    early_hints,
    log_late_error,
    raised,
)
from .heads import HEAD_WAIT, send_head, sends_head
from .iterables import ResponseStream
from .loops.asyncio_names import running_loop
from .loops.shared import SharedLoop
from .request_body import BLOCK, DISCONNECT, PROBE_INTERVAL, RequestBody, client_probe

__all__ = ["SharedExchange", "end_all"]

logger = logging.getLogger("bridge")

# Seconds that work after the response has when its adapter is closed, before it is cancelled.
LINGER = 5.0


class SharedExchange:
    """A request and the app's task for it, on a loop that serves others as well."""

    def __init__(
        self,
        app: ASGIApp,
        scope: Scope,
        environ: Environ,
        body: RequestBody,
        shared: SharedLoop,
        running: "set[SharedExchange]",
    ) -> None:
        self._app = app
        self._scope = scope
        self._shared = shared
        self._loop = shared.loop
        # The server's thread.
        self._environ = environ
        self._body = body
        # Kept here, for what is logged later: uWSGI empties the environ when the server is done.
        self._errors = environ.get("wsgi.errors")
        self._probe = client_probe(environ)
        # Both; see the module's text.
        self._changed = threading.Condition()
        self._response = Response(scope["method"])
        #: A burst is complete: what is in the response is for the server.
        self._due = False
        #: The app waits for the next message of the body.
        self._wanted = False
        #: Early hints that wait to be sent.
        self._hints: list[Headers] = []
        #: The app waits in receive() or the response is under way, so that a client that leaves is to be
        #: noticed.
        self._watched = False
        #: The app has taken longer than ``HEAD_WAIT`` to begin its body, and the server can send the head alone; the
        #: app waits between its start and its body.
        self._head_alone: bool | None = None
        self._head_due = False
        #: The client is known to have left, or the server has no use for the rest.
        self._gone = False
        #: The app has ended: with this error, or well.
        self._ended = False
        self._error: BaseException | None = None
        #: The server has closed the response, and asks for no error any more.
        self.over = False
        # The loop. The requests of the same adapter are in one set, from _start() to _end().
        self._running = running
        self._task: asyncio.Task[BaseException | None] | None = None
        # As Failing.context in _exchange. Written once, before the task ends; read by who has its error.
        self.context: contextvars.Context | None = None
        #: The timer that cancels an app which has been told that nobody listens.
        self._last_call: asyncio.TimerHandle | None = None
        #: The timer that has the head go out alone.
        self._head_timer: asyncio.TimerHandle | None = None
        # Of the body: a message that was read and not received yet; whether one is still to come. The
        # thread's RequestBody is ahead of these by what is on its way.
        self._block: Message | None = None
        self._more_body = True
        if not body.blocks:
            self._block, self._more_body = body.read(), False
        self._flush_scheduled = False
        self._reader: asyncio.Future[None] | None = None
        self._waiters: set[asyncio.Future[None]] = set()
        self._drained: asyncio.Future[None] | None = None

    @property
    def pid(self) -> int:
        """The process that has the loop."""
        return self._shared.pid

    @property
    def name(self) -> str:
        """For the log."""
        return request_name(self._scope["method"], self._scope["path"])

    def belongs_to(self, owner: object) -> bool:
        """Whether it is one of that set, or will be."""
        return self._running is owner

    # The server's thread.

    def begin(self, start_response: StartResponse) -> Iterable[bytes]:
        """Run the app until the response's head is due, and return its body.

        Raises:
            Exception: what the app raised before that, or ``ApplicationError``.
        """
        try:
            self._shared.call_soon(self._start)
            response = self._response
            self._wait(self._begun)
            with self._changed:
                head = response.head
                if self._ended and response.phase is not COMPLETE:
                    raise self._failure()
                complete = response.phase is COMPLETE
                alone = not complete and not response.size
                self._head_alone = False
                chunk = response.take() if complete else b""
            if not complete:
                self._body.keep()
            elif head.content_length is None:
                response.say_length()
            write = start_response(*head[:2])
            if alone:
                send_head(self._environ, write)
        except BaseException:
            self.close()
            raise
        if not complete:
            return ResponseStream(self, start_response)
        if response.file is not None:
            wrapper: Callable[..., Iterable[bytes]] | None = self._environ.get("wsgi.file_wrapper")
            if wrapper is None:
                return ResponseStream(self, start_response)
            # The server closes it.
            file, response.file = response.file, None
            return wrapper(file, BLOCK)
        return [chunk] if chunk else []

    def _begun(self) -> bool:
        """Whether the head is due. Called with the lock."""
        phase = self._response.phase
        if phase is STARTED:
            # A read of the body may block, for as long as the client likes.
            return self._head_due or (self._wanted and sends_head(self._environ))
        return phase is COMPLETE or (self._due and phase is BODY)

    def next_chunk(self) -> bytes:
        """The next part of the body; empty at its end.

        Raises:
            Exception: what the app raised, or ``ApplicationError``: the response can't become complete.
        """
        if running_loop() is self._loop:
            raise RuntimeError(
                "a response was iterated on the shared event loop, for which it would wait for ever"
            )
        response = self._response
        self._watched = True
        self._wait(lambda: bool(response.size and self._due) or response.phase is COMPLETE)
        with self._changed:
            if response.size:
                chunk = response.take()
                self._due = False
                waits = self._drained is not None
            elif response.phase is COMPLETE:
                return response.read_file()
            else:
                raise self._failure()
        if waits:
            self._tell(self._drain)
        return chunk

    def close(self) -> None:
        """The server is done: an app whose response is not complete is told that nobody listens."""
        if self._body.kept is not None:
            self._body.kept.close()
        if self._response.file is not None:
            self._response.file.close()
        self.abandon()
        with self._changed:
            self.over = True
            error, self._error = self._error, None
        if error is not None:
            # The app had failed, and the server closed the response before it asked for more.
            self._log(error, gone=True)

    def abandon(self) -> None:
        """Tell an app whose response is not complete that it is of no use. From any thread."""
        with self._changed:
            if self._ended or self._gone or self._response.phase is COMPLETE:
                return
            self._gone = True
        self._tell(self._leave)

    def _tell(self, callback: Callable[..., object], *args: Any) -> None:
        """Have ``callback`` called on the loop. One that is closed has nobody who waits: the app has been cancelled."""
        with contextlib.suppress(RuntimeError):
            self._shared.call_soon(callback, *args)

    def _wait(self, due: Callable[[], bool]) -> None:
        """Do what the app asks for, until ``due()`` is true or the app has ended."""
        timeout = None if self._probe is None else PROBE_INTERVAL
        while True:
            with self._changed:
                while not (self._hints or due() or self._ended or self._wanted):
                    if self._head_alone is None:
                        if not self._changed.wait(HEAD_WAIT):
                            self._expect_head()
                    elif not self._changed.wait(timeout) and self._watched:
                        break
                # Hints come before the response that they are about, and what was sent before a read that may
                # block.
                hints, self._hints = self._hints, []
                if not hints:
                    if due() or self._ended:
                        return
                    wanted, self._wanted = self._wanted, False
            for hint in hints:
                self._environ["wsgi.early_hints"](hint)
            if hints:
                continue
            if wanted:
                self._read()
            elif self._probe is not None and self._probe():
                self.abandon()
                raise client_left(self._environ)

    def _expect_head(self) -> None:
        """From now on the loop looks whether the app waits. Called with the lock, and late: most are done by now."""
        self._head_alone = sends_head(self._environ)
        if self._head_alone and self._response.phase is STARTED:
            self._tell(self._expect_body)

    def _read(self) -> None:
        try:
            message = self._body.read()
        except Exception as exc:  # noqa: BLE001 - it is the app's to handle
            self._tell(self._fail, exc)
            return
        if message["type"] == DISCONNECT:
            # A body that ends early is how most servers tell that the client has left.
            self.abandon()
            return
        self._tell(self._feed, message)

    def _failure(self) -> BaseException:
        """Why the response is not complete although the app has ended. Called with the lock."""
        try:
            if self._error is not None:
                return self._error
        finally:
            self._error = self.context = None
        return client_left(self._environ) if self._gone else self._response.incomplete()

    # The loop's thread.

    def _start(self) -> None:
        coro = call_app(self._app, self._scope, self._receive, self._send, self._running, self)
        self._task = task = self._loop.create_task(coro)
        task.add_done_callback(self._end)
        self._running.add(self)

    def _end(self, task: asyncio.Task[BaseException | None]) -> None:
        error = _error(task)
        with self._changed:
            self._ended = True
            late = self._response.phase is COMPLETE
            gone = self._gone
            logged = late or gone
            if not (logged or self.over):
                # Its traceback has the app's frames, which have this object: it is kept for who takes it.
                self._error = error
            self._changed.notify()
        self._running.discard(self)
        self._task = None
        for timer in (self._last_call, self._head_timer):
            if timer is not None:
                timer.cancel()
        if error is not None and logged and not task.cancelled():
            self._log(error, gone=gone)

    def _log(self, error: BaseException, *, gone: bool) -> None:
        """From either thread: who has taken the error, and nobody else, has what is read here."""
        context, self.context = self.context, None
        log_late_error(error, self.name, self._errors, self._response.head.status, context, gone=gone)

    def _fail(self, error: Exception) -> None:
        reader, self._reader = self._reader, None
        if reader is not None and not reader.done():
            reader.set_exception(error)

    def _feed(self, message: Message) -> None:
        reader, self._reader = self._reader, None
        # Kept if who asked for it was cancelled: the next one has it.
        self._block = message
        self._more_body = message.get("more_body", False)
        if reader is not None and not reader.done():
            reader.set_result(None)

    def _drain(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None

    def _leave(self) -> None:
        """The client is gone: http.disconnect for who listens, then cancellation."""
        task = self._task
        if task is None:
            return
        listening = bool(self._waiters) or self._reader is not None
        self._wake()
        self._drain()
        if listening:
            self._last_call = self._loop.call_later(GRACE, task.cancel)
        else:
            task.cancel()

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        reader, self._reader = self._reader, None
        if reader is not None and not reader.done():
            reader.set_result(None)

    def _ask(self) -> None:
        with self._changed:
            self._wanted = True
            self._due = True
            self._changed.notify()

    def _expect_body(self) -> None:
        """The app has sent its start."""
        if not self._ended and self._head_timer is None:
            self._head_timer = self._loop.call_later(HEAD_WAIT, self._head_waits)

    def _head_waits(self) -> None:
        with self._changed:
            if self._response.phase is STARTED:
                self._head_due = True
                self._changed.notify()

    def _flush(self) -> None:
        self._flush_scheduled = False
        with self._changed:
            self._due = True
            self._changed.notify()

    async def _receive(self) -> Message:
        while True:
            if self._block is not None:
                message, self._block = self._block, None
                return message
            if self._gone or self._response.phase is COMPLETE:
                return {"type": DISCONNECT}
            if not self._more_body:
                break
            if self._reader is None:
                self._reader = self._loop.create_future()
                # While the thread reads it can't deliver: what can be sent now is sent before.
                self._loop.call_soon(self._ask)
            reader = self._reader
            await until_done(reader)
            try:
                reader.result()
            finally:
                del reader  # the error's traceback has this frame
        with self._changed:
            self._watched = True
            self._changed.notify()
        waiter = self._loop.create_future()
        self._waiters.add(waiter)
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)
        return {"type": DISCONNECT}

    async def _send(self, message: Message) -> None:
        response = self._response
        with self._changed:
            if self._gone:
                raise client_left()
            response.put(message)
            if response.hints:
                self._hints.append(early_hints(self._environ, response.hints.pop()))
                self._changed.notify()
                return
            complete = response.phase is COMPLETE
            full = response.size >= BLOCK
            head_alone = self._head_alone
            if complete or full:
                self._due = True
                self._changed.notify()
        if complete:
            self._wake()
            return
        if response.phase is not BODY:
            if head_alone:
                self._expect_body()
            return
        if not full:
            # The rest of this burst comes before this callback, and leaves with it.
            if not self._flush_scheduled:
                self._flush_scheduled = True
                self._loop.call_soon(self._flush)
            return
        while True:
            with self._changed:
                # Together, or the thread could take all there is in between, and see nobody who waits.
                if response.size < BLOCK or self._gone:
                    return
                if self._drained is None:
                    self._drained = self._loop.create_future()
                drained = self._drained
            await until_done(drained)


def _error(task: asyncio.Task[BaseException | None]) -> BaseException | None:
    """What the end of an app's task is to its server."""
    if task.cancelled():
        return ApplicationError("the app's task was cancelled, by the app itself or with its loop")
    error = raised(task)
    if isinstance(error, (SystemExit, KeyboardInterrupt)):
        # On the server's thread it would end the worker, and with it the loop of all requests.
        ending, error = error, ApplicationExit(f"the app raised {type(error).__name__}")
        error.__cause__ = ending
    return error


async def end_all(running: set[SharedExchange]) -> None:
    """End the requests of an adapter: those that still respond are told, others may finish their work.

    One that can't be cancelled is left behind: what comes after this, the app's shutdown, does not wait for it.
    """
    for exchange in running:
        exchange.abandon()
    tasks = {exchange._task: exchange.name for exchange in running if exchange._task is not None}
    if not tasks:
        return
    _, pending = await asyncio.wait(tasks, timeout=LINGER)
    for task in pending:
        task.cancel()
    if pending:
        _, pending = await asyncio.wait(pending, timeout=GRACE)
    for task in pending:
        logger.error("%s: the application was cancelled, and runs on; it is left behind", tasks[task])
