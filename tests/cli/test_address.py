"""Where a server listens: the forms of an address, and looking whether the place is free."""

import contextlib
import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.cli.address import Address, _why, parse_bind, probe
from bridge.cli.errors import UsageError
from tests.support.servers import free_port


@pytest.mark.parametrize(
    ("text", "address", "bind"),
    [
        ("0.0.0.0:80", Address(host="0.0.0.0", port=80), "0.0.0.0:80"),
        ("localhost", Address(host="localhost"), "localhost:8000"),
        (":9000", Address(host="0.0.0.0", port=9000), "0.0.0.0:9000"),
        ("[::1]:80", Address(host="::1", port=80), "[::1]:80"),
        ("[::1]", Address(host="::1"), "[::1]:8000"),
        ("unix:/run/x", Address(uds="/run/x"), "unix:/run/x"),
        ("unix:///run/x", Address(uds="/run/x"), "unix:/run/x"),
        ("fd://3", Address(fd=3), "fd://3"),
    ],
)
def test_addresses_as_words(text: str, address: Address, bind: str) -> None:
    assert parse_bind(text) == address
    assert address.bind == bind
    assert parse_bind(bind).tcp == address.tcp


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is none of"),
        ("host:http", "'http' is not a port"),
        ("::1", r"write \[::1\]"),
        ("[::1", r"is not \[address\]:port"),
        ("[::1]80", r"is not \[address\]:port"),
        ("unix:", "names no path"),
        ("fd://three", "is not fd://NUMBER"),
    ],
)
def test_what_is_no_address(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_bind(text)


@pytest.fixture
def listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_port_in_use_is_refused_and_a_free_one_left_free(listening: int) -> None:
    with pytest.raises(UsageError, match=rf"^127\.0\.0\.1:{listening}: the port is in use; say another one"):
        probe(Address(port=listening))
    port = free_port()
    for _ in range(2):
        probe(Address(port=port))
    probe(Address(port=0))


def test_sockets_that_share_a_port_are_left_to_the_server() -> None:
    with socket.socket() as sharing:
        sharing.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sharing.bind(("127.0.0.1", 0))
        sharing.listen()
        probe(Address(port=sharing.getsockname()[1]))


def test_addresses_that_cannot_be_had() -> None:
    with pytest.raises(UsageError, match=r"^192\.0\.2\.1:8000: this machine has no such address"):
        probe(Address(host="192.0.2.1"))
    with pytest.raises(UsageError, match=r"^no such host: "):
        probe(Address(host="no such host"))
    with pytest.raises(
        UsageError, match=r"^shop\.\.example: it is neither an address nor the name of a host$"
    ):
        probe(Address(host="shop..example"))


def test_ports_that_want_a_permission() -> None:
    """The superuser, who may run the tests, has them all."""
    refusal = PermissionError(errno.EACCES, "Permission denied")
    assert _why(refusal, 80) == "no permission for port 80; ports from 1024 up need none"


def test_unix_sockets(tmp_path: Path) -> None:
    path = tmp_path / "s"
    probe(Address(uds=str(path)))
    assert not path.exists()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        with pytest.raises(UsageError, match="another server listens there"):
            probe(Address(uds=str(path)))
    probe(Address(uds=str(path)))  # left behind: granian and daphne would not start
    assert not path.exists()
    (tmp_path / "file").write_text("")
    for wrong, says in (("file", "that is no socket"), ("nowhere/s", "there is no directory")):
        with pytest.raises(UsageError, match=says):
            probe(Address(uds=str(tmp_path / wrong)))


def test_a_unix_socket_whose_server_is_busy_is_not_taken_for_one_that_was_left_behind(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as server, contextlib.ExitStack() as clients:
        server.bind(path)
        server.listen(0)
        with contextlib.suppress(BlockingIOError):  # until its queue is full
            for _ in range(100):
                client = clients.enter_context(socket.socket(socket.AF_UNIX))
                client.setblocking(False)
                client.connect(path)
        with pytest.raises(UsageError, match="another server listens there"):
            probe(Address(uds=path))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(tmp_path / "datagrams"))
        with pytest.raises(UsageError, match="there is a socket that can't be replaced: Protocol wrong type"):
            probe(Address(uds=str(tmp_path / "datagrams")))


@pytest.mark.parametrize("length", [108, 300])
def test_paths_too_long_for_a_unix_socket(length: int) -> None:
    path = "/tmp/".ljust(length, "x")
    with pytest.raises(UsageError, match=r"a Unix socket's path has 10[37] bytes at most"):
        probe(Address(uds=path))
    with socket.socket(socket.AF_UNIX) as server, pytest.raises(OSError, match="too long"):
        server.bind(path)


def test_descriptors(listening: int, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        probe(Address(fd=server.fileno()))
    file = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(UsageError, match=f"descriptor {file} is no socket"):
            probe(Address(fd=file))
    finally:
        os.close(file)
    for number in (9999, 2**70):
        with pytest.raises(UsageError, match=f"there is no descriptor {number}"):
            probe(Address(fd=number))


@pytest.mark.parametrize(
    ("address", "tls", "shown"),
    [
        (Address(), False, "http://127.0.0.1:8000/x/"),
        (Address(host="::1", port=80), True, "https://[::1]:80/x/"),
        (Address(port=0), False, "a free port of 127.0.0.1"),
        (Address(uds="/run/x"), True, "unix:/run/x"),
        (Address(fd=3), False, "the socket of descriptor 3"),
    ],
)
def test_the_address_shown(address: Address, tls: bool, shown: str) -> None:
    assert address.shown(tls, "/x") == shown
