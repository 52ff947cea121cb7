"""WebSocket frames that break a rule of RFC 6455, and a message that inflates: the server refuses them.

The frames are written by hand, on a raw connection behind a handshake. No app gets a message of them; it is told of
the end, and its thread is free again.
"""

import base64
import contextlib
import os
import struct
import zlib
from pathlib import Path

import h11
import pytest

from tests.conftest import ServerPool
from tests.support.faults import hold, known
from tests.support.server_kinds import WEBSOCKET_SERVERS
from tests.support.servers import RunningServer
from tests.support.websocket_client import HANG, WEBSOCKETS, leftovers, wait_for_no_leftovers

MASK = b"\x11\x22\x33\x44"


def frame(first: int, payload: bytes = b"", *, mask: bytes = MASK, size: int | None = None) -> bytes:
    """A frame: its first byte (FIN, RSV, opcode), masked unless ``mask`` is empty; ``size``: what it says of itself."""
    length = len(payload) if size is None else size
    bit = 0x80 if mask else 0
    if length < 126:
        head = struct.pack("!BB", first, bit | length)
    elif length < 65536:
        head = struct.pack("!BBH", first, bit | 126, length)
    else:
        head = struct.pack("!BBQ", first, bit | 127, length)
    if not mask:
        return head + payload
    return head + mask + bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))


#: What a server has to fail the connection for, and the code that it may give (RFC 6455, section 7.4.1).
BROKEN: dict[str, tuple[bytes, int]] = {
    "not masked (5.1)": (frame(0x81, b"text", mask=b""), 1002),
    "a reserved bit (5.2)": (frame(0xA1, b"text"), 1002),
    "a reserved opcode (5.2)": (frame(0x83, b"text"), 1002),
    "a reserved control opcode (5.2)": (frame(0x8B, b""), 1002),
    "a ping in two fragments (5.4)": (frame(0x09, b"ping"), 1002),
    "a ping of 126 bytes (5.5)": (frame(0x89, b"p" * 126), 1002),
    "a continuation of nothing (5.4)": (frame(0x80, b"text"), 1002),
    "a message inside another (5.4)": (frame(0x01, b"te") + frame(0x81, b"xt"), 1002),
    "a size of 64 bits (5.2)": (frame(0x82, b"", size=2**63), 1002),
    "no UTF-8 (8.1)": (frame(0x81, b"\xff\xfe"), 1007),
    "no UTF-8 over two fragments (8.1)": (frame(0x01, b"\xc3") + frame(0x80, b"("), 1007),
    "half of a surrogate pair (8.1)": (frame(0x81, b"\xed\xa0\x80"), 1007),
    "a close of one byte (5.5.1)": (frame(0x88, b"\x03"), 1002),
    "a close with 1005 (7.4.1)": (frame(0x88, struct.pack("!H", 1005)), 1002),
    "a close whose reason is no UTF-8 (5.5.1)": (frame(0x88, struct.pack("!H", 1000) + b"\xff"), 1007),
}


class Wire:
    """An open WebSocket, of which the test writes each byte."""

    def __init__(self, server: RunningServer, path: str, *, deflate: bool = False) -> None:
        self.socket = server.connect(HANG)
        connection = h11.Connection(h11.CLIENT)
        headers = [
            ("Host", "test"),
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", base64.b64encode(os.urandom(16)).decode()),
        ]
        if deflate:
            headers.append(("Sec-WebSocket-Extensions", "permessage-deflate"))
        self.socket.sendall(connection.send(h11.Request(method="GET", target=path, headers=headers)) or b"")
        connection.send(h11.EndOfMessage())
        while (event := connection.next_event()) is h11.NEED_DATA:
            connection.receive_data(self.socket.recv(65536))
        assert isinstance(event, h11.InformationalResponse), event
        assert event.status_code == 101
        #: The server takes compressed messages.
        self.deflates = any(b"permessage-deflate" in value for _, value in event.headers)
        self.received = connection.trailing_data[0]

    def read_frames(self) -> list[tuple[int, bytes]]:
        """What the server sends until it closes: its frames, the close frame the last of them, if it sends one."""
        with contextlib.suppress(ConnectionError):
            while not any(opcode == 8 for opcode, _ in answers(self.received)):
                block = self.socket.recv(65536)
                if not block:
                    break
                self.received += block
        return answers(self.received)

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


def answers(data: bytes) -> list[tuple[int, bytes]]:
    """Opcode and payload of each frame that a server has sent."""
    found = []
    while len(data) >= 2:
        length, at = data[1] & 0x7F, 2
        if length == 126:
            length, at = struct.unpack("!H", data[2:4])[0], 4
        elif length == 127:
            length, at = struct.unpack("!Q", data[2:10])[0], 10
        found.append((data[0] & 0x0F, data[at : at + length]))
        data = data[at + length :]
    return found


@pytest.fixture(params=WEBSOCKET_SERVERS)
def server(request: pytest.FixtureRequest, server_pool: ServerPool) -> RunningServer:
    return server_pool.get(request.param, WEBSOCKETS)


def test_frames_that_break_a_rule(server: RunningServer) -> None:
    """The connection is failed, and nothing of it was a message: the app, which echoes, sends nothing."""
    before = leftovers(server)
    wrong = {}
    for name, (data, code) in BROKEN.items():
        with Wire(server, "/echo/x") as wire:
            wire.socket.sendall(data)
            frames = wire.read_frames()
        messages = [payload for opcode, payload in frames if opcode in {0, 1, 2}]
        codes = [struct.unpack("!H", payload[:2])[0] for opcode, payload in frames if opcode == 8 and payload]
        # It may also close the connection at once, or give the general code.
        if messages or not set(codes) <= {code, 1002, 1007, 1009}:
            wrong[name] = (messages, codes)
    wait_for_no_leftovers(server, before)
    assert not wrong, wrong


def most_memory(server: RunningServer) -> int:
    """The most that its processes have had at any time, in bytes; what is freed again counts too."""
    statuses = [Path(f"/proc/{process.pid}/status").read_text() for process in server.processes()]
    return sum(int(status.partition("VmHWM:")[2].split()[0]) * 1024 for status in statuses)


def data_of(wire: Wire, size: int) -> bytes:
    """What comes in messages, up to this size; the server may also close."""
    with contextlib.suppress(ConnectionError):
        while True:
            frames = answers(wire.received)
            data = b"".join(payload for opcode, payload in frames if opcode in {0, 1, 2})
            if len(data) >= size or any(opcode == 8 for opcode, _ in frames):
                break
            block = wire.socket.recv(262144)
            if not block:
                break
            wire.received += block
    return data


def test_a_message_in_many_fragments(server: RunningServer) -> None:
    """RFC 6455, section 5.4: it may have any number, empty ones too. One message of it is the app's, or none."""
    count = 20_000
    before = leftovers(server)
    most = most_memory(server)
    with Wire(server, "/echo/x") as wire:
        parts = frame(0x02, b"a"), frame(0x00, b""), frame(0x00, b"b")
        wire.socket.sendall(parts[0] + (parts[1] + parts[2]) * count + frame(0x80, b"c"))
        data = data_of(wire, count + 2)
        grown = most_memory(server) - most
    wait_for_no_leftovers(server, before)
    assert data in {b"", b"a" + b"b" * count + b"c"}
    assert grown < 64 * 1024 * 1024


def test_a_flood_of_pings(server: RunningServer) -> None:
    """RFC 6455, section 5.5.2: they are the server's. The app hears of none, and has the message behind them."""
    before = leftovers(server)
    most = most_memory(server)
    with Wire(server, "/echo/x") as wire:
        for _ in range(20):
            # As many as the kernel keeps the answers of, while nobody reads.
            wire.socket.sendall(frame(0x89, b"p" * 125) * 500)
        wire.socket.sendall(frame(0x82, b"hello"))
        data = data_of(wire, 5)
        grown = most_memory(server) - most
    wait_for_no_leftovers(server, before)
    assert data in {b"", b"hello"}
    assert grown < 64 * 1024 * 1024


def test_a_message_that_inflates(server: RunningServer) -> None:
    """100 MiB of zeros in 100 KiB: the server's limit is on what comes of it (RFC 7692 says so of none)."""
    compressor = zlib.compressobj(wbits=-15)
    data = compressor.compress(bytes(100 * 1024 * 1024)) + compressor.flush(zlib.Z_SYNC_FLUSH)
    name = server.kind.name
    unlimited = known("limit of a WebSocket message", name)
    before = leftovers(server)
    with Wire(server, "/echo/x", deflate=True) as wire:
        if not wire.deflates:
            return  # nothing inflates there
        most = most_memory(server)
        wire.socket.sendall(frame(0xC2, data[:-4]))
        if unlimited:
            # The app echoes all of it, and nobody but the client ends the WebSocket.
            wire.socket.sendall(frame(0x88, struct.pack("!H", 1000)))
        frames = wire.read_frames()
        grown = most_memory(server) - most
    wait_for_no_leftovers(server, before)
    codes = [struct.unpack("!H", payload[:2])[0] for opcode, payload in frames if opcode == 8 and payload]
    hold("limit of a WebSocket message", name, codes, right=[1009])
    if not unlimited:
        hold("WebSocket message that inflates", name, grown > 64 * 1024 * 1024, right=False)
