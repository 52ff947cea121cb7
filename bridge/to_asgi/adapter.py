"""``WsgiToAsgi``: a WSGI app as an ASGI app. Its options, its lifespan, and which of its scopes goes where.

A request is a ``Request`` (``to_asgi.request``), which says its way; a WebSocket goes to ``to_asgi.websocket``.
"""

import asyncio
import functools
import logging
import sys
from concurrent.futures import Executor
from typing import Any, Literal, get_args

from ..errors import Overloaded
from ..kind import check_kind
from ..lifespan import answer_lifespan
from ..threads.executor_pool import ExecutorPool
from ..threads.mailbox import Mailbox
from ..threads.pool import ThreadPool
from ..threads.tally import Tally
from ..types import AnyReceive, AnyScope, AnySend, Receive, Scope, Send, WSGIApp
from .busy import BusyLog
from .collect import BodyMode, Collector
from .refusal import Refused, refuse_handshake
from .request import Request
from .service import Service
from .stats import WsgiToAsgiStats, take_stats
from .websocket.sockets import WebSockets, shut_down
from .wires import Loops

__all__ = ["WsgiToAsgi"]

logger = logging.getLogger("bridge")

#: Where async code of the app runs.
AsyncViews = Literal["own", "server"]

#: WebSockets at a time, unless the user says: each holds a thread, which mostly sleeps.
_WEBSOCKET_THREADS = 512

#: Executors of the standard library that run what can be pickled, which a call of an app can't: module, name, what they
#: run. The second one is there from Python 3.14 on, as a subclass of ``ThreadPoolExecutor``.
_NO_THREADS = (
    ("concurrent.futures.process", "ProcessPoolExecutor", "processes"),
    ("concurrent.futures.interpreter", "InterpreterPoolExecutor", "interpreters"),
)


class WsgiToAsgi:
    """A WSGI app (PEP 3333) as an ASGI 3 app: it runs in worker threads, on any ASGI server.

    Args:
        app: the WSGI app.
        threads: worker threads at most; they are started as load needs them, and stay. 1 runs one request at a time,
            for apps that are not thread-safe.
        backlog: requests, complete with their bodies, that may wait for a thread; one more gets 503 with Retry-After.
        request_body: ``"buffer"``: the app is called when the body is complete, so that a slow client holds no thread.
            ``"stream"``: it is called when ``request_buffer`` bytes are there, and reads the rest as it arrives.
        request_buffer: bytes of the body held in memory; in buffer mode the rest goes to a temporary file.
        max_body_size: bytes; a longer body gets 413, a longer WebSocket message the close code 1009. ``None``: no
            limit.
        response_buffer: bytes that the app may be ahead of its client before ``write()`` or the iteration waits; that
            many in 256 chunks at most, however small they are.
        executor: run the app in these threads instead of ``threads`` of the adapter's own. It is never shut down here.
        async_views: where ``asgiref.sync.async_to_sync`` runs async code of the app, such as the async views of Flask
            and Django. ``"own"``: on a new event loop for each call, as on a WSGI server; the server's loop goes on
            whatever the code does. ``"server"``: on the server's loop, which costs less and lets clients and pools that
            are bound to a loop serve all requests; code that blocks there stops the whole server, and code that waits
            for an answer of its own server while it blocks waits for ever.
        sendfile: send a file that the app returns in ``wsgi.file_wrapper`` by the server's own means, where it has any
            (``http.response.zerocopysend``, ``http.response.pathsend``). Not every ASGI middleware knows these: some
            fail, others drop the file. ``False``: it is read here, and sent in chunks.
        websocket_threads: WebSockets that may be open at a time; each has a thread of its own, beside those for
            requests. One more is refused. ``None``: 512, but 0 with ``threads=1``. 0: all are refused.
        shutdown_timeout: seconds that running requests get at the lifespan's shutdown; then they are left behind.

    The environ has what PEP 3333 names, and ``asgi.scope`` (a view of the scope, which error pages don't print),
    ``REQUEST_URI``, ``RAW_URI``, ``REMOTE_PORT``, ``wsgi.input_terminated``, ``wsgi.file_wrapper``, mod_ssl's
    ``SSL_*`` with the TLS extension, and ``wsgi.early_hints``, called with a list of (name, value), where the server
    can send a 103.

    As on waitress, ``waitress.client_disconnected`` is a function without arguments for an app that works for long, or
    waits: whether the client is known to have left. It may be called from any thread, and never waits; its first call
    begins to listen for the client's leaving, so that it is a later call that says so. With ``request_body="stream"``
    the app has to have read the body before that can be known. After the response it says what it said at its end.

    A WebSocket handshake calls the app too, as a GET, with a ``WebSocket`` in ``wsgi.websocket``, and in
    ``werkzeug.socket`` a socket for libraries that speak the protocol themselves (with wsproto installed). An app that
    answers with a response refuses the handshake.

    Several loops, each in a thread of its own, may call it at a time, with a lifespan each. They share ``threads`` and
    ``backlog``. A shutdown closes the WebSockets of its own loop; the last one waits for requests, and ends threads.

    The adapter answers lifespan. It holds no thread and no loop before the first request: it can be pickled, and be
    made before a fork.

    Errors of the app before its response starts are raised to the ASGI server, which answers 500; later ones cut the
    connection. An app that breaks PEP 3333 gets ``ApplicationError``.

    A call of the adapter returns when that of the app has ended, the iterable's ``close()`` included; the client has
    all of its response before. An error of the app is raised when ``close()`` has ended too, or after a second of it.
    A call that is cancelled ends at once.
    """

    def __init__(
        self,
        app: WSGIApp,
        *,
        threads: int = 40,
        backlog: int = 1024,
        request_body: BodyMode = "buffer",
        request_buffer: int = 65536,
        max_body_size: int | None = None,
        response_buffer: int = 262144,
        executor: Executor | None = None,
        async_views: AsyncViews = "own",
        sendfile: bool = False,
        websocket_threads: int | None = None,
        shutdown_timeout: float = 30.0,
    ) -> None:
        check_kind(app, "wsgi", "WsgiToAsgi")
        _check_number("threads", threads, 1)
        _check_number("backlog", backlog, 0)
        _check_number("request_buffer", request_buffer, 1)
        _check_number("response_buffer", response_buffer, 1)
        if websocket_threads is not None:
            _check_number("websocket_threads", websocket_threads, 0)
        if max_body_size is not None:
            _check_number("max_body_size", max_body_size, 0)
        if request_body not in get_args(BodyMode):
            raise ValueError(f'request_body is {request_body!r}; it has to be "buffer" or "stream"')
        if executor is not None and (
            isinstance(executor, type) or not callable(getattr(executor, "submit", None))
        ):
            raise TypeError(
                f"executor is {executor!r}; it has to be a concurrent.futures.Executor of threads"
            )
        if async_views not in get_args(AsyncViews):
            raise ValueError(f'async_views is {async_views!r}; it has to be "own" or "server"')
        for module, name, runs in _NO_THREADS:
            # An instance is there only if its module is; importing it for the check would cost each start of a server.
            kind = getattr(sys.modules.get(module), name, None)
            if kind is not None and isinstance(executor, kind):
                raise TypeError(
                    f"executor runs {runs}; a WSGI call can't leave its own, so it has to run threads"
                )
        if not shutdown_timeout >= 0:
            raise ValueError(f"shutdown_timeout is {shutdown_timeout!r}; it has to be seconds, 0 or more")
        self.app = app
        self.threads = threads
        self.backlog = backlog
        self.request_body = request_body
        self.request_buffer = request_buffer
        self.max_body_size = max_body_size
        self.response_buffer = response_buffer
        self.executor = executor
        self.async_views: AsyncViews = async_views
        self.sendfile = sendfile
        self.websocket_threads = websocket_threads
        self.shutdown_timeout = shutdown_timeout
        self._start_empty()

    def _start_empty(self) -> None:
        # Each loop has something of its own; the rest is for all of them.
        self._loops = Loops()
        # Made by the first handshake: for all loops, and so under the lock of _loops.
        self._websockets: WebSockets | None = None
        self._busy = BusyLog(self._remedy())
        self._tally = Tally()
        self._collector = Collector(self.request_body, self.request_buffer, self.max_body_size, self._tally)
        self._service = Service(
            self.app,
            loops=self._loops,
            collector=self._collector,
            busy=self._busy,
            tally=self._tally,
            threads=self.threads,
            backlog=self.backlog,
            executor=self.executor,
            response_buffer=self.response_buffer,
            sendfile=self.sendfile,
            on_server_loop=self.async_views == "server",
        )

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if not name.startswith("_")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._start_empty()

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.app!r}, threads={self.threads}, request_body={self.request_body!r})"
        )

    async def __call__(self, scope: AnyScope, receive: AnyReceive, send: AnySend) -> None:
        """ASGI 3. Raises the app's own exceptions, and ``ValueError`` for a scope of an unknown type."""
        kind = scope["type"]
        if kind == "http":
            request = self._request(scope, receive, send)
            scope = {}  # no frame that an error passes has the request in a variable: see mapping.hidden
            await request.run()
        elif kind == "lifespan":
            await answer_lifespan(receive, send, self._startup, self._shutdown)
        elif kind == "websocket":
            try:
                await self._websocket(scope, receive, send)
            except Refused as refused:
                self._tally.add("refused" if refused.status == 503 else "rejected")
                watches = self._loops.connect(_running_loop()).watches
                await refuse_handshake(scope, receive, send, refused, watches)
            finally:
                scope = {}
        else:
            raise ValueError(f"the scope is of type {kind!r}; WsgiToAsgi serves http, lifespan and websocket")

    def stats(self) -> WsgiToAsgiStats:
        """What the adapter does now, in this process. Any thread may ask at any time; nothing waits for it.

        It costs requests nothing: what is said is read from what is there anyway.

        Not for signal handlers: one may interrupt the holder of a lock that is taken here, and would wait for ever.
        Have it start a thread that asks.
        """
        websockets = self._websockets
        return take_stats(
            self._pool,
            None if websockets is None else websockets.pool,
            self._tally,
            threads=self.threads if self.executor is None else None,
            backlog=self.backlog,
            websocket_threads=self._websocket_limit(),
            # Never changed, but replaced: see ``wires``.
            loops=[loop.is_running() for loop in self._loops.wires],
        )

    # All of this is on the loop's thread.

    def _request(self, scope: Scope, receive: Receive, send: Send) -> Request:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise _no_loop() from None
        wires = self._loops.wires.get(loop) or self._loops.connect(loop)
        return Request(self._service, wires, scope, receive, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send, refused: Refused) -> None:
        await self._request(scope, receive, send).refuse(refused)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        threads = self._websocket_limit()
        if threads == 0:
            await receive()
            logger.warning(
                "refused a WebSocket to %r: the adapter has no threads for any; websocket_threads= gives it some",
                scope.get("path"),
            )
            raise Refused(403, "there is no WebSocket here")
        wires = self._loops.connect(_running_loop())
        try:
            await (self._websockets or self._make_websockets(threads)).serve(scope, receive, send, wires)
        except Overloaded as exc:
            raise self._busy.refused(exc) from None
        finally:
            scope = {}

    # Threads.

    @property
    def _pool(self) -> ThreadPool | ExecutorPool | None:
        return self._service.pool

    def _make_websockets(self, threads: int) -> WebSockets:
        with self._loops.lock:
            if self._websockets is None:
                self._websockets = WebSockets(
                    self.app,
                    threads=threads,
                    received=self.request_buffer,
                    sent=self.response_buffer,
                    max_message=self.max_body_size,
                    on_server_loop=self.async_views == "server",
                )
            return self._websockets

    def _websocket_limit(self) -> int:
        if self.websocket_threads is not None:
            return self.websocket_threads
        return 0 if self.threads == 1 else _WEBSOCKET_THREADS

    def _remedy(self) -> str:
        """What gives the app more threads, for the log."""
        if self.executor is not None:
            return "give executor= more threads"
        return f"raise threads= (now {self.threads}; bridge serve: --threads)"

    def _pools(self) -> list[ThreadPool | ExecutorPool]:
        websockets = None if self._websockets is None else self._websockets.pool
        pools = (self._pool, self._collector.disk, websockets)
        return [pool for pool in pools if pool is not None]

    # Lifespan.

    async def _startup(self) -> None:
        self._loops.connect(_running_loop())
        for pool in self._pools():
            pool.open()

    async def _shutdown(self) -> None:
        """Closes the WebSockets of this loop. The last loop lets running requests finish, and ends the threads.

        They are those of all loops, and as long as another one runs it needs them. What still runs of this loop's is
        waited for by the last one. That may also be one that starts while this one waits, and ends its wait so.
        """
        loop = _running_loop()
        shut_down(self._loops.connect(loop))
        if not self._loops.leave(loop):
            return
        mailbox = Mailbox(loop)
        pools = self._pools()
        drained: list[asyncio.Future[None]] = []
        for pool in pools:
            future = mailbox.loop.create_future()
            drained.append(future)
            pool.drain(functools.partial(mailbox.post, future))
        if self._loops.any_runs():
            for pool in pools:
                pool.open()
        await asyncio.wait(drained, timeout=self.shutdown_timeout)
        left = sum(
            pool.unfinished() for pool, future in zip(pools, drained, strict=True) if not future.done()
        )
        if left:
            logger.warning(
                "left %s behind: the app still works on it after the %s s of shutdown_timeout",
                "a request" if left == 1 else f"{left} requests",
                self.shutdown_timeout,
            )


def _running_loop() -> asyncio.AbstractEventLoop:
    """The loop of the server that calls."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise _no_loop() from None


def _no_loop() -> RuntimeError:
    return RuntimeError(
        "WsgiToAsgi runs on asyncio, and this server runs something else, such as trio; "
        "with hypercorn, leave out -k trio"
    )


def _check_number(name: str, value: object, least: int) -> None:
    if not isinstance(value, int) or value < least:
        raise ValueError(f"{name} is {value!r}; it has to be a whole number of at least {least}")
