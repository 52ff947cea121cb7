"""Starlette and asgiref behind the adapter, and work after the response."""

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

from asgiref.sync import sync_to_async
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from bridge.types import Receive, Scope, Send
from tests.support.wsgi import call, environ_for, started
from tests.to_wsgi.apps import START, last


class TestAfterTheResponse:
    def test_work_comes_after_the_last_byte_even_if_it_never_waits(self, adapt: Any) -> None:
        has_body = threading.Event()
        in_time: list[bool] = []
        done = threading.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(START)
            await send(last(b"x"))
            in_time.append(has_body.wait(30))
            done.set()

        with started(adapt(app), environ_for()) as (_, body):
            assert b"".join(body) == b"x"
            has_body.set()
        assert done.wait(30)
        assert in_time == [True]

    def test_background_tasks(self, adapt: Any) -> None:
        order: list[str] = []
        done = threading.Event()

        def work() -> None:
            order.append("background")
            done.set()

        async def endpoint(request: Request) -> Response:
            return PlainTextResponse("x", background=BackgroundTask(work))

        app = adapt(Starlette(routes=[Route("/", endpoint)]))
        with started(app, environ_for()) as (_, body):
            assert list(body) == [b"x"]
            order.append("body")
        assert done.wait(30)
        assert sorted(order) == ["background", "body"]


class TestFrameworks:
    def test_starlette_whole(self, adapt: Any) -> None:
        class Stamp(BaseHTTPMiddleware):
            async def dispatch(self, request: Request, call_next: Any) -> Response:
                response: Response = await call_next(request)
                response.headers["x-stamp"] = "1"
                return response

        def in_thread(request: Request) -> Response:
            return JSONResponse({"thread": threading.current_thread() is not threading.main_thread()})

        async def upload(request: Request) -> Response:
            return PlainTextResponse(str(len(await request.body())))

        async def stream(request: Request) -> Response:
            async def chunks() -> AsyncIterator[bytes]:
                for number in range(3):
                    yield b"%d" % number
                    await asyncio.sleep(0.001)

            return StreamingResponse(chunks(), media_type="text/plain")

        def sync_stream(request: Request) -> Response:
            return StreamingResponse(iter([b"a", b"b"]), media_type="text/plain")

        async def watch(request: Request) -> Response:
            return PlainTextResponse(str(await request.is_disconnected()))

        routes = [
            Route("/thread", in_thread),
            Route("/upload", upload, methods=["POST"]),
            Route("/stream", stream),
            Route("/sync-stream", sync_stream),
            Route("/watch", watch, methods=["POST"]),
        ]
        for middleware in ([], [Middleware(Stamp)]):
            app = adapt(Starlette(routes=routes, middleware=middleware))
            for _ in range(2):
                assert call(app, environ_for("/thread")).body == b'{"thread":true}'
                assert call(app, environ_for("/upload", "POST", b"x" * 100_000)).body == b"100000"
                assert call(app, environ_for("/stream")).body == b"012"
                assert call(app, environ_for("/sync-stream")).body == b"ab"
                assert call(app, environ_for("/watch", "POST", b"body")).body == b"False"
                answer = call(app, environ_for("/none"))
                assert answer.status == "404 Not Found"
                assert dict(answer.headers).get("x-stamp") == ("1" if middleware else None)

    def test_thread_sensitive_code_waits_for_no_other_request(self, adapt: Any) -> None:
        together = threading.Barrier(3, timeout=60)
        threads: list[list[int]] = []

        def view() -> int:
            return threading.get_ident()

        def meet() -> None:
            together.wait()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            first = await sync_to_async(view)()
            await sync_to_async(meet)()
            threads.append([first, await sync_to_async(view)()])
            await send(START)
            await send(last(b"x"))

        adapter = adapt(app)
        callers = [threading.Thread(target=call, args=(adapter, environ_for())) for _ in range(3)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        assert all(first == second for first, second in threads)
        assert len({first for first, _ in threads}) == 3

    def test_a_background_thread_of_asyncio_is_ended(self, adapt: Any) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await asyncio.to_thread(int)
            await send(START)
            await send(last(b"x"))

        call(adapt(app), environ_for())
