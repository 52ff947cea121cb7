"""OpenTelemetry's own instrumentations on both sides of the bridge: one trace, one server span, the right parents.

Their rule: where a span is current, a request gets an internal span below it; where none is, a server span, whose
parent is what the client says in ``traceparent``. So a context that doesn't come across the bridge shows as a second
server span, and one that stays behind as a request in the trace of another.
"""

import asyncio
import itertools
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import flask
import pytest
from opentelemetry import trace
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware as AsgiMiddleware
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware as WsgiMiddleware
from opentelemetry.trace import SpanKind

from bridge import AsgiToWsgi, Dispatcher, WsgiToAsgi
from bridge.to_wsgi.loops.mode import LoopMode
from bridge.types import ASGIApp, Environ, Receive, Scope, Send, StartResponse, WSGIApp
from tests.support.asgi import Exchange, http_scope, request
from tests.support.faults import installed
from tests.support.lifespan import run_lifespan
from tests.support.spans import Spans, parents, traceparent
from tests.support.wsgi import call, environ_for
from tests.to_wsgi.apps import START, last, part

pytestmark = pytest.mark.usefixtures("no_bridge_threads", "no_complaint")


@pytest.fixture
def no_complaint(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """OpenTelemetry logs a context that is put back in another place than it was taken from."""
    yield
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING], caplog.text


class Traced(Spans):
    """Apps of either kind that make a span of their own, instrumented."""

    def around_asgi(self, app: Any) -> ASGIApp:
        middleware: ASGIApp = AsgiMiddleware(app, tracer_provider=self.provider)
        return middleware

    def around_wsgi(self, app: Any) -> WSGIApp:
        middleware: Any = WsgiMiddleware(app, tracer_provider=self.provider)
        wrapped: WSGIApp = middleware
        return wrapped

    def flask(self) -> WSGIApp:
        app = flask.Flask("site")
        instrumentor: Any = FlaskInstrumentor()  # it is without types
        instrumentor.instrument_app(app, tracer_provider=self.provider)

        @app.get("/<kind>")
        def view(kind: str) -> flask.Response:
            with self.tracer.start_as_current_span("work"):
                pass
            if kind == "whole":
                return flask.Response("onetwo")

            def body() -> Iterator[bytes]:
                for chunk in (b"one", b"two"):
                    with self.tracer.start_as_current_span("streamed"):
                        pass
                    yield chunk

            return flask.Response(flask.stream_with_context(body()))

        return app

    def plain(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """A WSGI app."""
        with self.tracer.start_as_current_span("work"):
            start_response("200 OK", [("Content-Type", "text/plain")])
        yield b"one"
        yield b"two"

    async def asgi(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI app. After its response it waits, and works on."""
        assert scope["type"] == "http"
        with self.tracer.start_as_current_span("work"):
            await send(START)
            await send(part(b"one"))
            await asyncio.sleep(0.001)
        with self.tracer.start_as_current_span("streamed"):
            await send(last(b"two"))


Ask = Callable[[Any, str, str], bytes]
_trace_ids = (f"{number:032x}" for number in itertools.count(1))


def ask_asgi(app: ASGIApp, path: str, header: str) -> bytes:
    async def main() -> Exchange:
        headers = [(b"host", b"test"), (b"traceparent", header.encode())]
        try:
            return await Exchange(app, http_scope(path=path, headers=headers), [request()]).run()
        finally:
            await run_lifespan(app)

    response = asyncio.run(main())
    assert response.status == 200
    return response.body


def ask_wsgi(app: WSGIApp, path: str, header: str) -> bytes:
    answer = call(app, environ_for(path, HTTP_TRACEPARENT=header))
    assert answer.status == "200 OK"
    return answer.body


def check(spans: Traced, ask: Ask, app: Any, path: str, *expected: tuple[str, ...]) -> None:
    """Asks twice, each time in another trace: nothing may stay behind on the thread or the loop."""
    for trace_id in itertools.islice(_trace_ids, 2):
        assert ask(app, path, traceparent(trace_id)) == b"onetwo"
        assert trace.get_current_span() is trace.INVALID_SPAN, "nor here"
        finished = spans.finished()
        spans.clear()
        assert parents(finished, trace_id) == sorted(expected)
        assert [span.kind for span in finished].count(SpanKind.SERVER) == 1, "one request, counted once"


def below(*above: str, streamed: int = 0) -> list[tuple[str, ...]]:
    """The spans ``above``, and the app's own below them."""
    lines = [tuple(above[: end + 1]) for end in range(len(above))]
    return [*lines, (*above, "work"), *[(*above, "streamed")] * streamed]


# From Flask 3.1 on, Flask's ends its span before the body of a stream is made: a span in there is below what is around
# Flask's, or alone. With Flask 3.0 its span is current until the stream has ended.
ENDS_FIRST = installed("flask>=3.1")
ALONE = [("nothing", "streamed")] * 2
FLASK = [*below("server flask"), *ALONE] if ENDS_FIRST else below("server flask", streamed=2)


def flask_in(outside: str) -> list[tuple[str, ...]]:
    # WSGI's makes its own span current for each part of the body, ASGI's for the call of the app.
    if outside == "wsgi" or ENDS_FIRST:
        return [*below(f"server {outside}", "internal flask"), *[(f"server {outside}", "streamed")] * 2]
    return below(f"server {outside}", "internal flask", streamed=2)


def test_flask_at_home() -> None:
    """Without the bridge: what it is held against."""
    spans = Traced()
    app = spans.flask()
    check(spans, ask_wsgi, app, "/whole", *below("server flask"))
    check(spans, ask_wsgi, app, "/chunks", *FLASK)
    check(spans, ask_wsgi, spans.around_wsgi(app), "/chunks", *flask_in("wsgi"))


# A WSGI app on an ASGI server.


def test_flask_alone_on_an_asgi_server() -> None:
    spans = Traced()
    app = WsgiToAsgi(spans.flask())
    check(spans, ask_asgi, app, "/whole", *below("server flask"))
    check(spans, ask_asgi, app, "/chunks", *FLASK)


def test_flask_below_the_asgi_middleware() -> None:
    spans = Traced()
    app = spans.around_asgi(WsgiToAsgi(spans.flask()))
    check(spans, ask_asgi, app, "/whole", *below("server asgi", "internal flask"))
    check(spans, ask_asgi, app, "/chunks", *flask_in("asgi"))


def test_the_wsgi_middleware_below_the_asgi_middleware() -> None:
    spans = Traced()
    app = spans.around_asgi(WsgiToAsgi(spans.around_wsgi(spans.plain)))
    check(spans, ask_asgi, app, "/", *below("server asgi", "internal wsgi"))


# An ASGI app on a WSGI server.

both_loops = pytest.mark.parametrize("loop", ["request", "shared"])


@both_loops
def test_the_asgi_middleware_alone_on_a_wsgi_server(loop: LoopMode) -> None:
    spans = Traced()
    with AsgiToWsgi(spans.around_asgi(spans.asgi), loop=loop, lifespan="off") as app:
        check(spans, ask_wsgi, app, "/", *below("server asgi", streamed=1))


@both_loops
def test_the_asgi_middleware_below_the_wsgi_middleware(loop: LoopMode) -> None:
    spans = Traced()
    with AsgiToWsgi(spans.around_asgi(spans.asgi), loop=loop, lifespan="off") as app:
        expected = below("server wsgi", "internal asgi", streamed=1)
        check(spans, ask_wsgi, spans.around_wsgi(app), "/", *expected)


# Both under the Dispatcher.


def site(spans: Traced, loop: LoopMode = "request") -> Dispatcher:
    asgi = AsgiToWsgi(spans.around_asgi(spans.asgi), loop=loop, lifespan="off")
    return Dispatcher({"/asgi": asgi, "/": spans.flask()})


def test_a_dispatcher_on_an_asgi_server() -> None:
    spans = Traced()
    app = site(spans)
    check(spans, ask_asgi, app, "/chunks", *FLASK)
    check(spans, ask_asgi, app, "/asgi", *below("server asgi", streamed=1))
    outside = spans.around_asgi(app)
    check(spans, ask_asgi, outside, "/chunks", *flask_in("asgi"))
    check(spans, ask_asgi, outside, "/asgi", *below("server asgi", "internal asgi", streamed=1))


@both_loops
def test_a_dispatcher_on_a_wsgi_server(loop: LoopMode) -> None:
    spans = Traced()
    with site(spans, loop) as app:
        check(spans, ask_wsgi, app, "/chunks", *FLASK)
        check(spans, ask_wsgi, app, "/asgi", *below("server asgi", streamed=1))
        outside = spans.around_wsgi(app)
        check(spans, ask_wsgi, outside, "/chunks", *flask_in("wsgi"))
        check(spans, ask_wsgi, outside, "/asgi", *below("server wsgi", "internal asgi", streamed=1))
