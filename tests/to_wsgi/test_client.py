"""Whether an idle client is still there, on systems that can tell by poll() and on those that can't."""

import os
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.to_wsgi.client import client_probe


@pytest.fixture(params=["poll", "no POLLRDHUP", "no poll"])
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "no POLLRDHUP":
        monkeypatch.delattr(select, "POLLRDHUP")
    elif request.param == "no poll":
        monkeypatch.delattr(select, "poll")
    name: str = request.param
    return name


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    server, client = socket.socketpair()
    with server, client:
        yield server, client


def gone(server: socket.socket) -> bool:
    probe = client_probe({"gunicorn.socket": server})
    assert probe is not None
    return probe()


def test_a_client_that_stays(system: str, pair: tuple[socket.socket, socket.socket]) -> None:
    server, client = pair
    assert not gone(server)
    client.send(b"early")
    assert not gone(server)
    assert server.recv(10) == b"early"
    assert not gone(server)


@pytest.mark.parametrize("how", ["close", "shutdown", "reset"])
def test_a_client_that_leaves(system: str, how: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
        with client, server:
            assert not gone(server)
            if how == "reset":
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1" + bytes(7))
            client.shutdown(socket.SHUT_WR) if how == "shutdown" else client.close()
            assert gone(server)


def test_a_socket_that_is_closed(system: str, pair: tuple[socket.socket, socket.socket]) -> None:
    pair[0].close()
    assert gone(pair[0])


@pytest.mark.parametrize("blocking", [True, False])
@pytest.mark.parametrize("default", [None, 5.0])
def test_the_servers_socket_stays_as_it_is(
    system: str,
    blocking: bool,
    default: float | None,
    pair: tuple[socket.socket, socket.socket],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its descriptor's flags are those of all objects that have it."""
    server, client = pair
    server.setblocking(blocking)
    socket.setdefaulttimeout(default)
    try:
        assert not gone(server)
        client.close()
        assert gone(server) == (system == "poll" or default is None)
    finally:
        socket.setdefaulttimeout(None)
    assert os.get_blocking(server.fileno()) == blocking
    assert server.recv(1) == b""


def test_tls(certificate: tuple[Path, Path, Path]) -> None:
    """Its sockets can't peek; poll() sees the end of the connection below."""
    chain, key, root = certificate
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(chain, key)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        plain = socket.create_connection(listener.getsockname())
        accepted, _ = listener.accept()
        wrapped: list[ssl.SSLSocket] = []
        thread = threading.Thread(
            target=lambda: wrapped.append(context.wrap_socket(accepted, server_side=True))
        )
        thread.start()
        client = ssl.create_default_context(cafile=root).wrap_socket(plain, server_hostname="127.0.0.1")
        thread.join(30)
        with wrapped[0] as server:
            assert not gone(server)
            client.close()
            assert gone(server)
