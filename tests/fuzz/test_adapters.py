"""Any request through both adapters: an app gets it, or the client gets an answer of 4xx, or an error comes out."""

import asyncio
import contextlib
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given

from bridge import AsgiToWsgi, WsgiToAsgi
from bridge.types import Environ, Receive, Scope, Send, StartResponse
from tests.fuzz.profile import examples
from tests.fuzz.values import any_environs, any_scopes, environs, mostly, odd_scopes, scopes
from tests.support.asgi import Exchange, request
from tests.support.threads import wait_for_no_bridge_threads
from tests.support.wsgi import Answer

#: What comes of a server that breaks the types of its interface.
OF_TYPES = (AttributeError, LookupError, TypeError, ValueError)


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Hundreds of requests that fail log hundreds of lines."""
    caplog.set_level("CRITICAL", "bridge")


def test_any_scope() -> None:
    called: list[str] = []

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        called.append(environ["PATH_INFO"])
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    adapter = WsgiToAsgi(app, threads=1)

    async def end() -> None:
        await Exchange(
            adapter, {"type": "lifespan"}, [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
        ).run()

    with asyncio.Runner() as runner:

        @examples(150)
        @given(mostly(scopes() | odd_scopes(), any_scopes().map(lambda scope: {**scope, "typed": False})))
        def check(scope: dict[str, Any]) -> None:
            called.clear()
            typed = scope.pop("typed", True)
            exchange = Exchange(adapter, scope, [request(b"body")])
            try:
                runner.run(exchange.run())
            except OF_TYPES:
                assert not typed
                return
            assert exchange.complete
            # 501: a Transfer-Encoding that is not known.
            assert called == [called[0]] if called else exchange.status in {*range(400, 500), 501}
            assert exchange.status == 200 or not called

        try:
            check()
        finally:
            runner.run(end())
    wait_for_no_bridge_threads()


@pytest.mark.parametrize("loop", ["request", "shared"])
def test_any_environ(loop: Any) -> None:
    called: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        called.append(scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    with AsgiToWsgi(app, loop=loop, lifespan="off") as adapter:

        @examples(150)
        @given(mostly(environs(), any_environs().map(lambda environ: {**environ, "typed": False})))
        def check(environ: Environ) -> None:
            called.clear()
            typed = environ.pop("typed", True)
            answer = Answer()
            with contextlib.ExitStack() as stack:
                try:
                    body: Any = adapter(environ, answer.start_response)
                    if hasattr(body, "close"):
                        stack.callback(body.close)
                    answer.chunks += body
                except OF_TYPES:
                    assert not typed
                    return
            assert len(called) == 1 if answer.status == "200 OK" else answer.status[0] in "45"
            assert answer.body == b"ok" or not called or environ["REQUEST_METHOD"].upper() == "HEAD"

        check()
    wait_for_no_bridge_threads()
