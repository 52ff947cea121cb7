"""The heads of the answers: which headers the app sends, and which of others may stand beside them.

A head is wrong if one of the app's headers is missing, comes more often, or has another value; if several of one name
have another order (RFC 9110, section 5.3); or if there is one that is neither the app's nor a server's. The order of
different names, and the case of their letters, are the server's affair.
"""

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Head", "Headers", "beside", "of_accept", "of_app", "of_bridge", "of_error"]

Headers = Sequence[tuple[str, str]]

#: How the end of a body is known. RFC 9110, section 8.6, and RFC 9112, section 6.1, forbid it where there is none.
_FRAMING = frozenset({"content-length", "transfer-encoding"})
#: What servers add to any answer: RFC 9110, sections 6.6.1, 8.6 and 10.2.4. None of the soak has a Via or a Keep-Alive.
_ANY = frozenset({"content-length", "date", "server"})
#: RFC 9113, section 8.2.2, forbids them on HTTP/2.
_OF_HTTP_1 = frozenset({"connection", "transfer-encoding"})
#: What accepts the handshake of a WebSocket (RFC 6455, section 4.2.2). HTTP/2 has none of it (RFC 8441, section 5).
_HANDSHAKE = frozenset({"sec-websocket-accept", "upgrade"})
_TYPE = ("Content-Type", "application/octet-stream")


def of_app(index: int, length: int | None = None) -> list[tuple[str, str]]:
    """What the app sends, with a Content-Length if it knows one. Values say whose they are, as the body does."""
    headers = [_TYPE, *of_accept(index)]
    return headers if length is None else [*headers, ("Content-Length", str(length))]


def of_accept(index: int) -> list[tuple[str, str]]:
    """What it sends with the accept of a WebSocket: a name twice, a value that is not ASCII, and an empty one."""
    return [
        ("Set-Cookie", f"first={index}; Expires=Wed, 01 Jan 2031 00:00:00 GMT"),
        ("X-Soak", f"caf\xe9, {index}"),
        ("X-Empty", ""),
        ("Set-Cookie", f"second={index}; Path=/"),
    ]


def beside(*, http2: bool, handshake: bool = False, body: bool = True) -> frozenset[str]:
    """What a server may add; ``handshake``: to what accepts one, ``body``: to an answer that may have one."""
    names = _ANY if http2 else _ANY | _OF_HTTP_1
    if handshake and not http2:
        names |= _HANDSHAKE
    return names if body else names - _FRAMING


@dataclass(frozen=True, slots=True)
class Head:
    """What a head must be."""

    headers: Headers
    """What has to be in it, as often, and in the order of its name."""
    beside: frozenset[str]
    """Lower-case names of what may be there too, once each."""
    reason: str | None = None
    """The words behind the status, where they are not the server's."""
    never: Headers = ()
    """What may not be in it, of names that may be."""

    def fault(self, headers: Headers, reason: str = "") -> str:
        """What is wrong with a head that was seen; nothing, if it is right."""
        if self.reason not in {None, reason}:
            return f"the reason is {reason!r}; {self.reason!r} is right"
        seen, right = _by_name(headers), _by_name(self.headers)
        for name, values in right.items():
            if seen.get(name) != values:
                return f"{name} is {seen.get(name)}; {values} is right"
        for name, value in self.never:
            if value in seen.get(name.lower(), ()):
                return f"{name.lower()} is {value!r}, which is the app's"
        for name in seen.keys() - right.keys():
            if name not in self.beside:
                return f"{name} is {seen[name]}, which nobody has sent"
            if len(seen[name]) > 1:
                return f"{name} is {seen[name]}; once is right"
        # RFC 9112, section 6.2.
        return "it has both Content-Length and Transfer-Encoding" if seen.keys() >= _FRAMING else ""


def of_error(names: frozenset[str]) -> Head:
    """A server's own answer in place of the app's, with nothing of the app's. ``names``: what it may add to any."""
    return Head((), names | {"content-type"}, never=[_TYPE])


def of_bridge(names: frozenset[str]) -> Head:
    """The bridge's own one."""
    return Head([("Content-Type", "text/plain; charset=utf-8")], names)


def _by_name(headers: Headers) -> dict[str, list[str]]:
    fields: dict[str, list[str]] = {}
    for name, value in headers:
        fields.setdefault(name.lower(), []).append(value)
    return fields
