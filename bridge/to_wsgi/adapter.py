"""``AsgiToWsgi``: an ASGI application on a WSGI server.

What lasts longer than a request is in a ``Runtime``, made at the first request of a process and left behind by a fork:
the loops, and the application's lifespan. A request is an exchange: ``to_wsgi.own_loop`` or ``to_wsgi.shared_loop``.
"""

import logging
import os
import threading
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self

from ..kind import check_kind
from ..lifespan import LifespanMode
from ..mapping.scope import build_scope
from ..threads.tally import Tally
from ..types import AnyStartResponse, ASGIApp, Environ, StartResponse
from .client import ClientLeftError
from .iterables import watch_collector
from .loops.asyncio_names import running_loop
from .loops.exit_and_fork import in_forked_child, leave_alone
from .loops.kept import LoopFactory, refuse_running_loop
from .loops.mode import LoopMode, default_mode, log_default_mode, refuse_in_greenlets, warn_of_interpreters
from .loops.shared import SharedLoop
from .own_loop import RequestExchange
from .request_body import RefusedBodyError, find_body
from .runtime import Runtime
from .shared_loop import SharedExchange
from .stats import AsgiToWsgiStats, take_stats

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
        self._start_empty()

    def _start_empty(self) -> None:
        self._runtime: Runtime | None = None
        self._tally = Tally()

    def __repr__(self) -> str:
        return f"<AsgiToWsgi {self.app!r} loop={self.loop!r} lifespan={self.lifespan!r}>"

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if not name.startswith("_")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._start_empty()

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
            self._tally.add("rejected")
            return _refuse_websocket(environ, start_response)
        runtime = self._runtime
        if runtime is None or runtime.pid != os.getpid():
            runtime = self._begin(environ)
        if not runtime.started:
            runtime.start()
        try:
            scope = build_scope(environ, runtime.state, sendfile=self.sendfile)
            body = find_body(environ)
        except RefusedBodyError as refused:
            self._tally.add("rejected")
            return _refuse(start_response, refused.status, f"{refused}\n")
        except ValueError as exc:
            self._tally.add("rejected")
            return _refuse(start_response, "400 Bad Request", f"The request is malformed: {exc}.\n")
        try:
            if runtime.pool is not None:
                return RequestExchange(self.app, scope, environ, body, runtime.pool, runtime.hints).begin(
                    start_response
                )
            exchange = SharedExchange(self.app, scope, environ, body, runtime.shared_loop(), runtime.running)
            return exchange.begin(start_response)
        except RefusedBodyError as refused:
            self._tally.add("rejected")
            return _refuse(start_response, refused.status, f"{refused}\n")
        except ClientLeftError:
            if not body.broken:
                raise
            # Few servers know it, and to no middleware is it anything but an error. Flask and Django answer so at home,
            # to a client that has mostly left.
            return _refuse(start_response, "400 Bad Request", "The request body is not complete.\n")
        finally:
            scope = environ = {}  # an error of the app's would show them: see mapping.hidden

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

    def _begin(self, environ: Environ) -> Runtime:
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
                self._runtime = runtime = Runtime(
                    self.app, self.loop or default_mode(), self.loop_factory, self.lifespan, self._tally
                )
        if made and self.loop is None:
            log_default_mode()
        return runtime

    def stats(self) -> AsgiToWsgiStats:
        """What the adapter does now, in this process. Any thread may ask at any time; nothing waits for it.

        It costs requests nothing: what is said is read from what is there anyway.

        Not for signal handlers: one may interrupt the holder of a lock that is taken here, and would wait for ever.
        Have it start a thread that asks.
        """
        return take_stats(self._runtime, self.loop, self.lifespan, self._tally)

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


def _refuse_websocket(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    logger.warning(
        "a WebSocket handshake for %r was refused: WSGI has no WebSocket; the application needs an ASGI server",
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


# Guards the adapters' _runtime. It may be held by a thread that does not exist in a forked child. It is reentrant, for
# a signal handler that calls close() may have interrupted the thread that holds it.
_lock = threading.RLock()


def _after_fork() -> None:
    global _lock  # noqa: PLW0603
    _lock = threading.RLock()


in_forked_child(_after_fork)
