"""The adapters on real servers, one process each, beside native apps and other adapters on the same servers."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from functools import partial

from . import load
from .measure import Group, Sample, Settings, Subject, Wanted
from .processes import Server, start

__all__ = ["GROUPS", "measured"]

#: Connections of the load generator.
CONNECTIONS = 32

# gunicorn has up to 1 MiB of an upload in its buffer, and copies what is left of it at each read. Whether glibc gives
# that memory back to the system each time, and gets it again page by page, depends on what else a process happens to
# have at the end of its heap; where it does, that is most of the time. With these variables it never does.
_KEEP_MEMORY = {"MALLOC_TRIM_THRESHOLD_": str(64 << 20), "MALLOC_MMAP_THRESHOLD_": str(8 << 20)}

#: Subject, server, name in ``apps.SERVED``.
_Row = tuple[str, str, str]

_KEPT_LOOP = "run_until_complete, kept loop"
_BARE_EXECUTOR = "bare run_in_executor"
_BARE_SPOOL = "a bare temporary file"
_NATIVE_ASGI: _Row = ("native ASGI", "uvicorn", "asgi")
_ON_UVICORN: tuple[_Row, ...] = (
    ("bridge", "uvicorn", "wsgi_bridge"),
    ("a2wsgi", "uvicorn", "wsgi_a2wsgi"),
    ("uvicorn's old", "uvicorn", "wsgi_uvicorn"),
    ("asgiref", "uvicorn", "wsgi_asgiref"),
    _NATIVE_ASGI,
)
_UPLOADS: tuple[_Row, ...] = (
    ("bridge, buffered", "uvicorn", "wsgi_bridge"),
    ("bridge, streamed", "uvicorn", "wsgi_bridge_stream"),
    ("a2wsgi", "uvicorn", "wsgi_a2wsgi"),
    _NATIVE_ASGI,
    (_BARE_SPOOL, "uvicorn", "wsgi_bare_spool"),
)
#: Other ways to have a WSGI app served: the servers' own wrappers, and WSGI servers.
_ON_OTHER_SERVERS: tuple[_Row, ...] = (
    ("bridge on granian", "granian ASGI", "wsgi_bridge"),
    ("granian WSGI", "granian WSGI", "wsgi"),
    ("bridge on hypercorn", "hypercorn", "wsgi_bridge"),
    ("hypercorn's own", "hypercorn WSGI", "wsgi"),
    ("native ASGI, gunicorn", "gunicorn ASGI", "asgi"),
    ("gunicorn gthread", "gunicorn gthread", "wsgi"),
    ("waitress", "waitress", "wsgi"),
)


def _on(server: str) -> tuple[_Row, ...]:
    return (
        ("bridge", server, "asgi_bridge"),
        ("bridge, shared loop", server, "asgi_bridge_shared"),
        ("a2wsgi", server, "asgi_a2wsgi"),
        ("native WSGI", server, "wsgi"),
    )


def measured(server: Server, run: Callable[[], load.Load]) -> Sample:
    before = server.cpu_seconds()
    done = run()
    return Sample(done.count, done.seconds, server.cpu_seconds() - before, done.failed)


def _hello(rows: Iterable[_Row], stack: ExitStack, settings: Settings) -> list[Subject]:
    def run(server: Server) -> Sample:
        return measured(server, lambda: load.hello(server, CONNECTIONS, settings.server_seconds))

    return [Subject(name, partial(run, start(stack, kind, app))) for name, kind, app in rows]


def _chunks(rows: Iterable[_Row], stack: ExitStack, settings: Settings) -> list[Subject]:
    def run(server: Server) -> Sample:
        path = f"/chunks/{settings.chunks}"
        return measured(server, lambda: load.Load(1, load.download(server, path, settings.chunks * 100)))

    return [Subject(name, partial(run, start(stack, kind, app))) for name, kind, app in rows]


def _download(rows: Iterable[_Row], stack: ExitStack, settings: Settings) -> list[Subject]:
    def run(server: Server) -> Sample:
        path = f"/download/{settings.body}"
        return measured(server, lambda: load.Load(1, load.download(server, path, settings.body)))

    return [Subject(name, partial(run, start(stack, kind, app))) for name, kind, app in rows]


def _upload(
    rows: Iterable[_Row], environment: Mapping[str, str], stack: ExitStack, settings: Settings
) -> list[Subject]:
    def run(server: Server) -> Sample:
        return measured(server, lambda: load.Load(1, load.upload(server, "/upload", settings.body)))

    return [Subject(name, partial(run, start(stack, kind, app, environment))) for name, kind, app in rows]


GROUPS = (
    Group(
        "servers.uvicorn.hello",
        f"WSGI hello world on uvicorn and on other servers, {CONNECTIONS} connections",
        "native ASGI",
        partial(
            _hello, (*_ON_UVICORN, (_BARE_EXECUTOR, "uvicorn", "wsgi_bare_executor"), *_ON_OTHER_SERVERS)
        ),
        (
            Wanted("bridge", "a2wsgi", 7.0),
            Wanted("bridge", "native ASGI", 0.6),
            Wanted("bridge", "gunicorn gthread", 5.0),
        ),
    ),
    Group(
        "servers.uvicorn.chunks",
        "a WSGI app's chunks of 100 bytes on uvicorn",
        "native ASGI",
        partial(_chunks, _ON_UVICORN),
        (Wanted("bridge", "native ASGI", 1.3),),
        measures="time",
    ),
    Group(
        "servers.uvicorn.upload",
        "100 MiB into a WSGI app on uvicorn",
        "native ASGI",
        partial(_upload, _UPLOADS, {}),
        (Wanted("bridge, buffered", "native ASGI", 1.2), Wanted("bridge, streamed", "native ASGI", 1.2)),
        measures="time",
    ),
    Group(
        "servers.uvicorn.download",
        "100 MiB in blocks of 64 KiB from a WSGI app on uvicorn",
        "native ASGI",
        partial(_download, _ON_UVICORN),
        (Wanted("bridge", "native ASGI", 1.3),),
        measures="time",
    ),
    Group(
        "servers.sync.hello",
        f"ASGI hello world on gunicorn sync, {CONNECTIONS} connections",
        "native WSGI",
        partial(_hello, (*_on("gunicorn sync"), (_KEPT_LOOP, "gunicorn sync", "asgi_kept_loop"))),
        (Wanted("bridge", "native WSGI", 0.86),),
    ),
    Group(
        "servers.gthread.hello",
        f"ASGI hello world on gunicorn gthread with 8 threads, {CONNECTIONS} connections",
        "native WSGI",
        partial(_hello, (*_on("gunicorn gthread(8)"), (_KEPT_LOOP, "gunicorn gthread(8)", "asgi_kept_loop"))),
        (Wanted("bridge", "native WSGI", 0.92),),
    ),
    Group(
        "servers.gthread.chunks",
        "an ASGI app's chunks of 100 bytes on gunicorn gthread",
        "native WSGI",
        partial(_chunks, _on("gunicorn gthread(8)")),
        (Wanted("bridge", "native WSGI", 1.0),),
        measures="time",
    ),
    Group(
        "servers.gthread.upload",
        "100 MiB into an ASGI app on gunicorn gthread",
        "native WSGI",
        partial(_upload, _on("gunicorn gthread(8)"), _KEEP_MEMORY),
        (Wanted("bridge", "native WSGI", 1.2),),
        measures="time",
    ),
    Group(
        "servers.gthread.download",
        "100 MiB in blocks of 64 KiB from an ASGI app on gunicorn gthread",
        "native WSGI",
        partial(_download, _on("gunicorn gthread(8)")),
        (Wanted("bridge", "native WSGI", 1.1),),
        measures="time",
    ),
)
