"""A WSGI response as ASGI messages: status, headers, and what both directions share of them. Pure functions.

The request's side is in ``mapping.environ`` (scope -> environ) and ``mapping.scope`` (environ -> scope).
"""

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from ..errors import ApplicationError
from ..types import Message

__all__ = [
    "BODYLESS",
    "HOP_BY_HOP",
    "TOKEN",
    "Start",
    "agreed_content_length",
    "check_value",
    "parse_content_length",
    "start_of_response",
]

#: The fields that PEP 3333 ("Other HTTP Features") keeps from applications; the same set as wsgiref's is_hop_by_hop().
HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailers",
        "transfer-encoding",
        "upgrade",
    }
)
#: RFC 9110, section 6.4.1: responses that never have content (as any response to HEAD).
BODYLESS = frozenset({204, 304})
#: RFC 9110, section 5.6.2.
TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# RFC 9110, section 5.5: what no field value may contain. A tab is allowed.
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

# Both caches hold what applications send, which is a small vocabulary; the bound is for an application that makes
# names up. Two threads may add the same entry at once: they add the same value.
_CACHE_SIZE = 1024
_names: dict[str, bytes] = {}
_statuses: dict[str, int] = {}


class Start(NamedTuple):
    """The start of a response: the ASGI message, and what its headers promise."""

    message: Message
    status: int
    content_length: int | None


def start_of_response(status: object, headers: object) -> Start:
    """What ``start_response(status, headers)`` means, as an ``http.response.start`` message.

    Raises:
        ApplicationError: the status or a header is not of the type or form that PEP 3333 asks for.
    """
    code = _statuses.get(status) if type(status) is str else None
    if code is None:
        code = _learn_status(status)
    fields: list[tuple[bytes, bytes]] = []
    content_length: int | None = None
    for pair in headers if type(headers) is list else _header_list(headers):
        name, value = pair if type(pair) is tuple and len(pair) == 2 else _pair(pair)
        if type(name) is not str or type(value) is not str:
            name, value = _pair(pair)
        encoded_name = _names.get(name)
        if encoded_name is None:
            encoded_name = _learn_name(name)
        if not encoded_name:
            continue  # hop-by-hop: the connection is the server's affair
        if not value.isprintable():
            check_value(name, value)
        try:
            encoded = value.encode("latin-1").strip(b" \t")
        except UnicodeEncodeError as exc:
            raise ApplicationError(
                f"the header {name!r} has the value {value!r}, which is not latin-1: "
                'PEP 3333 ("Unicode Issues") wants native strings that hold bytes'
            ) from exc
        if encoded_name == b"content-length":
            length = agreed_content_length(encoded, content_length)
            if content_length is not None or code in BODYLESS:
                # A second one that says the same; or one that RFC 9110, section 8.6, forbids (204), or that servers
                # hold against the empty body that follows (304).
                content_length = length
                continue
            content_length = length
        fields.append((encoded_name, encoded))
    return Start({"type": "http.response.start", "status": code, "headers": fields}, code, content_length)


def _header_list(headers: object) -> Iterable[Any]:
    """What is given in place of the list that PEP 3333 asks for: another iterable is taken, as servers do."""
    if isinstance(headers, (str, bytes, dict)) or not isinstance(headers, Iterable):
        raise ApplicationError(
            f"start_response() got {type(headers).__name__} as its headers; "
            "PEP 3333 wants a list of (name, value) tuples"
        )
    return headers


def _pair(pair: Any) -> tuple[str, str]:
    """A header that is no tuple of two plain strings: it may still be a list, or of subclasses."""
    try:
        name, value = pair
    except (TypeError, ValueError):
        name = value = None
    if isinstance(name, str) and isinstance(value, str):
        return name, value
    raise ApplicationError(
        f"the header {pair!r} is not of the form that PEP 3333 wants: a (name, value) tuple of two strings"
    )


def _learn_status(status: object) -> int:
    """The number in ``"200 OK"``; the reason may be missing, as servers of the field allow."""
    if not isinstance(status, str):
        raise ApplicationError(
            f'start_response() got the status {status!r}; PEP 3333 wants a string such as "200 OK"'
        )
    number = status[:3]
    if not (len(number) == 3 and number.isascii() and number.isdigit() and status[3:4] in {"", " "}):
        raise ApplicationError(
            f'start_response() got the status {status!r}; PEP 3333 wants three digits, a space and a reason: "200 OK"'
        )
    if _CONTROL.search(status):
        raise ApplicationError(f"the status {status!r} has a control character, which PEP 3333 forbids")
    code = int(number)
    if code < 200:
        raise ApplicationError(
            f"start_response() got the status {status!r}; an informational status is not a response (RFC 9110, 15.2)"
        )
    if len(_statuses) < _CACHE_SIZE:
        _statuses[status] = code
    return code


def _learn_name(name: str) -> bytes:
    """A header's name as ASGI wants it, in lower case; empty for one that is not passed on."""
    if not TOKEN.fullmatch(name):
        raise ApplicationError(f"the header name {name!r} is not a field name (RFC 9110, 5.1)")
    lowered = name.lower()
    encoded = b"" if lowered in HOP_BY_HOP else lowered.encode("ascii")
    if len(_names) < _CACHE_SIZE:
        _names[name] = encoded
    return encoded


def check_value(name: str, value: str) -> None:
    """Raises ``ApplicationError`` for a header value with a control character other than a tab."""
    if _CONTROL.search(value):
        raise ApplicationError(
            f"the header {name!r} has the value {value!r}: a control character in it, CR and LF above all, would let "
            "it write headers of its own (RFC 9110, 5.5)"
        )


def agreed_content_length(value: bytes, before: int | None) -> int:
    """The application's Content-Length, where ``before`` is that of an earlier header; the two have to agree."""
    if not value.isdigit():
        raise ApplicationError(f"the application's Content-Length is {value!r}, not a number (RFC 9110, 8.6)")
    length = int(value)
    if before is not None and before != length:
        raise ApplicationError(f"the application sends two Content-Length headers, {before} and {length}")
    return length


def parse_content_length(environ: dict[str, Any]) -> int | None:
    """The request's ``CONTENT_LENGTH``, ``None`` where there is none; a list of equal values counts as one.

    Raises:
        ValueError: it is not a number, or several that differ (RFC 9110, section 8.6).
    """
    text: str = environ.get("CONTENT_LENGTH", "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        values = {value.strip() for value in text.split(",")}
        text = values.pop()
        if values or not (text.isascii() and text.isdigit()):
            raise ValueError(f"Content-Length is {environ['CONTENT_LENGTH']!r}")
        environ["CONTENT_LENGTH"] = text
    return int(text)
