"""Every form of response that WSGI knows: what ``apps/echo`` answers to ``/r/NAME``."""

from collections.abc import Callable, Iterable, Iterator

from bridge.types import Headers

__all__ = ["PLAIN", "RESPONSES"]


class _Closing:
    """An iterable with close(), as PEP 3333 allows it."""

    def __init__(self, *chunks: bytes) -> None:
        self._chunks = iter(chunks)

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks

    def close(self) -> None:
        self._chunks = iter(())


def _generator(*chunks: bytes) -> Iterator[bytes]:
    yield from chunks


PLAIN = ("Content-Type", "text/plain")
# name: status, headers, and what the call returns.
RESPONSES: dict[str, tuple[str, Headers, Callable[[], Iterable[bytes]]]] = {
    "list": ("200 OK", [PLAIN], lambda: [b"one"]),
    "list-two": ("200 OK", [PLAIN], lambda: [b"one", b"two"]),
    "list-empty": ("200 OK", [PLAIN], list),
    "list-of-empty": ("200 OK", [PLAIN], lambda: [b""]),
    "list-holes": ("200 OK", [PLAIN], lambda: [b"", b"one", b"", b"two", b""]),
    "tuple": ("200 OK", [PLAIN], lambda: (b"one", b"two")),
    "generator": ("200 OK", [PLAIN], lambda: _generator(b"one", b"two")),
    "generator-empty": ("200 OK", [PLAIN], _generator),
    "generator-holes": ("200 OK", [PLAIN], lambda: _generator(b"", b"one", b"", b"two", b"")),
    "closing": ("200 OK", [PLAIN], lambda: _Closing(b"one", b"two")),
    "length": ("200 OK", [PLAIN, ("Content-Length", "3")], lambda: [b"one"]),
    "length-generator": ("200 OK", [PLAIN, ("Content-Length", "6")], lambda: _generator(b"one", b"two")),
    "length-zero": ("200 OK", [PLAIN, ("Content-Length", "0")], lambda: [b""]),
    "length-too-small": ("200 OK", [PLAIN, ("Content-Length", "4")], lambda: [b"one", b"two"]),
    "large": ("200 OK", [PLAIN, ("Content-Length", "500000")], lambda: [b"x" * 500_000]),
    "large-chunks": ("200 OK", [PLAIN], lambda: _generator(*[b"y" * 1000] * 300)),
    "created": ("201 Created", [PLAIN, ("Location", "/new"), ("Content-Length", "0")], lambda: [b""]),
    "no-content": ("204 No Content", [], lambda: [b""]),
    "no-content-list-empty": ("204 No Content", [], list),
    "partial": (
        "206 Partial Content",
        [PLAIN, ("Content-Range", "bytes 0-2/9"), ("Content-Length", "3")],
        lambda: [b"one"],
    ),
    "found": (
        "302 Found",
        [PLAIN, ("Location", "http://test/a?b=c"), ("Content-Length", "0")],
        lambda: [b""],
    ),
    "found-relative": (
        "302 Found",
        [PLAIN, ("Location", "b/../c?d"), ("Content-Length", "0")],
        lambda: [b""],
    ),
    "not-modified": ("304 Not Modified", [("ETag", '"x"')], lambda: [b""]),
    "not-modified-dates": (
        "304 Not Modified",
        [("ETag", 'W/"x"'), ("Expires", "Thu, 01 Jan 1970 00:00:00 GMT")],
        list,
    ),
    "bad-request": ("400 Bad Request", [PLAIN, ("Content-Length", "3")], lambda: [b"bad"]),
    "unauthorized": (
        "401 Unauthorized",
        [PLAIN, ("WWW-Authenticate", 'Basic realm="x"'), ("Content-Length", "0")],
        lambda: [b""],
    ),
    "not-found": ("404 Not Found", [PLAIN, ("Content-Length", "4")], lambda: [b"none"]),
    "teapot": ("418 I'm a Teapot", [PLAIN, ("Content-Length", "0")], lambda: [b""]),
    "too-many": (
        "429 Too Many Requests",
        [PLAIN, ("Retry-After", "3"), ("Content-Length", "0")],
        lambda: [b""],
    ),
    "error": ("500 Internal Server Error", [PLAIN, ("Content-Length", "4")], lambda: [b"oops"]),
    "unavailable": ("503 Service Unavailable", [PLAIN, ("Content-Length", "0")], lambda: [b""]),
    "unknown-status": ("299 Strange", [PLAIN, ("Content-Length", "0")], lambda: [b""]),
    "cookies": (
        "200 OK",
        [PLAIN, ("Set-Cookie", "a=1; Path=/"), ("Set-Cookie", "b=2; HttpOnly"), ("Content-Length", "0")],
        lambda: [b""],
    ),
    "duplicates": (
        "200 OK",
        [PLAIN, ("X-Dup", "1"), ("X-Dup", "2"), ("x-dup", "3"), ("Content-Length", "0")],
        lambda: [b""],
    ),
    "latin-1": ("200 OK", [PLAIN, ("X-Latin", "caf\xe9 \xff"), ("Content-Length", "0")], lambda: [b""]),
    "empty-value": ("200 OK", [PLAIN, ("X-Empty", ""), ("Content-Length", "0")], lambda: [b""]),
    "long-value": ("200 OK", [PLAIN, ("X-Long", "v" * 5000), ("Content-Length", "0")], lambda: [b""]),
    "many-headers": (
        "200 OK",
        [PLAIN, *((f"X-{number}", str(number)) for number in range(60)), ("Content-Length", "0")],
        lambda: [b""],
    ),
    "mixed-case": ("200 OK", [("cOnTeNt-TyPe", "text/plain"), ("CONTENT-LENGTH", "3")], lambda: [b"one"]),
    "no-type": ("200 OK", [("Content-Length", "3"), ("Content-Type", "")], lambda: [b"one"]),
    "caching": (
        "200 OK",
        [PLAIN, ("Cache-Control", "no-store"), ("Vary", "Accept, Cookie"), ("Content-Length", "0")],
        lambda: [b""],
    ),
    "date": (
        "200 OK",
        [PLAIN, ("Last-Modified", "Thu, 01 Jan 1970 00:00:00 GMT"), ("Content-Length", "0")],
        lambda: [b""],
    ),
}
