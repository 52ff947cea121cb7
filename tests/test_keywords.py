"""What an app calls by name: the names are those that the servers of the field have for it.

PEP 3333 has ``start_response()`` called by position. All the same wsgiref, gunicorn, waitress, cheroot and granian call
its parameters ``status``, ``headers`` and ``exc_info``, so that apps get away with the names there.
"""

import asyncio
import inspect
import io
import sys
import wsgiref.handlers
import wsgiref.util
from collections.abc import Callable, Iterable
from typing import Any

import gunicorn.http.wsgi
import pytest

from bridge import Dispatcher, Mount, WsgiToAsgi
from bridge.dispatch.fallback_wsgi import _HeldBack, _KeptInput
from bridge.to_asgi.body import Input
from bridge.to_asgi.call import WsgiCall
from bridge.to_asgi.file import FileWrapper
from bridge.to_asgi.hints import EarlyHints
from bridge.types import Environ
from tests.support.asgi import Exchange, http_scope, request
from tests.support.lifespan import run_lifespan
from tests.support.wsgi import environ_for


def answers(status: str, text: bytes) -> Callable[..., Iterable[bytes]]:
    """An app that changes its mind, all by name."""

    def app(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        headers = [("Content-Type", "text/plain")]
        start_response(status="200 OK", headers=headers)
        try:
            raise LookupError
        except LookupError:
            start_response(status=status, headers=headers, exc_info=sys.exc_info())
        return [text]

    return app


def ask_asgi(app: WsgiToAsgi) -> tuple[int, bytes]:
    async def main() -> Exchange:
        try:
            return await Exchange(app, http_scope(), [request()]).run()
        finally:
            await run_lifespan(app)

    done = asyncio.run(main())
    return done.status, done.body


def test_start_response_on_an_asgi_server(no_bridge_threads: None) -> None:
    assert ask_asgi(WsgiToAsgi(answers("418 I'm a Teapot", b"tea"))) == (418, b"tea")


def test_start_response_of_an_app_that_may_be_passed_over() -> None:
    """An answer that stands, and one that is dropped."""

    def refuses(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response(status="404 Not Found", headers=[("Content-Type", "text/plain")], exc_info=None)
        return [b"no"]

    # What wsgiref's validator allows is narrower.
    for first, expected in ((answers("418 I'm a Teapot", b"tea"), b"tea"), (refuses, b"old")):
        site = Dispatcher({"/new": Mount(first, fallback=True), "/": answers("200 OK", b"old")})
        seen: list[Any] = []

        def start_response(status: str, headers: Any, exc_info: Any = None, seen: list[Any] = seen) -> Any:
            seen.append(status)

        assert b"".join(site(environ_for("/new/x"), start_response)) == expected
        assert seen[-1] == ("418 I'm a Teapot" if expected == b"tea" else "200 OK")


def names(function: Callable[..., Any]) -> list[str]:
    return [name for name in inspect.signature(function).parameters if name != "self"]


@pytest.mark.parametrize("ours", [WsgiCall.start_response, _HeldBack.start_response])
def test_the_names_are_those_of_wsgiref_and_gunicorn(ours: Callable[..., Any]) -> None:
    theirs = (wsgiref.handlers.BaseHandler.start_response, gunicorn.http.wsgi.Response.start_response)
    assert [names(each) for each in theirs] == [names(ours)] * 2
    assert names(FileWrapper) == names(wsgiref.util.FileWrapper) == names(gunicorn.http.wsgi.FileWrapper)


def test_early_hints_are_given_by_the_name_that_gunicorn_has_for_them() -> None:
    assert names(EarlyHints.__call__) == ["headers"]


@pytest.mark.parametrize("method", ["read", "read1", "readline", "readlines"])
@pytest.mark.parametrize("ours", [Input, _KeptInput])
def test_each_input_has_the_signatures_of_a_small_one(ours: type, method: str) -> None:
    """By position only, as typeshed's ``InputStream`` and as on waitress, uWSGI and mod_wsgi.

    A small body is an ``io.BytesIO``: a name that only large ones take would be a trap.
    """
    kinds = [p.kind for p in inspect.signature(getattr(ours, method)).parameters.values()][1:]
    assert kinds == [inspect.Parameter.POSITIONAL_ONLY]
    with pytest.raises(TypeError, match="keyword"):
        getattr(io.BytesIO(), method)(size=1)


def test_a_file_is_wrapped_by_name(no_bridge_threads: None) -> None:
    def app(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [])
        wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](filelike=io.BytesIO(b"file"), blksize=2)
        return wrapped

    assert ask_asgi(WsgiToAsgi(app)) == (200, b"file")
