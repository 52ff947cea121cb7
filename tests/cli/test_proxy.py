"""The client behind proxies: the same rules for scopes and environs."""

import asyncio
import socket
import struct
import threading
from typing import Any

import pytest
import uvicorn

from bridge.cli.proxy import Trusted, asgi_behind, wsgi_behind
from bridge.types import ASGIApp, Receive, Scope, Send
from tests.support.asgi import HANG


def environ_seen(trusted: str, peer: str, headers: dict[str, str]) -> tuple[Any, ...]:
    """Address, port and scheme."""
    environ: dict[str, Any] = {"REMOTE_ADDR": peer, "REMOTE_PORT": "7", "wsgi.url_scheme": "http"}
    environ |= {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
    wsgi_behind(Trusted(trusted), lambda environ, start_response: [])(environ, lambda *_: None)
    return environ["REMOTE_ADDR"], int(environ["REMOTE_PORT"]), environ["wsgi.url_scheme"]


def call(app: ASGIApp, scope: Scope) -> None:
    nobody: Any = None

    async def main() -> None:
        await app(scope, nobody, nobody)

    asyncio.run(main())


def scope_seen(trusted: str, peer: str, headers: dict[str, str], kind: str = "http") -> tuple[Any, ...]:
    scope: Scope = {
        "type": kind,
        "scheme": "http" if kind == "http" else "ws",
        "client": (peer, 7) if peer else None,
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }

    async def app(scope: Scope, receive: Receive, send: Send) -> None: ...

    call(asgi_behind(Trusted(trusted), app), scope)
    return *(scope["client"] or ("", 7)), scope["scheme"]


PROXY = "10.0.0.1"
CASES = [
    ("10.0.0.1", PROXY, "1.2.3.4", "https", ("1.2.3.4", 0, "https")),
    ("10.0.0.1", "10.0.0.2", "1.2.3.4", "https", ("10.0.0.2", 7, "http")),
    ("10.0.0.0/8", PROXY, "6.6.6.6, 1.2.3.4, 10.0.0.9", "http", ("1.2.3.4", 0, "http")),
    ("10.0.0.0/8", PROXY, "10.0.0.8, 10.0.0.9", "http", ("10.0.0.8", 0, "http")),
    ("*", "9.9.9.9", "6.6.6.6, 1.2.3.4", "https", ("6.6.6.6", 0, "https")),
    ("10.0.0.1", PROXY, "1.2.3.4:80", "https", ("1.2.3.4", 80, "https")),
    ("10.0.0.1", PROXY, "[2001:db8::1]:80", "https", ("2001:db8::1", 80, "https")),
    ("10.0.0.1", PROXY, "2001:db8::1", "https", ("2001:db8::1", 0, "https")),
    ("10.0.0.1", PROXY, "unknown", "gopher", ("unknown", 0, "http")),
    ("10.0.0.1", PROXY, " , ", "http, https", (PROXY, 7, "https")),
    ("10.0.0.1", "::ffff:10.0.0.1", "1.2.3.4", "https", ("1.2.3.4", 0, "https")),
    ("10.0.0.1", "", "1.2.3.4", "wss", ("1.2.3.4", 0, "https")),  # at a Unix socket
    ("10.0.0.1", "localhost", "1.2.3.4", "https", ("1.2.3.4", 0, "https")),  # waitress's name for it
]


@pytest.mark.parametrize(("trusted", "peer", "hops", "proto", "seen"), CASES)
def test_scopes_and_environs_tell_the_same(
    trusted: str, peer: str, hops: str, proto: str, seen: tuple[str, int, str]
) -> None:
    headers = {"x-forwarded-for": hops, "x-forwarded-proto": proto}
    assert scope_seen(trusted, peer, headers) == seen
    assert environ_seen(trusted, peer, headers) == seen
    web_socket = scope_seen(trusted, peer, headers, "websocket")
    assert web_socket == (*seen[:2], seen[2].replace("http", "ws"))


def test_without_the_headers_nothing_changes() -> None:
    assert scope_seen("*", "1.2.3.4", {}) == environ_seen("*", "1.2.3.4", {}) == ("1.2.3.4", 7, "http")


def test_header_fields_may_be_several_and_of_any_case() -> None:
    scope: Scope = {
        "type": "http",
        "scheme": "http",
        "client": None,
        "headers": [(b"X-Forwarded-For", b"1.2.3.4"), (b"x-forwarded-for", b"10.0.0.1")],
    }

    async def app(scope: Scope, receive: Receive, send: Send) -> None: ...

    call(asgi_behind(Trusted("10.0.0.0/8"), app), scope)
    assert scope["client"] == ("1.2.3.4", 0)


def test_lifespan_passes() -> None:
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)

    lifespan: Scope = {"type": "lifespan"}
    call(asgi_behind(Trusted("*"), app), lifespan)
    assert seen[0] is lifespan


def _unnamed(server: object, trusted: str = "10.0.0.1") -> Scope:
    """The scope of a request whose peer has no address, as the app gets it."""
    scope: Scope = {
        "type": "http",
        "scheme": "http",
        "client": None,
        "server": server,
        "headers": [(b"x-forwarded-for", b"1.2.3.4"), (b"x-forwarded-proto", b"https")],
    }

    async def app(scope: Scope, receive: Receive, send: Send) -> None: ...

    call(asgi_behind(Trusted(trusted), app), scope)
    return scope


# None: hypercorn and daphne; then uvicorn, granian, and gunicorn's ASGI worker with a relative path.
@pytest.mark.parametrize("server", [None, ("/run/s", None), ("s", None), ("/run/s", "0"), ("a", "p")])
def test_a_peer_without_an_address_counts_at_a_unix_socket(server: object) -> None:
    scope = _unnamed(server)
    assert (scope["client"], scope["scheme"]) == (("1.2.3.4", 0), "https")


@pytest.mark.parametrize("server", [("127.0.0.1", 8000), ("::1", 8000), ("127.0.0.1", "8000")])
def test_a_peer_without_an_address_does_not_count_at_a_port(server: object) -> None:
    scope = _unnamed(server)
    assert (scope["client"], scope["scheme"]) == (None, "http")
    assert _unnamed(server, trusted="*")["client"] == ("1.2.3.4", 0), "everyone is trusted"


@pytest.mark.parametrize("http", ["h11", "httptools"])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_client_that_resets_its_connection_is_not_believed(loop: str, http: str) -> None:
    """uvicorn serves what came before the reset, and finds no address of its client any more."""
    seen: list[tuple[Any, ...]] = []
    served = threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append((scope["client"], scope["scheme"]))
        served.set()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        # It has gone before anybody accepts: the connection waits in the socket, with the request and the reset.
        with socket.create_connection(listening.getsockname()) as client:
            client.sendall(
                b"GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\n\r\n"
            )
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        config: Any = {"loop": loop, "http": http, "lifespan": "off", "log_level": "critical"}
        server = uvicorn.Server(
            uvicorn.Config(asgi_behind(Trusted("192.0.2.1"), app), proxy_headers=False, ws="none", **config)
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            assert served.wait(HANG)
        finally:
            server.should_exit = True
            thread.join(HANG)
    assert not thread.is_alive()
    assert seen == [(None, "http")]


def test_what_is_no_address_is_refused() -> None:
    with pytest.raises(ValueError, match="'proxy' is neither an address, a network such as"):
        Trusted("10.0.0.1,proxy")
