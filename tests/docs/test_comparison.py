"""The page that compares bridge with its peers: its figures are those of the benchmark, and what it says of the peers
is so with the ones that are installed.
"""

import asyncio
import inspect
import json
from importlib.metadata import requires
from typing import Any

import a2wsgi
import asgiref.wsgi
import pytest
from packaging.requirements import Requirement

from benchmarks.comparison import INCLUDED, PLOT, plot, tables
from bridge import WsgiToAsgi
from bridge.types import Environ, StartResponse
from tests.support.asgi import http_scope
from tests.support.pages import DOCS

# Each has types of its own for the same things, or none.
A2WSGI: Any = a2wsgi.WSGIMiddleware
ASGIREF: Any = asgiref.wsgi.WsgiToAsgi
PAGE = (DOCS / "comparison.md").read_text()


def wsgi_app(environ: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [])
    return [environ["wsgi.input"].read()]


def test_the_tables_and_the_readmes_plot_are_of_the_last_run() -> None:
    figures = json.loads((DOCS / "benchmarks/figures.json").read_text())
    assert INCLUDED.read_text() == tables(figures), "python -m benchmarks.comparison"
    assert PLOT.read_text() == plot(figures), "python -m benchmarks.comparison"


def test_the_threads() -> None:
    def default(adapter: type, name: str) -> object:
        return inspect.signature(adapter).parameters[name].default

    assert default(WsgiToAsgi, "threads") == 40
    assert default(A2WSGI, "workers") == 10
    assert "| 40, or as many as you say | 10, or as many as you say | 1 for the whole process |" in PAGE


def test_each_parameter_of_the_peers_is_in_the_map() -> None:
    page = (DOCS / "moving.md").read_text()
    for peer, adapters in {"a2wsgi": (A2WSGI, a2wsgi.ASGIMiddleware), "asgiref": (ASGIREF,)}.items():
        for adapter in adapters:
            _, *options = inspect.signature(adapter).parameters
            for option in options:
                assert f"| {peer}: `{option}`" in page


def test_a2wsgi_has_no_dependency() -> None:
    needed = [Requirement(line).marker for line in requires("a2wsgi") or []]
    assert not [marker for marker in needed if marker is None or marker.evaluate()]


def test_a_websocket_is_closed_by_one_peer_and_an_error_for_the_other() -> None:
    scope = {**http_scope(), "type": "websocket"}
    sent: list[str] = []

    async def receive() -> dict[str, str]:
        return {"type": "websocket.connect"}

    async def send(message: dict[str, str]) -> None:
        sent.append(message["type"])

    asyncio.run(A2WSGI(wsgi_app)(scope, receive, send))
    assert sent == ["websocket.close"]
    with pytest.raises(ValueError, match="non-HTTP"):
        asyncio.run(ASGIREF(wsgi_app)(scope, receive, send))


@pytest.mark.parametrize(("adapter", "at_once"), [(A2WSGI, True), (ASGIREF, False)])
def test_when_the_app_is_called(adapter: Any, at_once: bool) -> None:
    """The client sends the rest of its body when the app has been called, or when nothing else is left to wait for."""

    async def main() -> None:
        loop, called = asyncio.get_running_loop(), asyncio.Event()

        def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
            loop.call_soon_threadsafe(called.set)
            return wsgi_app(environ, start_response)

        parts = iter([(b"first", True), (b"last", False)])
        before: list[bool] = []

        async def receive() -> dict[str, object]:
            body, more = next(parts)
            if not more:
                if at_once:
                    await asyncio.wait_for(called.wait(), 30)
                before.append(called.is_set())
            return {"type": "http.request", "body": body, "more_body": more}

        sent: list[bytes] = []

        async def send(message: dict[str, bytes]) -> None:
            sent.append(message.get("body", b""))

        await adapter(app)({**http_scope(), "method": "POST"}, receive, send)
        assert b"".join(sent) == b"firstlast"
        assert before == [at_once]

    asyncio.run(main())
