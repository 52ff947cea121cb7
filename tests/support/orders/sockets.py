"""What stands in place of a pair of connected sockets, and of a loop that reads and writes one end of it.

An end is as a Unix stream socket is on Linux. Each use is a step, see ``scheduler``.
"""

import asyncio
import errno
import socket
from typing import Any

from bridge.threads.mailbox import settle

from .scheduler import Order
from .stand_ins import Loop

__all__ = ["End", "SocketLoop", "Sockets"]


class End:
    """One end; ``room``: bytes that it takes before whoever writes to it has to wait."""

    def __init__(self, order: Order, room: int) -> None:
        self._order = order
        self._room = room
        self._data = bytearray()
        self._blocking = True
        #: Nothing comes any more; nothing can be written any more.
        self._ended = False
        self._broken = False
        # The other end was closed, and had not read everything.
        self._lost = False
        self.closed = False
        self.peer: End = self
        #: What a loop waits for.
        self.reader: asyncio.Future[None] | None = None
        self.writer: asyncio.Future[None] | None = None

    def readable(self) -> bool:
        return bool(self._data) or self._ended or self._lost or self.closed

    def writable(self) -> bool:
        return len(self.peer._data) < self.peer._room or self._broken or self.closed

    # What the code under test calls, and apps.

    def setblocking(self, flag: bool) -> None:
        self._blocking = flag

    def recv(self, size: int) -> bytes:
        self._order.pause(self.readable if self._blocking else lambda: True)
        self._check()
        data = bytes(self._data[:size])
        del self._data[:size]
        if not data and self._lost:
            self._lost = False
            raise ConnectionResetError
        if not data and not self._ended:
            raise BlockingIOError
        self._tell()
        return data

    def send(self, data: bytes) -> int:
        """All of it, if it blocks; nobody's thread is interrupted here."""
        sent = 0
        while sent < len(data):
            self._order.pause(self.writable if self._blocking else lambda: True)
            self._check()
            if self._broken:
                raise BrokenPipeError
            part = data[sent : sent + self.peer._room - len(self.peer._data)]
            self.peer._data += part
            sent += len(part)
            if not self._blocking:
                if not part:
                    raise BlockingIOError
                break
            self._tell()
        self._tell()
        return sent

    def shutdown(self, how: int) -> None:
        self._order.pause()
        self._check()
        if how != socket.SHUT_RD:
            self._broken = self.peer._ended = True
        if how != socket.SHUT_WR:
            self._ended = self.peer._broken = True
        self._tell()

    def close(self) -> None:
        if self._order.over:
            return  # what was left is let go of
        self._order.pause()
        if self.closed:
            return
        if self.reader is not None or self.writer is not None:
            # Its number may be another socket's by the time the loop forgets it.
            self._order.fail("an end is closed on which the loop still waits")
        self.closed = self.peer._ended = self.peer._broken = True
        self.peer._lost = bool(self._data)
        self._tell()

    def _check(self) -> None:
        if self.closed:
            raise OSError(errno.EBADF, "closed")

    def _tell(self) -> None:
        for end in (self, self.peer):
            for future, ready in ((end.reader, end.readable), (end.writer, end.writable)):
                if future is not None and ready():
                    loop: Any = future.get_loop()
                    loop.tell(settle, future)


class Sockets:
    """In place of the module ``socket``: it makes the first end for the app, and the second for the loop."""

    SHUT_WR = socket.SHUT_WR
    SHUT_RDWR = socket.SHUT_RDWR

    def __init__(self, order: Order, *, to_app: int, to_loop: int) -> None:
        self._order = order
        self._rooms = (to_app, to_loop)
        self.ends: list[End] = []

    def socketpair(self) -> tuple[End, End]:
        own, peer = (End(self._order, room) for room in self._rooms)
        own.peer, peer.peer = peer, own
        self.ends += [own, peer]
        return own, peer


class SocketLoop(Loop):
    """A loop with asyncio's two ways to use a socket that it waits for."""

    async def sock_recv(self, end: End, size: int) -> bytes:
        while True:
            try:
                return end.recv(size)
            except BlockingIOError:
                if end.reader is not None:
                    self._order.fail("two read at once")
                end.reader = self.create_future()
            try:
                await end.reader
            finally:
                end.reader = None

    async def sock_sendall(self, end: End, data: bytes) -> None:
        while data:
            try:
                data = data[end.send(data) :]
                continue
            except BlockingIOError:
                if end.writer is not None:
                    self._order.fail("two write at once")
                end.writer = self.create_future()
            try:
                await end.writer
            finally:
                end.writer = None
