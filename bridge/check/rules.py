"""The rules of the two interfaces, held against what an app does: data in, sentences out.

Those of PEP 3333 that concern single values are ``wsgiref.validate``'s own functions. Its middleware is not used: it
raises where it should write down, and forbids what PEP 3333 allows (``read()`` without a size).
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any
from wsgiref import validate
from wsgiref.util import is_hop_by_hop

__all__ = ["AsgiRules", "WsgiRules"]

# Its functions have no type information.
_validate: Any = validate
_NO_BODY = frozenset({204, 304})
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9a-zA-Z-]+")


class WsgiRules:
    """One call of a WSGI app. Each method returns the rules that are broken by what it is told."""

    def __init__(self, method: str) -> None:
        self._head = method == "HEAD"
        self._started = False
        self._status = 0
        self._length: int | None = None
        self._sent = 0

    def start(self, status: object, headers: Any, exc_info: object) -> list[str]:
        """PEP 3333, "The start_response() Callable"."""
        broken = []
        for check, value in (
            (_validate.check_status, status),
            (_validate.check_headers, headers),
            (_validate.check_exc_info, exc_info),
        ):
            try:
                check(value)
            except (AssertionError, ValueError, TypeError, IndexError, AttributeError) as exc:
                broken.append(f"start_response: {exc}")
        if self._started and exc_info is None:
            broken.append("start_response: it is called a second time without exc_info")
        self._started = True
        if broken:
            return broken
        self._status, self._length = int(str(status)[:3]), None
        for name, value in headers:
            if is_hop_by_hop(name):
                broken.append(f"the header {name} is the server's alone (hop-by-hop)")
            if name.lower() == "content-length" and value.isdecimal():
                self._length = int(value)
        return broken

    def result(self, value: object) -> list[str]:
        """PEP 3333, "Specification Details": what the app returns."""
        try:
            _validate.check_iterator(value)
            iter(value)  # type: ignore[call-overload]  # this is the check
        except (AssertionError, TypeError) as exc:
            return [f"what is returned: {exc}"]
        return []

    def item(self, value: object) -> list[str]:
        """A piece of the body, yielded or written."""
        if not isinstance(value, bytes):
            return [f"a piece of the body is {type(value).__name__}, not bytes"]
        if value and not self._started:
            return ["a piece of the body comes before start_response() is called"]
        self._sent += len(value)
        return []

    def end(self) -> list[str]:
        """The iteration has come to its end."""
        if not self._started:
            return ["start_response() was not called"]
        return _length_broken(self._length, self._sent, self._status, head=self._head)


def _length_broken(length: int | None, sent: int, status: int, *, head: bool) -> list[str]:
    if head:
        return []
    if status in _NO_BODY:
        return [f"a {status} has a body of {sent} bytes"] if sent else []
    if length is not None and length != sent:
        return [f"Content-Length is {length}, the body has {sent} bytes"]
    return []


class AsgiRules:
    """One call of an ASGI app for HTTP, by the specification's "HTTP & WebSocket ASGI Message Format" 2.5."""

    def __init__(self, scope: Mapping[str, Any]) -> None:
        self._head = scope.get("method") == "HEAD"
        self._extensions = set(scope.get("extensions") or ())
        self._started = False
        self._complete = False
        self._status = 0
        self._length: int | None = None
        self._sent = 0
        self._other = False

    @property
    def complete(self) -> bool:
        """The last message of the response was sent."""
        return self._complete

    def message(self, message: Any) -> list[str]:
        """A message that the app sends."""
        kind = message.get("type") if isinstance(message, Mapping) else None
        if kind == "http.response.start":
            return self._start(message)
        if kind == "http.response.body":
            return self._body(message)
        if isinstance(kind, str) and kind.startswith("http.response."):
            name = kind.removeprefix("http.response.")
            known = kind in self._extensions or (
                name == "trailers" and "http.response.trailers" in self._extensions
            )
            self._other = True
            # The response ends with these two as with a body.
            self._complete = self._complete or name in {"pathsend", "zerocopysend"}
            return (
                [] if known else [f"it sends {kind}, which the server does not offer in scope['extensions']"]
            )
        return [f"it sends a message of type {kind!r}"]

    def _start(self, message: Mapping[str, Any]) -> list[str]:
        if self._started:
            return ["it sends http.response.start a second time"]
        self._started = True
        status = message.get("status")
        broken = [] if isinstance(status, int) else [f"status is {status!r}, not an int"]
        self._status = status if isinstance(status, int) else 0
        for header in message.get("headers", ()):
            broken += self._header(header)
        return broken

    def _header(self, header: object) -> list[str]:
        if not isinstance(header, Iterable) or len(pair := list(header)) != 2:
            return [f"a header is {header!r}, not a pair"]
        name, value = pair
        if not isinstance(name, bytes) or not isinstance(value, bytes):
            return [f"the header {name!r} is {type(name).__name__} and {type(value).__name__}, not bytes"]
        shown = name.decode("latin-1")
        if not _TOKEN.fullmatch(name):
            return [f"{shown!r} is no name of a header"]
        # That names are in lower case is a rule, too; but Django breaks it, and no server minds.
        broken = []
        if value.strip() != value or b"\n" in value or b"\r" in value or b"\0" in value:
            broken.append(f"the value of the header {shown} has line breaks, NUL, or spaces at its ends")
        if name.lower() == b"transfer-encoding":
            broken.append("the header transfer-encoding is the server's alone")
        if name.lower() == b"content-length" and value.isdigit():
            self._length = int(value)
        return broken

    def _body(self, message: Mapping[str, Any]) -> list[str]:
        if not self._started:
            return ["it sends http.response.body before http.response.start"]
        if self._complete:
            return ["it sends http.response.body after the last one"]
        body, more = message.get("body", b""), message.get("more_body", False)
        broken = [] if isinstance(body, bytes) else [f"body is {type(body).__name__}, not bytes"]
        if not isinstance(more, bool):
            broken.append(f"more_body is {type(more).__name__}, not a bool")
        self._sent += len(body) if isinstance(body, (bytes, bytearray, memoryview)) else 0
        self._complete = not more
        return broken

    def end(self, *, disconnected: bool = False) -> list[str]:
        """The app has returned; ``disconnected``: it was told that its client has left, and owes nobody an end."""
        if disconnected and not self._complete:
            return []
        if not self._started:
            return ["it returns without a response"]
        if not self._complete:
            return ["it returns before the last http.response.body (more_body is true in all)"]
        if self._other:
            return []
        return _length_broken(self._length, self._sent, self._status, head=self._head)
