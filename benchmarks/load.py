"""Clients: many small requests, one long response, one long body.

wrk generates the load if it is installed. Otherwise a small client does; it is slower than the fastest servers, and
then measures itself: the ratios between fast servers come out too near to 1.
"""

import asyncio
import re
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass

from .processes import HOST, Server

__all__ = ["Load", "download", "generator", "hello", "read_head", "upload"]

_REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Load:
    """``count`` requests were answered with 200 in ``seconds``, ``failed`` were not."""

    count: int
    seconds: float
    failed: int = 0


def generator() -> str:
    return "wrk" if shutil.which("wrk") else "benchmarks.load (wrk is not installed)"


def hello(server: Server, connections: int, seconds: int) -> Load:
    """GET / over ``connections`` connections for ``seconds``."""
    wrk = shutil.which("wrk")
    if wrk is None:
        return asyncio.run(_hello(server, connections, seconds))
    command = [wrk, "-t1", f"-c{connections}", f"-d{seconds}s", server.url]
    output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=seconds + 30).stdout
    done = re.search(r"(\d+) requests in ([\d.]+)(m?s)", output)
    if done is None or not int(done[1]):
        raise RuntimeError(f"{server!r} answered nothing:\n{output}\n{server.log()}")
    refused = sum(map(int, re.findall(r"Non-2xx or 3xx responses: (\d+)", output)))
    broken = sum(map(int, re.findall(r"(?:connect|read|write|timeout) (\d+)", output)))
    seconds_taken = float(done[2]) * (0.001 if done[3] == "ms" else 1)
    return Load(int(done[1]) - refused, seconds_taken, refused + broken)


async def _hello(server: Server, connections: int, seconds: float) -> Load:
    start = time.perf_counter()
    clients = (_client(server, start + seconds) for _ in range(connections))
    results = await asyncio.gather(*clients)
    count, failed = (sum(column) for column in zip(*results, strict=True))
    return Load(count, time.perf_counter() - start, failed)


async def _client(server: Server, deadline: float) -> tuple[int, int]:
    """Requests one after another, on one connection as long as the server keeps it; those answered and failed."""
    count = failed = 0
    while time.perf_counter() < deadline:
        reader, writer = await asyncio.open_connection(HOST, server.port)
        try:
            kept = True
            while kept and time.perf_counter() < deadline:
                writer.write(_REQUEST)
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = re.search(rb"\r\ncontent-length: (\d+)", head)
                if not head.startswith(b"http/1.1 200") or length is None:
                    raise ConnectionError(head)
                await reader.readexactly(int(length[1]))
                count += 1
                kept = b"\r\nconnection: close" not in head
        except (OSError, asyncio.IncompleteReadError):
            failed += 1
        finally:
            writer.close()
    return count, failed


def download(server: Server, path: str, size: int) -> float:
    """GET ``path``, and read to the end of a body of at least ``size`` bytes; the seconds it took.

    The server closes the connection; a chunked body is counted with its framing.
    """
    with server.connect() as connection:
        start = time.perf_counter()
        connection.sendall(b"GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" % path.encode())
        head, rest = read_head(connection)
        received = len(rest)
        tail = rest[-5:]
        while block := connection.recv(_BLOCK):
            received += len(block)
            tail = (tail + block)[-5:]
        seconds = time.perf_counter() - start
    chunked = b"transfer-encoding: chunked" in head.lower()
    if received < size or (chunked and tail != b"0\r\n\r\n"):
        raise RuntimeError(f"{server!r} sent {received} bytes, {size} were due; it logged:\n{server.log()}")
    return seconds


def upload(server: Server, path: str, size: int) -> float:
    """POST ``size`` bytes to ``path``, which answers with their number; the seconds it took."""
    block = bytes(min(_BLOCK, size))
    with server.connect() as connection:
        head = b"POST %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
        start = time.perf_counter()
        connection.sendall(head % (path.encode(), size))
        missing = size
        while missing:
            connection.sendall(memoryview(block)[:missing])
            missing -= min(len(block), missing)
        _, body = read_head(connection)
        while more := connection.recv(_BLOCK):
            body += more
        seconds = time.perf_counter() - start
    # Without the framing of a chunked answer, should there be any.
    if str(size).encode() not in body:
        raise RuntimeError(f"{server!r} took {body!r} of {size} bytes; it logged:\n{server.log()}")
    return seconds


def read_head(connection: socket.socket) -> tuple[bytes, bytes]:
    """The head of a 200 response, and what came of its body with it."""
    received = b""
    while b"\r\n\r\n" not in received:
        block = connection.recv(65536)
        if not block:
            raise RuntimeError(f"the connection was closed after {received!r}")
        received += block
    head, _, rest = received.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"not a 200: {received!r}")
    return head, rest
