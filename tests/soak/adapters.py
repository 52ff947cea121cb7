"""The app through an adapter, with ``/counts`` beside it.

The peers, and the app without any adapter, are there to be compared with.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import a2wsgi
from asgiref.wsgi import WsgiToAsgi as Asgirefs

from bridge import AsgiToWsgi, WsgiToAsgi
from bridge.types import Environ, ExcInfo, Headers, Receive, Scope, Send, StartResponse, Write

from . import app_asgi, app_wsgi
from .counts import COUNTS
from .scenarios import App, Direction, Work, content

__all__ = ["ADAPTERS", "SOCKETS", "THREADS", "served"]

#: Threads of the adapters that have any.
THREADS = 16
#: WebSockets at a time: more than there are clients.
SOCKETS = 48

_wsgi: Any = app_wsgi.app
_asgi: Any = app_asgi.app
_asgirefs: Any = Asgirefs  # it has no types


class _Faulty:
    """The bridge with faults of each kind, for the soak's own test: it has to see them."""

    def __init__(self, adapter: Any) -> None:
        self._adapter = adapter
        self._files: list[Any] = []

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        work = Work.parse(environ["QUERY_STRING"])
        if work.app is App.DIGEST:
            raise LookupError("a fault of the adapter's")
        if work.app is App.LEFT_BEHIND:
            self._files.append(Path(__file__).open())  # noqa: SIM115  # the fault
        if work.app is App.SHORT:
            start_response("200 OK", [])
            return [content(work.index, work.down)]
        if work.app is App.CHUNKS:
            start_response = self._folded(start_response)
        response: Iterable[bytes] = self._adapter(environ, start_response)
        if work.app is App.SIZED:
            return self._changed(response)
        return response

    def _folded(self, start_response: StartResponse) -> StartResponse:
        """One Set-Cookie of two."""

        def start(status: str, headers: Headers, exc_info: ExcInfo | None = None, /) -> Write:
            return start_response(status, list(dict(headers).items()), exc_info)

        return start

    def _changed(self, response: Any) -> Iterable[bytes]:
        try:
            for chunk in response:
                yield chunk[:-1] + b"?"
        finally:
            response.close()


#: By what the app is: a WSGI app for an ASGI server, an ASGI app for a WSGI server.
ADAPTERS: dict[Direction, dict[str, Callable[[], Any]]] = {
    "wsgi": {
        "bridge": lambda: WsgiToAsgi(_wsgi, threads=THREADS, websocket_threads=SOCKETS),
        "bridge-stream": lambda: WsgiToAsgi(
            _wsgi, threads=THREADS, websocket_threads=SOCKETS, request_body="stream"
        ),
        "a2wsgi": lambda: a2wsgi.WSGIMiddleware(_wsgi, workers=THREADS),
        "asgiref": lambda: _asgirefs(_wsgi),
        "native": lambda: _asgi,
    },
    "asgi": {
        "bridge": lambda: AsgiToWsgi(_asgi),
        "bridge-shared": lambda: AsgiToWsgi(_asgi, loop="shared"),
        "a2wsgi": lambda: a2wsgi.ASGIMiddleware(_asgi),
        "native": lambda: _wsgi,
        "faulty": lambda: _Faulty(AsgiToWsgi(_asgi)),
    },
}


def _on_asgi(adapter: Any) -> Any:
    async def served(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" and not isinstance(adapter, WsgiToAsgi):
            await app_asgi.app(scope, receive, send)  # which the peers don't answer
        elif scope.get("path") == "/counts":
            data = COUNTS.report()
            length = (b"content-length", str(len(data)).encode())
            await send({"type": "http.response.start", "status": 200, "headers": [length]})
            await send({"type": "http.response.body", "body": data, "more_body": False})
        else:
            await adapter(scope, receive, send)

    return served


def _on_wsgi(adapter: Any) -> Any:
    forgets = isinstance(adapter, AsgiToWsgi)

    def served(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/counts":
            data = COUNTS.report()
            start_response("200 OK", [("Content-Length", str(len(data)))])
            return [data]
        if forgets and f"app={App.FORGOTTEN.value}&" in environ["QUERY_STRING"]:
            # A middleware that makes a list of the response, and does not close it.
            return list(adapter(environ, start_response))
        response: Iterable[bytes] = adapter(environ, start_response)
        return response

    return served


def served(direction: str, name: str) -> Any:
    """The app of a server, by names of ``ADAPTERS``."""
    if direction == "wsgi":
        return _on_asgi(ADAPTERS["wsgi"][name]())
    return _on_wsgi(ADAPTERS["asgi"][name]())
