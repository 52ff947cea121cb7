"""What an app may put into its response that is none of its business, and a late error with the client's path in it.

``/NAME`` answers with the status and the headers of ``CASES[NAME]``; any other path is answered, and fails after that.
``wsgi`` and ``asgi`` are for servers of their kind, ``wsgi_bridged`` and ``asgi_bridged`` for those of the other.
"""

import os
from collections.abc import Iterator
from typing import Any

from bridge import AsgiToWsgi, WsgiToAsgi

__all__ = ["BREAKING", "HOP_BY_HOP"]

_BREAKS = {"crlf": "\r\n", "lf": "\n", "cr": "\r", "nul": "\0", "esc": "\x1b", "vt": "\x0b"}
_EVIL = "X-Evil: evil"

#: Text that would end its line: refused. Name -> status, headers.
BREAKING: dict[str, tuple[str, list[Any]]] = {
    **{f"value-{name}": ("200 OK", [("X-A", f"s3cr3t{text}{_EVIL}")]) for name, text in _BREAKS.items()},
    **{f"name-{name}": ("200 OK", [(f"X-A{text}{_EVIL}", "b")]) for name, text in _BREAKS.items()},
    "value-end": ("200 OK", [("X-A", "s3cr3t\n")]),
    "value-body": ("200 OK", [("X-A", "s3cr3t\r\n\r\nevil")]),
    "name-colon": ("200 OK", [("X-Evil: evil, X-A", "b")]),
    "name-blank": ("200 OK", [("X-Evil evil", "b")]),
    "two-lengths": ("200 OK", [("Content-Length", "5"), ("Content-Length", "50")]),
    "length-plus": ("200 OK", [("Content-Length", "+5")]),
    "length-break": ("200 OK", [("Content-Length", f"5\r\n{_EVIL}")]),
}
#: Of WSGI alone: a status, other types, and letters whose last byte is a line feed. An ASGI server has its own reason.
BREAKING_WSGI: dict[str, tuple[Any, list[Any]]] = {
    **{f"status-{name}": (f"200 OK{text}{_EVIL}", []) for name, text in _BREAKS.items()},
    "value-letters": ("200 OK", [("X-A", f"s3cr3t\u010d\u010a{_EVIL}")]),
    "value-bytes": ("200 OK", [("X-A", f"s3cr3t\r\n{_EVIL}".encode())]),
    "name-bytes": ("200 OK", [(b"X-Evil", "evil")]),
}
#: The connection's own: not passed on.
HOP_BY_HOP: dict[str, tuple[str, list[Any]]] = {
    name: ("200 OK", [(name, "evil"), ("Content-Length", "5")])
    for name in ("Connection", "Keep-Alive", "Upgrade", "TE", "Trailers", "Transfer-Encoding")
} | {
    "chunked": ("200 OK", [("Transfer-Encoding", "chunked"), ("Content-Length", "5")]),
    "chunked-alone": ("200 OK", [("transfer-encoding", "chunked")]),
    "chunked-upper": ("200 OK", [("TRANSFER-ENCODING", "identity, chunked")]),
    "proxy": ("200 OK", [("Proxy-Authenticate", "evil"), ("Proxy-Authorization", "evil")]),
}
CASES = {**BREAKING, **BREAKING_WSGI, **HOP_BY_HOP}


class _Body:
    def __iter__(self) -> Iterator[bytes]:
        return iter([b"hello"])

    def close(self) -> None:
        raise LookupError("late")


def wsgi(environ: Any, start_response: Any) -> Any:
    """The WSGI app."""
    case = CASES.get(environ["PATH_INFO"][1:])
    if case is None:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return _Body()
    start_response(case[0], [("Content-Type", "text/plain"), *case[1]])
    return [b"hello"]


def _wire(text: str) -> bytes:
    return text.encode("latin-1")


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    """The ASGI app."""
    if scope["type"] == "lifespan":
        raise ValueError("it has none")
    case = CASES.get(scope["path"][1:])
    headers = [] if case is None else [(_wire(name), _wire(value)) for name, value in case[1]]
    headers.append((b"content-type", b"text/plain"))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"hello"})
    if case is None:
        raise LookupError("late")


_loop: Any = os.environ.get("LOOP", "request")
wsgi_bridged = WsgiToAsgi(wsgi)
asgi_bridged = AsgiToWsgi(asgi, loop=_loop)
