"""A loop that runs for one request: the app's side of ``loop="request"``, and when the loop stops.

It is stopped from inside, by ``send()``: a loop that is told to stop ends with the present round of callbacks, so that
what the app sends without waiting leaves as one chunk, and what it sends before it waits is delivered before the wait.

Between its start and its body an app that waits has ``HEAD_WAIT`` seconds, on the servers that can send a head alone;
then it goes out. An app that sends both without waiting, however many rounds of callbacks it takes, pays nothing for
that: the timer is set when the loop has nothing left to run.

``wsgi.input`` is read between two runs. A read may block; the tasks that could run have run by then, and what they sent
was delivered; while it blocks, nothing on the loop moves.
"""

import asyncio
import types
from collections.abc import Callable, Generator

from ..threads.waiting import until_done
from ..types import ASGIApp, Environ, Message, Scope
from .app_call import call_app
from .client import DISCONNECT, DONE, HERE, LEFT, PROBE_INTERVAL, client_left, client_probe
from .exchange import Exchange
from .heads import DUE, HEAD_WAIT, HELD, sends_head
from .loop_hints import LoopHints
from .loops.kept import CANCEL_LIMIT, close_loop
from .loops.pool import LoopPool
from .request_body import RequestBody
from .response import BODY, COMPLETE, EMPTY, STARTED, UNSENT_LIMIT, early_hints

__all__ = ["LoopRun"]


class LoopRun(Exchange):
    """A request and the app's task for it, on a loop from a pool."""

    __slots__ = (
        "_hints",
        "_kept",
        "_limit",
        "_pool",
        "_probe",
        "_reported",
        "_stops_at_end",
        "_task",
        "_watch",
    )

    _task: asyncio.Task[BaseException | None]

    def __init__(
        self,
        app: ASGIApp,
        scope: Scope,
        environ: Environ,
        body: RequestBody,
        pool: LoopPool,
        hints: LoopHints,
    ) -> None:
        super().__init__(environ, body, scope["method"])
        #: The task will tell the loop to stop when it ends. Until then the loop has not waited.
        self._stops_at_end = False
        #: What the app raised has reached the server.
        self._reported = False
        #: How to see that the client has left, once somebody needs to know; the timer that looks again.
        self._probe: Callable[[], bool] | None = None
        self._watch: asyncio.TimerHandle | None = None
        #: The timer of an app that was told to end; cancelled when it has had its time.
        self._limit: asyncio.TimerHandle | None = None
        self._hints = hints
        self._pool = pool
        self._kept = kept = pool.take()
        self._loop = kept.loop
        coro = call_app(app, scope, self._receive, self._send, pool, self)
        try:
            # It may have taken its first step already.
            self._task = kept.begin(coro)
        except BaseException:
            close_loop(self._loop)
            raise

    @property
    def owner(self) -> object:
        """The pool of the adapter."""
        return self._pool

    # The loop.

    def _advance(self) -> None:
        """Run the loop until something is there for the server, or the app has ended.

        If neither, the head is due, or the client has left and the app goes on after ``CANCEL_LIMIT``.

        Raises:
            BaseException: SystemExit or KeyboardInterrupt, by a signal or another task of the app; the app's own errors
                stay in its task. ``abandon()`` is to be called then.
        """
        response = self._response
        phase = response.phase
        while True:
            if self.client is LEFT:
                self._run_out()
                return
            if self._reader is not None and not self._feed():
                return
            if not self._kept.run_ready(self._task):
                self._run()
            if response.size or self._task.done():
                return
            if self.client is LEFT:
                continue
            if response.phase is not phase and response.phase >= BODY:
                return
            if self.head is DUE:
                return

    def _run_to_end(self) -> None:
        """Run the loop until the app ends, which it has not: nothing that it sends or asks for is of use any more."""
        while True:
            if not self._kept.run_ready(self._task):
                self._run()
            if self._task.done():
                return

    def _run_out(self) -> None:
        """As ``_run_to_end()``, for an app that was told to end: for ``CANCEL_LIMIT`` seconds at most."""
        limit = self._set_limit()
        while not (limit.cancelled() or self._task.done()):
            if not self._kept.run_ready(self._task):
                self._run()

    def _set_limit(self) -> asyncio.TimerHandle:
        if self._limit is None:
            self._limit = self._loop.call_later(CANCEL_LIMIT, self._give_up)
        return self._limit

    def _give_up(self) -> None:
        self._set_limit().cancel()
        self._stop()

    def _feed(self) -> bool:
        """Read a message of the body for who waits for it; false: the server has to have something first."""
        self._kept.run_ready(self._task)
        if self._response.size or self._head_alone():
            return False
        if self._reader is None or self._reader.done():
            # Cancelled: nothing is read that nobody wants.
            self._reader = None
            return True
        try:
            message = self._body.read()
        except Exception as exc:  # noqa: BLE001 - it is the app's to handle
            self._fail(exc)
        else:
            if message["type"] == DISCONNECT:
                # A body that ends early is how most servers tell that the client has left.
                self._leave()
            else:
                self._deliver(message)
        return True

    def _run(self) -> None:
        """Run the loop until it is told to stop, or the app has ended."""
        if not self._stops_at_end:
            # In this order: who is interrupted in between by a signal has its loop stopped all the same.
            self._task.add_done_callback(lambda _: self._stop())
            self._stops_at_end = True
        # All that could run has run: the app waits.
        timer = self._loop.call_later(HEAD_WAIT, self._head_waits) if self._head_alone() else None
        try:
            self._pool.run(self._kept, self._leave)
        finally:
            if timer is not None:
                timer.cancel()

    def _head_alone(self) -> bool:
        """Whether the server can have the head, and nothing else as yet."""
        return self._response.phase is STARTED and self.head is HELD and sends_head(self._environ)

    def _head_waits(self) -> None:
        self.head = DUE
        self._stop()

    def _stop(self) -> None:
        # Who closes the loop runs it as well, and not for the server.
        if self.client is not DONE:
            self._loop.stop()

    # The app's side.

    async def _read_on(self) -> None:
        if self._reader is None or self._reader.done():
            self._reader = self._loop.create_future()
            self._stop()
            await self._reader
        else:
            # Somebody else waits for the same: what is read is for whom it finds first.
            await until_done(self._reader)

    def _listen(self) -> None:
        if self._watch is None:
            self._watch_client()

    async def _send(self, message: Message) -> None:
        response = self._response
        if self.client is not HERE:
            raise client_left()
        was = response.phase
        response.put(message)
        phase = response.phase
        if phase is COMPLETE:
            if was is COMPLETE:
                return  # a trailer
            self._loop.stop()
            try:
                # What the app does now comes after the response, and must not delay it, even if it never waits.
                await _once()
            finally:
                # Not before: who listens may cancel this task, and an ASGI server lets it go on from here first.
                if self._listeners or self._reader is not None:
                    self._wake()
        elif phase is BODY:
            self._loop.stop()
            # The loop runs on when the server has taken what there is. So no future is needed to wait for that.
            while response.size >= UNSENT_LIMIT and self.client is HERE:
                await _once()
        elif phase is STARTED:
            # Once the loop has waited, only stop() ends its run, and only the next _run() sets the timer for the head.
            if self._stops_at_end and sends_head(self._environ):
                self._stop()
        elif phase is EMPTY:
            hint = early_hints(self._environ, message)
            self._environ["wsgi.early_hints"](hint)

    # The client.

    def _watch_client(self) -> None:
        """Look from time to time whether the client is still there, if the server lets us."""
        if self._probe is None:
            self._probe = client_probe(self._environ)
        if self._probe is not None:
            self._watch = self._loop.call_later(PROBE_INTERVAL, self._look)

    def _look(self) -> None:
        if self._probe is None or self.client is not HERE or self._response.phase is COMPLETE:
            return
        if self._probe():
            self._leave()
        else:
            self._watch_client()

    def _leave(self) -> None:
        """The response is of no more use."""
        if self.client is not HERE or self._response.phase is COMPLETE:
            return
        self.client = LEFT
        self._pool.tally.add("clients_left")
        if self._watch is not None:
            self._watch.cancel()
        self._dismiss(self._task)
        # The run goes on, so that a pool that is closed waits for the app's end.
        self._set_limit()


@types.coroutine
def _once() -> Generator[None, None, None]:
    """``asyncio.sleep(0)``."""
    yield
