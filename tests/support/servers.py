"""Real servers under test: each is a subprocess on a free port (or a unix socket) of this machine.

``SERVERS`` is the table of what can be started; a test names a row of it and an import path
``"module:attribute"``. A row that this machine lacks the programs for skips the test. A server is a process
group of its own, so that its workers are found and ended with it and nothing else is.
"""

import contextlib
import itertools
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.support.server_kinds import ASGI_SERVERS, SERVERS, WSGI_SERVERS, ServerKind

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
# Longer than the 30 that gunicorn gives a worker which it told to end while that began, and which missed it.
STOP_TIMEOUT = 40.0
POLL_INTERVAL = 0.02


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
        """Return the log once it holds ``text``, and the end of its line; servers log when they like.

        That is often after the response. And a line may come in parts: unbuffered, ``print()`` writes each word.
        """
        poll(
            lambda: "\n" in self.log().partition(text)[2],
            timeout,
            lambda: f"{self!r} did not log {text!r}; it logged:\n{self.log()}",
        )
        return self.log()

    def assert_no_traceback(self) -> None:
        """Raise with the first traceback that was logged, and the lines around it; pytest would cut a log short."""
        lines = self.log().splitlines()
        first = next((number for number, line in enumerate(lines) if "Traceback" in line), None)
        if first is not None:
            around = "\n".join(lines[max(0, first - 5) : first + 60])
            raise AssertionError(f"{self!r} logged a traceback:\n{around}")

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
        """Return when a connection is accepted, and the kind's ``ready`` logged.

        Raises ``AssertionError`` with the log if the server ended, or took too long.

        A server that loads the app after it began to listen, as gunicorn does, may still end after this.
        """

        def accepts() -> bool:
            if self.process.poll() is not None:
                raise AssertionError(
                    f"{self!r} ended with {self.process.returncode}; it logged:\n{self.log()}"
                )
            return self._accepts() and self.kind.ready in self.log()

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
        leftovers = self._end(timeout)
        assert not leftovers, f"{self!r} had to be killed: {leftovers}; it logged:\n{self.log()}"
        assert not self._accepts(), f"{self!r} has ended and its address still accepts connections"
        return self.process.returncode

    def ends_by_itself(self, timeout: float) -> bool:
        """Do the same where it may be the server's own fault that it does not end; return whether it did."""
        return not self._end(timeout)

    def _end(self, timeout: float) -> list[str]:
        """End the server; return what of it had to be killed."""
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
        return leftovers

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

    ``directory`` takes its log, its unix socket and other files; ``arguments`` are added to its command line,
    ``environ`` to its environment. ``certificate`` (certificate chain, key, root) is wanted by the kinds with
    ``tls``.
    """
    kind = SERVERS[name]
    if reason := kind.missing():
        pytest.skip(reason)
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
        "directory": directory,
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
    # Other braces stay: the path of a checkout may have some.
    places = re.compile(rf"\{{({'|'.join(words)})\}}")
    command = [
        places.sub(lambda place: str(words[place[1]]), word) for word in (*kind.command, *arguments, *address)
    ]
    # A test run that is killed can't end its servers: the kernel then does it, where util-linux is installed.
    if shutil.which("setpriv"):
        command = ["setpriv", "--pdeathsig", "TERM", *command]
    # Appended to: some open it anew, by way of /dev/stderr.
    with log_path.open("ab") as log:
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
