"""One request on a loop of its own, in the thread that the WSGI server gave (``loop="request"``).

The loop runs when the server is in the adapter, and at no other time: in the call until the first part of the
body is there, in each ``__next__()`` until the next part, in ``close()`` for what comes after the response.
It is stopped from inside, by ``send()``: a loop that is told to stop ends with the present round of
callbacks, so that what the app sends without waiting leaves as one chunk, and what it sends before it waits
is delivered before the wait.

``wsgi.input`` is read between two runs. A read may block; the tasks that could run have run by then, and what
they sent was delivered; while it blocks, nothing on the loop moves.

One thread at a time is in a ``RequestExchange``, so that it needs no lock: the server calls, iterates and
closes, and the app's coroutines run only inside those calls.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator

from ._exchange import (
    BLOCK,
    DISCONNECT,
    EARLY_HINT,
    GRACE,
    PROBE_INTERVAL,
    Phase,
    RequestBody,
    Response,
    ResponseStream,
    call_app,
    client_left,
    client_probe,
    early_hints,
)
from ._loops import LoopPool, RequestLoop, close_loop
from ._types import ASGIApp, Environ, Message, Scope, StartResponse
from .errors import ApplicationError

__all__ = ["RequestExchange"]

logger = logging.getLogger("bridge")

# Rounds of callbacks that may run before a read that blocks; an app whose tasks are never idle has to wait in
# the end.
_ROUNDS = 16


class RequestExchange:
    """A request, the app's task for it, and the loop under both."""

    __slots__ = (
        "_app",
        "_block",
        "_body",
        "_drained",
        "_environ",
        "_gone",
        "_loop",
        "_on_error",
        "_over",
        "_pool",
        "_probe",
        "_reader",
        "_reported",
        "_response",
        "_scope",
        "_task",
        "_waiters",
        "_watch",
    )

    def __init__(
        self,
        app: ASGIApp,
        scope: Scope,
        environ: Environ,
        body: RequestBody,
        pool: LoopPool,
        on_error: Callable[[BaseException], None],
    ) -> None:
        self._app = app
        self._scope = scope
        self._environ = environ
        self._body = body
        self._pool = pool
        self._on_error = on_error
        self._response = Response(scope["method"])
        self._loop = pool.take()
        self._task: asyncio.Task[None] | None = None
        #: The loop was given back or closed.
        self._over = False
        #: What the app raised has reached the server.
        self._reported = False
        #: The client is known to have left, or the server has no use for the rest.
        self._gone = False
        # A message of the body that was read and not received yet; who waits for it to be read.
        self._block: Message | None = None
        self._reader: asyncio.Future[None] | None = None
        # Who waits for the response's end in receive(); who waits in send() until the server has taken what
        # there is.
        self._waiters: set[asyncio.Future[None]] = set()
        self._drained: asyncio.Future[None] | None = None
        # How to see that the client has left, once somebody needed to know; the timer that looks again.
        self._probe: Callable[[], bool] | None = None
        self._watch: asyncio.TimerHandle | None = None

    # The server's side.

    def begin(self, start_response: StartResponse) -> Iterable[bytes]:
        """Run the app until the response's head is due, and return its body.

        Raises:
            Exception: what the app raised before that, or ``ApplicationError``; nothing is left of the
            request then.
        """
        try:
            self._task = self._loop.create_task(self._main())
            self._advance()
            response = self._response
            head = response.head
            if self._task.done() and (response.phase is not Phase.COMPLETE or head is None):
                # Even where the app had sent a part of the body: the server has had nothing of it, and can
                # still answer with an error.
                raise self._error()
            if head is None:
                raise AssertionError("the loop stopped without reason")
            start_response(head.status, head.headers)
            if response.phase is Phase.COMPLETE:
                if response.file is not None:
                    return self._file_body(start_response)
                chunk = response.take()
                return _Whole(self, [chunk] if chunk else [])
            return ResponseStream(self, start_response)
        except BaseException:
            self.abandon()
            raise

    def _file_body(self, start_response: StartResponse) -> Iterable[bytes]:
        """The file of ``pathsend``, by the server's own means if the app has ended: those know nothing of its rest."""
        # A few rounds of callbacks are the app's return, unless there is work after the response. Servers
        # keep the file beyond the iteration (waitress closes it in the thread of its sockets), so that
        # nothing may hang on its close().
        self._settle()
        file = self._response.file
        if file is not None and self._task is not None and self._task.done():
            self.close()
            wrapper: Callable[..., Iterable[bytes]] = self._environ["wsgi.file_wrapper"]
            return wrapper(file, BLOCK)
        return ResponseStream(self, start_response)

    def next_chunk(self) -> bytes:
        """The next part of the body; empty at its end.

        Raises:
            Exception: what the app raised, or ``ApplicationError``: the response can't become complete.
        """
        response = self._response
        while not response.size:
            if response.phase is Phase.COMPLETE:
                return response.file.read(BLOCK) if response.file is not None else b""
            if self._task is None or self._task.done():
                raise self._error()
            if self._watch is None:
                self._watch_client()
            self._advance()
        return response.take()

    def close(self) -> None:
        """The server is done: let the app finish what comes after the response, or tell it that nobody listens."""
        task = self._task
        if self._over or task is None:
            return
        if not task.done() and self._response.phase is not Phase.COMPLETE:
            self._leave()
        while not task.done():
            self._advance()
        self._log_late_error(task)
        self._settle()
        self._end()
        self._pool.give_back(self._loop)

    def abandon(self) -> None:
        """End the app, whatever it does, and close the loop: the way out when something else than the app failed."""
        if self._over:
            return
        task = self._task
        if task is not None and task.done() and not task.cancelled():
            task.exception()  # it is known: asyncio need not log that nobody asked for it
        self._end()
        self._response.close()
        close_loop(self._loop)

    def _end(self) -> None:
        self._over = True
        if self._watch is not None:
            self._watch.cancel()
        self._task = None  # it refers to the exchange

    def _log_late_error(self, task: asyncio.Task[None]) -> None:
        """What the app raised when its response was complete or of no more use goes to the log; there is no one else."""
        if task.cancelled():
            if not self._gone and not self._reported:
                logger.error("the application was cancelled after its response, and not by the bridge")
            return
        exc = task.exception()
        if exc is not None and not self._gone and not self._reported:
            self._on_error(exc)
            logger.error("the application failed after its response was complete", exc_info=exc)

    def _error(self) -> BaseException:
        """Why the response is not complete although the app has ended."""
        task = self._task
        if task is None:
            raise AssertionError("the exchange is over")
        self._reported = True
        if task.cancelled():
            if self._gone:
                return client_left()
            return ApplicationError("the app's task was cancelled, and not by the bridge")
        exc = task.exception()
        if exc is not None:
            self._on_error(exc)
            return exc
        if self._gone:
            return client_left()
        try:
            self._response.check_end()
        except ApplicationError as error:
            return error
        raise AssertionError("the response is complete")

    # The loop.

    def _advance(self) -> None:
        """Run the loop until something is there for the server, or the app has ended."""
        response = self._response
        task = self._task
        if task is None:
            raise AssertionError("the exchange is over")
        phase = response.phase
        if self._drained is not None:
            if not self._drained.done():
                self._drained.set_result(None)
            self._drained = None
        try:
            while True:
                if self._reader is not None and not self._feed(self._reader):
                    return
                self._loop.run_forever()
                if response.size or task.done():
                    return
                if response.phase is not phase and response.phase >= Phase.BODY:
                    return
        except BaseException:
            # Not of the app's task, whose errors stay in it: SystemExit or KeyboardInterrupt, by a signal or
            # by the app.
            self.abandon()
            raise

    def _feed(self, reader: asyncio.Future[None]) -> bool:
        """Read a message of the body for who waits for it; ``False``: the server has to have something first."""
        self._settle()
        if self._response.size:
            return False
        self._reader = None
        # It may have been cancelled: then nothing is read that nobody wants.
        if not reader.done():
            try:
                self._block = self._body.read()
            except Exception as exc:  # noqa: BLE001 - it is the app's to handle
                reader.set_exception(exc)
            else:
                reader.set_result(None)
        return True

    def _settle(self) -> None:
        """Run what can run without waiting, but for an app that is never idle; it ends early if the server has to act."""
        loop = self._loop
        for _ in range(_ROUNDS):
            if not isinstance(loop, RequestLoop) or not loop.has_ready() or self._response.size:
                return
            loop.call_soon(loop.stop)
            loop.run_forever()

    async def _main(self) -> None:
        try:
            await call_app(self._app, self._scope, self._receive, self._send)
        finally:
            self._loop.stop()

    # The app's side.

    async def _receive(self) -> Message:
        while True:
            if self._block is not None:
                message, self._block = self._block, None
                return message
            if self._gone or self._response.phase is Phase.COMPLETE:
                return {"type": DISCONNECT}
            if self._body.finished:
                break
            if not self._body.blocks:
                return self._body.read()
            if self._reader is None or self._reader.done():
                self._reader = self._loop.create_future()
                self._loop.stop()
                await self._reader
            else:
                # Somebody else waits for the same: what is read is for whom it finds first.
                await asyncio.wait({self._reader})
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
        if message["type"] == EARLY_HINT and response.phase is Phase.EMPTY:
            self._environ["wsgi.early_hints"](early_hints(self._environ, message))
            return
        was = response.phase
        response.put(message)
        if response.phase is Phase.COMPLETE:
            if was is Phase.COMPLETE:
                return  # a trailer
            self._wake()
            self._loop.stop()
            # What the app does now is done after the response, and must not delay it: not even if it never
            # waits.
            await asyncio.sleep(0)
        elif response.phase is Phase.BODY:
            self._loop.stop()
            while response.size >= BLOCK and not self._gone:
                if self._drained is None:
                    self._drained = self._loop.create_future()
                await asyncio.wait({self._drained})

    # The client.

    def _watch_client(self) -> None:
        """Look from time to time whether the client is still there, if the server lets us."""
        if self._probe is None:
            self._probe = client_probe(self._environ)
        if self._probe is not None:
            self._watch = self._loop.call_later(PROBE_INTERVAL, self._look)

    def _look(self) -> None:
        if self._gone or self._response.phase is Phase.COMPLETE or self._probe is None:
            return
        if self._probe():
            self._leave()
        else:
            self._watch_client()

    def _leave(self) -> None:
        """The client is gone: http.disconnect for who listens, then cancellation."""
        listening = bool(self._waiters)
        self._gone = True
        self._wake()
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        task = self._task
        if task is None:
            return
        if listening:
            self._watch = self._loop.call_later(GRACE, task.cancel)
        else:
            task.cancel()

    def _wake(self) -> None:
        """Let ``_receive()`` go on: there is nothing to come but http.disconnect."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        if self._reader is not None:
            if not self._reader.done():
                self._reader.set_result(None)
            self._reader = None


class _Whole:
    """A body that is all there; ``close()`` runs what the app does after it."""

    __slots__ = ("_chunks", "_exchange")

    def __init__(self, exchange: RequestExchange, chunks: list[bytes]) -> None:
        self._exchange = exchange
        self._chunks = chunks

    def __len__(self) -> int:
        # Servers take a Content-Length from a body of one item (PEP 3333, "Handling the Content-Length
        # Header").
        return len(self._chunks)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._chunks)

    def close(self) -> None:
        self._exchange.close()
