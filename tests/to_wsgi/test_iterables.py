"""A response that nobody closes: what comes after it runs once all the same, and nothing is left of it."""

import asyncio
import gc
import logging
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import psutil
import pytest
import serverless_wsgi
from fastapi import BackgroundTasks, Depends, FastAPI
from fastapi.responses import StreamingResponse
from flask import Flask
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client

from bridge import Dispatcher, Mount
from bridge.to_wsgi import iterables as module
from bridge.to_wsgi.adapter import AsgiToWsgi
from bridge.to_wsgi.loops.mode import LoopMode
from bridge.to_wsgi.response import UNSENT_LIMIT
from bridge.types import Environ, Receive, Scope, Send, StartResponse, WSGIApp
from tests.support.threads import FREE_THREADED
from tests.support.wsgi import Answer, environ_for
from tests.to_wsgi.apps import START, last, part

REPOSITORY = Path(__file__).resolve().parents[2]
REQUESTS = 200


@pytest.fixture(autouse=True)
def unwarned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_warned", False)


class Ends:
    """Counts what came to its end, and lets a test wait for it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._ended: list[str] = []

    def add(self, what: str) -> None:
        with self._changed:
            self._ended.append(what)
            self._changed.notify_all()

    def count(self, what: str) -> int:
        with self._changed:
            return self._ended.count(what)

    def wait_for(self, what: str, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self._ended.count(what) >= count, 30)
            assert self._ended.count(what) == count


@pytest.fixture
def ends() -> Ends:
    return Ends()


@pytest.fixture
def shop(ends: Ends) -> FastAPI:
    """A dependency that is left after the response, a background task, and a stream."""
    app = FastAPI()

    async def session() -> AsyncIterator[str]:
        try:
            yield "session"
        finally:
            await asyncio.sleep(0)
            ends.add("dependency")

    async def note() -> None:
        await asyncio.sleep(0)
        ends.add("background")

    @app.get("/order")
    async def order(session: Annotated[str, Depends(session)], tasks: BackgroundTasks) -> str:
        tasks.add_task(note)
        return session

    @app.get("/feed")
    async def feed(session: Annotated[str, Depends(session)], tasks: BackgroundTasks) -> StreamingResponse:
        async def lines() -> AsyncIterator[str]:
            try:
                # The first waits until the server has it: by then the response has begun, and is not complete.
                for line in ("0" * UNSENT_LIMIT, "1\n", "2\n"):
                    yield line
                    await asyncio.sleep(0)
            finally:
                ends.add("stream")

        tasks.add_task(note)
        return StreamingResponse(lines(), background=tasks)

    return app


# Who asks, and closes nothing.


def makes_a_list(app: WSGIApp) -> WSGIApp:
    def middleware(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        return [chunk for chunk in app(environ, start_response)]  # noqa: C416 - as they are written

    return middleware


def by_list(app: WSGIApp, path: str) -> bytes:
    body: Any = makes_a_list(app)(environ_for(path), Answer().start_response)
    assert not hasattr(body, "close")
    return b"".join(body)


def by_iterator(app: WSGIApp, path: str) -> bytes:
    """Lets go of the iterable at once, and keeps its iterator."""
    chunks = iter(app(environ_for(path), Answer().start_response))
    return b"".join(chunks)


def by_werkzeug(app: WSGIApp, path: str) -> bytes:
    data: bytes = Client(app).get(path).data
    return data


def by_flask(app: WSGIApp, path: str) -> bytes:
    flask = Flask(__name__)
    flask.wsgi_app = DispatcherMiddleware(flask.wsgi_app, {"/asgi": app})  # type: ignore[method-assign] # as Flask says
    data: bytes = flask.test_client().get(f"/asgi{path}").data
    return data


def by_lambda(app: WSGIApp, path: str) -> bytes:
    event = {
        "httpMethod": "GET",
        "path": path,
        "headers": {"Host": "shop"},
        "requestContext": {},
        "body": None,
    }
    answer: dict[str, Any] = serverless_wsgi.handle_request(app, event, None)
    body: str = answer["body"]
    return body.encode()


def by_azure(app: WSGIApp, path: str) -> bytes:
    """What azure-functions does in WsgiResponse.from_app()."""
    return b"".join(app(environ_for(path), Answer().start_response))


ASKERS = (by_list, by_iterator, by_werkzeug, by_flask, by_lambda, by_azure)


@pytest.mark.parametrize("ask", ASKERS, ids=lambda ask: ask.__name__)
@pytest.mark.parametrize("path", ["/order", "/feed"])
def test_what_comes_after_runs_once_and_nothing_is_left(
    adapt: Any, ends: Ends, shop: FastAPI, ask: Callable[[WSGIApp, str], bytes], path: str, caplog: Any
) -> None:
    adapter = adapt(shop)
    expected = {"/order": b'"session"', "/feed": b"0" * UNSENT_LIMIT + b"1\n2\n"}[path]
    assert ask(adapter, path) == expected
    descriptors = psutil.Process().num_fds()
    for _ in range(REQUESTS - 1):
        assert ask(adapter, path) == expected
    ends.wait_for("dependency", REQUESTS)
    ends.wait_for("background", REQUESTS)
    assert psutil.Process().num_fds() <= descriptors
    warnings = [record for record in caplog.records if "without close()" in record.getMessage()]
    assert len(warnings) == (path == "/feed" or adapter.loop == "request")


def test_on_the_servers_thread_it_has_run_when_the_response_is_dropped(
    adapt: Any, ends: Ends, shop: FastAPI, mode: LoopMode
) -> None:
    body = adapt(shop)(environ_for("/order"), Answer().start_response)
    if mode == "request":
        assert (ends.count("background"), list(body), ends.count("background")) == (0, [b'"session"'], 0)
    del body
    if mode == "request":
        assert ends.count("background") == ends.count("dependency") == 1
    ends.wait_for("dependency", 1)


@pytest.mark.parametrize("taken", [0, 1, 3])
def test_stream_that_is_dropped_ends_the_app(adapt: Any, ends: Ends, shop: FastAPI, taken: int) -> None:
    chunks = iter(adapt(shop)(environ_for("/feed"), Answer().start_response))
    for _ in range(taken):
        # What was sent meanwhile comes as one chunk, so that there may be fewer.
        next(chunks, b"")
    del chunks
    ends.wait_for("stream", 1)
    ends.wait_for("dependency", 1)


def test_a_response_that_is_closed_is_closed_once(
    adapt: Any, ends: Ends, shop: FastAPI, caplog: pytest.LogCaptureFixture
) -> None:
    for path in ("/order", "/feed"):
        body: Any = adapt(shop)(environ_for(path), Answer().start_response)
        chunks = iter(body)
        assert b"".join(chunks)
        getattr(body, "close", int)()
        getattr(body, "close", int)()
        getattr(chunks, "close", int)()
        del body, chunks
    ends.wait_for("background", 2)
    ends.wait_for("dependency", 2)
    assert caplog.records == []


@pytest.mark.parametrize("path", ["/order", "/feed"])
def test_a_dispatcher_with_a_fallback(adapt: Any, ends: Ends, shop: FastAPI, path: str) -> None:
    def second(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        return [b"second"]

    site = Dispatcher({"/shop": Mount(adapt(shop), fallback=True), "/": second})
    descriptors = psutil.Process().num_fds()
    for _ in range(20):
        assert by_list(site, f"/shop{path}")
        assert by_list(site, "/shop/nothing") == b"second"
    ends.wait_for("background", 20)
    ends.wait_for("dependency", 20)
    # Those of the adapter's loop.
    assert psutil.Process().num_fds() <= descriptors + 3


class TestMoments:
    """When Python calls ``__del__()``. The work after the response needs what the interrupted code may hold."""

    @pytest.fixture
    def lock(self) -> threading.Lock:
        return threading.Lock()

    @pytest.fixture
    def adapter(self, adapt: Any, ends: Ends, lock: threading.Lock) -> AsgiToWsgi:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await send(START)
                await send(part(b"x"))
                await asyncio.sleep(0)
                await send(last(b"y"))
                await asyncio.sleep(0)
            finally:
                with lock:
                    ends.add(threading.current_thread().name)
                    ends.add("app")

        adapter: AsgiToWsgi = adapt(app)
        return adapter

    @pytest.fixture(autouse=True)
    def forgotten_threads_end(self) -> Iterator[None]:
        yield
        for thread in threading.enumerate():
            if thread.name == "bridge-forgotten":
                thread.join(30)
                assert not thread.is_alive()

    def test_another_thread(self, adapter: AsgiToWsgi, ends: Ends, mode: LoopMode) -> None:
        box = [adapter(environ_for(), Answer().start_response)]
        dropping = threading.Thread(target=box.clear, name="dropping")
        dropping.start()
        dropping.join(30)
        ends.wait_for("app", 1)
        # Without the GIL, the thread that made it frees it.
        freeing = threading.current_thread().name if FREE_THREADED else "dropping"
        assert ends.count(freeing) == (mode == "request")

    def test_a_thread_whose_loop_runs(self, adapter: AsgiToWsgi, ends: Ends, mode: LoopMode) -> None:
        box = [adapter(environ_for(), Answer().start_response)]

        async def drop() -> None:
            box.clear()

        asyncio.run(drop())
        ends.wait_for("app", 1)
        assert ends.count("bridge-forgotten") == (mode == "request")

    def test_the_collector_in_code_that_holds_a_lock(
        self, adapter: AsgiToWsgi, ends: Ends, lock: threading.Lock, mode: LoopMode
    ) -> None:
        cycle: list[Any] = [adapter(environ_for(), Answer().start_response)]
        cycle.append(cycle)
        # threading's own lock as well, which starting a thread in the usual way takes.
        with lock, threading._active_limbo_lock:  # type: ignore[attr-defined] # private, like what it stands for
            del cycle
            gc.collect()
            assert mode == "shared" or ends.count("app") == 0
        ends.wait_for("app", 1)
        assert ends.count("bridge-forgotten") == (mode == "request")

    def test_a_middleware_that_the_collector_ends(
        self, adapter: AsgiToWsgi, ends: Ends, lock: threading.Lock
    ) -> None:
        """It is the end of the generator that lets go of the response, and that is no less in the collector."""

        def middleware(body: Iterable[bytes], itself: list[Any]) -> Iterator[bytes]:
            for chunk in body:
                yield chunk + bytes(len(itself))

        itself: list[Any] = []
        itself.append(middleware(adapter(environ_for(), Answer().start_response), itself))
        next(itself[0])
        with lock:
            del itself
            gc.collect()
        ends.wait_for("app", 1)

    def test_many_at_once_from_the_collector(self, adapter: AsgiToWsgi, ends: Ends) -> None:
        for _ in range(20):
            cycle: list[Any] = [adapter(environ_for(), Answer().start_response)]
            cycle.append(cycle)
            del cycle
        gc.collect()
        ends.wait_for("app", 20)


def test_what_ends_a_process_is_logged(adapt: Any, mode: LoopMode, caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await send(last(b"x"))
        raise SystemExit(1)

    adapter = adapt(app)
    assert by_list(adapter, "/") == b"x"
    adapter.close()
    (record,) = (record for record in caplog.records if record.levelno == logging.ERROR)
    # On the shared loop it is an error like others.
    assert {"request": "raised SystemExit or KeyboardInterrupt", "shared": "raised an error"}[
        mode
    ] in record.getMessage()


SCRIPT = """
import asyncio, os, sys
from bridge import AsgiToWsgi
from tests.support.wsgi import Answer, environ_for
from tests.to_wsgi.apps import START, last, part

async def app(scope, receive, send):
    try:
        await send(START)
        await send(part(b"x"))
        await asyncio.sleep(0.01)
        await send(last(b"y"))
        await asyncio.sleep(0)
    finally:
        print("ended in", "child" if os.getpid() != parent else "parent", flush=True)

parent = os.getpid()
adapter = AsgiToWsgi(app, loop=sys.argv[1], lifespan="off")
body = adapter(environ_for(), Answer().start_response)
"""


def run(script: str, mode: LoopMode) -> list[str]:
    command = [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", SCRIPT + script, mode]
    done = subprocess.run(command, cwd=REPOSITORY, timeout=100, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_in_a_forked_child_the_request_is_the_parents(mode: LoopMode) -> None:
    script = """
if (child := os.fork()) == 0:
    del body
    # In one piece: the parent's loop may print meanwhile.
    os.write(1, b"dropped\\n")
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert b"".join(body) == b"xy"
getattr(body, "close", int)()
adapter.close()
"""
    # On the shared loop the parent's app may end before the child is as far.
    assert sorted(run(script, mode)) == ["dropped", "ended in parent"]


def test_one_that_outlives_the_interpreter_does_no_harm(mode: LoopMode) -> None:
    lines = run("assert next(iter(body)).startswith(b'x')\n", mode)
    assert lines == ([] if mode == "request" else ["ended in parent"])
