"""What ``receive()`` has given so far, kept for the next app that gets the request. All of it is on the loop's thread.

A ``Tape`` has one caller of the server's ``receive()`` at a time, whoever waits: an app that stops waiting leaves the
call to the next one, so that no message is lost between them. Up to 128 KiB are kept in memory, the rest of a body in
a temporary file, which only threads of ``disk`` touch, under its lock.
"""

from __future__ import annotations  # threading.Lock is no type before 3.13

import asyncio
import tempfile
import threading
from collections.abc import Callable
from typing import BinaryIO

from ..threads.jobs import run_in
from ..threads.mailbox import Mailbox
from ..threads.pool import ThreadPool
from ..to_asgi.body import BLOCK, SpoolError
from ..types import Message, Receive
from .handing_on import IN_MEMORY

__all__ = ["Reader", "Tape"]

# What each message costs beside its bytes: a body may come byte by byte.
_MESSAGE = 256


class Tape:
    """The messages of one request. Its end is ``close()``."""

    def __init__(self, receive: Receive, disk: ThreadPool) -> None:
        """``disk`` has the threads for the temporary file."""
        self.receive = receive
        self.messages: list[Message] = []
        #: The part of the body that has no place in ``messages``.
        self.file: _TapeFile | None = None
        #: The body's last message has come.
        self.whole = False
        #: The message that says that the client has left: the last there is.
        self.gone: Message | None = None
        #: Why a part of the body is missing: the disk has not taken it. What comes after it is dropped.
        self.lost: str | None = None
        self._disk = disk
        self._size = 0
        self._fetching: asyncio.Task[None] | None = None

    @property
    def untouched(self) -> bool:
        """Whether the server's ``receive()`` has not been called."""
        return not (self.messages or self.file or self.gone or self._fetching)

    @property
    def fetching(self) -> bool:
        """Whether the server's ``receive()`` is being waited for."""
        return self._fetching is not None

    def fetch(self) -> asyncio.Task[None]:
        """Return the task that puts the next message on the tape; it raises what ``receive()`` raises."""
        task = self._fetching
        if task is None:
            task = asyncio.get_running_loop().create_task(self._fetch())
            # Nobody may want to know any more what it raises.
            task.add_done_callback(lambda task: task.cancelled() or task.exception())
            if (
                not task.done()
            ):  # as it is where the loop starts tasks eagerly, and the server has the message
                self._fetching = task
        return task

    async def _fetch(self) -> None:
        try:
            await self._keep(await self.receive())
        finally:
            self._fetching = None

    async def _keep(self, message: Message) -> None:
        kind = message["type"]
        if kind in {"http.disconnect", "websocket.disconnect"}:
            self.gone = message
            return
        if self.lost is not None:
            return
        body = message.get("body", b"")
        self._size += len(body) + _MESSAGE
        if self._size <= IN_MEMORY or kind != "http.request":
            self.messages.append(message)
            return
        if self.file is None:
            self.file = _TapeFile(self._disk, Mailbox(asyncio.get_running_loop()))
        try:
            await self.file.append(body)
        except Exception as exc:  # noqa: BLE001  # each reader is told
            self.lost = str(exc)
        else:
            self.whole = not message.get("more_body", False)

    def close(self) -> None:
        """Stop waiting for the server, and close the file."""
        if self._fetching is not None:
            self._fetching.cancel()
        if self.file is not None:
            self.file.close()


class Reader:
    """One app's place on a tape."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._index = 0
        self._offset = 0
        self._ended = False
        self._told = False

    async def replay(self) -> Message | None:
        """The next message that is on the tape; ``None``: there is none yet.

        Raises:
            SpoolError: the next part of the body is missing, which is said once: who goes on has no use for a body, and
                waits for the client's leaving. Or it can't be read. An OSError would say that the client has left.
        """
        tape, file = self._tape, self._tape.file
        if self._index < len(tape.messages):
            message = tape.messages[self._index]
            self._index += 1
            return message
        if file is not None and not self._ended and (self._offset < file.size or tape.whole):
            try:
                block = await file.read(self._offset) if self._offset < file.size else b""
            except OSError as exc:
                raise SpoolError(str(exc)) from exc
            self._offset += len(block)
            self._ended = tape.whole and self._offset == file.size
            return {"type": "http.request", "body": block, "more_body": not self._ended}
        if tape.lost is not None and not self._told:
            self._told = True
            raise SpoolError(tape.lost)
        return tape.gone


class _TapeFile:
    """A temporary file that is written at its end and read anywhere."""

    def __init__(self, disk: ThreadPool, mailbox: Mailbox) -> None:
        self.size = 0
        self._disk = disk
        self._mailbox = mailbox
        # Of the disk's threads. Jobs may overlap: whoever waited for one may have been cancelled.
        self._lock = threading.Lock()
        self._file: BinaryIO | None = None
        self._closed = False

    async def append(self, block: bytes) -> None:
        """Write ``block`` at the end. Raises what the disk raises."""

        def write() -> None:
            with self._lock:
                if self._closed:
                    return
                if self._file is None:
                    # Without a buffer, whose rest close() would try to write to a full disk.
                    self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  # closed by close()
                self._file.seek(0, 2)
                rest = memoryview(block)
                while rest:
                    rest = rest[self._file.write(rest) :]

        await self._run(write)
        self.size += len(block)

    async def read(self, offset: int) -> bytes:
        """Read from ``offset`` on, at most 64 KiB."""
        block = b""

        def read() -> None:
            nonlocal block
            with self._lock:
                if self._file is not None and not self._closed:
                    self._file.seek(offset)
                    block = self._file.read(BLOCK)

        await self._run(read)
        return block

    def close(self) -> None:
        """Have it closed by a thread of the disk's: that may take a while."""

        def close() -> None:
            with self._lock:
                self._closed = True
                if self._file is not None:
                    self._file.close()

        run_in(self._disk, self._mailbox, close)

    async def _run(self, function: Callable[[], None]) -> None:
        # Shielded, so that a job whose waiter was cancelled still counts as looked after.
        await asyncio.shield(run_in(self._disk, self._mailbox, function))
