"""The adapters without a server: what they themselves cost.

The other side of each adapter is as cheap as it can be: a ``receive()`` and a ``send()`` that do next to nothing, or a
loop over the response. A server's work is therefore in no figure here, and in all figures of ``servers``.
"""

import asyncio
import contextvars
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from io import BytesIO
from typing import Any

from bridge import AsgiToWsgi, WsgiToAsgi
from bridge.types import ASGIApp, Message, WSGIApp

from . import apps
from .bare import ENVIRON, SCOPE, KeptLoops, bare_executor, bare_loop, start_response
from .measure import Group, Sample, Settings, Subject, Wanted

__all__ = ["GROUPS", "call", "request"]

# Calling an ASGI app.


class _Connection:
    """The server's side of one request."""

    __slots__ = ("asked", "size", "status")

    def __init__(self) -> None:
        self.asked = False
        self.status = 0
        self.size = 0

    async def receive(self) -> Message:
        if self.asked:
            await asyncio.get_running_loop().create_future()  # the client stays
        self.asked = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        else:
            self.size += len(message.get("body", b""))


async def request(app: ASGIApp, path: str, size: int) -> None:
    scope = dict(SCOPE)
    if path != "/":
        scope["path"], scope["raw_path"] = path, path.encode()
    connection = _Connection()
    await app(scope, connection.receive, connection.send)
    if connection.status != 200 or connection.size != size:
        raise RuntimeError(f"status {connection.status} and {connection.size} bytes; expected 200 and {size}")


async def _requests(app: ASGIApp, deadline: float) -> int:
    count = 0
    while count == 0 or time.perf_counter() < deadline:
        await request(app, "/", len(apps.HELLO))
        count += 1
    return count


async def _concurrent_requests(app: ASGIApp, seconds: float, concurrency: int) -> int:
    deadline = time.perf_counter() + seconds
    if concurrency == 1:
        return await _requests(app, deadline)
    return sum(await asyncio.gather(*(_requests(app, deadline) for _ in range(concurrency))))


def _timed(run: Callable[[], int]) -> Sample:
    start, cpu = time.perf_counter(), time.process_time()
    count = run()
    return Sample(count, time.perf_counter() - start, time.process_time() - cpu)


def _wsgi_adapters(stack: ExitStack, app: WSGIApp) -> dict[str, ASGIApp]:
    """The adapters in order of the tables; their threads are ended by the stack."""
    peer_threads: Any = apps.a2wsgi_for_wsgi(app)
    stack.callback(peer_threads.executor.shutdown)
    old: Any = apps.uvicorn_for_wsgi(app)
    stack.callback(old.executor.shutdown)
    return {
        "bridge": WsgiToAsgi(app, threads=apps.THREADS),
        "a2wsgi": peer_threads,
        "uvicorn's old": old,
        "asgiref": apps.asgiref_for_wsgi(app),
    }


def _wsgi_hello(concurrency: int, stack: ExitStack, settings: Settings) -> list[Subject]:
    runner = stack.enter_context(asyncio.Runner())
    executor = stack.enter_context(ThreadPoolExecutor(apps.THREADS))
    adapters = _wsgi_adapters(stack, apps.wsgi_hello)
    adapters["bare run_in_executor"] = bare_executor(apps.wsgi_hello, executor, ENVIRON)

    def run(app: ASGIApp) -> Sample:
        # A context of its own for each run: asgiref keeps things in it.
        context = contextvars.copy_context()
        work = _concurrent_requests
        return _timed(lambda: runner.run(work(app, settings.seconds, concurrency), context=context))

    return [Subject(name, partial(run, app)) for name, app in adapters.items()]


def _wsgi_chunks(stack: ExitStack, settings: Settings) -> list[Subject]:
    runner = stack.enter_context(asyncio.Runner())
    adapters = _wsgi_adapters(stack, apps.wsgi_chunks) | {"native ASGI": apps.asgi_chunks}

    def run(app: ASGIApp) -> Sample:
        size = settings.chunks * len(apps.CHUNK)
        return _timed(lambda: runner.run(_once(app, f"/chunks/{settings.chunks}", size)))

    return [Subject(name, partial(run, app)) for name, app in adapters.items()]


async def _once(app: ASGIApp, path: str, size: int) -> int:
    await request(app, path, size)
    return 1


# Calling a WSGI app.


def call(app: WSGIApp, path: str, size: int) -> None:
    environ = dict(ENVIRON)
    environ["PATH_INFO"] = environ["RAW_URI"] = path
    environ["wsgi.input"] = BytesIO()
    environ["wsgi.errors"] = None
    body = app(environ, start_response)
    try:
        received = 0
        for chunk in body:
            received += len(chunk)
    finally:
        if hasattr(body, "close"):
            body.close()
    if received != size:
        raise RuntimeError(f"{received} bytes came; expected {size}")


def _calls(app: WSGIApp, deadline: float) -> int:
    count = 0
    while count == 0 or time.perf_counter() < deadline:
        call(app, "/", len(apps.HELLO))
        count += 1
    return count


def _loop_thread(stack: ExitStack) -> asyncio.AbstractEventLoop:
    """a2wsgi's loop, in a thread that ends."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    stack.callback(loop.close)
    stack.callback(thread.join)
    stack.callback(loop.call_soon_threadsafe, loop.stop)
    return loop


def _asgi_adapters(stack: ExitStack, app: ASGIApp) -> dict[str, WSGIApp]:
    return {
        "bridge": stack.enter_context(AsgiToWsgi(app)),
        "bridge, shared loop": stack.enter_context(AsgiToWsgi(app, loop="shared")),
        "a2wsgi": apps.a2wsgi_for_asgi(app, _loop_thread(stack)),
    }


def _asgi_hello(threads: int, stack: ExitStack, settings: Settings) -> list[Subject]:
    adapters = _asgi_adapters(stack, apps.asgi_hello)
    kept = KeptLoops()
    stack.callback(kept.close)
    adapters["asyncio.run"] = bare_loop(apps.asgi_hello, asyncio.run)
    adapters["run_until_complete, kept loop"] = bare_loop(apps.asgi_hello, kept.run)
    # Threads that live as long as the group, as a server's do: loops kept by a thread are kept.
    pool = stack.enter_context(ThreadPoolExecutor(threads))

    def run(app: WSGIApp) -> Sample:
        barrier = threading.Barrier(threads)

        def work() -> int:
            barrier.wait()
            return _calls(app, time.perf_counter() + settings.seconds)

        return _timed(lambda: sum(job.result() for job in [pool.submit(work) for _ in range(threads)]))

    return [Subject(name, partial(run, app)) for name, app in adapters.items()]


def _asgi_chunks(stack: ExitStack, settings: Settings) -> list[Subject]:
    adapters = _asgi_adapters(stack, apps.asgi_chunks) | {"native WSGI": apps.wsgi_chunks}

    def run(app: WSGIApp) -> Sample:
        def work() -> int:
            call(app, f"/chunks/{settings.chunks}", settings.chunks * len(apps.CHUNK))
            return 1

        return _timed(work)

    return [Subject(name, partial(run, app)) for name, app in adapters.items()]


GROUPS = (
    Group(
        "in-process.wsgi.one",
        "WSGI hello world as an ASGI app, one request at a time",
        "bare run_in_executor",
        partial(_wsgi_hello, 1),
        (Wanted("bridge", "bare run_in_executor", 1.0), Wanted("bridge", "a2wsgi", 4.0)),
    ),
    Group(
        "in-process.wsgi.32",
        "WSGI hello world as an ASGI app, 32 requests at once",
        "bare run_in_executor",
        partial(_wsgi_hello, 32),
        (Wanted("bridge", "bare run_in_executor", 1.6), Wanted("bridge", "a2wsgi", 12.0)),
    ),
    # No target: without a server, a native app's 20,000 sends are 20,000 calls of a function that adds a number.
    Group(
        "in-process.wsgi.chunks",
        "a WSGI app's chunks of 100 bytes, as an ASGI app",
        "native ASGI",
        _wsgi_chunks,
        measures="time",
    ),
    Group(
        "in-process.asgi.one",
        "ASGI hello world as a WSGI app, one request at a time",
        "run_until_complete, kept loop",
        partial(_asgi_hello, 1),
        (Wanted("bridge", "a2wsgi", 20.0), Wanted("bridge", "run_until_complete, kept loop", 0.95)),
    ),
    Group(
        "in-process.asgi.threads",
        "ASGI hello world as a WSGI app, 8 threads",
        "run_until_complete, kept loop",
        partial(_asgi_hello, 8),
        (Wanted("bridge", "a2wsgi", 6.0),),
    ),
    Group(
        "in-process.asgi.chunks",
        "an ASGI app's chunks of 100 bytes, as a WSGI app",
        "native WSGI",
        _asgi_chunks,
        measures="time",
    ),
)
