"""``Dispatcher.stats()``: the adapters of its parts, each once."""

import asyncio

import pytest

from bridge import AsgiToWsgi, AsgiToWsgiStats, Dispatcher, WsgiToAsgi, WsgiToAsgiStats
from tests.dispatch.wsgi import replies
from tests.support.asgi import call_asgi
from tests.support.lifespan import run_lifespan
from tests.support.wsgi import call, environ_for
from tests.to_wsgi.apps import hello as asgi_hello

pytestmark = pytest.mark.usefixtures("no_bridge_threads")


def test_each_app_by_its_place() -> None:
    first, second, deep = replies("404 Not Found"), replies("200 OK"), replies("200 OK")
    inner = Dispatcher({"/deep": deep, "/": [first, second]})
    app = Dispatcher({"/api": asgi_hello, "/in": inner, "/": WsgiToAsgi(replies("200 OK"), threads=3)})
    stats = app.stats()
    assert list(stats) == ["/api", "/in/deep", "/in (app 1 of 2)", "/in (app 2 of 2)", "/"]
    assert isinstance(stats["/api"], AsgiToWsgiStats)
    root = stats["/"]
    assert isinstance(root, WsgiToAsgiStats)
    assert root.threads_limit == 3
    assert stats["/in/deep"] == WsgiToAsgi(deep).stats()


def test_an_app_that_is_mounted_twice_is_told_of_once() -> None:
    app = replies("200 OK")
    assert list(
        Dispatcher({"/a": app, "/b": WsgiToAsgi(app), "/c": Dispatcher({"/": WsgiToAsgi(app)})}).stats()
    ) == [
        "/a",
        "/c",
    ], "the adapter of the third is another one"
    adapter = AsgiToWsgi(asgi_hello)
    assert list(Dispatcher({"/a": adapter, "/b": Dispatcher({"/": adapter})}).stats()) == ["/a"]


def test_the_adapter_that_is_used_tells() -> None:
    with Dispatcher({"/wsgi": replies("200 OK"), "/asgi": AsgiToWsgi(asgi_hello, loop="request")}) as app:
        for path in ("/wsgi", "/asgi"):
            assert call_asgi(app, path=path).status == 200
        asyncio.run(run_lifespan(app))  # ends the threads
        before = app.stats()["/asgi"]
        assert isinstance(before, AsgiToWsgiStats)
        assert before.loops == 0, "an ASGI server calls it without an adapter"
        assert call(app, environ_for("/asgi")).body == b"Hello"
        stats = app.stats()
        served, asgi = stats["/wsgi"], stats["/asgi"]
        assert isinstance(served, WsgiToAsgiStats)
        assert isinstance(asgi, AsgiToWsgiStats)
        assert (served.requests, asgi.loops) == (1, 1)
