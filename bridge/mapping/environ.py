"""An ASGI HTTP or WebSocket scope as a WSGI environ: PEP 3333, "environ Variables".

Pure functions, but for what PEP 3333 wants to know of the process: whether there are others, and where errors go.

Keys: everything that PEP 3333 and RFC 3875 (CGI) name and a scope can tell; ``REQUEST_URI`` and ``RAW_URI`` (the
target as it was received), ``REMOTE_ADDR`` (empty on a Unix socket) and ``REMOTE_PORT``, mod_ssl's ``SSL_*`` from the
TLS extension, and ``asgi.scope``, a view of the scope itself (``mapping.hidden``); below a WSGI server also what
``mapping.chain`` takes from its environ. The body's keys (``wsgi.input``) are added by whoever has the body.

The path. ``scope["path"]`` follows one of two conventions. By the ASGI specification, and on uvicorn and in Starlette's
mounts, it includes ``root_path``; hypercorn, granian, and gunicorn's ASGI worker give the path as the client sent it,
which includes ``root_path`` or not, as the proxy in front decides. So ``root_path`` is cut where the path has it, as
whole segments (``/api`` is no prefix of ``/apix``), and ``SCRIPT_NAME`` is ``root_path`` either way.

``root_path`` itself comes as its user wrote it: ``/api/``, ``/``, ``api``. uvicorn puts that in front as it is, which
makes ``/api//x``, ``//x`` and ``api/x`` of ``/x``; Starlette's mounts append to it. ``SCRIPT_NAME`` is the normal form,
without a slash at its end or twice, and what uvicorn has put in front is cut as it put it there.
"""

import sys
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, unquote, unquote_to_bytes

from ..processes import is_one_of_several
from ..types import Environ, Scope
from .chain import inherit_environ
from .headers import is_field_name
from .hidden import Hidden
from .learnt import Learnt
from .tls import tls_environ

__all__ = ["build_environ", "cut_root", "environ_key", "native_path", "path_of_target", "raw_path_of_target"]

# What each environ begins as: all of its own keys, those with None for a value that each request has its own of.
# Sentry and rich print ten keys of a dict: those without secrets come first, as on gunicorn.
_BASE: Environ = {
    "wsgi.version": (1, 0),
    "wsgi.url_scheme": None,
    "wsgi.errors": None,
    "wsgi.multithread": True,
    "wsgi.multiprocess": None,
    "wsgi.run_once": False,
    "wsgi.input_terminated": True,
    "asgi.scope": None,
    "REQUEST_METHOD": None,
    "SCRIPT_NAME": "",
    "PATH_INFO": None,
    "QUERY_STRING": None,
    "REQUEST_URI": None,
    "RAW_URI": None,
    "SERVER_PROTOCOL": None,
    "SERVER_NAME": None,
    "SERVER_PORT": None,
    # Empty on a Unix socket, as on gunicorn and waitress: RFC 3875 (4.1.8) wants the key, and apps take it for granted.
    "REMOTE_ADDR": "",
    "SERVER_SOFTWARE": "bridge",
}
# A copy has the room of the dict that it is of. With three more keys for a moment there is room for those that the
# caller adds, and for twenty header fields; a dict that grows to that size is made anew three times.
for _key in range(3):
    _BASE[str(_key)] = None
for _key in range(3):
    del _BASE[str(_key)]
# PEP 3333 knows two schemes; a WebSocket handshake is an HTTP request.
_SCHEMES = {"ws": "http", "wss": "https"}
_PORTS = {"http": "80", "https": "443"}


def build_environ(scope: Scope) -> Environ:
    """The environ of ``scope``, complete but for ``wsgi.input``; costs time linear in the headers.

    Args:
        scope: of type ``http`` or ``websocket``. Only ``path`` has to be there: servers leave optional keys out.

    Raises:
        ValueError: the path is none, or a header's name.
    """
    environ = _BASE.copy()
    environ["wsgi.multiprocess"] = is_one_of_several()
    scheme = scope.get("scheme") or "http"
    scheme = _SCHEMES.get(scheme, scheme)
    environ["wsgi.url_scheme"] = scheme
    environ["wsgi.errors"] = sys.stderr
    environ["asgi.scope"] = Hidden(scope)
    environ["REQUEST_METHOD"] = scope.get("method", "GET")
    version = scope.get("http_version") or "1.1"
    # granian says "1" for 1.0.
    environ["SERVER_PROTOCOL"] = "HTTP/1.0" if version == "1" else "HTTP/" + version

    query = scope.get("query_string")
    environ["QUERY_STRING"] = query = query.decode("latin-1") if query else ""
    path: str = scope["path"]
    raw_path: bytes | None = scope.get("raw_path")
    target = raw_path.decode("latin-1") if raw_path else quote(path, errors="surrogateescape")
    root_path = scope.get("root_path")
    if path[:1] != "/" and not (root_path and path.startswith(f"{root_path}/")):
        path, raw_path = path_of_target(path, raw_path), raw_path and raw_path_of_target(raw_path)
    environ["REQUEST_URI"] = environ["RAW_URI"] = f"{target}?{query}" if query else target
    info = path if path.isascii() else _wire_path(path, raw_path)
    if root_path:
        environ["SCRIPT_NAME"], info = cut_root(native_path(root_path), info)
    environ["PATH_INFO"] = info

    _add_headers(environ, scope.get("headers") or ())

    server = scope.get("server")
    # On a Unix socket the first is its path, and the second None, or "0" on granian.
    if server and server[0] and server[0][0] != "/":
        environ["SERVER_NAME"] = server[0]
        environ["SERVER_PORT"] = str(server[1] or _PORTS.get(scheme, "80"))
    else:
        environ["SERVER_NAME"], environ["SERVER_PORT"] = _server_of_host(environ.get("HTTP_HOST", ""), scheme)
    client = scope.get("client")
    if client and client[0]:
        environ["REMOTE_ADDR"] = client[0]
        environ["REMOTE_PORT"] = str(client[1] or 0)

    extensions = scope.get("extensions")
    if extensions and "tls" in extensions:
        environ.update(tls_environ(extensions["tls"]))
    if "wsgi_environ" in scope:
        inherit_environ(environ, scope["wsgi_environ"])
    return environ


def environ_key(name: bytes) -> str:
    """The environ key of a header: ``HTTP_...``, ``CONTENT_TYPE`` or ``CONTENT_LENGTH``; empty: it is dropped.

    Dropped are names with an underscore, which the key can't tell from one with a hyphen (``X_User`` would pass for a
    proxy's ``X-User``), and ``Proxy``, which would become the variable HTTP_PROXY of CGI programs.

    Raises:
        ValueError: it is no name. In upper case one that is not ASCII could pass for another: ``X-Acce\\xdf`` for
            ``X-Access``. With a blank before its colon it is a field to some, and none to others (RFC 9112, 5.1).
    """
    text = name.decode("latin-1")
    if not is_field_name(text):
        raise ValueError(f"the header name {text!r} is not a field name (RFC 9110, section 5.1)")
    upper = text.upper()
    if "_" in upper or upper == "PROXY":
        return ""
    if upper in {"CONTENT-TYPE", "CONTENT-LENGTH"}:
        return upper.replace("-", "_")
    return "HTTP_" + upper.replace("-", "_")


_keys = Learnt(environ_key)


def _add_headers(environ: Environ, headers: Any) -> None:
    """Add the fields. Repeated ones become one: cookies joined as in RFC 6265 (5.4), others as in RFC 9110 (5.3)."""
    repeated: dict[str, list[str]] | None = None
    for name, value in headers:
        key = _keys[name]
        if not key:
            continue
        if key not in environ:
            environ[key] = value.decode("latin-1")
            continue
        if repeated is None:
            repeated = {}
        # A list, joined once: adding to the string each time would cost the square of the number of fields.
        repeated.setdefault(key, [environ[key]]).append(value.decode("latin-1"))
    if repeated is not None:
        for key, values in repeated.items():
            environ[key] = ("; " if key == "HTTP_COOKIE" else ",").join(values)


def path_of_target(target: str, raw: bytes | None = None) -> str:
    """The path of a request target in another form than the usual one: RFC 9112, sections 3.2.2 and 3.2.4.

    Servers pass ``GET http://host/path`` on as it is, and ``OPTIONS *``, which names no path.

    Args:
        target: decoded.
        raw: the same as it was received, if that is known. A slash in the authority is told from the first one of the
            path by it alone: ``http://host%2Fadmin/x`` asks for ``/x``, and a proxy in front sees ``/x``.
    """
    scheme, separator, rest = target.partition("://")
    if separator and scheme.isalpha():
        if raw and (known := raw_path_of_target(raw)) and unquote(raw.decode("latin-1")) == target:
            return unquote(known.decode("latin-1"))
        return "/" + rest.partition("/")[2]
    if target in {"", "*"}:
        return ""
    raise ValueError(f"the request target {target!r} is no path")


def raw_path_of_target(target: bytes) -> bytes | None:
    """The same for ``raw_path``; ``None`` where it has none. Whoever rewrites ``path`` may leave it as it was."""
    if target[:1] == b"/":
        return target
    try:
        return path_of_target(target.decode("latin-1")).encode("latin-1")
    except ValueError:
        return None


def _wire_path(path: str, raw_path: bytes | None) -> str:
    """A path that is not ASCII, as PEP 3333 wants it: the bytes of the URL, each as one latin-1 character.

    Servers decode the URL as UTF-8 and put U+FFFD for what is none; the bytes are then in ``raw_path`` alone. That is
    used where it really is this path: whoever rewrites ``path`` on the way may leave ``raw_path`` as it was.
    """
    if raw_path and b"%" in raw_path:
        wire = unquote_to_bytes(raw_path)
        if wire.decode("utf-8", "replace") == path:
            return wire.decode("latin-1")
    return native_path(path)


def native_path(path: str) -> str:
    """``path`` as a native string of PEP 3333 ("Unicode Issues"): its UTF-8 bytes, each as one latin-1 character."""
    return path if path.isascii() else path.encode("utf-8", "surrogateescape").decode("latin-1")


def cut_root(root_path: str, path: str) -> tuple[str, str]:
    """``root_path`` in its normal form, and ``path`` without it; see the module's text.

    Args:
        root_path, path: both text, or both native strings.
    """
    root = root_path
    if root[:1] != "/" or root[-1:] == "/" or "//" in root:
        root = "".join(f"/{segment}" for segment in root.split("/") if segment)
    if path.startswith(root_path) and path[len(root_path) : len(root_path) + 1] == "/":
        return root, path[len(root_path) :]
    if path.startswith(root) and path[len(root) : len(root) + 1] in {"", "/"}:
        path = path[len(root) :]
    return root, path


def _server_of_host(host: str, scheme: str) -> tuple[str, str]:
    """SERVER_NAME and SERVER_PORT, which can't be empty, for a server on a Unix socket: from the Host header."""
    name, port = _split_host(host)
    return name or "localhost", port or _PORTS.get(scheme, "80")


def _split_host(host: str) -> Sequence[str]:
    name, colon, port = host.rpartition(":")
    if colon and port.isascii() and port.isdigit():
        return name, port
    return host, ""
