"""The clients on HTTP/1.1: raw sockets, whose answers h11 reads (``tests.support.raw``).

Each thread has one ``Http1``, and a connection that it keeps from request to request.
"""

import random
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator

import h11

from tests.support.raw import RawConnection, RawResponse

from .model import Seen
from .scenarios import Client, Scenario, content
from .target import Target

__all__ = ["Http1", "request_bytes"]

#: Seconds that a client stops for.
PAUSE = 0.01
#: Seconds that a client waits for 100 (RFC 9110, section 10.1.1: it need not wait for ever).
_CONTINUE = 0.5


def request_bytes(scenario: Scenario, *, close: bool) -> tuple[bytes, bytes]:
    """The head and the body, as they go out."""
    work = scenario.work
    words = [f"{'POST' if work.up else 'GET'} {work.target} HTTP/1.1", "Host: soak"]
    if close:
        words.append("Connection: close")
    if scenario.client is Client.EXPECT:
        words.append("Expect: 100-continue")
    data = content(work.index, work.up)
    if scenario.chunked:
        words.append("Transfer-Encoding: chunked")
        data = b"".join(_chunks(scenario, data))
    elif work.up:
        words.append(f"Content-Length: {work.up}")
    return "\r\n".join([*words, "", ""]).encode(), data


def _chunks(scenario: Scenario, data: bytes) -> Iterator[bytes]:
    """The body in chunks, with one of garbage if the client is so."""
    odd = scenario.client is Client.ODD_CHUNKS
    sizes = random.Random(scenario.at)
    garbage = int(len(data) * scenario.at) if scenario.client is Client.GARBAGE_CHUNK else None
    offset = 0
    while offset < len(data):
        size = sizes.choice((1, 2, 7, 100, 1000, 65_537)) if odd else 10_000
        size = max(size, len(data) // 100)
        chunk = data[offset : offset + size]
        yield b"%x%s\r\n%s\r\n" % (len(chunk), b";odd=1" if odd else b"", chunk)
        offset += size
        if garbage is not None and offset > garbage:
            yield b"no number\r\n"
            return
    yield b"0\r\nX-Trailer: 1\r\n\r\n" if odd else b"0\r\n\r\n"


class Http1:
    """Plays one scenario at a time."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._kept: tuple[int, RawConnection] | None = None

    def close(self) -> None:
        """End the connection that is kept."""
        if self._kept is not None:
            self._kept[1].close()
            self._kept = None

    def play(self, scenario: Scenario) -> list[Seen]:
        """What came; of ``PIPELINE``, one for each of its requests. Raises ``OSError`` where none could be sent."""
        if scenario.client is Client.KEEP:
            return [self._keep(scenario)]
        self._leave_if_ended()
        with RawConnection(self._target.connect()) as connection:
            return _PLAYS[scenario.client](connection, scenario)

    def _keep(self, scenario: Scenario) -> Seen:
        head, body = request_bytes(scenario, close=False)
        connection = self._reusable()
        if connection is not None:
            connection.send(head + body)
            seen = _read(connection)
            if seen.status is not None or seen.timed_out:
                self._keep_or_close(connection)
                return seen
            # The server closed it while the request was on its way: a client tries again (RFC 9112, section 9.3.1).
            self.close()
        connection = RawConnection(self._target.connect())
        self._kept = (self._target.stamp, connection)
        connection.send(head + body)
        seen = _read(connection)
        self._keep_or_close(connection)
        return seen

    def _reusable(self) -> RawConnection | None:
        if self._kept is None:
            return None
        stamp, connection = self._kept
        if stamp == self._target.stamp:
            return connection
        self.close()
        return None

    def _leave_if_ended(self) -> None:
        """As pools do: a server may wait for it (RFC 9112, section 9.6), and gunicorn serves nobody meanwhile."""
        if self._kept is not None and select.select([self._kept[1].socket], [], [], 0)[0]:
            self.close()

    def _keep_or_close(self, connection: RawConnection) -> None:
        if not connection.reusable:
            self.close()


def _read(connection: RawConnection) -> Seen:
    """One response, to its end."""
    try:
        response = connection.read_start()
    except TimeoutError:
        return Seen(None, timed_out=True)
    except (OSError, h11.RemoteProtocolError) as error:
        return Seen(None, note=repr(error))
    return _read_body(connection, response)


def _read_body(connection: RawConnection, response: RawResponse, limit: int | None = None) -> Seen:
    parts: list[bytes] = []
    size = 0
    while (limit is None or size < limit) and (part := connection.read_chunk(response)):
        parts.append(part)
        size += len(part)
    timed_out = response.error.startswith("TimeoutError")
    return Seen(
        response.status,
        b"".join(parts),
        response.complete,
        timed_out,
        response.error,
        response.headers,
        response.reason,
    )


def _plain(connection: RawConnection, scenario: Scenario) -> list[Seen]:
    connection.send(b"".join(request_bytes(scenario, close=True)))
    return [_read(connection)]


def _stall(connection: RawConnection, scenario: Scenario) -> list[Seen]:
    data = b"".join(request_bytes(scenario, close=True))
    cut = int(len(data) * scenario.at)
    connection.send(data[:cut])
    time.sleep(PAUSE)
    connection.send(data[cut:])
    return [_read(connection)]


def _slow_reader(connection: RawConnection, scenario: Scenario) -> list[Seen]:
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32_768)
    connection.send(b"".join(request_bytes(scenario, close=True)))
    time.sleep(PAUSE)
    return [_read(connection)]


def _leave_in_request(connection: RawConnection, scenario: Scenario) -> list[Seen]:
    data = b"".join(request_bytes(scenario, close=False))
    connection.send(data[: int(len(data) * scenario.at)])
    return []


def _leave_before_answer(connection: RawConnection, scenario: Scenario) -> list[Seen]:
    connection.send(b"".join(request_bytes(scenario, close=False)))
    return []


def _leave_in_answer(connection: RawConnection, scenario: Scenario) -> list[Seen]:
    connection.send(b"".join(request_bytes(scenario, close=False)))
    try:
        response = connection.read_start()
        return [_read_body(connection, response, int(scenario.work.down * scenario.at))]
    except TimeoutError:
        return [Seen(None, timed_out=True)]
    except (OSError, h11.RemoteProtocolError) as error:
        return [Seen(None, note=repr(error))]


def _reset_in_answer(connection: RawConnection, scenario: Scenario) -> list[Seen]:
    seen = _leave_in_answer(connection, scenario)
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return seen


def _pipeline(connection: RawConnection, scenario: Scenario) -> list[Seen]:
    """Three at once; a server may close after any of them."""
    connection.send(b"".join(request_bytes(scenario, close=False)) * 3)
    seen: list[Seen] = []
    while len(seen) < 3:
        seen.append(_read(connection))
        if not connection.reusable:
            break
    if len(seen) > 1 and seen[-1].status is None and not seen[-1].timed_out:
        seen.pop()
    return seen


def _half_close(connection: RawConnection, scenario: Scenario) -> list[Seen]:
    connection.send(b"".join(request_bytes(scenario, close=True)))
    connection.finish_sending()
    return [_read(connection)]


def _garbage(connection: RawConnection, scenario: Scenario) -> list[Seen]:
    """Bytes of no request, with line ends, so that no server waits for more."""
    data = random.Random(scenario.at).randbytes(200)
    connection.send(b"\x00" + data + b"\r\n\r\n")
    connection.finish_sending()
    seen = _read(connection)
    # Whatever the server says is right, unless it is the app's.
    return [seen] if seen.status == 200 or seen.timed_out else []


def _expect(connection: RawConnection, scenario: Scenario) -> list[Seen]:
    head, body = request_bytes(scenario, close=True)
    connection.send(head)
    timeout = connection.socket.gettimeout()
    connection.socket.settimeout(_CONTINUE)
    try:
        first = connection.socket.recv(1, socket.MSG_PEEK)
        status = connection.socket.recv(12, socket.MSG_PEEK)[9:12] if first else b""
    except OSError:
        status = b""
    connection.socket.settimeout(timeout)
    if status in {b"", b"100"}:
        connection.send(body)
    return [_read(connection)]


_PLAYS: dict[Client, Callable[[RawConnection, Scenario], list[Seen]]] = {
    Client.CLOSE: _plain,
    Client.STALL: _stall,
    Client.SLOW_READER: _slow_reader,
    Client.LEAVE_IN_REQUEST: _leave_in_request,
    Client.LEAVE_BEFORE_ANSWER: _leave_before_answer,
    Client.LEAVE_IN_ANSWER: _leave_in_answer,
    Client.RESET_IN_ANSWER: _reset_in_answer,
    Client.PIPELINE: _pipeline,
    Client.HALF_CLOSE: _half_close,
    Client.GARBAGE: _garbage,
    Client.GARBAGE_CHUNK: _plain,
    Client.ODD_CHUNKS: _plain,
    Client.EXPECT: _expect,
}
