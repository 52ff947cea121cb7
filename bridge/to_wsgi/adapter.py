"""``AsgiToWsgi``: an ASGI application on a WSGI server.

What lasts longer than a request is in a ``_Runtime``, made at the first request of a process and left behind
by a fork: the loops, and the application's lifespan. A request is an exchange: ``to_wsgi.own_loop`` or
``to_wsgi.shared_loop``.
"""

import asyncio
import inspect
import logging
import os
import threading
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self

from ..kind import check_kind
from ..lifespan import Lifespan, LifespanMode
from ..mapping.scope import build_scope
from ..types import AnyStartResponse, ASGIApp, Environ, StartResponse
from .attempts import Attempts
from .exchange import works_for
from .iterables import watch_collector
from .lifespan_loop import shut_down_on_own, shut_down_on_shared, start_on_own, start_on_shared
from .loop_hints import LoopHints
from .loops.asyncio_names import running_loop
from .loops.exit_and_fork import at_exit, leave_alone
from .loops.kept import LoopFactory, refuse_running_loop
from .loops.mode import LoopMode, default_mode, log_default_mode, refuse_in_greenlets
from .loops.pool import LoopPool
from .loops.shared import SharedLoop
from .own_loop import RequestExchange
from .request_body import LengthRequiredError, RequestBody, warn_of_interpreters
from .shared_loop import SharedExchange

__all__ = ["AsgiToWsgi"]

logger = logging.getLogger("bridge")


class AsgiToWsgi:
    """An ASGI application as a WSGI application.

    HTTP in all its parts works as far as WSGI can carry it. **WebSocket can't work**: WSGI has nothing like
    it. A handshake is answered with 501.

    Nothing is started before the first request, so that the object can be made at import, pickled, and used
    after a fork.

    Args:
        app: the ASGI application (version 3: one callable with ``scope``, ``receive`` and ``send``).
        loop: ``"request"``: each request has an event loop of its own, which runs in the thread that the
            server gave, while the server waits for the application. Tasks that are left over when the
            application returns are cancelled. ``"shared"``: all requests run on one loop per process, in one
            background thread, which adapters with the same ``loop_factory`` share; for connection pools and
            clients that are bound to a loop, and for tasks that outlive their request. ``None``: ``"request"``, or
            ``"shared"`` in a process where gevent or eventlet has replaced threads by greenlets, which all share one
            thread; that is seen at the first request, and logged. ``"request"`` is refused there.
        loop_factory: makes an event loop, ``uvloop.new_event_loop`` for example; by default asyncio's own.
        lifespan: ``"auto"``: the application's lifespan is run, unless it has none. ``"on"``: it must have
            one. ``"off"``: it is not asked. The startup comes before the first request of a process, which
            waits for it as all others do, for as long as it takes; after 10 seconds the log says so. The
            shutdown comes at ``close()`` or when the interpreter exits, and has 60 seconds. If the startup
            fails, the log says why, once; the requests that waited for it, and those of the next 5 seconds,
            get a ``LifespanError``, and then one tries again, for 60 seconds at most. An ASGI server would
            end its process and be started anew; a WSGI server's worker serves on, and a database that is
            back is found by the next try. An app that can be started once only needs a new process: the log
            has its first error beside each later one.
        sendfile: offer ``http.response.pathsend`` to the application where the server has ``wsgi.file_wrapper``, so
            that the server sends files by its own means. Not every ASGI middleware knows it: some fail, others leave
            the file uncompressed. ``False``: the application reads its files itself, as on uvicorn.

    It blocks, as WSGI does. In a thread whose event loop is running (a notebook's, an async test's), it can't
    be called with ``loop="request"``, for a thread runs one loop at a time; with ``"shared"`` it blocks that
    loop, as all that blocks does, and can't be called on the shared loop itself, for which it would wait for
    ever. Both are a ``RuntimeError``; ``await asyncio.to_thread(...)`` is the way there.

    Raises:
        ValueError: a parameter is none of those above.
        TypeError: ``app`` is no ASGI app.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        loop: LoopMode | None = None,
        loop_factory: LoopFactory | None = None,
        lifespan: LifespanMode = "auto",
        sendfile: bool = False,
    ) -> None:
        check_kind(app, "asgi", "AsgiToWsgi")
        if loop not in {None, "request", "shared"}:
            raise ValueError(f'loop is {loop!r}; it can be "request" or "shared"')
        if lifespan not in {"auto", "on", "off"}:
            raise ValueError(f'lifespan is {lifespan!r}; it can be "auto", "on" or "off"')
        if loop_factory is not None and not callable(loop_factory):
            raise TypeError(
                f"loop_factory is {loop_factory!r}; it has to be a function that makes an event loop"
            )
        self.app = app
        self.loop: LoopMode | None = loop
        self.loop_factory = loop_factory
        self.lifespan: LifespanMode = lifespan
        self.sendfile = sendfile
        self._runtime: _Runtime | None = None

    def __repr__(self) -> str:
        return f"<AsgiToWsgi {self.app!r} loop={self.loop!r} lifespan={self.lifespan!r}>"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_runtime": None}

    def __call__(self, environ: Environ, start_response: AnyStartResponse) -> Iterable[bytes]:
        """PEP 3333's application.

        Raises:
            LifespanError: the startup failed, now or in the last 5 seconds.
            RuntimeError: it is called in a thread whose event loop is running, or for ``loop="request"`` where
                greenlets share a thread; see the class.
            Exception: what the app raises before its response begins.
        """
        if running_loop() is not None:
            self._check_loop()
        if "HTTP_UPGRADE" in environ and environ["HTTP_UPGRADE"].lower() == "websocket":
            return _refuse_websocket(environ, start_response)
        runtime = self._runtime
        if runtime is None or runtime.pid != os.getpid():
            runtime = self._begin(environ)
        if not runtime.started:
            runtime.start()
        scope = build_scope(environ, runtime.state, sendfile=self.sendfile)
        try:
            body = RequestBody(environ)
        except LengthRequiredError:
            return _refuse(
                start_response, "411 Length Required", "This server takes no body without a Content-Length.\n"
            )
        except ValueError:
            return _refuse(start_response, "400 Bad Request", "The Content-Length is not a number.\n")
        if runtime.pool is not None:
            return RequestExchange(self.app, scope, environ, body, runtime.pool, runtime.hints).begin(
                start_response
            )
        exchange = SharedExchange(self.app, scope, environ, body, runtime.shared_loop(), runtime.running)
        return exchange.begin(start_response)

    def _check_loop(self) -> None:
        """Raises ``RuntimeError`` where it can't run in this thread, whose event loop is running."""
        if (self.loop or default_mode()) == "request":
            refuse_in_greenlets()
            refuse_running_loop("called")
        if SharedLoop.is_on(self.loop_factory):
            raise RuntimeError(
                "an AsgiToWsgi was called on the shared event loop, for which it would wait for ever; "
                "await asyncio.to_thread(...) uses another thread"
            )

    def _begin(self, environ: Environ) -> "_Runtime":
        if self.loop == "request":
            refuse_in_greenlets()
        warn_of_interpreters(environ)
        watch_collector()
        with _lock:
            runtime = self._runtime
            made = runtime is None or runtime.pid != os.getpid()
            if runtime is None or made:
                if runtime is not None:
                    leave_alone(runtime)
                self._runtime = runtime = _Runtime(self)
        if made and self.loop is None:
            log_default_mode()
        return runtime

    def close(self) -> None:
        """Run the application's shutdown, end the loops, and wait for all of it; the next request starts
        anew.

        Requests that are under way get ``http.disconnect`` and are cancelled. On the shared loop, work after
        a response is waited for, for up to 5 seconds.

        It blocks, also in a thread whose event loop is running.

        Raises:
            RuntimeError: the call comes from a request of the adapter or from its lifespan, which would have to wait
                for themselves: from a coroutine, a thread of their sync code, or a signal handler that has
                interrupted them. Nothing is closed then.
        """
        runtime = self._runtime
        if runtime is not None:
            runtime.check_close()
        with _lock:
            runtime, self._runtime = self._runtime, None
        if runtime is not None:
            runtime.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class _Runtime:
    """What an adapter has in one process: its loops and the lifespan.

    Who makes an attempt owns ``lifespan`` and its loop until it is over, and after it the thread that ends it
    all; ``to_wsgi.attempts`` says which. ``started`` goes from false to true once, after all that a request reads
    of it.
    """

    def __init__(self, adapter: AsgiToWsgi) -> None:
        self.pid = os.getpid()
        mode = adapter.loop or default_mode()
        self.pool = LoopPool(adapter.loop_factory) if mode == "request" else None
        self.started = False
        self.state: dict[str, Any] = {}
        self._app = adapter.app
        self._mode = adapter.lifespan
        self._loop_factory = adapter.loop_factory
        self._attempts = Attempts()
        self._shared: SharedLoop | None = None
        # Of the shared loop's thread.
        self.running: set[SharedExchange] = set()
        # Whose the requests are, to who works for one.
        self._owner: object = self.running if self.pool is None else self.pool
        self._lifespan: Lifespan | None = None
        self._lifespan_loop: asyncio.AbstractEventLoop | None = None
        self.hints = LoopHints()

    def check_close(self) -> None:
        """Refuse to be closed by who is waited for.

        Raises:
            RuntimeError: as ``AsgiToWsgi.close()``.
        """
        if (
            (self._shared is not None and self._shared.is_current())
            or works_for(self._owner)
            or _interrupts(self, self._owner)
        ):
            raise RuntimeError(
                "an adapter can't be closed from inside one of its requests or its lifespan: it waits for them to "
                "end. Call close() when they have ended"
            )

    def shared_loop(self) -> SharedLoop:
        if self._shared is None:
            raise RuntimeError("the adapter was closed while it had requests")
        return self._shared

    def start(self) -> None:
        """Start the loop and the lifespan, or wait until another request has.

        Raises:
            LifespanError: the startup failed.
            RuntimeError: the adapter is closed.
        """
        self._attempts.make(self._start, self._end)
        self.started = True

    def _start(self, limit: float | None) -> None:
        with _lock:
            # From here to close(): there may be something that wants to be ended at exit.
            _runtimes.add(self)
        if self.pool is None and self._shared is None:
            self._shared = SharedLoop.acquire(self._loop_factory)
        if self._mode != "off":
            self._lifespan = lifespan = Lifespan(self._app, self._mode)
            if self._shared is not None:
                start_on_shared(lifespan, self._shared, self._attempts, limit, self._owner)
            else:
                started = start_on_own(lifespan, self._loop_factory, self._attempts, limit, self._owner)
                if started is not None:
                    self._lifespan_loop, left = started
                    self.hints.after_startup(left)
            self.state = lifespan.state
        if self._lifespan_loop is None and self._shared is None:
            # The loops close themselves with their pool.
            with _lock:
                _runtimes.discard(self)

    def close(self) -> None:
        """End everything; a second call does nothing. A startup that is under way is told to end."""
        if self.pid == os.getpid() and self._attempts.close():
            self._end()

    def _end(self) -> None:
        lifespan, loop, shared = self._lifespan, self._lifespan_loop, self._shared
        self._lifespan = self._lifespan_loop = self._shared = None
        try:
            if self.pool is not None:
                self.pool.close()
            if shared is not None:
                shut_down_on_shared(lifespan, shared, self.running)
            elif lifespan is not None and loop is not None:
                shut_down_on_own(lifespan, loop)
        finally:
            if shared is not None:
                shared.release()
            with _lock:
                _runtimes.discard(self)


def _interrupts(runtime: _Runtime, owner: object) -> bool:
    """Whether this call was made from within the adapter's own work in this thread, as a signal handler's is."""
    here = inspect.currentframe()
    # Not this frame itself, whose variables would then keep it.
    frame = None if here is None else here.f_back
    while frame is not None:
        caller = frame.f_locals.get("self")
        if isinstance(caller, (RequestExchange, SharedExchange)):
            if caller.belongs_to(owner):
                return True
        elif caller is runtime and frame.f_code.co_name == "start":
            return True
        frame = frame.f_back
    return False


def _refuse_websocket(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    logger.warning(
        "a WebSocket handshake for %r was refused: WSGI has no WebSocket; it takes an ASGI server",
        environ.get("PATH_INFO", ""),
    )
    return _refuse(
        start_response,
        "501 Not Implemented",
        "This server speaks WSGI, which has no WebSocket; the application needs an ASGI server for it.\n",
    )


def _refuse(start_response: StartResponse, status: str, text: str) -> Iterable[bytes]:
    body = text.encode()
    start_response(
        status, [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
    )
    return [body]


# Guards _runtimes, and the adapters' _runtime.
_lock = threading.Lock()
# What wants to be ended at exit.
_runtimes: set[_Runtime] = set()


def _close_all() -> None:
    with _lock:
        runtimes = list(_runtimes)
    for runtime in runtimes:
        try:
            runtime.close()
        except Exception:
            logger.exception("an application's shutdown failed at exit")


def _after_fork() -> None:
    """The lock may be held by a thread that does not exist in the child."""
    global _lock  # noqa: PLW0603
    _lock = threading.Lock()


at_exit(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
