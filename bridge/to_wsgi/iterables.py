"""What the server gets as the body of a response, and what becomes of one that nobody closes.

``close()`` is the server's duty, and that of whatever stands between (PEP 3333, "Specification Details"): there the app
does what comes after its response, and the loop of the request is given back. Much of what stands between forgets it: a
middleware that makes a list of the body, gateways of functions as a service, the test clients of Werkzeug and Flask.
Then ``__del__()`` does it, when the last one who has the body lets go of it. An iterator may outlive its iterable, so
each one keeps it.

Python calls ``__del__()`` in whatever thread and at whatever moment. What comes after a response is run at once, in
that thread, so that a test has it behind itself when it lets go of the response, but for:

* a thread whose event loop is running, which can't run another one;
* the garbage collector, which works in the middle of any code: that code may hold a lock that the app takes, or one of
  ours. ``watch_collector()`` has the collector tell where it is at work.

There a new thread does it. It is begun without ``threading``, whose own locks the interrupted code may hold, and whose
``start()`` waits for the new thread.

In a forked child the request is the parent's, and left alone. When the interpreter ends, nothing is run any more.

Threads are told apart by the system's number, which no library replaces by that of a greenlet. Which thread owns what:
``_Collector.thread`` is written by the thread that collects, and no two do at the same time; any other thread that
reads it compares it with itself, and can't be misled by a value that is not its own. ``_warned`` is written by any
thread: two that meet there warn twice, which is harmless.
"""

import _thread
import gc
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, Protocol, Self

from ..errors import ClientDisconnected
from ..types import StartResponse
from .client import DONE, ClientState
from .loops.asyncio_names import running_loop
from .loops.exit_and_fork import leave_alone

__all__ = ["ResponseStream", "WholeResponse", "watch_collector"]

logger = logging.getLogger("bridge")


class _Exchange(Protocol):
    @property
    def pid(self) -> int:
        """The process that has the request."""

    #: ``DONE``: ``close()`` has nothing left to do.
    client: ClientState

    def next_chunk(self) -> bytes: ...
    def close(self) -> None: ...


class _Collector:
    """Where the garbage collector is at work."""

    thread: int | None = None

    @classmethod
    def note(cls, phase: str, info: dict[str, Any]) -> None:  # noqa: ARG003 - what gc calls it with
        cls.thread = _thread.get_native_id() if phase == "start" else None


def watch_collector() -> None:
    """Learn of each run of the garbage collector from now on. A second call does nothing."""
    if _Collector.note not in gc.callbacks:
        gc.callbacks.append(_Collector.note)


def _forgotten(exchange: _Exchange, is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
    """Close what its owner has let go of without ``close()``."""
    if is_finalizing():  # a parameter: at this time a module may have lost its names
        return
    if exchange.pid != os.getpid():
        leave_alone(exchange)
    elif running_loop() is not None or _Collector.thread == _thread.get_native_id():
        _thread.start_new_thread(_finish_in_thread, (exchange,))
    else:
        _finish(exchange)


def _finish_in_thread(exchange: _Exchange) -> None:
    # A real one: the app may ask for its thread. Not a daemon, which would be cut off at the interpreter's end.
    threading.Thread(target=_finish, args=(exchange,), name="bridge-forgotten", daemon=False).start()


def _finish(exchange: _Exchange) -> None:
    _warn_once()
    try:
        exchange.close()
    except (SystemExit, KeyboardInterrupt):
        # It would be the server's, which is not there.
        logger.exception("the application raised SystemExit or KeyboardInterrupt after its response")


_warned = False


def _warn_once() -> None:
    global _warned  # noqa: PLW0603
    if not _warned:
        _warned = True
        logger.warning(
            "a response was dropped without close(), so that what the application does after its response "
            "(background tasks, the exits of dependencies) came when the response was dropped. PEP 3333 wants each "
            "iterable closed: the server, a middleware, a gateway or a test client does not do it. This is said once "
            "per process"
        )


class _Closed:
    """An iterable that is closed at the latest when neither it nor an iterator of it is there any more."""

    __slots__ = ("_exchange",)

    def __init__(self, exchange: _Exchange) -> None:
        self._exchange = exchange

    def close(self) -> None:
        self._exchange.close()

    def __del__(self, forgotten: Callable[[_Exchange], None] = _forgotten) -> None:
        if self._exchange.client is not DONE:
            forgotten(self._exchange)


class WholeResponse(_Closed):
    """A body that is all there; ``close()`` runs what the app does after it."""

    __slots__ = ("_chunk", "_length")

    def __init__(self, exchange: _Exchange, chunk: bytes) -> None:
        self._exchange = exchange
        self._length = 1 if chunk else 0
        self._chunk = chunk

    def __len__(self) -> int:
        # Servers take a Content-Length from a body of one item (PEP 3333, "Handling the Content-Length
        # Header").
        return self._length

    def __iter__(self) -> Iterator[bytes]:
        # A generator has this object in its frame; an iterator of a list would not.
        if self._chunk:
            yield self._chunk


class ResponseStream(_Closed):
    """The iterable for a body that is made while it is sent."""

    __slots__ = ("_start_response",)

    def __init__(self, exchange: _Exchange, start_response: StartResponse) -> None:
        self._exchange = exchange
        self._start_response = start_response

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        try:
            chunk = self._exchange.next_chunk()
        except ClientDisconnected:
            raise
        except Exception:
            self._fail()
            raise
        if not chunk:
            raise StopIteration
        return chunk

    def _fail(self) -> None:
        """PEP 3333, "Error Handling": a server that has not sent the head replaces it, any other raises."""
        exc_info = sys.exc_info()
        try:
            if exc_info[1] is not None:
                self._start_response("500 Internal Server Error", [("Content-Type", "text/plain")], exc_info)
        finally:
            del exc_info  # the server raises it, so that its traceback has this frame
