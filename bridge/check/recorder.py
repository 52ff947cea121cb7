"""What the probe writes down, for the process that asks: lines of JSON in one file, in the order in which they happen.

Any thread of the served process may write; a line is one ``write()`` to a file that is open for appending. There is one
served process (``--workers 1``), and what a parent of it writes, such as gunicorn's arbiter, names no request.
"""

import json
import logging
import os
import threading
from collections.abc import Callable
from typing import Any

__all__ = ["LOGS_OF_SERVERS", "Recorder", "in_a_line"]

#: Packages of servers, of the bridge, and of what they stand on: what their loggers say is not the app's.
LOGS_OF_SERVERS = frozenset(
    {
        "asyncio",
        "bridge",
        "cheroot",
        "daphne",
        "granian",
        "_granian",
        "gunicorn",
        "hypercorn",
        "uvicorn",
        "waitress",
    }
)


class Recorder:
    """Writes to ``path``. A request is ours if its mark begins with ``token``."""

    def __init__(self, path: str, token: str) -> None:
        self._token = token
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._lock = threading.Lock()
        self._said: set[str] = set()
        """Guarded by the lock."""

    def command(self, mark: str) -> str:
        """The request's number, or what the probe is to do; empty for a request of somebody else."""
        token, _, command = mark.partition(":")
        return command if token == self._token else ""

    def write(self, at: str, **values: Any) -> None:
        """Write one event."""
        os.write(self._file, json.dumps({"at": at, **values}).encode() + b"\n")

    def write_once(self, at: str, number: int | None = None, **values: Any) -> None:
        """Write one event, unless it was written before; ``number`` is the request that has shown it first."""
        key = json.dumps([at, values], sort_keys=True)
        with self._lock:
            if key in self._said:
                return
            self._said.add(key)
        self.write(at, number=number, **values)

    def watch_logs(self) -> None:
        """Write down what the app logs, from warnings up; no handler is added, for apps look at those."""
        make: Callable[..., logging.LogRecord] = logging.getLogRecordFactory()

        def watched(*args: Any, **kwargs: Any) -> logging.LogRecord:
            record = make(*args, **kwargs)
            if record.levelno >= logging.WARNING and record.name.partition(".")[0] not in LOGS_OF_SERVERS:
                error = record.exc_info[1] if record.exc_info else None
                self.write(
                    "log",
                    logger=record.name,
                    level=record.levelname,
                    text=str(record.msg).partition("\n")[0][:200],
                    error=in_a_line(error) if error else "",
                )
            return record

        logging.setLogRecordFactory(watched)


def in_a_line(error: BaseException) -> str:
    """An exception, as its last line in a traceback."""
    return f"{type(error).__name__}: {error}".partition("\n")[0][:200]
