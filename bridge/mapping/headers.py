"""A response's status and headers, from either interface to the other. Pure functions.

``start_of_response()`` is the way from WSGI to ASGI, ``response_head()`` the way back. Both refuse what would write a
header of its own, keep back hop-by-hop fields, for the connection is the server's affair (PEP 3333, "Other HTTP
Features"), and see to it that there is one Content-Length at most. It is dropped where the status has no content: RFC
9110, section 8.6, forbids it there (204), or servers hold it against the empty body that follows (304).

There is a loop for each way, side by side, with the checks that they share below. One loop for both would have to be
told for each field of which type it is, how it is read, and whether blanks around it go: that made it slower.

The request's headers are in ``mapping.environ`` (scope -> environ) and ``mapping.scope`` (environ -> scope).
"""

import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, NamedTuple, TypeVar

from ..errors import ApplicationError
from ..types import Headers, Message
from .learnt import Learnt

__all__ = [
    "BODYLESS",
    "HOP_BY_HOP",
    "Head",
    "Start",
    "check_value",
    "is_chunked",
    "is_field_name",
    "parse_content_length",
    "response_head",
    "start_of_response",
]

_T = TypeVar("_T", str, bytes)

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
# RFC 9110, section 5.6.2.
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# RFC 9110, section 5.5: what no field value may contain. A tab is allowed.
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

_STATUS_LINES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus if status >= 200}


class Start(NamedTuple):
    """The start of a response: the ASGI message, and what its headers promise."""

    message: Message
    status: int
    content_length: int | None


class Head(NamedTuple):
    """What ``start_response()`` is called with, and what the headers promise."""

    status: str
    headers: Headers
    content_length: int | None
    #: RFC 9110, section 6.4.1: the status has no content.
    bodyless: bool


def start_of_response(status: object, headers: object) -> Start:
    """What ``start_response(status, headers)`` means, as an ``http.response.start`` message.

    Raises:
        ApplicationError: the status or a header is not of the type or form that PEP 3333 asks for.
    """
    code = _codes[status] if type(status) is str else _code(status)
    fields: list[tuple[bytes, bytes]] = []
    content_length: int | None = None
    for pair in headers if type(headers) is list else _iterable(headers, _FROM_WSGI):
        try:
            name, value = pair
        except (TypeError, ValueError):
            name = value = None
        if type(name) is not str or type(value) is not str or type(pair) is not tuple:
            name, value = _pair(pair, str, _FROM_WSGI)
        field = _lower_names[name]
        if not field:
            continue
        if not value.isprintable():
            check_value(name, value)
        try:
            encoded = value.encode("latin-1").strip(b" \t")
        except UnicodeEncodeError as exc:
            raise ApplicationError(
                f"the header {name!r} has a value that is not latin-1: "
                'PEP 3333 ("Unicode Issues") wants native strings that hold bytes'
            ) from exc
        if field == b"content-length":
            repeated = content_length is not None
            content_length = _agreed_content_length(encoded, content_length)
            if repeated or code in BODYLESS:
                continue
        fields.append((field, encoded))
    message = {"type": "http.response.start", "status": code, "headers": fields}
    # As Start(...) does it, without the function that a named tuple has for that: it costs as much as a header.
    return tuple.__new__(Start, (message, code, content_length))


def response_head(status: object, headers: object) -> Head:
    """What the status and the headers of an ``http.response.start`` message mean, as ``start_response()`` takes them.

    Raises:
        ApplicationError: the status or a header is not of the type or form that the ASGI specification
            ("Response Start") and RFC 9110 ask for.
    """
    line = _STATUS_LINES.get(status) if type(status) is int else None
    if line is None:
        line = _status_line(status)
    bodyless = status in BODYLESS
    native: Headers = []
    content_length: int | None = None
    for pair in headers if type(headers) is list else _iterable(headers, _FROM_ASGI):
        try:
            name, value = pair
        except (TypeError, ValueError):
            name = value = None
        if type(name) is not bytes or type(value) is not bytes:
            name, value = _pair(pair, bytes, _FROM_ASGI)
        field = _native_names[name]
        if not field:
            continue
        text = value.decode("latin-1")
        if not text.isprintable():
            check_value(field, text)
        # 14 is the length of "content-length": most names are told from it without a call.
        if len(field) == 14 and field.lower() == "content-length":
            repeated = content_length is not None
            content_length = _agreed_content_length(value, content_length)
            if repeated or bodyless:
                continue
        native.append((field, text))
    return Head(line, native, content_length, bodyless)


# What both ways share.


class _Messages(NamedTuple):
    """What an application is told that breaks a rule of its interface."""

    headers: str
    header: str


_FROM_WSGI = _Messages(
    "start_response() got {} as its headers; PEP 3333 wants a list of (name, value) tuples",
    "the header {} is not of the form that PEP 3333 wants: a (name, value) tuple of two strings",
)
_FROM_ASGI = _Messages(
    "http.response.start has {} as its headers; ASGI wants (name, value) pairs",
    "http.response.start has the header {}; ASGI wants a (name, value) pair of byte strings",
)


def _iterable(headers: object, messages: _Messages) -> Iterable[Any]:
    """What is given in place of a list: another iterable is taken, as servers do."""
    if isinstance(headers, (str, bytes, dict)) or not isinstance(headers, Iterable):
        raise ApplicationError(messages.headers.format(type(headers).__name__))
    return headers


def _pair(pair: Any, kind: type[_T], messages: _Messages) -> tuple[_T, _T]:
    """A header that is no tuple of two plain strings: it may still be a list, or of subclasses."""
    try:
        name, value = pair
    except (TypeError, ValueError):
        name = value = None
    # A string of two characters is a pair of strings as well, and no header.
    if isinstance(name, kind) and isinstance(value, kind) and not isinstance(pair, str):
        return name, value
    raise ApplicationError(messages.header.format(_without_value(pair)))


def _without_value(pair: Any) -> str:
    """What a message shows of a header: its value may be a cookie, or a token."""
    if isinstance(pair, str):
        return repr(pair.partition(":")[0])
    try:
        name, value = pair
    except (TypeError, ValueError):
        return type(pair).__name__
    return f"({name!r}, {type(value).__name__})"


def check_value(name: str, value: str) -> None:
    """Raise ``ApplicationError`` for a header value with a control character other than a tab.

    Who reads the message may not be meant to read the value, which may be a cookie: so it is not in it.
    """
    found = _CONTROL.search(value)
    if found is not None:
        raise ApplicationError(
            f"the header {name!r} has a value with {found[0]!r} in it: a control character, CR and LF above all, would "
            "let it write headers of its own (RFC 9110, 5.5)"
        )


def _agreed_content_length(value: bytes, before: int | None) -> int:
    """The application's Content-Length, where ``before`` is that of an earlier header; the two have to agree."""
    try:
        length = int(value) if value.isdigit() else None
    except ValueError:  # thousands of digits
        length = None
    if length is None:
        raise ApplicationError(
            f"the application's Content-Length is {value[:50]!r}, not a number (RFC 9110, 8.6)"
        )
    if before is not None and before != length:
        raise ApplicationError(f"the application sends two Content-Length headers, {before} and {length}")
    return length


def _lower_name(name: str) -> bytes:
    """A header's name as ASGI wants it, in lower case; empty for one that is not passed on."""
    _check_name(name)
    lowered = name.lower()
    return b"" if lowered in HOP_BY_HOP else lowered.encode("ascii")


def _native_name(name: bytes) -> str:
    """A header's name for WSGI; empty for one that is not passed on."""
    text = name.decode("latin-1")
    _check_name(text)
    return "" if text.lower() in HOP_BY_HOP else text


def is_field_name(name: str) -> bool:
    """Whether a header may have this name (RFC 9110, section 5.1): of ASCII alone, and without a blank."""
    return _TOKEN.fullmatch(name) is not None


def _check_name(name: str) -> None:
    if not is_field_name(name):
        raise ApplicationError(f"the header name {name!r} is not a field name (RFC 9110, 5.1)")


_lower_names = Learnt(_lower_name)
_native_names = Learnt(_native_name)


# Statuses.


def _code(status: object) -> int:
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
    return code


_codes: Learnt[str, int] = Learnt(_code)


def _status_line(status: object) -> str:
    # bool is an int as well, and so is http.HTTPStatus, which is welcome.
    if not isinstance(status, int) or isinstance(status, bool) or not 200 <= status <= 999:
        raise ApplicationError(
            f"http.response.start has the status {status!r}; ASGI wants an integer, here of 200 or more"
        )
    return _STATUS_LINES.get(int(status)) or f"{int(status)} Unknown"


# The request's Content-Length, and its Transfer-Encoding.


def parse_content_length(environ: dict[str, Any]) -> int | None:
    """The request's ``CONTENT_LENGTH``, ``None`` where there is none; a list of equal values counts as one.

    Raises:
        ValueError: it is not a number, or several that differ (RFC 9110, section 8.6).
    """
    text: str = environ.get("CONTENT_LENGTH", "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        # Blanks and tabs alone: what else Python strips is part of the value (RFC 9110, section 5.6.3).
        values = {value.strip(" \t") for value in text.split(",")}
        text = values.pop()
        if values or not (text.isascii() and text.isdigit()):
            raise ValueError(f"Content-Length is {environ['CONTENT_LENGTH']!r}")
        environ["CONTENT_LENGTH"] = text
    try:
        return int(text)
    except ValueError:  # more digits than int() takes
        raise ValueError(f"Content-Length has {len(text)} digits") from None


def is_chunked(coding: str) -> bool:
    """Whether a ``Transfer-Encoding`` says no more than that the body came in chunks, which the server has joined.

    With any other coding, or one more, the body is still encoded, or its end is not where it seems to be: a server
    that does not understand it answers 501 (RFC 9112, section 6.1).
    """
    return coding.lower() == "chunked"
