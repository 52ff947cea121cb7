"""Behind a proxy: the client's address and scheme, taken from ``X-Forwarded-For`` and ``X-Forwarded-Proto``.

One meaning for every server. Servers differ: uvicorn rewrites both, gunicorn the scheme alone, daphne takes the first
address whoever sent it, hypercorn, granian, waitress and wsgiref rewrite nothing. Here:

- The headers count if the peer is trusted: its address is listed, or it came by a Unix socket, which the file's
  permissions guard. Otherwise anybody could say anything. A peer without an address is not at a Unix socket for that:
  see ``_at_unix_socket()``.
- Each proxy appends the address of its peer to ``X-Forwarded-For``. So it is read from the right, and the first one
  that is not a trusted proxy's is the client's; if all are, the leftmost.
- The scheme is the last one of ``X-Forwarded-Proto``, which the nearest proxy said, if it is http or https.

``Host`` is left alone: proxies hand it on, or are told to. A server's access log shows the client then, for it is
the server's own scope or environ that is changed, as uvicorn and gunicorn do.
"""

import ipaddress
from collections.abc import Iterable
from typing import TypeAlias

from ..types import ASGIApp, Environ, Receive, Scope, Send, StartResponse, WSGIApp

__all__ = ["DEFAULT_TRUSTED", "Trusted", "asgi_behind", "wsgi_behind"]

DEFAULT_TRUSTED = "127.0.0.1,::1"

_Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


class Trusted:
    """The addresses and networks of proxies, from ``10.0.0.0/8,::1``; ``*`` is everyone.

    Raises ``ValueError`` for what is neither.
    """

    def __init__(self, text: str) -> None:
        words = [word.strip() for word in text.split(",") if word.strip()]
        self._everyone = "*" in words
        self._networks: list[_Network] = []
        for word in words:
            if word != "*":
                try:
                    self._networks.append(ipaddress.ip_network(word, strict=False))
                except ValueError:
                    raise ValueError(
                        f"{word!r} is neither an address, a network such as 10.0.0.0/8, nor *"
                    ) from None

    def __contains__(self, host: str) -> bool:
        if self._everyone:
            return True
        try:
            address = ipaddress.ip_address(host)
        except ValueError:  # an obfuscated one, such as "unknown"
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped  # of an IPv4 client, on a socket for both
        return any(address in network for network in self._networks)

    def peer(self, host: str | None) -> bool:
        """Whether what this peer says counts. An empty one is at a Unix socket; waitress calls it localhost.

        WSGI servers have the address from ``accept()``, so that one of TCP is never empty.
        """
        return not host or host == "localhost" or host in self

    def client(self, forwarded_for: str) -> tuple[str, int] | None:
        """Host and port (0: not said) of the client; None: the header is empty."""
        hops = [hop for word in forwarded_for.split(",") if (hop := word.strip())]
        found = [_host_and_port(hop) for hop in hops]
        if not found:
            return None
        if self._everyone:
            return found[0]
        return next((hop for hop in reversed(found) if hop[0] not in self), found[0])


def _host_and_port(hop: str) -> tuple[str, int]:
    """Of ``1.2.3.4``, ``1.2.3.4:80``, ``::1`` and ``[::1]:80``."""
    if hop.startswith("["):
        host, _, port = hop[1:].partition("]")
        port = port.removeprefix(":")
    elif hop.count(":") == 1:
        host, _, port = hop.partition(":")
    else:
        host, port = hop, ""
    # Five digits: int() takes no thousands of them, and a client may send them.
    return host, int(port) if len(port) <= 5 and port.isdecimal() and int(port) < 65536 else 0


def _scheme(forwarded_proto: str) -> str | None:
    scheme = forwarded_proto.rpartition(",")[2].strip().lower()
    return {"ws": "http", "wss": "https"}.get(scheme, scheme if scheme in {"http", "https"} else None)


def asgi_behind(trusted: Trusted, app: ASGIApp) -> ASGIApp:
    """Return ``app`` with the client's address and scheme in its scopes."""

    async def behind(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in {"http", "websocket"}:
            client = scope.get("client")
            host = client[0] if client else ""
            if trusted.peer(host) if host or _at_unix_socket(scope) else host in trusted:
                _rewrite_scope(scope, trusted)
        try:
            await app(scope, receive, send)
        finally:
            scope = {}  # an error of the app's would show it: see mapping.hidden

    return behind


def _at_unix_socket(scope: Scope) -> bool:
    """Whether a client without an address is at a Unix socket: then the server's own address has no port either.

    A client that has reset its TCP connection has no address any more, and uvicorn serves what it sent before. Whoever
    took that for a Unix socket would believe anybody who sends and leaves.
    """
    host, port = scope.get("server") or ("", None)
    # On a Unix socket the port is None, on granian "0". Of a path gunicorn's ASGI worker (27.0) gives two letters.
    return not host or host[0] == "/" or str(port) == "0" or not str(port).isdigit()


def _rewrite_scope(scope: Scope, trusted: Trusted) -> None:
    hops: list[str] = []
    proto = ""
    for name, value in scope["headers"]:
        lower = name.lower()
        if lower == b"x-forwarded-for":
            hops.append(value.decode("latin-1"))
        elif lower == b"x-forwarded-proto":
            proto = value.decode("latin-1")
    found = trusted.client(",".join(hops))
    if found is not None:
        scope["client"] = found
    scheme = _scheme(proto)
    if scheme is not None:
        scope["scheme"] = scheme.replace("http", "ws") if scope["type"] == "websocket" else scheme


def wsgi_behind(trusted: Trusted, app: WSGIApp) -> WSGIApp:
    """Return ``app`` with the client's address and scheme in its environs."""

    def behind(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if trusted.peer(environ.get("REMOTE_ADDR")):
            found = trusted.client(environ.get("HTTP_X_FORWARDED_FOR", ""))
            if found is not None:
                environ["REMOTE_ADDR"], port = found
                environ["REMOTE_PORT"] = str(port)
            scheme = _scheme(environ.get("HTTP_X_FORWARDED_PROTO", ""))
            if scheme is not None:
                environ["wsgi.url_scheme"] = scheme
        try:
            return app(environ, start_response)
        finally:
            environ = {}

    return behind
