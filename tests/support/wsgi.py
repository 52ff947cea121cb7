"""A WSGI server in a function: calls an application as PEP 3333 wants it, through wsgiref's validator."""

import io
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from wsgiref.validate import validator

from bridge.types import Environ, ExcInfo, Headers, Write, WSGIApp

__all__ = ["Answer", "call", "environ_for", "started"]


def environ_for(
    path: str = "/", method: str = "GET", body: bytes | None = None, query: str = "", **keys: Any
) -> Environ:
    """A complete environ; ``keys`` are added, or taken away where ``None``."""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path.encode().decode("latin-1"),
        "QUERY_STRING": query,
        "SERVER_NAME": "testserver",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": "50000",
        "HTTP_HOST": "testserver",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body or b""),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    if body is not None:
        environ["CONTENT_LENGTH"] = str(len(body))
    for key, value in keys.items():
        if value is None:
            environ.pop(key, None)
        else:
            environ[key] = value
    return environ


@dataclass
class Answer:
    """What an application answered."""

    status: str = ""
    headers: Headers = field(default_factory=list)
    chunks: list[bytes] = field(default_factory=list)
    #: What start_response() got as exc_info.
    exc_info: ExcInfo | None = None

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)

    def start_response(
        self, status: str, headers: Headers, exc_info: ExcInfo | tuple[None, None, None] | None = None, /
    ) -> Write:
        if exc_info is not None and exc_info[1] is not None:
            self.exc_info = exc_info
            if any(self.chunks):
                raise exc_info[1].with_traceback(exc_info[2])
        self.status, self.headers = status, headers
        return self.chunks.append


@contextmanager
def started(
    app: WSGIApp, environ: Environ, *, validate: bool = True
) -> Iterator[tuple[Answer, Iterable[bytes]]]:
    """Call the application; the body is iterated by the caller, and closed at the end.

    ``validate``: the validator wants a Content-Type in each response that may have content; HTTP does not.
    """
    answer = Answer()
    body: Any = (validator(app) if validate else app)(environ, answer.start_response)
    try:
        yield answer, body
    finally:
        if hasattr(body, "close"):
            body.close()


def call(app: WSGIApp, environ: Environ, *, validate: bool = True) -> Answer:
    """Call the application, take its body, close it."""
    with started(app, environ, validate=validate) as (answer, body):
        for chunk in body:
            answer.chunks.append(chunk)
    return answer
