"""WSGI apps behind ``Mount(app, fallback=True)``, and how they are asked."""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

from bridge import Dispatcher, Mount
from bridge.types import Environ, StartResponse, WSGIApp
from tests.support.wsgi import Answer, call, environ_for

__all__ = ["TEXT", "ask", "echo", "late", "over", "replies", "said"]

TEXT = [("Content-Type", "text/plain")]


def replies(status: str, body: list[bytes] | None = None) -> WSGIApp:
    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response(status, TEXT)
        return [b"first"] if body is None else body

    return app


def echo(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Say who is asked, and the digest of the body."""
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    start_response("200 OK", TEXT)
    return [said(environ["SCRIPT_NAME"], environ["PATH_INFO"], body)]


def said(script_name: str, path_info: str, body: bytes = b"") -> bytes:
    return f"{script_name}|{path_info}|{len(body)}|{hashlib.sha256(body).hexdigest()}".encode()


def over(first: Any, second: Any = echo) -> Dispatcher:
    return Dispatcher({"/new": Mount(first, fallback=True), "/": second})


def ask(app: WSGIApp, path: str = "/new/x", body: bytes | None = None, **keys: Any) -> Answer:
    return call(app, environ_for(path, "GET" if body is None else "POST", body, **keys))


def late(status: str, *chunks: bytes, before: list[bytes] | None = None) -> WSGIApp:
    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        yield from before or []
        start_response(status, TEXT)
        yield from chunks

    return app
