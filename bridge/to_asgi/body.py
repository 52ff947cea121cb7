"""The request body of a WSGI app: ``wsgi.input`` over a body that is complete, or over one that still arrives.

``Input`` gives any raw stream the methods and the semantics of ``io.BytesIO``, at the speed of C. What is under it:
a temporary file (``Spool``), or ``Stream``, which a loop feeds and a worker reads. A small complete body needs neither:
its ``wsgi.input`` is an ``io.BytesIO``.
"""

from __future__ import annotations  # threading.Lock is no type before 3.13

import asyncio
import functools
import io
import tempfile
import threading
from collections import deque
from typing import TYPE_CHECKING, BinaryIO

from ..errors import BridgeError, ClientDisconnected
from ..threads.jobs import After, run_in
from ..threads.mailbox import Mailbox
from ..threads.pool import ThreadPool
from ..threads.waiting import until_done

if TYPE_CHECKING:
    from collections.abc import Buffer  # type: ignore[attr-defined,unused-ignore]  # since 3.12; here for types only

__all__ = ["BLOCK", "Input", "Spool", "SpoolError", "Stream"]

#: Seconds that an app has not read from a full buffer before more of the body is asked for all the same.
PATIENCE = 1.0

#: The size in which a body is read from below ``Input``.
BLOCK = 65536

#: Blocks below this size are joined while they wait: an object for each takes some 300 bytes beside its own, and a
#: client may send the body byte by byte.
_SMALL = 1024


class Input(io.BufferedReader):
    """``wsgi.input``: as ``io.BytesIO``, which takes any negative size for "all"."""

    def read(self, size: int | None = -1, /) -> bytes:
        """All of the rest, or ``size`` bytes; fewer only at the end. Raises ``OSError`` if the body breaks off."""
        return super().read(-1 if size is None or size < 0 else size)

    def read1(self, size: int | None = -1, /) -> bytes:
        """What is there, at most ``size`` bytes; empty only at the end."""
        return super().read1(-1 if size is None or size < 0 else size)

    def readline(self, size: int | None = -1, /) -> bytes:
        """One line, or its first ``size`` bytes."""
        return super().readline(-1 if size is None or size < 0 else size)

    def readlines(self, hint: int | None = None, /) -> list[bytes]:
        """All lines, or as many as have ``hint`` bytes. ``io.IOBase`` reads one more where they have exactly those."""
        if hint is None or hint <= 0:
            return super().readlines()
        lines: list[bytes] = []
        size = 0
        for line in self:
            lines.append(line)
            size += len(line)
            if size >= hint:
                break
        return lines


class SpoolError(Exception):
    """The disk does not take the body: it is full, or no file can be opened. The cause says why."""


class Spool:
    """Loop side: a body that is too large for memory, on its way into a temporary file.

    The file is touched by threads of ``disk`` only, so that a slow disk never holds the loop. One block is written
    while the next is received. As a rule it is written by then: the loop is woken only where it waits for that.

    As long as a block is on its way, ``_file`` is of the job that writes it, and ``_lock`` guards ``_writing``,
    ``_waiter``, ``_error`` and ``_discarded``; without one, all of it is the loop's. The loop's wait ends with the job,
    which runs or is abandoned.
    """

    def __init__(self, disk: ThreadPool, mailbox: Mailbox) -> None:
        self._disk = disk
        self._mailbox = mailbox
        self._lock = threading.Lock()
        self._file: BinaryIO | None = None
        # A block is on its way. What the loop waits for its end with, and what came of it.
        self._writing = False
        self._waiter: asyncio.Future[None] | None = None
        self._error: BaseException | None = None
        self._discarded = False

    async def write(self, block: bytes) -> None:
        """Takes ``block``, once the one before it is written. Raises ``SpoolError`` if that one could not be."""
        await self._written()
        self._writing = True
        self._disk.submit(_Block(self, block))

    async def file(self) -> Input:
        """The whole body, from its start. Raises ``SpoolError``."""
        await self._written()
        file = self._file
        assert file is not None  # noqa: S101  # for the type: a spool is made for its first block
        file.seek(0)
        return Input(file, BLOCK)  # type: ignore[arg-type]  # an unbuffered file is a RawIOBase

    def discard(self) -> None:
        """Closes the file, which may take a while, on a thread of the disk's. The body was not wanted."""
        with self._lock:
            self._discarded = True
            self._error = None
            file = None if self._writing else self._file
        if file is not None:
            run_in(self._disk, self._mailbox, file.close)

    async def _written(self) -> None:
        waiter: asyncio.Future[None] | None = None
        with self._lock:
            if self._writing:
                waiter = self._waiter = self._mailbox.loop.create_future()
        if waiter is not None:
            await waiter
        error, self._error = self._error, None
        try:
            if isinstance(error, OSError):
                # By a name of its own: an OSError of receive() says that the client has left.
                raise SpoolError(str(error)) from error
            if error is not None:
                raise error
        finally:
            del error  # its traceback leads to this frame

    # The disk's side.

    def append(self, block: bytes) -> After | None:
        """Writes ``block``. Returns what tells the loop, if it waits."""
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  # closed by Input, or by discard()
            rest = memoryview(block)
            while rest:
                rest = rest[self._file.write(rest) :]
        except BaseException as exc:  # noqa: BLE001  # it is raised on the loop
            return self.end(exc)
        return self.end(None)

    def end(self, error: BaseException | None) -> After | None:
        """The block is written, or won't be. Returns what tells the loop, if it waits."""
        with self._lock:
            self._writing = False
            file = self._file if self._discarded else None
            if not self._discarded:
                self._error = error
            waiter, self._waiter = self._waiter, None
        if file is not None:
            file.close()
        return None if waiter is None else functools.partial(self._mailbox.post, waiter)


class _Block:
    """A block for a thread of the disk's: a job of ``threads.jobs``."""

    __slots__ = ("_block", "_spool")

    def __init__(self, spool: Spool, block: bytes) -> None:
        self._spool = spool
        self._block = block

    def run(self) -> After | None:
        return self._spool.append(self._block)

    def abandon(self, error: BaseException) -> None:
        tell = self._spool.end(error)
        if tell is not None:
            tell()


class Stream(io.RawIOBase):
    """A body that still arrives: fed on a loop, read by a worker, at most ``limit`` bytes and one message between.

    The reader's wait ends by ``feed()`` and by ``end()``; the loop's side calls ``release()``, which does that, on
    whatever way it leaves. The feeder's waits end by a read, by ``release()``, by time, and with its task: it is
    cancelled at the end of the request.

    An app that may still read, but does not, holds the body back. The server says behind the body that the client has
    left, so that is held back too. Therefore the feeder does not wait for ever. When the app has made no room for
    ``PATIENCE`` seconds, ``limit`` bytes more are asked for. The next wait is twice as long, and so on. Of an app
    that reads nothing, some 12 times ``limit`` are in memory after an hour, and 17 times after a day. What that
    tells:

    - uvicorn and gunicorn put ``http.disconnect`` before the rest of the body: whatever is asked for after they have
      noticed it is that. They stop reading from the connection while 64 KiB wait for the app, and notice it then by a
      response that they can't write, natively too.
    - hypercorn, granian and daphne put it behind what they have of the body, so it is heard where that comes to its
      end. What they hold back from a client that sends much more hides it, also from a native app that doesn't read.
      One that listens drops the body for it; a WSGI app may read it to the last moment.

    ``_waiter``, ``_released``, ``_allowed`` and ``_patience`` are the loop's; everything else is guarded by ``_lock``.
    """

    def __init__(self, mailbox: Mailbox, limit: int) -> None:
        super().__init__()
        self._mailbox = mailbox
        self._limit = limit
        self._lock = threading.Lock()
        self._blocks: deque[memoryview] = deque()
        # Small blocks that came after those.
        self._joined = bytearray()
        # Bytes in both.
        self._size = 0
        self._ended = False
        self._error: BridgeError | SpoolError | None = None
        # The closed gate at which the reader waits.
        self._gate: threading.Lock | None = None
        # What the feeder waits for. _wanted: the reader has to wake it, and has not done so yet.
        self._waiter: asyncio.Future[None] | None = None
        self._wanted = False
        # The app reads no more.
        self._released = False
        # Bytes that may be unread, and how long room() waits before it allows for more.
        self._allowed = limit
        self._patience = PATIENCE

    # The loop's side.

    def feed(self, block: bytes) -> None:
        """Adds ``block``; ``room()`` before the next one keeps to the limit. Nothing is added after the end."""
        if not block:
            return
        with self._lock:
            if self._ended:
                return
            if len(block) < _SMALL:
                self._joined += block
            else:
                self._queue_joined()
                self._blocks.append(memoryview(block))
            self._size += len(block)
            gate = self._open_gate()
        if gate is not None:
            gate.release()

    async def room(self) -> None:
        """Waits while more than the limit is unread, and the app may read it; not for ever, see the class."""
        while True:
            with self._lock:
                if self._size <= self._limit:
                    self._allowed, self._patience = self._limit, PATIENCE
                if self._size <= self._allowed or self._released:
                    return
                waiter = self._waiter = self._mailbox.loop.create_future()
                self._wanted = True
            # A wake-up may be a late one, of a wait before: each has it looked at again.
            if not await until_done(waiter, self._patience):
                self._allowed += self._limit
                self._patience *= 2

    def end(self, error: BridgeError | SpoolError | None = None) -> None:
        """The body is complete, or ``error`` says why it won't be. The first call counts."""
        with self._lock:
            if self._ended:
                return
            self._ended = True
            self._error = error
            gate = self._open_gate()
        if gate is not None:
            gate.release()

    def release(self) -> None:
        """The app reads no more: a read of what is left fails, and the feeder has nothing to wait for."""
        self._released = True
        self.end(disconnected())
        self._wake()

    @property
    def released(self) -> bool:
        """``release()`` was called."""
        return self._released

    async def until_released(self) -> None:
        """Waits for ``release()``."""
        if not self._released:
            self._waiter = self._mailbox.loop.create_future()
            await self._waiter

    def _open_gate(self) -> threading.Lock | None:
        gate, self._gate = self._gate, None
        return gate

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # The worker's side.

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer, /) -> int:
        """Waits for the next bytes; 0 at the end.

        Raises:
            ClientDisconnected, RequestBodyTooLarge, SpoolError: there will be no end. What arrived before is not given
                any more.
        """
        view = memoryview(buffer).cast("B")
        while True:
            with self._lock:
                if self._error is not None:
                    # A new one each time: a traceback grows with each raise.
                    raise type(self._error)(*self._error.args)
                if self._size:
                    size = self._read(view)
                    # Set by room(), under the lock.
                    waiter = self._waiter if self._wanted and self._size <= self._limit // 2 else None
                    if waiter is not None:
                        self._wanted = False
                    break
                if self._ended or not view:
                    return 0
                gate = self._gate = threading.Lock()
                gate.acquire()
            gate.acquire()
        if waiter is not None:
            self._mailbox.post(waiter)
        return size

    def _read(self, view: memoryview) -> int:
        """Under the lock: as much as fits."""
        self._queue_joined()
        done = 0
        while self._blocks and done < len(view):
            block = self._blocks[0]
            part = block[: len(view) - done]
            view[done : done + len(part)] = part
            done += len(part)
            if len(part) == len(block):
                self._blocks.popleft()
            else:
                self._blocks[0] = block[len(part) :]
        self._size -= done
        return done

    def _queue_joined(self) -> None:
        """Under the lock: what comes next is no part of them."""
        if self._joined:
            self._blocks.append(memoryview(self._joined))
            self._joined = bytearray()


def disconnected() -> ClientDisconnected:
    """The error of a body whose client left."""
    return ClientDisconnected("the client left before the end of its request")
