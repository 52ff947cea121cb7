"""``wsgiref.validate`` between bridge and an app, without its one rule that PEP 3333 does not have."""

from collections.abc import Iterable, Iterator
from typing import Any
from wsgiref.validate import validator

from bridge.types import StartResponse, WSGIApp

__all__ = ["validated"]


class _Input:
    """Adds the optional size back to ``read()``.

    PEP 3333, "Input and Error Streams", says that servers should support it; wsgiref.validate wants apps to
    pass one, and Werkzeug does not.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._stream.read(size)
        return data

    def readline(self, *size: int) -> bytes:
        line: bytes = self._stream.readline(*size)
        return line

    def readlines(self, *hint: int) -> list[bytes]:
        lines: list[bytes] = self._stream.readlines(*hint)
        return lines

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._stream)


def validated(app: WSGIApp) -> WSGIApp:
    """Return the app with the validator in front: a breach of PEP 3333 by either side is an error of the
    request.
    """

    def checked(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        environ["wsgi.input"] = _Input(environ["wsgi.input"])
        return app(environ, start_response)

    return validator(checked)  # type: ignore[arg-type]
