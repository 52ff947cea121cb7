"""``Dispatcher``: several apps of either kind as one, each under its path prefix, on a server of either kind.

A request is looked up in a table of prefixes (``mapping.prefixes``) and handed to its app, with nothing in between.
What an app of the other kind needs in between is its adapter, made when the dispatcher is.
"""

import asyncio
import sys
from asyncio import AbstractEventLoop
from collections.abc import Coroutine, Iterable, Iterator, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self, cast, overload

from ..mapping.prefixes import PrefixTable, split_environ, split_path, under_prefix
from ..threads.pool import ThreadPool
from ..to_asgi.adapter import WsgiToAsgi
from ..to_asgi.stats import WsgiToAsgiStats
from ..to_asgi.wires import Loops
from ..to_wsgi.adapter import AsgiToWsgi
from ..to_wsgi.stats import AsgiToWsgiStats
from ..types import (
    AnyReceive,
    AnyScope,
    AnySend,
    AnyStartResponse,
    Environ,
    Receive,
    Scope,
    Send,
    StartResponse,
)
from .fallback_asgi import serve_with_fallback
from .fallback_wsgi import serve_with_fallback as serve_wsgi_with_fallback
from .lifespans import LifespanPart, States, run_lifespans
from .mounts import App, Mount, Mounted, Part, make_parts
from .tape import Tape

__all__ = ["App", "Dispatcher", "Mount"]

#: Where the states of the apps are in the server's own state, which it copies into each scope.
_STATES = "bridge.dispatcher"

_NOTHING_HERE = b"No app is mounted here.\n"


class Dispatcher:
    """Several apps of either kind as one site, which ASGI servers and WSGI servers serve alike.

        app = Dispatcher({"/api": fastapi_app, "/admin": django_app, "/": flask_app})

    The longest prefix that the path is under gets the request; ``/api`` is for ``/api`` and ``/api/x``, not for
    ``/apix``. Each app finds its prefix in ``root_path`` or ``SCRIPT_NAME``, after what the server or an outer
    dispatcher has there, so that it routes and builds URLs as if it were alone. Where no prefix fits, the answer is
    404; a WebSocket is refused.

    On an ASGI server ASGI apps are called as they are, and WSGI apps in ``WsgiToAsgi``; on a WSGI server it is the
    other way about, with ``AsgiToWsgi``. What an app raises is raised to the server.

    Lifespan, on ASGI servers: each ASGI app has its own, with its own ``state``. They start in the order of ``mounts``
    and shut down in reverse. If one fails to start, those before it are shut down, and the server is told that the
    startup failed. An app that is mounted twice has one lifespan; ``AsgiToWsgi(app, lifespan="off")`` has none, and
    ``"on"`` holds here as well. On WSGI servers ``AsgiToWsgi`` runs the lifespan of each app before its first request.

    Args:
        mounts: path prefix -> app. A prefix begins with a slash and is written decoded (``"/a b"``); a slash at its end
            means nothing. An app is WSGI or ASGI: the Dispatcher looks at it to tell its kind. It may also be
            ``WsgiToAsgi(app, ...)`` or ``AsgiToWsgi(app, ...)`` with options, which hold wherever that adapter is
            needed; or a ``Dispatcher``; or a ``Mount`` around any of these. A list of apps has them asked in turn:
            where one answers 404 or 405, the next one gets the request, as ``Mount`` says of ``fallback``; the answer
            of the last one counts, whatever it is.

    Raises:
        TypeError, ValueError: something in ``mounts`` is no prefix or no app; the message says which.
    """

    #: For ``kind.is_both()``.
    _bridge_both_kinds = True

    def __init__(self, mounts: Mapping[str, Mounted]) -> None:
        parts, self._parts = make_parts(mounts)
        self.mounts: dict[str, Mounted] = dict(mounts)
        self._table = PrefixTable(parts)
        self._wire_table = PrefixTable({part.wire: part for part in parts.values()})
        self._start_empty()

    def _start_empty(self) -> None:
        # For servers without lifespan state. Each loop has its lifespan, and reads and writes its own key alone.
        self._states: dict[AbstractEventLoop, States] = {}
        # Threads for the temporary files of large bodies that may be needed by a second app. No limit but that of the
        # requests: each has a few jobs here at a time, and they are short.
        self._disk = ThreadPool(2, sys.maxsize, name="bridge-disk")
        # The loops on which it has a lifespan now; the last one ends the threads.
        self._loops = Loops()
        # Servers tell ASGI by a __call__ that is a coroutine function: uvicorn, hypercorn and asgiref (for daphne) look
        # at the one that the object has, Python calls the one that its class has. So they see this one, and both kinds
        # of calls work. inspect.markcoroutinefunction would do it with one, from Python 3.12 on.
        self.__dict__["__call__"] = self._asgi

    def __getstate__(self) -> dict[str, Any]:
        return {
            name: value
            for name, value in self.__dict__.items()
            if name not in {"_states", "_disk", "_loops", "__call__"}
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._start_empty()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {', '.join(part.place for part in self._parts)}>"

    @overload
    def __call__(self, scope: AnyScope, receive: AnyReceive, send: AnySend) -> Coroutine[Any, Any, None]: ...

    @overload
    def __call__(self, environ: Environ, start_response: AnyStartResponse) -> Iterable[bytes]: ...

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """ASGI 3's application, called with (scope, receive, send), or PEP 3333's, with (environ, start_response)."""
        # daphne passes the three by name. Called with nothing, as uvicorn does to find out whether an app is a factory,
        # it has to be a TypeError at once, which it is.
        try:
            return (self._wsgi if len(args) + len(kwargs) == 2 else self._asgi)(*args, **kwargs)
        finally:
            args, kwargs = (), {}  # an error of the app's would show them: see mapping.hidden

    # ASGI.

    async def _asgi(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        if kind not in {"http", "websocket"}:
            raise ValueError(f"the scope is of type {kind!r}; Dispatcher serves http, websocket and lifespan")
        root_path, rest = split_path(scope)
        part = self._table.find(rest)
        if part is None:
            await _answer_nothing(scope, receive, send)
            return
        if part.fallback is None:
            scope = self._scope_for(part, scope, root_path, rest)
            try:
                await part.asgi(scope, receive, send)
            finally:
                scope = {}  # an error of the app's would show it: see mapping.hidden
            return
        tape = Tape(receive, self._disk)
        try:
            await serve_with_fallback(
                part, lambda asked: self._scope_for(asked, scope, root_path, rest), tape, send
            )
        finally:
            tape.close()
            scope = {}

    def _scope_for(self, part: Part, scope: Scope, root_path: str, rest: str) -> Scope:
        """``scope`` as ``part`` gets it: with its prefix in ``root_path``, and with its own state, if it has one.

        What is in the scope's state beside the parts' states stays: middleware keeps values of the request there.
        """
        if part.prefix:
            scope = under_prefix(scope, part.prefix, root_path, rest)
        state: dict[str, Any] = scope.get("state") or {}
        states: States | None = state.get(_STATES) or (
            self._states.get(asyncio.get_running_loop()) if self._states else None
        )
        if states:
            state = {**state}
            if part.nested:
                state[_STATES] = states
            else:
                state.pop(_STATES, None)
                state.update(states.get(id(part.asgi), {}))
            scope = {**scope, "state": state}
        return scope

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        loop = asyncio.get_running_loop()

        def publish(states: States) -> None:
            self._states[loop] = states
            if states and "state" in scope:
                scope["state"][_STATES] = states

        parts: dict[int, LifespanPart] = {}
        for part in self._lifespan_parts():
            parts.setdefault(id(part.app), part)
        dispatchers = list({id(each): each for each in self._dispatchers()}.values())
        for each in dispatchers:
            each._open(loop)
        try:
            await run_lifespans(list(parts.values()), receive, send, publish)
        finally:
            self._states.pop(loop, None)
            for each in dispatchers:
                each._leave(loop)

    def _dispatchers(self) -> "Iterator[Dispatcher]":
        """Give this one, and those below, which have no lifespan of their own then."""
        yield self
        for part in self._parts:
            if part.nested:
                yield from cast("Dispatcher", part.asgi)._dispatchers()

    def _open(self, loop: AbstractEventLoop) -> None:
        self._loops.connect(loop)
        self._disk.open()

    def _leave(self, loop: AbstractEventLoop) -> None:
        if self._loops.leave(loop):
            self._disk.drain(lambda: None)
            if self._loops.any_runs():  # it has begun meanwhile, perhaps before the drain
                self._disk.open()

    def _lifespan_parts(self, root: str = "") -> Iterator[LifespanPart]:
        """Give every app below, with its full prefix."""
        for part in self._parts:
            if part.nested:
                yield from cast("Dispatcher", part.asgi)._lifespan_parts(root + part.prefix)
            else:
                place = root + part.place if part.prefix else f"{root or '/'}{part.which}"
                yield LifespanPart(place, part.asgi, part.lifespan)

    def stats(self) -> dict[str, WsgiToAsgiStats | AsgiToWsgiStats]:
        """What the adapters of the mounted apps do now, each by where its app is mounted. Any thread may ask.

        That is the prefix from the root of the site, through dispatchers inside this one; of several apps at a prefix
        with which one it is: ``"/ (app 2 of 2)"``. An app that is mounted twice is told of once, at its first place, so
        that figures can be added up.

        The server calls apps of its own kind without an adapter: those show figures of an adapter that was not used.
        """
        first: dict[int, tuple[str, WsgiToAsgi | AsgiToWsgi]] = {}
        for place, adapter in self._adapters():
            first.setdefault(id(adapter), (place, adapter))
        return {place: adapter.stats() for place, adapter in first.values()}

    def _adapters(self, root: str = "") -> Iterator[tuple[str, WsgiToAsgi | AsgiToWsgi]]:
        """Give the adapter of every app below, with its full prefix: a WSGI app has the one, an ASGI app the other."""
        for part in self._parts:
            if part.nested:
                yield from cast("Dispatcher", part.asgi)._adapters(root + part.prefix)
                continue
            for each in (part.asgi, part.wsgi):
                if isinstance(each, (WsgiToAsgi, AsgiToWsgi)):
                    yield (root + part.place if part.prefix else f"{root or '/'}{part.which}"), each

    # WSGI.

    def _wsgi(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        script_name, rest = split_environ(environ)
        part = self._wire_table.find(rest)
        if part is None:
            length = str(len(_NOTHING_HERE))
            start_response("404 Not Found", [("Content-Type", "text/plain"), ("Content-Length", length)])
            # Not all servers leave the content of an answer to HEAD away.
            return [] if environ.get("REQUEST_METHOD") == "HEAD" else [_NOTHING_HERE]
        try:
            if part.fallback is not None:
                return serve_wsgi_with_fallback(part, script_name, rest, environ, start_response)
            if part.prefix:
                environ["SCRIPT_NAME"], environ["PATH_INFO"] = script_name + part.wire, rest[len(part.wire) :]
            return part.wsgi(environ, start_response)
        finally:
            environ = {}  # an error of the app's would show it: see mapping.hidden

    def close(self) -> None:
        """End what the WSGI side has started, the last one first: ``AsgiToWsgi.close()`` of each ASGI app.

        The next request starts anew. An error of one leaves none of the others open; it is raised at the end.
        """
        with ExitStack() as stack:
            for wsgi in {id(part.wsgi): part.wsgi for part in self._parts}.values():
                if isinstance(wsgi, (AsgiToWsgi, Dispatcher)):
                    stack.callback(wsgi.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


# Where nothing is mounted.


async def _answer_nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """404; to a WebSocket as well, where the server can send it, and else what servers make a 403 of."""
    start = "http.response.start"
    if scope["type"] == "websocket":
        await receive()
        if "websocket.http.response" not in (scope.get("extensions") or {}):
            await send({"type": "websocket.close", "code": 1000, "reason": ""})
            return
        start = "websocket.http.response.start"
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(_NOTHING_HERE)).encode())]
    await send({"type": start, "status": 404, "headers": headers})
    await send({"type": start.replace("start", "body"), "body": _NOTHING_HERE, "more_body": False})
