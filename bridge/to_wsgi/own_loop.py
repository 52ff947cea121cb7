"""One request on a loop of its own, in the thread that the WSGI server gave (``loop="request"``).

The loop runs when the server is in the adapter, and at no other time: in the call until the first part of the body is
there, in each ``__next__()`` until the next part, in ``close()`` for what comes after the response. How it is run, and
when it stops, is said in ``to_wsgi.loop_run``.

The exchange has the task, and the task has the error that the app raised, whose traceback has the frames that have the
exchange. So the exchange lets go of its task when the request ends, and no frame that an error passes through keeps the
error in a variable: the request's memory goes at once, without the garbage collector.

One thread at a time is in a ``RequestExchange``, so that it needs no lock: the server calls, iterates and closes, and
the app's coroutines run only inside those calls.
"""

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

from ..errors import ApplicationError
from ..log import request_name
from ..mapping.scope import path_for_log
from ..types import StartResponse
from .app_call import raised
from .app_errors import log_late_error, raised_by
from .client import DONE, LEFT, client_left
from .heads import OUT
from .iterables import ResponseStream, WholeResponse
from .loop_run import LoopRun
from .loops.asyncio_names import running_loop
from .loops.kept import close_loop, in_another_thread, refuse_running_loop
from .loops.pool import LoopPool
from .response import BODY, COMPLETE, FILE_BLOCK

__all__ = ["RequestExchange", "unclosed_on"]

logger = logging.getLogger("bridge")

# Requests whose response the server has and has not closed. The garbage collector may find such a response. Without
# this set it would find the app's coroutine and the loop with it, and end them in any order. So it finds the response
# alone, whose __del__() closes the request. Each object is added and discarded once, which a set needs no lock for.
_unclosed: "set[RequestExchange]" = set()


def unclosed_on(pool: LoopPool) -> set[asyncio.AbstractEventLoop]:
    """The loops of ``pool`` whose request has a response that the server has not closed. Any thread may ask.

    Others add and discard meanwhile. The set is copied as a whole: on free-threaded builds under its own lock.
    """
    return {exchange.loop for exchange in set(_unclosed) if exchange.owner is pool}


class RequestExchange(LoopRun):
    """A request, the app's task for it, and the loop under both: the server's side."""

    __slots__ = ()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The one that it has for itself."""
        return self._loop

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
            if response.phase < BODY and not self._task.done():
                self._advance()
            if response.phase is not COMPLETE and (self._task.done() or self.client is LEFT):
                # Even where the app had sent a part of the body: the server has had nothing of it, and can
                # still answer with an error.
                raise self._error()
            complete = response.phase is COMPLETE
            self._hand_over_head(start_response, alone=not (complete or response.size))
            self.head = OUT
            _unclosed.add(self)
            if not complete:
                return ResponseStream(self, start_response)
            if response.file is not None:
                return self._file_body(start_response)
        except BaseException:
            self.abandon()
            raise
        return WholeResponse(self, response.take())

    def _file_body(self, start_response: StartResponse) -> Iterable[bytes]:
        """The file of ``pathsend``, by the server's own means if the app has ended.

        An app that still works after its response needs somebody to run its loop, and those means don't. The file's
        ``close()`` can't do it: servers keep the file beyond the iteration, and waitress closes it in the thread of
        its sockets.
        """
        # A few rounds of callbacks are all that an app without such work needs to end.
        self._kept.run_ready(self._task)
        wrapper = self._file_wrapper()
        if wrapper is None or not self._task.done():
            return ResponseStream(self, start_response)
        file = self._response.take_file()
        self.close()
        return wrapper(file, FILE_BLOCK)

    def next_chunk(self) -> bytes:
        """The next part of the body; empty at its end.

        Raises:
            Exception: what the app raised, or ``ApplicationError``: the response can't become complete.
        """
        response = self._response
        while not response.size:
            if response.phase is COMPLETE:
                return response.read_file()
            if self.client is DONE:
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
            try:
                self._advance()
            except BaseException:
                self.abandon()
                raise
            if self.client is LEFT and not (self._response.size or self._task.done()):
                self._close_loop()
                raise client_left(self._environ)
        return response.take()

    def close(self) -> None:
        """The server is done: let the app do what is left, or tell it that nobody listens."""
        if self.client is DONE:
            return
        if running_loop() is not None:
            # PEP 3333 wants close() to be called, whatever happened: another thread can do it.
            in_another_thread(self.close)
            return
        if not self._task.done():
            try:
                if self._response.phase is COMPLETE:
                    self._run_to_end()
                else:
                    self._leave()
                    self._run_out()
            except BaseException as exc:
                self.abandon()
                # gunicorn's worker that is told to quit raises it wherever it is, and ends by itself; it would log this
                # one as an error of the request. Any other is of a task or a signal handler of the app's own.
                if isinstance(exc, SystemExit) and raised_by("gunicorn", exc):
                    return
                raise
            if not self._task.done():
                self._close_loop()
                return
        ending = None
        left = self.client is LEFT
        try:
            if self._task.cancelled() or raised(self._task) is not None:
                ending = self._log_late_error()
        finally:
            self._end()
            # An app that was cancelled with its client leaves what it may have waited for.
            self._pool.give_back(self._kept, None if left else self._tasks_left)
        if ending is not None:
            try:
                raise ending
            finally:
                del ending

    def _tasks_left(self, tasks: set[asyncio.Task[Any]]) -> None:
        self._hints.after_request(tasks, self._name())

    def abandon(self) -> None:
        """End the app, whatever it does, and close the loop: something else than the app failed."""
        if self.client is DONE:
            return
        self.client, self.head = LEFT, OUT
        try:
            # Here, and not by close_loop(), which knows nothing of the request.
            if not self._task.done():
                self._task.cancel()
                self._run_out()
        finally:
            self._close_loop()

    def _close_loop(self) -> None:
        """The end of a request whose loop serves no other."""
        if not self._task.done():
            logger.error("%s: the application was cancelled, and runs on; it is left behind", self._name())
        elif not self._task.cancelled():
            self._task.exception()  # it is known: asyncio need not log that nobody asked for it
        self._end()
        close_loop(self._loop)

    def _end(self) -> None:
        self.client = DONE
        _unclosed.discard(self)
        del self._task
        self.context = None  # it may lead back here
        if self._watch is not None:
            self._watch.cancel()
        if self._limit is not None:
            self._limit.cancel()
        if self._last_call is not None:
            self._last_call.cancel()
        self._close_files()

    def _log_late_error(self) -> BaseException | None:
        """What the app raised when its response was complete or of no more use is for the log.

        Returns:
            What it raised to end the process, which is for the server.
        """
        if self._reported:
            return None
        if self._task.cancelled():
            if self.client is not LEFT:
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
        log_late_error(error, self._name(), errors, status, self.context, gone=self.client is LEFT)

    def _name(self) -> str:
        return request_name(self._environ.get("REQUEST_METHOD", "GET"), path_for_log(self._environ))

    def _error(self) -> BaseException:
        """Why the response is not complete although the app has ended."""
        if not self._task.done():
            return client_left(self._environ)
        self._reported = True
        cancelled = self._task.cancelled()
        exc = None if cancelled else raised(self._task)
        if exc is not None:
            if self.client is LEFT and isinstance(exc, Exception):
                # The server would take it for an error of a response that somebody waits for.
                self._log(exc)
                return client_left(self._environ)
            self._hints.error(exc, self._name())
            return exc
        if self.client is LEFT:
            return client_left(self._environ)
        if cancelled:
            return ApplicationError("the app's task was cancelled, and not by the bridge")
        return self._response.incomplete()
