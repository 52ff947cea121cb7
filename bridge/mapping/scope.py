"""A WSGI environ as an ASGI HTTP scope, and an ASGI response's start as ``start_response()`` takes it. Pure
functions.

The way back is in ``mapping.environ`` (scope -> environ); for what HTTP allows the two are each other's inverse.
What an environ can't tell is lost on the way: the order of header fields, and repeated ones, which servers
have joined.

The path. WSGI splits it into SCRIPT_NAME and PATH_INFO; in ASGI ``path`` is both together and ``root_path``
is the first part (ASGI specification, "HTTP Connection Scope"). Both are bytes in latin-1 clothes in the
environ (PEP 3333, "Unicode Issues") and text in the scope: bytes that are no UTF-8 become U+FFFD, as on the
ASGI servers, and ``raw_path`` has them.
"""

from collections.abc import Iterable
from functools import lru_cache
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import quote

from ..errors import ApplicationError
from ..types import Environ, Headers, Scope
from .chain import inherit_scope
from .headers import BODYLESS, HOP_BY_HOP, TOKEN, agreed_content_length, check_value
from .hidden import Hidden
from .prefixes import split_environ
from .tls import tls_extension

__all__ = ["ASGI_VERSION", "Head", "build_scope", "path_for_log", "response_head"]

#: 2.4 is the version from which send() raises an OSError once the client is known to be gone; it does here.
#: What 2.5 adds concerns WebSocket alone.
ASGI_VERSION = {"version": "3.0", "spec_version": "2.4"}

_HTTP_VERSIONS = {
    "HTTP/1.1": "1.1",
    "HTTP/1.0": "1.0",
    "HTTP/2": "2",
    "HTTP/2.0": "2",
    "HTTP/3": "3",
    "HTTP/3.0": "3",
}
# What may stand in a path as it is: RFC 3986, section 3.3 (pchar) and the slash; quote() adds the unreserved
# ones.
_PATH_SAFE = "/!$&'()*+,;=:@"

# The caches hold small vocabularies; the bounds are for clients and applications that make names up. Two
# threads may add the same entry at once: they add the same value.
_CACHE_SIZE = 1024
_CACHE_NAME_LENGTH = 64
_field_names: dict[str, bytes] = {}
# Keys of an environ that are no header field: most of them.
_no_fields: set[str] = set()
_header_names: dict[bytes, str] = {}

_STATUS_LINES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus if status >= 200}


def build_scope(environ: Environ, state: dict[str, Any], *, sendfile: bool = False) -> Scope:
    """The scope of type ``http`` for ``environ``; costs time linear in the environ.

    ``scope["wsgi_environ"]`` is a view of the environ itself (``mapping.hidden``): ``REMOTE_USER`` and what else has
    no key in a scope is there. Below another ASGI server, the scope has what ``mapping.chain`` takes from its scope.

    Args:
        environ: as PEP 3333 has it; missing and empty keys are taken as a server means them.
        state: the lifespan's state, of which the scope gets a shallow copy (ASGI lifespan specification,
            "Lifespan State").
        sendfile: offer ``http.response.pathsend`` where the server has ``wsgi.file_wrapper``.
    """
    get = environ.get
    script_name, path_info = get("SCRIPT_NAME", ""), get("PATH_INFO", "")
    if script_name[-1:] == "/":
        script_name, path_info = split_environ(environ)
    root_path = script_name if script_name.isascii() else _text(script_name)
    path = root_path + (path_info if path_info.isascii() else _text(path_info))
    scheme = get("wsgi.url_scheme") or "http"
    protocol = get("SERVER_PROTOCOL", "")
    host = get("REMOTE_ADDR")
    extensions: dict[str, Any] = {}
    if sendfile and "wsgi.file_wrapper" in environ:
        extensions["http.response.pathsend"] = {}
    if "wsgi.early_hints" in environ:
        extensions["http.response.early_hint"] = {}
    if scheme == "https" and (tls := tls_extension(environ)):
        extensions["tls"] = tls
    scope: Scope = {
        "type": "http",
        "asgi": ASGI_VERSION.copy(),
        "http_version": _HTTP_VERSIONS.get(protocol) or _http_version(protocol),
        "method": get("REQUEST_METHOD", "GET").upper(),
        "scheme": scheme,
        "path": path or "/",
        "raw_path": _raw_path(environ, script_name, path_info),
        "query_string": _wire(get("QUERY_STRING", "")),
        "root_path": root_path,
        "headers": _headers(environ),
        # None for a Unix socket, which has no address; port 0 where the server doesn't say.
        "client": (host, _port(get("REMOTE_PORT")) or 0) if host else None,
        "server": _server(get("SERVER_NAME"), get("SERVER_PORT")),
        "state": state.copy(),
        "extensions": extensions,
        "wsgi_environ": Hidden(environ),
    }
    if "asgi.scope" in environ:
        inherit_scope(scope, environ["asgi.scope"])
    return scope


def path_for_log(environ: Environ) -> str:
    """The path as text, for a log."""
    return _text("".join(split_environ(environ)))


def _text(native: str) -> str:
    """PEP 3333's bytes in latin-1 clothes as text."""
    return _wire(native).decode("utf-8", "replace")


def _wire(native: str) -> bytes:
    """The bytes that a native string stands for; some server decoded them as UTF-8 where it isn't latin-1."""
    try:
        return native.encode("latin-1") if native else b""
    except UnicodeEncodeError:
        return native.encode("utf-8", "surrogateescape")


def _http_version(protocol: str) -> str:
    """``"1.1"`` from any ``HTTP/1.1``; RFC 3875 (4.1.16) lets a protocol be something else (``INCLUDED``)."""
    name, slash, version = protocol.partition("/")
    if slash and name.upper() == "HTTP" and version:
        return version
    return "1.1"


def _raw_path(environ: Environ, script_name: str, path_info: str) -> bytes:
    """The path as the client sent it, if the server tells: in ``REQUEST_URI``, or gunicorn's ``RAW_URI``."""
    target: str = environ.get("REQUEST_URI") or environ.get("RAW_URI") or ""
    if not target:
        return quote(_wire(script_name + path_info), _PATH_SAFE).encode("ascii") or b"/"
    path = target.partition("?")[0]
    if not path.startswith("/") and "://" in path:
        # The absolute form, which RFC 9112 (3.2.2) tells servers to accept; "*" and authorities stay as they
        # are.
        _, slash, path = path.partition("://")[2].partition("/")
        path = slash + path or "/"
    return _wire(path)


def _headers(environ: Environ) -> list[tuple[bytes, bytes]]:
    headers: list[tuple[bytes, bytes]] = []
    for key in environ:
        if key not in _no_fields and (name := _field_names.get(key) or _learn_field_name(key)):
            value = environ[key]
            headers.append((name, value.encode() if value.isascii() else _wire(value)))
    # RFC 3875 has these two without HTTP_. Empty is how a server says that there is none.
    if content_type := environ.get("CONTENT_TYPE"):
        headers.append((b"content-type", _wire(content_type)))
    if content_length := environ.get("CONTENT_LENGTH"):
        headers.append((b"content-length", _wire(content_length)))
    return headers


def _learn_field_name(key: str) -> bytes:
    """The name of the header field behind an environ key; empty where there is none, or none that may be
    passed on.

    ``HTTP_CONTENT_LENGTH`` and ``HTTP_CONTENT_TYPE`` come from clients that write an underscore, to be
    mistaken for the real ones. ``HTTP_PROXY`` is, on servers that put their process' variables into the
    environ, no header at all.
    """
    name = b""
    if key.startswith("HTTP_") and key not in {"HTTP_PROXY", "HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH"}:
        name = _wire(key[5:].replace("_", "-").lower())
    if len(key) <= _CACHE_NAME_LENGTH:
        if name and len(_field_names) < _CACHE_SIZE:
            _field_names[key] = name
        elif not name and len(_no_fields) < _CACHE_SIZE:
            _no_fields.add(key)
    return name


@lru_cache(maxsize=64)  # a server has few addresses; some take the name from the client's Host
def _server(host: str | None, port: str | None) -> tuple[str, int | None] | None:
    """``(host, port)``, or ``(path, None)`` for a Unix socket, whose path may be in ``SERVER_PORT``."""
    if type(port) is str and port.startswith("/"):
        return port, None
    return (host, _port(port)) if host else None


def _port(port: object) -> int | None:
    return int(port) if isinstance(port, str) and port.isascii() and port.isdigit() else None


class Head(NamedTuple):
    """What ``start_response()`` is called with, and what the headers promise."""

    status: str
    headers: Headers
    content_length: int | None
    #: RFC 9110, section 6.4.1: the status has no content.
    bodyless: bool


def response_head(status: object, headers: object) -> Head:
    """The meaning of an ``http.response.start`` message.

    Raises:
        ApplicationError: the status or a header is not of the type or form that the ASGI specification
            ("Response Start") and RFC 9110 ask for.
    """
    line = _STATUS_LINES.get(status) if type(status) is int else None
    if line is None:
        line = _status_line(status)
    if type(headers) is not list and (
        isinstance(headers, (str, bytes, dict)) or not isinstance(headers, Iterable)
    ):
        raise ApplicationError(
            f"http.response.start has {type(headers).__name__} as its headers; ASGI wants (name, value) pairs"
        )
    bodyless = status in BODYLESS
    native: Headers = []
    content_length: int | None = None
    for pair in headers:
        try:
            name, value = pair
        except (TypeError, ValueError):
            name = value = None
        if type(name) is not bytes or type(value) is not bytes:
            name, value = _pair(pair)
        known = _header_names.get(name)
        if known is None:
            known = _learn_header_name(name)
        if not known:
            continue  # hop-by-hop: the connection is the server's affair (PEP 3333, "Other HTTP Features")
        text = value.decode("latin-1")
        if not text.isprintable():
            check_value(known, text)
        # 14 is the length of "content-length": most names are told from it without a call.
        if len(known) == 14 and known.lower() == "content-length":
            repeated = content_length is not None
            content_length = agreed_content_length(value, content_length)
            if repeated or bodyless:
                # A second one that says the same; or one that RFC 9110, section 8.6, forbids (204), or that
                # servers hold against the empty body that follows (304).
                continue
        native.append((known, text))
    return Head(line, native, content_length, bodyless)


def _status_line(status: object) -> str:
    # bool is an int as well, and so is http.HTTPStatus, which is welcome.
    if not isinstance(status, int) or isinstance(status, bool) or not 200 <= status <= 999:
        raise ApplicationError(
            f"http.response.start has the status {status!r}; ASGI wants an integer, here of 200 or more"
        )
    return _STATUS_LINES.get(int(status)) or f"{int(status)} Unknown"


def _pair(pair: Any) -> tuple[bytes, bytes]:
    try:
        name, value = pair
    except (TypeError, ValueError):
        name = value = None
    if isinstance(name, bytes) and isinstance(value, bytes):
        return name, value
    raise ApplicationError(
        f"http.response.start has the header {pair!r}; ASGI wants a (name, value) pair of byte strings"
    )


def _learn_header_name(name: bytes) -> str:
    """A header's name for WSGI; empty for one that is not passed on."""
    text = name.decode("latin-1")
    if not TOKEN.fullmatch(text):
        raise ApplicationError(f"the header name {text!r} is not a field name (RFC 9110, 5.1)")
    known = "" if text.lower() in HOP_BY_HOP else text
    if len(_header_names) < _CACHE_SIZE and len(name) <= _CACHE_NAME_LENGTH:
        _header_names[name] = known
    return known
