"""gunicorn, as ``bridge serve --server gunicorn`` runs it: its own application class, with the target as its app.

gunicorn's configuration is known here when it has been read, from its file, its variables and its command line, and
so the target fits it: a worker class that speaks ASGI gets the ASGI app. Where nobody has chosen a worker class or
threads, ``WorkerByKind`` stands in for the default, sync.
"""

import importlib
import os
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from gunicorn.app.base import Application
from gunicorn.config import Config
from gunicorn.errors import AppImportError
from gunicorn.workers.gthread import ThreadWorker
from gunicorn.workers.sync import SyncWorker

from ..kind import Kind
from ..processes import declare
from .folders import module_words
from .loading import NotServedError, found, tell
from .target import Target

__all__ = ["Served", "WorkerByKind", "main"]

_MODULE = "bridge.cli.gunicorn"

_THREADS = 8
"""Of a worker that serves an ASGI app, where nobody has said how many."""

_ASGI_WORKERS = {"ASGIWorker", "UvicornWorker"}
"""gunicorn's own, and that of uvicorn and of uvicorn-worker."""


class _Said(Config):  # type: ignore[misc]
    """A configuration that knows which settings somebody has chosen."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.said: set[str] = set()

    def set(self, name: str, value: Any) -> None:
        self.said.add(name)
        super().set(name, value)


class WorkerByKind(ThreadWorker):  # type: ignore[misc]
    """gthread for an ASGI app, whose streams would each stop a sync worker; sync, gunicorn's default, for a WSGI app.

    Which of them it is shows when the worker has loaded the app, and until then the two don't differ: a gthread worker
    has made its pool and its selector, without a thread, a connection or a socket in them.
    """

    def get_thread_pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(_THREADS)

    def load_wsgi(self) -> None:
        super().load_wsgi()
        if self.app.serves_asgi:
            return
        self.tpool.shutdown()
        self.poller.close()
        if hasattr(self, "method_queue"):  # not in older releases
            self.method_queue.close()
        self.__class__ = SyncWorker
        self.init_signals()


class Served(Application):  # type: ignore[misc]
    """The target as gunicorn's application."""

    def __init__(self) -> None:
        self._target = Target.from_environment()
        self._forks = 0
        #: Whether an ASGI app, or a Dispatcher, is among what was loaded.
        self.serves_asgi = False
        super().__init__("%(prog)s [OPTIONS]", prog="gunicorn")

    def init(self, *_parsed: Any) -> None:
        self.cfg.set("default_proc_name", " ".join(self._target.names))

    def load_default_config(self) -> None:
        self.cfg = _Said(self.usage, prog=self.prog)

    def load_config(self) -> None:
        super().load_config()
        if not {"worker_class", "threads"} & self.cfg.said:
            self.cfg.set("worker_class", f"{_MODULE}.WorkerByKind")  # older releases take no class

    def run(self) -> None:
        os.register_at_fork(after_in_parent=self._count_fork)
        super().run()

    def _count_fork(self) -> None:
        self._forks += 1

    def load(self) -> object:
        """Called in each worker, or in the main process with ``preload_app``."""
        worker = self.cfg.worker_class
        speaks_asgi = not _ASGI_WORKERS.isdisjoint(parent.__name__ for parent in worker.__mro__)
        interface: Kind = "asgi" if speaks_asgi else "wsgi"
        target = replace(self._target, interface=interface, workers=self.cfg.workers)
        if speaks_asgi and target.threads is not None:  # then they are not the worker's
            target = replace(target, to_asgi={"threads": target.threads, **target.to_asgi})
        declare(self.cfg.workers > 1)
        try:
            served, kinds = found(target)
        except NotServedError as exc:
            if isinstance(exc.__cause__, SystemExit) and _is_told(exc.__cause__):
                raise exc.__cause__ from None
            if self.cfg.reload and isinstance(exc.__cause__, SyntaxError):
                raise exc.__cause__ from None  # gunicorn serves a page that says so, until the file is saved again
            # gunicorn prints the message of this one, and gives up; of any other it would print a traceback.
            raise AppImportError(f"bridge: error: {exc}") from None
        self.serves_asgi = any(kind != "wsgi" for kind in kinds)
        target = replace(target, threads=self._threads(worker))
        tell(target, kinds, first=self._forks == 0, also=self._workers_told(worker, target.threads))
        return served

    def _workers_told(self, worker: type, threads: int | None) -> str:
        """gunicorn says "Using worker" before it is known which."""
        kind = self.cfg.worker_class_str
        if worker is WorkerByKind:
            kind = "gthread" if self.serves_asgi else "sync"
        workers, each = (
            ("1 worker", "") if self.cfg.workers == 1 else (f"{self.cfg.workers} workers", "each ")
        )
        threads_of_each = f", {each}with {threads} threads" if (threads or 1) > 1 else ""
        return f"{workers} of the class {kind}{threads_of_each}"

    def _threads(self, worker: type) -> int | None:
        if worker is WorkerByKind:
            return _THREADS if self.serves_asgi else 1
        if issubclass(worker, SyncWorker):
            return 1
        return int(self.cfg.threads) if issubclass(worker, ThreadWorker) else None


def _is_told(exc: SystemExit) -> bool:
    """Whether gunicorn ends the worker, by its handler of a signal, and not the app whose import it is raised in."""
    *_, (frame, _line) = traceback.walk_tb(exc.__traceback__)
    return str(frame.f_globals.get("__name__")).startswith("gunicorn.")


def main() -> None:
    """Serve; the words of the command line are gunicorn's options."""
    # What SIGUSR2 has gunicorn execute anew, and parse again at SIGHUP; its parser takes the name for an app, which
    # init() leaves aside.
    sys.argv[:1] = module_words(_MODULE)
    Served().run()


if __name__ == "__main__":
    # Under its own name, by which gunicorn finds the worker class: the same one.
    importlib.import_module(_MODULE).main()
