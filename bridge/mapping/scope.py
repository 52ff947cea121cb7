"""A WSGI environ as an ASGI HTTP scope. Pure functions.

The way back is in ``mapping.environ``; for what HTTP allows the two are each other's inverse. What an environ can't
tell is lost on the way: the order of header fields, and repeated ones, which servers have joined.

The path. WSGI splits it into SCRIPT_NAME and PATH_INFO; in ASGI ``path`` is both together and ``root_path`` is the
first part (ASGI specification, "HTTP Connection Scope"). In the environ both are native strings, in which each
character stands for a byte (PEP 3333, "Unicode Issues"). In the scope they are text: bytes that are no UTF-8 become
U+FFFD, as on the ASGI servers, and ``raw_path`` has the bytes.

Header fields are found by the keys of the environ, and most keys are no field. A server gives the same keys for most
requests, so which of them are fields is kept for the whole tuple of keys.
"""

from collections.abc import Callable
from functools import lru_cache
from operator import itemgetter
from typing import Any
from urllib.parse import quote

from ..types import Environ, Scope
from .chain import inherit_scope
from .headers import is_field_name
from .hidden import Hidden
from .learnt import Learnt
from .prefixes import split_environ
from .tls import tls_extension

__all__ = ["ASGI_VERSION", "build_scope", "path_for_log"]

#: 2.4 is the version from which send() raises an OSError once the client is known to be gone; it does here.
#: What 2.5 adds concerns WebSocket alone.
ASGI_VERSION = {"version": "3.0", "spec_version": "2.4"}

# What may stand in a path as it is: RFC 3986, section 3.3 (pchar), and the slash. quote() adds the unreserved ones.
_PATH_SAFE = "/!$&'()*+,;=:@"


def build_scope(environ: Environ, state: dict[str, Any], *, sendfile: bool = False) -> Scope:
    """The scope of type ``http`` for ``environ``; costs time linear in the environ.

    ``scope["wsgi_environ"]`` is a view of the environ itself (``mapping.hidden``): ``REMOTE_USER`` and what else has
    no key in a scope is there. Below another ASGI server, the scope has what ``mapping.chain`` takes from its scope.

    Args:
        environ: as PEP 3333 has it; missing and empty keys are taken as a server means them.
        state: the lifespan's state, of which the scope gets a shallow copy (ASGI lifespan specification,
            "Lifespan State").
        sendfile: offer ``http.response.pathsend`` where the server has ``wsgi.file_wrapper``.

    Raises:
        ValueError: a header has a name that is none, or a line break or NUL in its value.
    """
    get = environ.get
    names, values_of = _fields_among[tuple(environ)]
    root_path = script_name = get("SCRIPT_NAME", "")
    path_info = get("PATH_INFO", "")
    if script_name:
        if script_name[-1] == "/":
            script_name, path_info = split_environ(environ)
        root_path = script_name if script_name.isascii() else _text(script_name)
    path = root_path + (path_info if path_info.isascii() else _text(path_info))
    target: str = get("REQUEST_URI") or get("RAW_URI") or ""
    raw_path = target.partition("?")[0]
    query = get("QUERY_STRING")
    scheme = get("wsgi.url_scheme") or "http"
    client, port = get("REMOTE_ADDR"), get("REMOTE_PORT")
    values = values_of(environ)
    # All at once: each look at a string costs more than its length does.
    text = "".join(values)
    # RFC 3875 has these two without HTTP_. Empty is how a server says that there is none.
    if content_type := get("CONTENT_TYPE"):
        text += content_type
    if "\n" in text or "\r" in text or "\0" in text:
        raise ValueError("a header's value has a line break or NUL in it (RFC 9110, section 5.5)")
    headers = [*zip(names, map(str.encode if text.isascii() else _wire, values))]  # noqa: B905  # the keyword costs
    if content_type:
        headers.append((b"content-type", _wire(content_type)))
    # Beside chunks a length says nothing: an app that believes it takes a large body for a small one (RFC 9112, 6.3).
    if (content_length := get("CONTENT_LENGTH")) and "HTTP_TRANSFER_ENCODING" not in environ:
        headers.append((b"content-length", _wire(content_length)))
    extensions: dict[str, Any] = {}
    if sendfile and "wsgi.file_wrapper" in environ:
        extensions["http.response.pathsend"] = {}
    if "wsgi.early_hints" in environ:
        extensions["http.response.early_hint"] = {}
    if scheme == "https" and (tls := tls_extension(environ)):
        extensions["tls"] = tls
    # Sentry and rich print ten keys of a dict: those without secrets come first.
    scope: Scope = {
        "type": "http",
        "asgi": ASGI_VERSION.copy(),
        "http_version": _http_versions[get("SERVER_PROTOCOL", "")],
        # None for a Unix socket, which has no address; port 0 where the server doesn't say.
        "client": (client, _port(port) or 0) if client else None,
        "server": _server(get("SERVER_NAME"), get("SERVER_PORT")),
        "scheme": scheme,
        "method": get("REQUEST_METHOD", "GET").upper(),
        "root_path": root_path,
        "path": path or "/",
        "raw_path": (
            raw_path.encode()
            if raw_path[:1] == "/" and raw_path.isascii()
            else _raw_path(raw_path, script_name, path_info)
        ),
        "query_string": _wire(query) if query else b"",
        "headers": headers,
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
    """The text that a native string stands for."""
    return _wire(native).decode("utf-8", "replace")


def _wire(native: str) -> bytes:
    """The bytes that a native string stands for. Where it isn't latin-1, some server has decoded them as UTF-8."""
    try:
        return native.encode("latin-1") if native else b""
    except UnicodeEncodeError:
        return native.encode("utf-8", "surrogateescape")


def _http_version(protocol: str) -> str:
    """``"1.1"`` from any ``HTTP/1.1``; RFC 3875 (4.1.16) lets a protocol be something else (``INCLUDED``)."""
    name, slash, version = protocol.partition("/")
    if not (slash and name.upper() == "HTTP" and version):
        return "1.1"
    return {"2.0": "2", "3.0": "3"}.get(version, version)


_http_versions = Learnt(_http_version)


def _raw_path(raw_path: str, script_name: str, path_info: str) -> bytes:
    """The path as the client sent it.

    Args:
        raw_path: the request target without its query, from ``REQUEST_URI`` or gunicorn's ``RAW_URI``; empty where
            the server doesn't tell.
        script_name, path_info: what it is made of then.
    """
    if not raw_path:
        return quote(_wire(script_name + path_info), _PATH_SAFE).encode("ascii") or b"/"
    if not raw_path.startswith("/") and "://" in raw_path:
        # The absolute form, which RFC 9112 (3.2.2) tells servers to accept; "*" and authorities stay as they are.
        _, slash, rest = raw_path.partition("://")[2].partition("/")
        raw_path = slash + rest or "/"
    return _wire(raw_path)


def _field_name(key: str) -> bytes:
    """The name of the header field behind an environ key; empty where there is none, or none that may be passed on.

    ``HTTP_CONTENT_LENGTH`` and ``HTTP_CONTENT_TYPE`` come from clients that write an underscore, to be mistaken for
    the real ones. ``HTTP_PROXY`` is, on servers that put their process' variables into the environ, no header at all.

    Raises:
        ValueError: it is no name, which some servers let through; see ``mapping.environ.environ_key()``.
    """
    if key.startswith("HTTP_") and key not in {"HTTP_PROXY", "HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH"}:
        name = key[5:]
        if not is_field_name(name):
            raise ValueError(f"the header name {name!r} is not a field name (RFC 9110, section 5.1)")
        return name.replace("_", "-").lower().encode()
    return b""


_field_names = Learnt(_field_name)


def _fields_of(keys: tuple[str, ...]) -> tuple[tuple[bytes, ...], Callable[[Environ], tuple[str, ...]]]:
    """The names of the header fields among an environ's keys, in their order, and what gives their values."""
    fields = {key: name for key in keys if (name := _field_names[key])}
    if not fields:
        return (), lambda _: ()
    # Of one key itemgetter() gives no tuple: then it gets the key twice, and who takes the names with it one value.
    return tuple(fields.values()), itemgetter(*fields, *(fields if len(fields) == 1 else ()))


_fields_among = Learnt(_fields_of, entries=128, longest=2048, size=lambda keys: sum(map(len, keys)))


@lru_cache(maxsize=64)  # a server has few addresses; some take the name from the client's Host
def _server(host: str | None, port: str | None) -> tuple[str, int | None] | None:
    """``(host, port)``, or ``(path, None)`` for a Unix socket, whose path may be in ``SERVER_PORT``."""
    if type(port) is str and port.startswith("/"):
        return port, None
    return (host, _port(port)) if host else None


def _port(port: object) -> int | None:
    if not (isinstance(port, str) and port.isascii() and port.isdigit()):
        return None
    try:
        return int(port)
    except ValueError:  # thousands of digits: some servers take it from the client's Host
        return None
