"""One request on a loop of its own, in the thread that the WSGI server gave (``loop="request"``).

The loop runs when the server is in the adapter, and at no other time: in the call until the first part of the
body is there, in each ``__next__()`` until the next part, in ``close()`` for what comes after the response.
It is stopped from inside, by ``send()``: a loop that is told to stop ends with the present round of
callbacks, so that what the app sends without waiting leaves as one chunk, and what it sends before it waits
is delivered before the wait.

Between its start and its body an app that waits has ``HEAD_WAIT`` seconds, on the servers that can send a head alone;
then it goes out. An app that sends both without waiting, however many rounds of callbacks it takes, pays nothing for
that: the timer is set when the loop has nothing left to run.

``wsgi.input`` is read between two runs. A read may block; the tasks that could run have run by then, and what
they sent was delivered; while it blocks, nothing on the loop moves.

The exchange has the task, and the task has the error that the app raised, whose traceback has the frames that
have the exchange. So the exchange lets go of its task when the request ends, and no frame that an error passes
through keeps the error in a variable: the request's memory goes at once, without the garbage collector.

One thread at a time is in a ``RequestExchange``, so that it needs no lock: the server calls, iterates and
closes, and the app's coroutines run only inside those calls.
"""

import asyncio
import contextvars
import logging
import types
from collections.abc import Callable, Generator, Iterable
from typing import Any

from ..errors import ApplicationError
from ..log import request_name
from ..mapping.scope import path_for_log
from ..threads.waiting import until_done
from ..types import ASGIApp, Environ, Message, Scope, StartResponse
from .exchange import (
    BODY,
    COMPLETE,
    EMPTY,
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
from .iterables import ResponseStream, WholeResponse
from .loop_hints import LoopHints
from .loops.asyncio_names import running_loop
from .loops.kept import close_loop, in_another_thread, refuse_running_loop
from .loops.pool import LoopPool
from .request_body import BLOCK, DISCONNECT, PROBE_INTERVAL, RequestBody, client_probe

__all__ = ["RequestExchange"]

logger = logging.getLogger("bridge")

# Requests whose response the server has and has not closed. Where the response is let go of by the garbage collector,
# this keeps the rest: the collector would end the app's coroutine and close the loop as well, at once and in no order.
# Each object is added and discarded once, which a set needs no lock for.
_unclosed: "set[RequestExchange]" = set()


class RequestExchange:
    """A request, the app's task for it, and the loop under both."""

    # What most requests never change.

    #: The loop was given back or closed.
    over = False
    #: What the app raised has reached the server.
    _reported = False
    #: The client is known to have left, or the server has no use for the rest.
    _gone = False
    _task: asyncio.Task[BaseException | None]
    # As Failing.context in _exchange.
    context: contextvars.Context | None = None
    # The task will tell the loop to stop when it ends. Until then the loop has not waited.
    _stops_at_end = False
    # The app waits between its start and its body, so that the head is to go out alone; it has gone out.
    _head_due = False
    _head_out = False
    # A message of the body that was read and not received yet; who waits for one to be read.
    _block: Message | None = None
    _reader: asyncio.Future[None] | None = None
    # Who waits in send() until the server has taken what there is.
    _drained: asyncio.Future[None] | None = None
    # How to see that the client has left, once somebody needs to know; the timer that looks again.
    _probe: Callable[[], bool] | None = None
    _watch: asyncio.TimerHandle | None = None

    def __init__(
        self,
        app: ASGIApp,
        scope: Scope,
        environ: Environ,
        body: RequestBody,
        pool: LoopPool,
        hints: LoopHints,
    ) -> None:
        self._environ = environ
        self._body = body
        self._hints = hints
        self._response = Response(scope["method"])
        # Who waits in receive() for the response's end.
        self._waiters: set[asyncio.Future[None]] = set()
        self._pool = pool
        self._kept = kept = pool.take()
        self._loop = kept.loop
        self._task = kept.begin(call_app(app, scope, self._receive, self._send, pool, self))

    def belongs_to(self, owner: object) -> bool:
        """Whether it is a request of that pool."""
        return self._pool is owner

    def __repr__(self) -> str:
        return f"<RequestExchange {self._response.phase.name} over={self.over} gone={self._gone}>"

    @property
    def pid(self) -> int:
        """The process that has the loop."""
        return self._pool.pid

    # The server's side.

    def begin(self, start_response: StartResponse) -> Iterable[bytes]:
        """Run the app until the response's head is due, and return its body.

        Raises:
            Exception: what the app raised before that, or ``ApplicationError``; nothing is left of the
            request then.
        """
        response = self._response
        try:
            self._advance()
            if response.phase is not COMPLETE and self._task.done():
                # Even where the app had sent a part of the body: the server has had nothing of it, and can
                # still answer with an error.
                raise self._error()
            if response.phase is not COMPLETE:
                self._body.keep()
            elif response.head.content_length is None:
                response.say_length()
            write = start_response(response.head.status, response.head.headers)
            _unclosed.add(self)
            if response.phase is not COMPLETE:
                self._head_out = True
                if not response.size:
                    send_head(self._environ, write)
                return ResponseStream(self, start_response)
            if response.file is not None:
                return self._file_body(start_response)
        except BaseException:
            self.abandon()
            raise
        return WholeResponse(self, response.take())

    def _file_body(self, start_response: StartResponse) -> Iterable[bytes]:
        """The file of ``pathsend``, by the server's own means if the app has ended.

        Those know nothing of work after the response. Nor can it hang on the file's ``close()``: servers keep
        the file beyond the iteration, and waitress closes it in the thread of its sockets.
        """
        # A few rounds of callbacks are all that an app without such work needs to end.
        self._kept.run_ready(self._task)
        response = self._response
        wrapper: Callable[..., Iterable[bytes]] | None = self._environ.get("wsgi.file_wrapper")
        if wrapper is not None and self._task.done():
            file, response.file = response.file, None
            self.close()
            return wrapper(file, BLOCK)
        return ResponseStream(self, start_response)

    def next_chunk(self) -> bytes:
        """The next part of the body; empty at its end.

        Raises:
            Exception: what the app raised, or ``ApplicationError``: the response can't become complete.
        """
        response = self._response
        while not response.size:
            if response.phase is COMPLETE:
                return response.read_file()
            if self.over:
                raise client_left(self._environ)
            if self._task.done():
                try:
                    raise self._error()
                finally:
                    self.close()
            if running_loop() is not None:
                refuse_running_loop("iterated")
            if self._watch is None:
                self._watch_client()
            self._advance()
        return response.take()

    def close(self) -> None:
        """The server is done: let the app do what is left, or tell it that nobody listens."""
        if self.over:
            return
        if running_loop() is not None:
            # PEP 3333 wants close() to be called, whatever happened: another thread can do it.
            in_another_thread(self.close)
            return
        if not self._task.done():
            self._leave()
            try:
                while not self._task.done():
                    self._advance()
            except SystemExit as exc:
                # gunicorn's worker that is told to quit raises it wherever it is, and ends by itself; it would log this
                # one as an error of the request. Any other is of a task or a signal handler of the app's own.
                if not _is_gunicorns(exc):
                    raise
                return
        ending = None
        if self._task.cancelled() or raised(self._task) is not None:
            ending = self._log_late_error()
        gone = self._gone
        self._end()
        # An app that was cancelled with its client leaves what it may have waited for.
        self._pool.give_back(self._kept, None if gone else self._left)
        if ending is not None:
            try:
                raise ending
            finally:
                del ending

    def _left(self, tasks: set[asyncio.Task[Any]]) -> None:
        self._hints.after_request(tasks, self._name())

    def abandon(self) -> None:
        """End the app, whatever it does, and close the loop: something else than the app failed."""
        if self.over:
            return
        self._gone = self._head_out = True
        try:
            # Here, and not by close_loop(): asyncio's own frames would keep the task.
            if not self._task.done():
                self._task.cancel()
            while not self._task.done():
                if not self._kept.run_ready(self._task):
                    self._run()
            if not self._task.cancelled():
                self._task.exception()  # it is known: asyncio need not log that nobody asked for it
        finally:
            self._end()
            close_loop(self._loop)

    def _end(self) -> None:
        self.over = True
        _unclosed.discard(self)
        self._gone = True  # for what may still be running, until it is cancelled
        del self._task
        self.context = None  # it may lead back here
        if self._watch is not None:
            self._watch.cancel()
        if self._body.kept is not None:
            self._body.kept.close()
        if self._response.file is not None:
            self._response.file.close()

    def _log_late_error(self) -> BaseException | None:
        """What the app raised when its response was complete or of no more use is for the log.

        Returns:
            What it raised to end the process, which is for the server.
        """
        if self._reported:
            return None
        if self._task.cancelled():
            if not self._gone:
                logger.error(
                    "%s: the application cancelled its own task after its response",
                    self._name(),
                )
            return None
        exc = raised(self._task)
        if exc is None or self._task.exception() is None:
            return exc
        self._log(exc)
        return None

    def _log(self, error: BaseException) -> None:
        self._hints.error(error, self._name())
        errors, status = self._environ.get("wsgi.errors"), self._response.head.status
        log_late_error(error, self._name(), errors, status, self.context, gone=self._gone)

    def _name(self) -> str:
        return request_name(self._environ.get("REQUEST_METHOD", "GET"), path_for_log(self._environ))

    def _error(self) -> BaseException:
        """Why the response is not complete although the app has ended."""
        self._reported = True
        cancelled = self._task.cancelled()
        exc = None if cancelled else raised(self._task)
        if exc is not None:
            if self._gone and isinstance(exc, Exception):
                # The server would take it for an error of a response that somebody waits for.
                self._log(exc)
                return client_left(self._environ)
            self._hints.error(exc, self._name())
            return exc
        if self._gone:
            return client_left(self._environ)
        if cancelled:
            return ApplicationError("the app's task was cancelled, and not by the bridge")
        return self._response.incomplete()

    # The loop.

    def _advance(self) -> None:
        """Run the loop until something is there for the server, or the app has ended."""
        response = self._response
        phase = response.phase
        if self._drained is not None:
            if not self._drained.done():
                self._drained.set_result(None)
            self._drained = None
        try:
            while True:
                if self._reader is not None and not self._feed():
                    return
                if not self._kept.run_ready(self._task):
                    self._run()
                if response.size or self._task.done():
                    return
                if response.phase is not phase and response.phase >= BODY:
                    return
                if self._head_due and not self._head_out:
                    return
        except BaseException:
            # Not the app's errors, which stay in its task: SystemExit or KeyboardInterrupt, by a signal or another
            # task of the app.
            self.abandon()
            raise

    def _feed(self) -> bool:
        """Read a message of the body for who waits for it; false: the server has to have something first."""
        self._kept.run_ready(self._task)
        if self._response.size or self._head_alone():
            return False
        reader, self._reader = self._reader, None
        # It may have been cancelled: then nothing is read that nobody wants.
        if reader is not None and not reader.done():
            try:
                message = self._body.read()
            except Exception as exc:  # noqa: BLE001 - it is the app's to handle
                reader.set_exception(exc)
                del reader  # the error's traceback has this frame
            else:
                if message["type"] == DISCONNECT:
                    # A body that ends early is how most servers tell that the client has left.
                    self._reader = reader
                    self._leave()
                else:
                    self._block = message
                    reader.set_result(None)
        return True

    def _run(self) -> None:
        """Run the loop until it is told to stop, or the app has ended."""
        if not self._stops_at_end:
            self._stops_at_end = True
            self._task.add_done_callback(lambda _: self._stop())
        # All that could run has run: the app waits.
        timer = self._loop.call_later(HEAD_WAIT, self._head_waits) if self._head_alone() else None
        try:
            self._pool.run(self._kept, self._leave)
        finally:
            if timer is not None:
                timer.cancel()

    def _head_alone(self) -> bool:
        """Whether the server can have the head, and nothing else as yet."""
        return self._response.phase is STARTED and not self._head_out and sends_head(self._environ)

    def _head_waits(self) -> None:
        self._head_due = True
        self._stop()

    def _stop(self) -> None:
        # Who closes the loop runs it as well, and not for the server.
        if not self.over:
            self._loop.stop()

    # The app's side.

    async def _receive(self) -> Message:
        while True:
            if self._block is not None:
                message, self._block = self._block, None
                return message
            if self._gone or self._response.phase is COMPLETE:
                return {"type": DISCONNECT}
            if self._body.finished:
                break
            if not self._body.blocks:
                return self._body.read()
            if self._reader is None or self._reader.done():
                self._reader = self._loop.create_future()
                self._stop()
                await self._reader
            else:
                # Somebody else waits for the same: what is read is for whom it finds first.
                await until_done(self._reader)
        if self._watch is None:
            self._watch_client()
        waiter = self._loop.create_future()
        self._waiters.add(waiter)
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)
        return {"type": DISCONNECT}

    async def _send(self, message: Message) -> None:
        response = self._response
        if self._gone:
            raise client_left()
        was = response.phase
        response.put(message)
        phase = response.phase
        if phase is COMPLETE:
            if was is COMPLETE:
                return  # a trailer
            self._wake()
            self._stop()
            # What the app does now comes after the response, and must not delay it, even if it never waits.
            await _once()
        elif phase is BODY:
            self._stop()
            while response.size >= BLOCK and not self._gone:
                if self._drained is None:
                    self._drained = self._loop.create_future()
                await until_done(self._drained)
        elif phase is STARTED:
            # A loop that has waited already runs on until it is told: _run() has to see that it waits again.
            if self._stops_at_end and sends_head(self._environ):
                self._stop()
        elif phase is EMPTY:
            hint = early_hints(self._environ, response.hints.pop())
            self._environ["wsgi.early_hints"](hint)

    # The client.

    def _watch_client(self) -> None:
        """Look from time to time whether the client is still there, if the server lets us."""
        if self._probe is None:
            self._probe = client_probe(self._environ)
        if self._probe is not None:
            self._watch = self._loop.call_later(PROBE_INTERVAL, self._look)

    def _look(self) -> None:
        if self._probe is None or self._gone or self._response.phase is COMPLETE:
            return
        if self._probe():
            self._leave()
        else:
            self._watch_client()

    def _leave(self) -> None:
        """The response is of no more use: http.disconnect for who listens, then cancellation."""
        if self._gone or self._response.phase is COMPLETE:
            return
        listening = bool(self._waiters) or self._reader is not None
        self._gone = True
        self._wake()
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        if self._watch is not None:
            self._watch.cancel()
        if listening:
            if self._watch is not None:
                self._watch.cancel()
            self._watch = self._loop.call_later(GRACE, self._task.cancel)
        else:
            self._task.cancel()

    def _wake(self) -> None:
        """Let ``_receive()`` go on: there is nothing to come but http.disconnect."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        if self._reader is not None:
            if not self._reader.done():
                self._reader.set_result(None)
            self._reader = None


def _is_gunicorns(error: BaseException) -> bool:
    """Whether gunicorn's own code has raised it, as its workers' signal handlers do."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    if traceback is None:
        return False
    module: str = traceback.tb_frame.f_globals.get("__name__", "")
    return module.startswith("gunicorn.")


@types.coroutine
def _once() -> Generator[None, None, None]:
    """``asyncio.sleep(0)``."""
    yield
