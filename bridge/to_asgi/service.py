"""What all requests of one adapter share: its app, its options, its threads. On all loops that call it."""

from __future__ import annotations

from concurrent.futures import Executor

from ..threads.executor_pool import ExecutorPool
from ..threads.pool import ThreadPool
from ..threads.tally import Tally
from ..types import WSGIApp
from .busy import BusyLog
from .collect import Collector
from .wires import Loops

__all__ = ["Service"]


class Service:
    """The parameters are those of ``WsgiToAsgi``."""

    def __init__(
        self,
        app: WSGIApp,
        *,
        loops: Loops,
        collector: Collector,
        busy: BusyLog,
        tally: Tally,
        threads: int,
        backlog: int,
        executor: Executor | None,
        response_buffer: int,
        sendfile: bool,
        on_server_loop: bool,
    ) -> None:
        """``on_server_loop``: run the app's async code on the server's loop."""
        self.app = app
        self.collector = collector
        self.busy = busy
        self.tally = tally
        self.multithread = threads > 1
        self.response_buffer = response_buffer
        self.sendfile = sendfile
        self.on_server_loop = on_server_loop
        #: Made by the first request that reaches the app, for all loops: ``make_pool()``.
        self.pool: ThreadPool | ExecutorPool | None = None
        self._loops = loops
        self._threads = threads
        self._backlog = backlog
        self._executor = executor

    def make_pool(self) -> ThreadPool | ExecutorPool:
        """The pool, for who has found none."""
        with self._loops.lock:
            if self.pool is None:
                if self._executor is not None:
                    self.pool = ExecutorPool(self._executor, self._backlog)
                else:
                    self.pool = ThreadPool(self._threads, self._backlog, name="bridge-wsgi")
            return self.pool
