"""``bridge.compat`` beside the packages whose names it has: the examples of their READMEs, the same for both."""

import asyncio
import contextvars
import inspect
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import a2wsgi
import asgiref.wsgi
import pytest
from asgiref.sync import sync_to_async
from fastapi import FastAPI

import bridge
from bridge import Dispatcher, compat
from bridge.types import ASGIApp, Environ, Receive, Scope, Send, StartResponse, WSGIApp
from tests.support.asgi import Exchange, call_asgi, http_scope, request
from tests.support.lifespan import run_lifespan
from tests.support.servers import REPOSITORY
from tests.support.wsgi import Answer, call, environ_for


def wsgi_app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return [environ["REQUEST_METHOD"].encode(), environ["PATH_INFO"].encode(), body]


async def asgi_app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        raise NotImplementedError
    body = b""
    more = True
    while more:
        message = await receive()
        body += message["body"]
        more = message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": scope["method"].encode(), "more_body": True})
    await send({"type": "http.response.body", "body": scope["path"].encode() + body})


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (a2wsgi.WSGIMiddleware, compat.WSGIMiddleware),
        (a2wsgi.ASGIMiddleware, compat.ASGIMiddleware),
        (asgiref.wsgi.WsgiToAsgi, compat.WsgiToAsgi),
    ],
)
def test_the_names_and_parameters_are_the_same(theirs: type, ours: type) -> None:
    assert theirs.__name__ == ours.__name__
    parameters = [
        [(name, parameter.kind, parameter.default) for name, parameter in signature.parameters.items()]
        for signature in (inspect.signature(theirs), inspect.signature(ours))
    ]
    assert parameters[0] == parameters[1]


def test_they_are_the_adapters() -> None:
    assert issubclass(compat.WSGIMiddleware, bridge.WsgiToAsgi)
    assert issubclass(compat.WsgiToAsgi, bridge.WsgiToAsgi)
    assert issubclass(compat.ASGIMiddleware, bridge.AsgiToWsgi)
    app = Dispatcher({"/old": compat.WSGIMiddleware(wsgi_app), "/new": compat.ASGIMiddleware(asgi_app)})
    old, new = app._parts
    assert (old.wsgi, new.asgi) == (wsgi_app, asgi_app)


# WSGI apps.


def ask(app: Any, **scope: Any) -> Exchange:
    """Serve one request, and end what the adapter has started."""

    async def main() -> Exchange:
        try:
            return await Exchange(app, http_scope("POST", "/path", **scope), [request(b"body")]).run()
        finally:
            if isinstance(app, bridge.WsgiToAsgi):
                await run_lifespan(app)

    return asyncio.run(main())


@pytest.mark.parametrize("package", [a2wsgi, compat])
@pytest.mark.parametrize("options", [{}, {"workers": 15}, {"send_queue_size": 15}, {"send_queue_size": 0}])
def test_wsgi_middleware(package: Any, options: dict[str, int]) -> None:
    middleware = package.WSGIMiddleware(wsgi_app, **options)
    done = ask(middleware)
    assert (done.status, done.body, done.complete) == (200, b"POST/pathbody", True)
    assert done.header(b"content-type") == b"text/plain; charset=utf-8"
    if package is a2wsgi:
        middleware.executor.shutdown()


def test_what_the_parameters_of_wsgi_middleware_become() -> None:
    middleware = compat.WSGIMiddleware(wsgi_app, workers=3, send_queue_size=2)
    assert (middleware.threads, middleware.response_buffer, middleware.request_body) == (3, 131072, "stream")
    assert compat.WSGIMiddleware(wsgi_app, send_queue_size=0).response_buffer > 2**40
    copy = pickle.loads(pickle.dumps(middleware))
    assert (copy.app, copy.threads, copy.response_buffer) == (wsgi_app, 3, 131072)


@pytest.mark.parametrize("package", [asgiref.wsgi, compat])
def test_wsgi_to_asgi(package: Any) -> None:
    application = package.WsgiToAsgi(wsgi_app)
    assert (application.wsgi_application, application.duplicate_header_limit) == (wsgi_app, 100)
    done = ask(application)
    assert (done.status, done.body, done.complete) == (200, b"POST/pathbody", True)


@pytest.mark.parametrize("package", [asgiref.wsgi, compat])
@pytest.mark.parametrize(
    ("limit", "count", "status"),
    [(100, 100, 200), (100, 101, 400), (2, 2, 200), (2, 3, 400), (0, 5000, 200), (None, 5000, 200)],
)
def test_the_limit_of_equal_headers(package: Any, limit: int | None, count: int, status: int) -> None:
    headers = [(b"host", b"x"), *[(b"x-many", b"1")] * count, (b"x-other", b"1")]
    done = ask(package.WsgiToAsgi(wsgi_app, duplicate_header_limit=limit), headers=headers)
    assert done.status == status
    if status == 400:
        assert done.body.rstrip() == b"Bad Request: Too many duplicate headers"


@pytest.mark.parametrize("package", [asgiref.wsgi, compat])
def test_headers_may_be_any_iterable(package: Any) -> None:
    """ASGI specification, "HTTP Connection Scope"."""
    for count, status in ((2, 200), (3, 400)):
        headers = (header for header in [(b"host", b"x"), *[(b"x-many", b"1")] * count])
        assert ask(package.WsgiToAsgi(wsgi_app, duplicate_header_limit=2), headers=headers).status == status


@pytest.mark.parametrize("package", [asgiref.wsgi, compat])
def test_all_requests_are_in_the_thread_of_thread_sensitive_code(package: Any) -> None:
    threads: list[threading.Thread] = []
    running = threading.Lock()

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        assert running.acquire(blocking=False), "two at a time"
        threads.append(threading.current_thread())
        start_response("200 OK", [("Content-Type", "text/plain")])
        running.release()
        return [b"ok"]

    async def main() -> None:
        application = package.WsgiToAsgi(app)
        exchanges = [Exchange(application, http_scope(), [request()]) for _ in range(20)]
        await asyncio.gather(*(exchange.run() for exchange in exchanges))
        threads.append(await sync_to_async(threading.current_thread)())

    asyncio.run(main())
    assert len(threads) == 21
    assert len(set(threads)) == 1


def test_wsgi_to_asgi_pickles() -> None:
    copy = pickle.loads(pickle.dumps(compat.WsgiToAsgi(wsgi_app, 7)))
    assert (copy.wsgi_application, copy.duplicate_header_limit) == (wsgi_app, 7)
    assert call_asgi(copy).status == 200


# ASGI apps.


@contextmanager
def running_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop of the user's, in a thread of the user's."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="the user's")
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def post(app: WSGIApp) -> Answer:
    # a2wsgi sends an empty chunk at the end, which PEP 3333 allows and the validator does not mind.
    return call(app, environ_for("/path", "POST", b"body", SERVER_PORT="80"))


@pytest.mark.parametrize("package", [a2wsgi, compat])
@pytest.mark.parametrize("wait_time", [None, 5.0])
def test_asgi_middleware(package: Any, wait_time: float | None) -> None:
    with running_loop() as loop:
        for options in ({}, {"loop": loop}):
            if package is a2wsgi and not options:
                continue  # its own loop would stay behind
            middleware = package.ASGIMiddleware(asgi_app, wait_time=wait_time, **options)
            answer = post(middleware)
            assert (answer.status, answer.body) == ("200 OK", b"POST/pathbody")
            if package is compat:
                middleware.close()


def test_on_the_users_loop_the_app_runs_there() -> None:
    ran: list[tuple[str, asyncio.AbstractEventLoop]] = []
    user = contextvars.ContextVar("user", default="nobody")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        ran.append((threading.current_thread().name, asyncio.get_running_loop()))
        user.set("the app")
        await asgi_app(scope, receive, send)

    with running_loop() as loop:
        with compat.ASGIMiddleware(app, loop=loop) as middleware:
            assert post(middleware).body == b"POST/pathbody"
        assert ran == [("the user's", loop)] * 2, "lifespan and http"
        assert not asyncio.run_coroutine_threadsafe(others(), loop).result()


async def others() -> set[asyncio.Task[Any]]:
    return asyncio.all_tasks() - {asyncio.current_task()}


def test_a_loop_that_does_not_run_is_told() -> None:
    loop = asyncio.new_event_loop()
    try:
        with (
            compat.ASGIMiddleware(asgi_app, loop=loop) as middleware,
            pytest.raises(RuntimeError, match="does not run; it has to, in a thread of its own"),
        ):
            post(middleware)
    finally:
        loop.close()


def background(begun: threading.Event, ended: list[str], may_end: threading.Event | None = None) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asgi_app(scope, receive, send)
        begun.set()
        try:
            await (asyncio.Event().wait() if may_end is None else asyncio.to_thread(may_end.wait))
            ended.append("done")
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    return app


def test_work_after_the_response_is_cancelled_after_wait_time_and_delays_nobody() -> None:
    begun, cancelled = threading.Event(), threading.Event()
    ended: list[str] = []
    inner = background(begun, ended)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await inner(scope, receive, send)
        finally:
            if scope["type"] == "http":
                cancelled.set()

    with compat.ASGIMiddleware(app, wait_time=0.01) as middleware:
        assert post(middleware).body == b"POST/pathbody"
        assert begun.wait(30)
        assert cancelled.wait(30)
        assert ended == ["cancelled"]


def test_without_wait_time_the_work_goes_on() -> None:
    begun, may_end = threading.Event(), threading.Event()
    ended: list[str] = []
    with compat.ASGIMiddleware(background(begun, ended, may_end)) as middleware:
        assert post(middleware).body == b"POST/pathbody"
        assert begun.wait(30)
        assert ended == []
        may_end.set()
    assert ended == ["done"]


@pytest.mark.parametrize("wait_time", [None, 60.0])
def test_an_error_of_the_app_is_raised(wait_time: float | None) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise TimeoutError("the app's own")

    with running_loop() as loop:
        for options in ({}, {"loop": loop}):
            middleware = compat.ASGIMiddleware(app, wait_time=wait_time, **options)
            with middleware, pytest.raises(TimeoutError, match="the app's own"):
                post(middleware)


def test_the_lifespan_is_run() -> None:
    app = FastAPI()
    seen: list[str] = []
    app.router.on_startup.append(lambda: seen.append("up"))
    app.router.on_shutdown.append(lambda: seen.append("down"))
    with compat.ASGIMiddleware(app, wait_time=1.0) as middleware:
        assert call(middleware, environ_for("/nothing")).status == "404 Not Found"
    assert seen == ["up", "down"]


# A fork.

FORK_WSGI = """
import asyncio, faulthandler, os, sys, threading
from asgiref.sync import sync_to_async
from bridge import compat
from tests.support.asgi import call_asgi

def app(environ, start_response):
    start_response("200 OK", [])
    return [b"%d %d" % (os.getpid(), threading.get_ident())]

def ask():
    return call_asgi(adapter).body.decode().split()

adapter = compat.WsgiToAsgi(app)
before = sys.argv[1] == "used"
if before:
    assert ask()[0] == str(os.getpid())
if (child := os.fork()) == 0:
    faulthandler.dump_traceback_later(40, exit=True)
    try:
        pid, thread = ask()
        assert pid == str(os.getpid())
        assert ask() == [pid, thread]
        assert str(asyncio.run(sync_to_async(threading.get_ident)())) == thread, "the one thread, also for asgiref"
    except BaseException:
        sys.excepthook(*sys.exc_info())
        os._exit(1)
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert ask()[0] == str(os.getpid())
print("well")
"""

FORK_ASGI = """
import asyncio, faulthandler, os, sys, threading
from bridge import compat
from tests.support.wsgi import call, environ_for
from tests.test_compat import asgi_app

def start():
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    return thread

loop = asyncio.new_event_loop()
before = sys.argv[1] == "used"
adapter = compat.ASGIMiddleware(asgi_app, loop=loop)
if before:
    thread = start()
    assert call(adapter, environ_for("/", SERVER_PORT="80")).body == b"GET/"
if (child := os.fork()) == 0:
    faulthandler.dump_traceback_later(40, exit=True)
    try:
        if before:
            try:
                call(adapter, environ_for("/"))
            except RuntimeError as exc:
                assert "runs in the parent" in str(exc), exc
            else:
                raise AssertionError("nobody runs that loop")
        else:
            start()
            assert call(adapter, environ_for("/")).body == b"GET/"
    except BaseException:
        sys.excepthook(*sys.exc_info())
        os._exit(1)
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
if before:
    assert call(adapter, environ_for("/")).body == b"GET/"
    adapter.close()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
loop.close()
print("well")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("program", [FORK_WSGI, FORK_ASGI], ids=["WsgiToAsgi", "ASGIMiddleware"])
@pytest.mark.parametrize("before", ["used", "fresh"])
def test_after_a_fork_nobody_waits_for_what_is_in_the_parent(program: str, before: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", program, before],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "well\n"), done.stderr
