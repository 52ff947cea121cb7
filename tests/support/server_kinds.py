"""The servers that tests can start, each a row with its command line. ``servers`` starts them."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from tests.support import mod_wsgi
from tests.support.faults.row import installed
from tests.support.versions import NO_CONTROL_SOCKET

__all__ = ["ASGI_SERVERS", "SERVERS", "WEBSOCKET_SERVERS", "WSGI_SERVERS", "ServerKind"]


@dataclass(frozen=True, slots=True)
class ServerKind:
    """One way of running one server.

    The words of ``command`` may hold ``{app}``, ``{module}``, ``{attribute}``, ``{directory}`` (for files),
    ``{host}``, ``{port}``, and with ``tls`` ``{cert}`` and ``{key}``; those of ``unix`` hold ``{path}``, and
    replace the words of ``tcp``. ``ready`` is what its log says when it can be told to stop, where it answers before.
    ``missing`` says why it can't be run on this machine, if so.
    """

    name: str
    interface: Literal["asgi", "wsgi"]
    command: tuple[str, ...]
    tcp: tuple[str, ...]
    unix: tuple[str, ...] = ()
    http: Literal["1.1", "2"] = "1.1"
    tls: bool = False
    ready: str = ""
    missing: Callable[[], str | None] = lambda: None

    @property
    def scheme(self) -> str:
        return "https" if self.tls else "http"


def _python(module: str, *words: str) -> tuple[str, ...]:
    return (sys.executable, "-m", module, *words)


_HOST_PORT = ("--host", "{host}", "--port", "{port}")
_UVICORN = ("--timeout-graceful-shutdown", "10", "{app}")
_HYPERCORN = _python(
    "hypercorn", "--graceful-timeout", "10", "--access-logfile", "-", "--error-logfile", "-", "{app}"
)
_HYPERCORN_TCP, _HYPERCORN_UNIX = ("--bind", "{host}:{port}"), ("--bind", "unix:{path}")
_GRANIAN = _python(
    "granian", "--workers", "1", "--access-log", "--no-ws", "--workers-kill-timeout", "15", "{app}"
)
_GUNICORN = _python(
    "gunicorn", "--access-logfile", "-", "--graceful-timeout", "10", *NO_CONTROL_SOCKET, "{app}"
)
_GUNICORN_TCP, _GUNICORN_UNIX = ("--bind", "{host}:{port}"), ("--bind", "unix:{path}")
_RUNNER = "tests.support.wsgi_runner"
_UWSGI = (
    str(Path(sys.executable).with_name("uwsgi")),
    *("--master", "--need-app", "--die-on-term", "--http-chunked-input", "--enable-threads"),
    # Where its worker does not end: tests/support/faults has a row of it, "SIGTERM to a worker with threads".
    *("--worker-reload-mercy", "5"),
    *("--processes", "1", "--threads", "8", "--module", "{module}", "--callable", "{attribute}"),
)

_KINDS = (
    ServerKind(
        "uvicorn-h11",
        "asgi",
        _python("uvicorn", "--http", "h11", "--loop", "asyncio", *_UVICORN),
        tcp=_HOST_PORT,
        unix=("--uds", "{path}"),
    ),
    ServerKind(
        "uvicorn-httptools",
        "asgi",
        _python("uvicorn", "--http", "httptools", "--loop", "uvloop", *_UVICORN),
        tcp=_HOST_PORT,
        unix=("--uds", "{path}"),
    ),
    ServerKind("hypercorn", "asgi", _HYPERCORN, tcp=_HYPERCORN_TCP, unix=_HYPERCORN_UNIX),
    # The client begins with HTTP/2's preface ("prior knowledge"), without TLS.
    ServerKind("hypercorn-h2c", "asgi", _HYPERCORN, tcp=_HYPERCORN_TCP, http="2"),
    ServerKind(
        "hypercorn-h2",
        "asgi",
        (*_HYPERCORN, "--certfile", "{cert}", "--keyfile", "{key}"),
        tcp=_HYPERCORN_TCP,
        http="2",
        tls=True,
    ),
    ServerKind(
        "granian", "asgi", (*_GRANIAN, "--interface", "asgi"), tcp=_HOST_PORT, unix=("--uds", "{path}")
    ),
    ServerKind(
        "daphne",
        "asgi",
        _python("daphne", "{app}"),
        tcp=("-b", "{host}", "-p", "{port}"),
        unix=("-u", "{path}"),
    ),
    ServerKind("gunicorn-sync", "wsgi", _GUNICORN, tcp=_GUNICORN_TCP, unix=_GUNICORN_UNIX),
    ServerKind(
        "gunicorn-gthread",
        "wsgi",
        (*_GUNICORN, "--worker-class", "gthread", "--threads", "8"),
        tcp=_GUNICORN_TCP,
        unix=_GUNICORN_UNIX,
    ),
    ServerKind(
        "gunicorn-preload",
        "wsgi",
        (*_GUNICORN, "--worker-class", "gthread", "--threads", "4", "--workers", "2", "--preload"),
        tcp=_GUNICORN_TCP,
        unix=_GUNICORN_UNIX,
    ),
    ServerKind(
        "gunicorn-gevent",
        "wsgi",
        (*_GUNICORN, "--worker-class", "gevent"),
        tcp=_GUNICORN_TCP,
        unix=_GUNICORN_UNIX,
        missing=lambda: None if find_spec("gevent") else "gevent is not installed",
    ),
    ServerKind(
        "waitress",
        "wsgi",
        _python("waitress", "--threads", "8"),
        tcp=("--listen", "{host}:{port}", "{app}"),
        unix=("--unix-socket", "{path}", "{app}"),
    ),
    ServerKind("wsgiref", "wsgi", _python(_RUNNER, "wsgiref", "{app}"), tcp=("{host}", "{port}")),
    ServerKind("cheroot", "wsgi", _python(_RUNNER, "cheroot", "{app}"), tcp=("{host}", "{port}")),
    ServerKind(
        "granian-wsgi", "wsgi", (*_GRANIAN, "--interface", "wsgi", "--blocking-threads", "8"), tcp=_HOST_PORT
    ),
    ServerKind(
        "uwsgi",
        "wsgi",
        _UWSGI,
        tcp=("--http-socket", "{host}:{port}"),
        unix=("--http-socket", "{path}"),
        # Its worker answers before, and its master lost a SIGTERM that came between: seen once, on a busy machine.
        ready="spawned uWSGI worker 1",
    ),
    ServerKind(
        "mod_wsgi",
        "wsgi",
        _python("tests.support.mod_wsgi", "{app}", "{directory}"),
        tcp=("{host}", "{port}"),
        missing=mod_wsgi.missing,
    ),
)

# It is no row of ASGI_SERVERS for its fault "request without a body, HTTP/2" (see faults): a test that needs it names
# it, and sends a body.
_UVICORN_H2C = ServerKind(
    "uvicorn-h2c",
    "asgi",
    _python("uvicorn", "--http", "zttp", "--http2", "--loop", "asyncio", *_UVICORN),
    tcp=_HOST_PORT,
    http="2",
    missing=lambda: None if installed("uvicorn>=0.53") else "uvicorn has HTTP/2 since 0.53",
)


def _no_http3() -> str | None:
    if find_spec("aioquic") is None:
        return "aioquic is not installed"
    if installed("hypercorn<0.18"):
        return "hypercorn 0.17.0 can't open a socket for HTTP/3: it asks it for TCP_NODELAY"
    return None


# HTTP/3 beside HTTP/2, on one port. Its client is a test's own (test_http3): httpx doesn't speak it.
_HYPERCORN_H3 = ServerKind(
    "hypercorn-h3",
    "asgi",
    # It has nothing to wait for at its end, and waits all the same.
    (*_HYPERCORN, "--certfile", "{cert}", "--keyfile", "{key}", "--graceful-timeout", "1"),
    tcp=(*_HYPERCORN_TCP, "--quic-bind", "{host}:{port}"),
    http="2",
    tls=True,
    missing=_no_http3,
)

# What a server runs for WebSocket, where it is no row of ASGI_SERVERS. uvicorn's default is the protocol of websockets
# without its threads; it calls its first implementation on websockets deprecated.
_WEBSOCKET_KINDS = (
    ServerKind(
        "uvicorn-websockets",
        "asgi",
        _python("uvicorn", "--ws", "websockets", "--loop", "asyncio", *_UVICORN),
        tcp=_HOST_PORT,
    ),
    ServerKind(
        "uvicorn-wsproto",
        "asgi",
        _python("uvicorn", "--ws", "wsproto", "--loop", "asyncio", *_UVICORN),
        tcp=_HOST_PORT,
    ),
    ServerKind("granian-ws", "asgi", (*_GRANIAN, "--interface", "asgi", "--ws"), tcp=_HOST_PORT),
)

SERVERS: dict[str, ServerKind] = {
    kind.name: kind for kind in (*_KINDS, _UVICORN_H2C, _HYPERCORN_H3, *_WEBSOCKET_KINDS)
}
ASGI_SERVERS = tuple(kind.name for kind in _KINDS if kind.interface == "asgi")
WSGI_SERVERS = tuple(kind.name for kind in _KINDS if kind.interface == "wsgi")
WEBSOCKET_SERVERS = (
    *("uvicorn-h11", "uvicorn-httptools", "uvicorn-websockets", "uvicorn-wsproto"),
    *("hypercorn", "granian-ws", "daphne"),
)
