"""The adapters of a2wsgi and of asgiref by their own names and parameters: moving over changes one import line.

    from bridge.compat import WSGIMiddleware, ASGIMiddleware  # in place of a2wsgi
    from bridge.compat import WsgiToAsgi  # in place of asgiref.wsgi

They are ``bridge.WsgiToAsgi`` and ``bridge.AsgiToWsgi`` with the options that come nearest to what the others do. Each
says which of its parameters mean something else here. Who writes new code takes the originals, which have more options.
"""

import asyncio
import os
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar
from weakref import WeakSet

from asgiref.sync import SyncToAsync

from .kind import check_kind
from .to_asgi import adapter as to_asgi
from .to_asgi.refusal import Refused
from .to_wsgi import adapter as to_wsgi
from .types import AnyReceive, AnyScope, AnySend, ASGIApp, Message, Receive, Scope, Send, WSGIApp

__all__ = ["ASGIMiddleware", "WSGIMiddleware", "WsgiToAsgi"]

_P = ParamSpec("_P")
_T = TypeVar("_T")

# Bytes that one place in a2wsgi's queue stands for.
_CHUNK = 65536


class WSGIMiddleware(to_asgi.WsgiToAsgi):
    """a2wsgi's ``WSGIMiddleware``: a WSGI app as an ASGI app.

    As there, the app is called as soon as the request is there, and reads the body while it arrives: with
    ``request_body="stream"``. The differences: up to 64 KiB of the body are waited for, errors of the app are raised to
    the server, and WebSocket and a client that leaves are dealt with.

    Args:
        app: the WSGI app.
        workers: threads at most.
        send_queue_size: how far the app may be ahead of its client. There it counts chunks, whatever their size; here
            it is a number of bytes, 64 KiB for each (10: 640 KiB). 0 is no limit, as there.
    """

    def __init__(self, app: WSGIApp, workers: int = 10, send_queue_size: int = 10) -> None:
        super().__init__(
            app,
            threads=workers,
            request_body="stream",
            response_buffer=send_queue_size * _CHUNK if send_queue_size > 0 else sys.maxsize,
        )
        self.send_queue_size = send_queue_size

    def _remedy(self) -> str:
        return f"raise workers= (now {self.threads})"


class ASGIMiddleware(to_wsgi.AsgiToWsgi):
    """a2wsgi's ``ASGIMiddleware``: an ASGI app as a WSGI app.

    As there, all requests run on one event loop in a thread of its own: with ``loop="shared"``. That loop is started at
    the first request, not by this call, and again after a fork. Other than there, the app's lifespan is run.

    Args:
        app: the ASGI app.
        wait_time: seconds that the app has for its work after the response, before it is cancelled; ``None``: as long
            as it takes. There the end of the response waits for that work, and the client with it; here it does not.
        loop: the event loop that runs the app, in place of the bridge's. As there, it is yours, and runs in a thread of
            yours. Each message of the request goes from one loop to the other, which ``bridge.AsgiToWsgi`` with its
            ``loop_factory`` spares.

    Raises:
        RuntimeError: by a request: the ``loop`` does not run, or did when this process was forked, and does so in the
            parent alone.
    """

    def __init__(
        self, app: ASGIApp, wait_time: float | None = None, loop: asyncio.AbstractEventLoop | None = None
    ) -> None:
        check_kind(app, "asgi", type(self).__name__)  # before it is wrapped in what shows another
        if wait_time is not None:
            app = _limited(app, wait_time)
        if loop is not None:
            app = _on_loop(app, loop)
        super().__init__(app, loop="shared")
        self.wait_time = wait_time


class WsgiToAsgi(to_asgi.WsgiToAsgi):
    """asgiref's ``WsgiToAsgi``: a WSGI app as an ASGI app.

    As there, one request runs at a time, in the one thread in which ``sync_to_async`` runs all thread-sensitive code of
    the process: apps that are not thread-safe, and connections that belong to a thread, are used to that. With
    ``bridge.WsgiToAsgi`` requests run side by side. As there, ``async_to_sync`` runs async code of the app on the
    server's loop.

    Four things are not as there. A ``ThreadSensitiveContext`` that is in effect where this is called is not followed.
    Context variables that the app sets are not seen by ASGI middleware around this when the app has answered.
    Lifespan and WebSocket are dealt with, not refused by an error. And after a fork that thread is started anew, for
    all thread-sensitive code, where this has used it before; there such code waits for ever in the child.

    Args:
        wsgi_application: the WSGI app.
        duplicate_header_limit: header fields of one name that a request may have; with more it gets 400. 0 and
            ``None``: any number.
    """

    def __init__(self, wsgi_application: WSGIApp, duplicate_header_limit: int | None = 100) -> None:
        super().__init__(
            wsgi_application,
            threads=1,
            executor=_sensitive_thread,
            async_views="server",
        )
        self.wsgi_application = wsgi_application
        self.duplicate_header_limit = duplicate_header_limit

    def _remedy(self) -> str:
        return "use bridge.WsgiToAsgi, which runs requests side by side"

    def __reduce__(self) -> Any:
        # The process' own thread goes nowhere.
        return type(self), (self.wsgi_application, self.duplicate_header_limit)

    async def __call__(self, scope: AnyScope, receive: AnyReceive, send: AnySend) -> None:
        """ASGI 3; see ``bridge.WsgiToAsgi``."""
        limit = self.duplicate_header_limit or 0
        headers = scope.get("headers") or ()
        if not isinstance(headers, (list, tuple)):
            # By the ASGI specification any iterable, which may give them once.
            headers = list(headers)
            scope = {**scope, "headers": headers}
        if scope["type"] == "http" and 0 < limit < len(headers):
            [(_, most)] = Counter(name.lower() for name, _ in headers).most_common(1)
            if most > limit:
                refused = Refused(400, "Bad Request: Too many duplicate headers")
                await self._refuse(scope, receive, send, refused)
                return
        await super().__call__(scope, receive, send)


class _SensitiveThread(Executor):
    """asgiref's thread for thread-sensitive code, which asgiref may replace, as this does in a forked child.

    An executor believes that its threads are there; those that were started before a fork are in the parent alone.
    """

    def __init__(self) -> None:
        self._used = False

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        self._used = True
        return SyncToAsync.single_thread_executor.submit(fn, *args, **kwargs)

    def renew(self) -> None:
        if self._used:
            self._used = False
            SyncToAsync.single_thread_executor = ThreadPoolExecutor(max_workers=1)


_sensitive_thread = _SensitiveThread()


def _limited(app: ASGIApp, seconds: float) -> ASGIApp:
    """``app``, cancelled so many seconds after the end of its response."""

    async def limited(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return

        async def counting(message: Message) -> None:
            await send(message)
            if _ends_response(message) and timeout.when() is None:
                timeout.reschedule(asyncio.get_running_loop().time() + seconds)

        try:
            async with asyncio.timeout(None) as timeout:
                await app(scope, receive, counting)
        except TimeoutError:
            if not timeout.expired():
                raise  # the app's own

    return limited


def _ends_response(message: Message) -> bool:
    if message["type"] == "http.response.pathsend":
        return True
    return message["type"] == "http.response.body" and not message.get("more_body", False)


# The loops that users gave, and those of them that were running at a fork: in the child they say that they run still.
_users_loops: WeakSet[asyncio.AbstractEventLoop] = WeakSet()
_left_behind: WeakSet[asyncio.AbstractEventLoop] = WeakSet()


def _on_loop(app: ASGIApp, loop: asyncio.AbstractEventLoop) -> ASGIApp:
    """``app``, run by ``loop``, whichever loop it is called on.

    Cancelling goes over as well; the app's own end is then not waited for.
    """
    _users_loops.add(loop)

    async def on_loop(scope: Scope, receive: Receive, send: Send) -> None:
        here = asyncio.get_running_loop()
        if loop in _left_behind:
            raise RuntimeError("the loop of ASGIMiddleware runs in the parent of this process, and not here")
        if not loop.is_running():
            raise RuntimeError("the loop of ASGIMiddleware does not run; it has to, in a thread of its own")

        async def receive_here() -> Message:
            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_awaited(receive()), here))

        async def send_here(message: Message) -> None:
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_awaited(send(message)), here))

        there = _awaited(app(scope, receive_here, send_here))
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(there, loop))

    return on_loop


async def _awaited(awaitable: Any) -> Any:
    """A coroutine of any awaitable, which is what the other loop wants."""
    return await awaitable


def _after_fork() -> None:
    _sensitive_thread.renew()
    for loop in list(_users_loops):
        if loop.is_running():
            _left_behind.add(loop)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
