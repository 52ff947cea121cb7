"""Servers as processes on a free port of 127.0.0.1, and what they cost."""

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import psutil

from . import apps

__all__ = ["HOST", "PeakMemory", "Server", "end_children", "start"]

HOST = "127.0.0.1"
_REPOSITORY = Path(__file__).resolve().parents[1]
#: Seconds.
_START_LIMIT = 30.0
_STOP_LIMIT = 10.0


def _python(module: str, *words: str) -> tuple[str, ...]:
    return (sys.executable, "-m", module, *words)


def _gunicorn(*words: str) -> tuple[str, ...]:
    options = (
        "--log-level",
        "error",
        "--graceful-timeout",
        "2",
        "--no-control-socket",
        "--bind",
        "{address}",
    )
    return _python("gunicorn", "--workers", "1", *options, *words, "{app}")


def _hypercorn(app: str) -> tuple[str, ...]:
    return _python("hypercorn", "--log-level", "error", "--graceful-timeout", "2", "--bind", "{address}", app)


_THREADS = str(apps.THREADS)
_BIND = ("--host", HOST, "--port", "{port}")
COMMANDS: dict[str, tuple[str, ...]] = {
    "uvicorn": _python(
        "uvicorn", "--http", "httptools", "--loop", "uvloop", "--no-access-log", "--log-level", "error",
        "--timeout-graceful-shutdown", "2", *_BIND, "{app}",
    ),
    "gunicorn sync": _gunicorn("--worker-class", "sync"),
    "gunicorn gthread(8)": _gunicorn("--worker-class", "gthread", "--threads", "8"),
    "gunicorn gthread": _gunicorn("--worker-class", "gthread", "--threads", _THREADS),
    "gunicorn ASGI": _gunicorn("--worker-class", "asgi"),
    # It looks into the module's dictionary, where an app is that has been asked for.
    "hypercorn": _hypercorn("benchmarks.apps:__getattr__('{name}')"),
    "hypercorn WSGI": _hypercorn("wsgi:benchmarks.apps:__getattr__('{name}')"),
    "granian ASGI": _python(
        "granian", "--interface", "asgi", "--workers", "1", "--no-ws",
        "--log-level", "error", "--workers-kill-timeout", "2s", *_BIND, "{app}",
    ),
    "waitress": _python("waitress", "--threads", _THREADS, "--listen", "{address}", "{app}"),
    "granian WSGI": _python(
        "granian", "--interface", "wsgi", "--workers", "1", "--blocking-threads", _THREADS, "--no-ws",
        "--log-level", "error", "--workers-kill-timeout", "2s", *_BIND, "{app}",
    ),
}  # fmt: skip


class Server:
    """A server that answers, with its workers."""

    def __init__(
        self, kind: str, app: str, process: subprocess.Popen[bytes], port: int, log: IO[bytes]
    ) -> None:
        self.kind = kind
        self.app = app
        self.port = port
        self._process = process
        self._log = log

    def __repr__(self) -> str:
        return f"<{self.kind} serving {self.app} on port {self.port}, pid {self._process.pid}>"

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}/"

    def connect(self, timeout: float = 60.0) -> socket.socket:
        """A new connection; ``timeout`` (seconds) is against hanging."""
        connection = socket.create_connection((HOST, self.port), timeout)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def processes(self) -> list[psutil.Process]:
        try:
            root = psutil.Process(self._process.pid)
            return [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            raise RuntimeError(f"{self!r} has ended; it logged:\n{self.log()}") from None

    def cpu_seconds(self) -> float:
        """Processor time that its processes have used, in user and system mode."""
        return sum(
            times.user + times.system for times in (process.cpu_times() for process in self.processes())
        )

    def rss(self) -> int:
        """Resident memory of its processes, in bytes."""
        return sum(process.memory_info().rss for process in self.processes())

    def log(self) -> str:
        """The last 2,000 bytes of what it wrote to stdout and stderr."""
        self._log.seek(0)
        return self._log.read()[-2000:].decode(errors="replace")

    def wait_until_answering(self) -> None:
        limit = time.monotonic() + _START_LIMIT
        while True:
            if self._process.poll() is not None:
                raise RuntimeError(
                    f"{self!r} ended with {self._process.returncode}; it logged:\n{self.log()}"
                )
            try:
                with self.connect(timeout=5.0) as connection:
                    connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                    if connection.recv(12) == b"HTTP/1.1 200":
                        return
            except OSError:
                pass  # not yet
            if time.monotonic() > limit:
                raise RuntimeError(f"{self!r} does not answer; it logged:\n{self.log()}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End it and its workers, each by its pid."""
        processes = self.processes() if self._process.poll() is None else []
        self._process.terminate()
        try:
            self._process.wait(_STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for process in processes[1:]:
            if process.is_running():
                process.kill()
        self._log.close()


def start(stack: ExitStack, kind: str, app: str, environment: Mapping[str, str] | None = None) -> Server:
    """Start a server of ``COMMANDS`` for a name of ``apps.SERVED``; the stack ends it.

    ``environment`` is added to the variables that it inherits.
    """
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    words = {"app": f"benchmarks.apps:{app}", "name": app, "port": str(port), "address": f"{HOST}:{port}"}
    log = tempfile.TemporaryFile()  # noqa: SIM115  # the server closes it
    process = subprocess.Popen(
        [word.format(**words) for word in COMMANDS[kind]],
        cwd=_REPOSITORY,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
    )
    server = Server(kind, app, process, port, log)
    stack.callback(server.stop)
    server.wait_until_answering()
    return server


def end_children() -> None:
    """End what this process has begun and that runs yet: it may be nobody's.

    A signal that raises may come when a server's process is there already, and its object is not yet.
    """
    children = psutil.Process().children(recursive=True)
    for child in children:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    psutil.wait_procs(children, _START_LIMIT)


class PeakMemory:
    """Samples a server's resident memory every 20 ms, in a thread, while the block runs."""

    def __init__(self, server: Server) -> None:
        self.start = server.rss()
        self.peak = self.start
        self._server = server
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample)

    @property
    def growth(self) -> int:
        return self.peak - self.start

    def _sample(self) -> None:
        while not self._ended.wait(0.02):
            self.peak = max(self.peak, self._server.rss())

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
