"""Real servers under test: each is a subprocess on a free port (or a unix socket) of this machine.

``SERVERS`` is the table of what can be started; a test names a row of it and an import path
``"module:attribute"``. A server is a process group of its own, so that its workers are found and ended with
it and nothing else is.
"""

import contextlib
import itertools
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import httpx
import psutil

__all__ = [
    "ASGI_SERVERS",
    "SERVERS",
    "WSGI_SERVERS",
    "RunningServer",
    "ServerKind",
    "free_port",
    "poll",
    "start",
]

REPOSITORY = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"
START_TIMEOUT = 40.0  # seconds; a loaded machine imports slowly
STOP_TIMEOUT = 20.0
POLL_INTERVAL = 0.02


@dataclass(frozen=True, slots=True)
class ServerKind:
    """One way of running one server.

    The words of ``command`` may hold ``{app}``, ``{module}``, ``{attribute}``, ``{host}``, ``{port}``, and
    with ``tls`` ``{cert}`` and ``{key}``; those of ``unix`` hold ``{path}``, and replace the words of
    ``tcp``.
    """

    name: str
    interface: Literal["asgi", "wsgi"]
    command: tuple[str, ...]
    tcp: tuple[str, ...]
    unix: tuple[str, ...] = ()
    http: Literal["1.1", "2"] = "1.1"
    tls: bool = False

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
    "granian", "--workers", "1", "--access-log", "--no-ws", "--workers-kill-timeout", "15s", "{app}"
)
_GUNICORN = _python(
    "gunicorn", "--access-logfile", "-", "--graceful-timeout", "10", "--no-control-socket", "{app}"
)
_GUNICORN_TCP, _GUNICORN_UNIX = ("--bind", "{host}:{port}"), ("--bind", "unix:{path}")
_RUNNER = "tests.support.wsgi_runner"
_UWSGI = (
    str(Path(sys.executable).with_name("uwsgi")),
    *("--master", "--need-app", "--die-on-term", "--http-chunked-input", "--enable-threads"),
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
        "uwsgi", "wsgi", _UWSGI, tcp=("--http-socket", "{host}:{port}"), unix=("--http-socket", "{path}")
    ),
)

# uvicorn's HTTP/2 (0.54 with zttp 0.0.35) never sees the end of a request without a body, with any app. So it is no row
# of ASGI_SERVERS; a test that needs it names it, and sends a body.
_UVICORN_H2C = ServerKind(
    "uvicorn-h2c",
    "asgi",
    _python("uvicorn", "--http", "zttp", "--http2", "--loop", "asyncio", *_UVICORN),
    tcp=_HOST_PORT,
    http="2",
)

SERVERS: dict[str, ServerKind] = {kind.name: kind for kind in (*_KINDS, _UVICORN_H2C)}
ASGI_SERVERS = tuple(kind.name for kind in _KINDS if kind.interface == "asgi")
WSGI_SERVERS = tuple(kind.name for kind in _KINDS if kind.interface == "wsgi")


@dataclass(slots=True, eq=False)
class RunningServer:
    """A server that accepts connections. ``stop()`` ends it and proves that nothing of it is left."""

    kind: ServerKind
    app: str
    host: str
    port: int
    unix_path: Path | None
    log_path: Path
    process: subprocess.Popen[bytes]
    ca_path: Path | None = None
    _stopped: bool = False

    def __repr__(self) -> str:
        return (
            f"<{self.kind.name} serving {self.app} at {self.unix_path or self.url}, pid {self.process.pid}>"
        )

    @property
    def url(self) -> str:
        """``http://127.0.0.1:PORT``, without a slash at its end."""
        return f"{self.kind.scheme}://{self.host}:{self.port}"

    def client(self, **options: Any) -> httpx.Client:
        """Return a client that speaks the server's version of HTTP to it, and has its URL as ``base_url``."""
        return httpx.Client(**self._client_options(options))

    def async_client(self, **options: Any) -> httpx.AsyncClient:
        """Return the same as ``client`` for async code."""
        return httpx.AsyncClient(**self._client_options(options))

    def _client_options(self, options: dict[str, Any]) -> dict[str, Any]:
        http2 = self.kind.http == "2"
        verify = ssl.create_default_context(cafile=self.ca_path) if self.ca_path else False
        # trust_env: a proxy from the environment has no business between a test and its server.
        defaults = {"http1": not http2, "http2": http2, "verify": verify, "timeout": 30.0, "trust_env": False}
        return defaults | {"base_url": self.url} | options

    def connect(self, timeout: float = 30.0) -> socket.socket:
        """Return a new connection to the server; ``timeout`` (seconds) guards against hanging only.

        Over TLS the certificate is checked, and ALPN offers HTTP/1.1 alone.
        """
        plain = self._connect(timeout)
        if self.ca_path is None:
            return plain
        context = ssl.create_default_context(cafile=self.ca_path)
        context.set_alpn_protocols(["http/1.1"])
        return context.wrap_socket(plain, server_hostname=self.host)

    def _connect(self, timeout: float) -> socket.socket:
        if self.unix_path is None:
            return socket.create_connection((self.host, self.port), timeout=timeout)
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(timeout)
        try:
            connection.connect(str(self.unix_path))
        except OSError:
            connection.close()
            raise
        return connection

    def log(self) -> str:
        """Return what the server and its workers wrote to stdout and stderr until now."""
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def wait_for_log(self, text: str, timeout: float = 20.0) -> str:
        """Return the log once it holds ``text``; servers log when they like, often after the response."""
        poll(
            lambda: text in self.log(),
            timeout,
            lambda: f"{self!r} did not log {text!r}; it logged:\n{self.log()}",
        )
        return self.log()

    def processes(self) -> list[psutil.Process]:
        """Return the living processes of the server's group: the server and its workers."""
        return list(_group(self.process.pid))

    def rss(self) -> int:
        """Return the resident memory of all its processes together, in bytes."""
        return sum(process.memory_info().rss for process in self.processes())

    def terminate(self) -> None:
        """Ask the server to shut down, as a process manager does, and return at once."""
        self.process.send_signal(signal.SIGTERM)

    def wait_until_accepting(self) -> None:
        """Return when a connection is accepted; raise with the log if the server ended, or took too long.

        A server that loads the app after it began to listen, as gunicorn does, may still end after this.
        """

        def accepts() -> bool:
            if self.process.poll() is not None:
                raise AssertionError(
                    f"{self!r} ended with {self.process.returncode}; it logged:\n{self.log()}"
                )
            return self._accepts()

        poll(
            accepts, START_TIMEOUT, lambda: f"{self!r} does not accept connections; it logged:\n{self.log()}"
        )

    def wait_until_not_accepting(self) -> None:
        """Return when a shutdown has begun so far that new connections are refused."""
        poll(lambda: not self._accepts(), STOP_TIMEOUT, lambda: f"{self!r} still accepts connections")

    def stop(self, timeout: float = STOP_TIMEOUT) -> int:
        """End the server with SIGTERM; return its exit status (negative: the signal that ended it).

        Raises ``AssertionError`` if it or a worker runs on after ``timeout`` seconds and had to be
        killed, or if its port is still taken afterwards.
        """
        if self._stopped:
            return self.process.returncode
        self._stopped = True
        if self.process.poll() is None:
            self.terminate()
        leftovers: list[str] = []
        try:
            self.process.wait(timeout)
            poll(lambda: not self.processes(), timeout, lambda: "")
        except (subprocess.TimeoutExpired, AssertionError):
            leftovers = [repr(process) for process in self.processes()]
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(STOP_TIMEOUT)
            poll(lambda: not self.processes(), STOP_TIMEOUT, lambda: f"{self!r} survives SIGKILL")
        assert not leftovers, f"{self!r} had to be killed: {leftovers}; it logged:\n{self.log()}"
        assert not self._accepts(), f"{self!r} has ended and its address still accepts connections"
        return self.process.returncode

    def _accepts(self) -> bool:
        try:
            self._connect(1.0).close()
        except OSError:
            return False
        return True


def start(
    name: str,
    app: str,
    directory: Path,
    *,
    unix: bool = False,
    arguments: tuple[str, ...] = (),
    environ: Mapping[str, str] | None = None,
    certificate: tuple[Path, Path, Path] | None = None,
) -> RunningServer:
    """Start the server ``name`` of ``SERVERS`` for the app ``"module:attribute"``; return when it accepts.

    ``directory`` takes its log and its unix socket; ``arguments`` are added to its command line, ``environ``
    to its environment. ``certificate`` (certificate chain, key, root) is wanted by the kinds with ``tls``.
    """
    kind = SERVERS[name]
    module, _, attribute = app.partition(":")
    serial = next(_serials)
    log_path = directory / f"{name}-{serial}.log"
    # A unix socket's path may have 107 bytes at most.
    unix_path = directory / f"{serial}.sock" if unix else None
    port = 0 if unix else free_port()
    words = {
        "app": app,
        "module": module,
        "attribute": attribute,
        "host": HOST,
        "port": port,
        "path": unix_path,
    }
    ca_path = None
    if kind.tls:
        assert certificate is not None, f"{name} wants a certificate"
        words["cert"], words["key"], ca_path = certificate
    assert kind.unix or not unix, f"{name} has no unix sockets"
    address = kind.unix if unix else kind.tcp
    command = [word.format(**words) for word in (*kind.command, *arguments, *address)]
    # A test run that is killed can't end its servers: the kernel then does it, where util-linux is installed.
    if shutil.which("setpriv"):
        command = ["setpriv", "--pdeathsig", "TERM", *command]
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env=os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONPATH": str(REPOSITORY)} | dict(environ or {}),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    server = RunningServer(kind, app, HOST, port, unix_path, log_path, process, ca_path)
    try:
        server.wait_until_accepting()
    except BaseException:
        server.stop()
        raise
    return server


_serials = itertools.count()


def _ports() -> Iterator[int]:
    """Yield ports below the range from which the kernel serves ``bind(0)`` and outgoing connections.

    A port of that range could be given away between our look at it and the server's bind. The start depends
    on the process, so that test processes that run side by side do not meet.
    """
    first, last = 10_000, 32_000
    offset = os.getpid() * 97 % (last - first)
    for step in itertools.count():
        yield first + (offset + step) % (last - first)


_port_numbers = _ports()


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nothing listens on."""
    for port in _port_numbers:
        with socket.socket() as probe:
            # As servers do: a connection in TIME_WAIT does not make the port taken.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise AssertionError("unreachable: the ports go round")


def _group(group: int) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                yield process


def poll(condition: Callable[[], bool], timeout: float, message: Callable[[], str]) -> None:
    """Wait until ``condition()``: the one place where tests look at a thing again and again.

    For what tells nobody that it changed: a port, another process's log or end.
    """
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(message())
        time.sleep(POLL_INTERVAL)
