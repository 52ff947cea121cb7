"""One request on the process' shared loop (``loop="shared"``).

Two threads meet in a ``SharedExchange``: the one that the WSGI server gave, which alone may touch
``wsgi.input`` and what the server handed over, and the loop's. All that both look at is guarded by ``_lock``,
which is that of ``_changed``:

* the loop puts messages into ``_response``, the thread takes what waits there;
* the loop asks for a block of the body (``_wanted``), the thread reads it and posts it to the loop;
* the thread says that the head may go out alone, and the loop that the app waits for it (``head``);
* the loop says that the app has ended (``_ended``), the thread that the client has left or the server is done
  (``client``).

The thread waits on ``_changed`` and nowhere else, but for the server's own reads and writes. Its wait ends at the
latest with the app's task, whose done callback says so. Where there can be no task, ``_start()`` says it, and of one
that goes on after its adapter was closed, ``leave_behind()``. A task that is cancelled before its first step, or with
the loop, has that callback called too. The loop never waits for the thread: ``send()`` and ``receive()`` await futures.
The thread has them resolved on the loop; when it goes away, ``_leave()`` or ``_let_go()`` resolves them.
"""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from ..log import request_name
from ..threads.tally import Tally
from ..threads.waiting import until_done
from ..types import ASGIApp, Environ, Headers, Message, Scope, StartResponse
from .app_call import call_app, ending
from .app_errors import log_late_error
from .client import DISCONNECT, DONE, HERE, LEFT, PROBE_INTERVAL, client_left, client_probe
from .exchange import Exchange
from .heads import DUE, EXPECTED, HEAD_WAIT, HELD, OUT, sends_head
from .iterables import ResponseStream
from .loops.asyncio_names import running_loop
from .loops.shared import SharedLoop
from .request_body import RequestBody
from .response import BODY, COMPLETE, EMPTY, FILE_BLOCK, STARTED, UNSENT_LIMIT, early_hints

__all__ = ["Running", "SharedExchange"]


class Running(set["SharedExchange"]):
    """The requests of one adapter on the shared loop, whose thread alone changes the set; and what they count."""

    def __init__(self, tally: Tally) -> None:
        super().__init__()
        self.tally = tally


class SharedExchange(Exchange):
    """A request and the app's task for it, on a loop that serves others as well."""

    __slots__ = (
        *("_app", "_changed", "_drained", "_due", "_ended", "_error", "_errors", "_flush_scheduled"),
        *("_head_timer", "_hints", "_lock", "_probe", "_running", "_scope", "_shared", "_wanted"),
        *("_watched", "task"),
    )

    def __init__(
        self,
        app: ASGIApp,
        scope: Scope,
        environ: Environ,
        body: RequestBody,
        shared: SharedLoop,
        running: Running,
    ) -> None:
        super().__init__(environ, body, scope["method"])
        self._app = app
        self._scope = scope
        self._shared = shared
        self._loop = shared.loop
        # The server's thread.
        # Kept here, for what is logged later: uWSGI empties the environ when the server is done.
        # Not mod_wsgi's, which is gone with its request while this thread may be writing: sys.stderr is the same log.
        self._errors = None if "mod_wsgi.version" in environ else environ.get("wsgi.errors")
        self._probe = client_probe(environ)
        # Both; see the module's text.
        # Taken by itself: the interpreter may call a signal handler, which may raise, in a condition's __enter__() and
        # __exit__(), which are functions of Python. A lock's are in C.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        #: A burst is complete: what is in the response is for the server.
        self._due = False
        #: The app waits for the next message of the body.
        self._wanted = False
        #: The app waits in send() until the thread has taken what there is.
        self._drained: asyncio.Future[None] | None = None
        #: Early hints that wait to be sent.
        self._hints: list[Headers] = []
        #: Somebody has to notice when the client leaves: the app waits in receive(), or the response is under way.
        self._watched = False
        #: The app has ended: with this error, or well.
        self._ended = False
        self._error: BaseException | None = None
        # The loop's thread. The requests of the same adapter are in one set, from _start() to _end().
        self._running = running
        self.task: asyncio.Task[BaseException | None] | None = None
        #: The timer that has the head go out alone.
        self._head_timer: asyncio.TimerHandle | None = None
        self._flush_scheduled = False

    @property
    def owner(self) -> object:
        """The requests of the same adapter."""
        return self._running

    @property
    def pid(self) -> int:
        """The process that has the loop."""
        return self._shared.pid

    @property
    def name(self) -> str:
        """For the log."""
        return request_name(self._scope["method"], self._scope["path"])

    def unsent(self) -> int:
        """Any thread: bytes that wait for the server's."""
        with self._lock:
            return self._response.size

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
            with self._lock:
                complete = response.phase is COMPLETE
                if self._ended and not complete:
                    raise self._failure()
                alone = not (complete or response.size)
                self.head = OUT
                chunk = response.take() if complete else b""
                waits = complete and self._drained is not None
            if waits:
                self._tell(self._drain)
            self._hand_over_head(start_response, alone=alone)
        except BaseException:
            self.close()
            raise
        if not complete:
            return ResponseStream(self, start_response)
        if response.file is not None:
            wrapper = self._file_wrapper()
            if wrapper is None:
                return ResponseStream(self, start_response)
            return wrapper(response.take_file(), FILE_BLOCK)
        return [chunk] if chunk else []

    def _begun(self) -> bool:
        """Whether the head is due. Called with the lock."""
        phase = self._response.phase
        if phase is STARTED:
            # A read of the body may block, for as long as the client likes.
            return self.head is DUE or (self._wanted and sends_head(self._environ))
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
        with self._lock:
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
        self.abandon()
        # After it the app can't hand over a file any more.
        self._close_files()
        with self._lock:
            self.client = DONE
            error, self._error = self._error, None
            # Tasks of the app may wait yet: abandon() tells none of an app that has ended, or of a response that has.
            waits = self._drained is not None or (self._ended and self._response.phase is not COMPLETE)
        if waits:
            self._tell(self._let_go)
        if error is not None:
            # The app had failed, and the server closed the response before it asked for more.
            self._log(error, gone=True)

    def abandon(self) -> None:
        """Tell an app whose response is not complete that it is of no use. From any thread."""
        with self._lock:
            if self._ended or self.client is not HERE or self._response.phase is COMPLETE:
                return
            self.client = LEFT
        self._running.tally.add("clients_left")
        self._tell(self._leave)

    def _tell(self, callback: Callable[..., object], *args: Any) -> None:
        """Have ``callback`` called on the loop. One that is closed has nobody who waits: the app has been cancelled."""
        with contextlib.suppress(RuntimeError):
            self._shared.call_soon(callback, *args)

    def _wait(self, due: Callable[[], bool]) -> None:
        """Do what the app asks for, until ``due()`` is true or the app has ended."""
        timeout = None if self._probe is None else PROBE_INTERVAL
        while True:
            with self._lock:
                while not (self._hints or due() or self._ended or self._wanted):
                    if self.head is HELD:
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
        """``HEAD_WAIT`` is over without a body: have the loop look whether the app waits. Called with the lock."""
        self.head = EXPECTED if sends_head(self._environ) else OUT
        if self.head is EXPECTED and self._response.phase is STARTED:
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
        self._tell(self._deliver, message)

    def _failure(self) -> BaseException:
        """Why the response is not complete although the app has ended. Called with the lock."""
        try:
            if self._error is not None:
                return self._error
        finally:
            self._error = self.context = None
        return self._response.incomplete() if self.client is HERE else client_left(self._environ)

    # The loop's thread.

    def _start(self) -> None:
        coro = call_app(self._app, self._scope, self._receive, self._send, self._running, self)
        try:
            self.task = task = self._loop.create_task(coro)
        except Exception as exc:  # noqa: BLE001 - of a task factory; it is the server's to handle
            coro.close()
            with self._lock:
                self._ended = True
                self._error = exc if self.client is HERE else None
                self._changed.notify()
            return
        task.add_done_callback(self._end)
        self._running.add(self)

    def _end(self, task: asyncio.Task[BaseException | None]) -> None:
        error = ending(task)
        with self._lock:
            self._ended = True
            complete = self._response.phase is COMPLETE
            gone = not complete and self.client is not HERE
            logged = complete or gone
            if not logged:
                # Its traceback has the app's frames, which have this object: it is kept for who takes it.
                self._error = error
            self._changed.notify()
        self._running.discard(self)
        self.task = None
        for timer in (self._last_call, self._head_timer):
            if timer is not None:
                timer.cancel()
        if error is not None and logged and not task.cancelled():
            self._log(error, gone=gone)

    def leave_behind(self) -> None:
        """The app was cancelled, and runs on: its server waits no longer. The task may yet end."""
        with self._lock:
            self._ended = True
            self._changed.notify()

    def _log(self, error: BaseException, *, gone: bool) -> None:
        """From either thread: who has taken the error, and nobody else, has what is read here."""
        context, self.context = self.context, None
        log_late_error(error, self.name, self._errors, self._response.head.status, context, gone=gone)

    def _leave(self) -> None:
        """The client has left."""
        if self.task is None:
            self._let_go()
        else:
            self._drain()
            self._dismiss(self.task)

    def _let_go(self) -> None:
        """Let all tasks go on that wait for the server."""
        self._drain()
        self._wake()

    def _ask(self) -> None:
        with self._lock:
            self._wanted = True
            # Where nothing of the body was sent yet, the first burst comes after the read, and is not complete.
            self._due = self._response.phase is BODY
            self._changed.notify()

    def _expect_body(self) -> None:
        """The app has sent its start."""
        if not self._ended and self._head_timer is None:
            self._head_timer = self._loop.call_later(HEAD_WAIT, self._head_waits)

    def _head_waits(self) -> None:
        with self._lock:
            if self._response.phase is STARTED and self.head is EXPECTED:
                self.head = DUE
                self._changed.notify()

    def _flush(self) -> None:
        self._flush_scheduled = False
        if self.task is None or self.task.done():
            # _end() is next, and tells of both: an app that fails in its first burst still gets its server's 500.
            return
        with self._lock:
            self._due = True
            self._changed.notify()

    async def _read_on(self) -> None:
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

    def _listen(self) -> None:
        with self._lock:
            self._watched = True
            self._changed.notify()

    async def _send(self, message: Message) -> None:
        response = self._response
        with self._lock:
            if self.client is not HERE and response.phase is not COMPLETE:
                raise client_left()
            response.put(message)
            if response.phase is EMPTY:
                self._hints.append(early_hints(self._environ, message))
                self._changed.notify()
                return
            complete = response.phase is COMPLETE
            full = response.size >= UNSENT_LIMIT
            expected = self.head is EXPECTED
            if complete or full:
                self._due = True
                self._changed.notify()
        if complete:
            self._wake()
            return
        if response.phase is not BODY:
            if expected:
                self._expect_body()
            return
        if not full:
            # The rest of this burst comes before this callback, and leaves with it.
            if not self._flush_scheduled:
                self._flush_scheduled = True
                self._loop.call_soon(self._flush)
            return
        while True:
            with self._lock:
                # Together, or the thread could take all there is in between, and see nobody who waits.
                if response.size < UNSENT_LIMIT or self.client is not HERE:
                    return
                drain = self._drain_comes()
            await drain

    def _drain_comes(self) -> Awaitable[object]:
        """What to await, at once, until the server has taken what there is, or nobody is there to take it."""
        if self._drained is None or self._drained.done():
            self._drained = self._loop.create_future()
            return self._drained
        # Somebody else waits for the same.
        return until_done(self._drained)

    def _drain(self) -> None:
        """Let ``send()`` go on."""
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)
