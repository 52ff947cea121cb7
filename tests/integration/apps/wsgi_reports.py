"""How an app in another process tells a test what it is doing, and waits for the test where it is told to.

Each report is a connection of its own to the test's ``Reports``: so it needs no second request, and works
where the server has one thread, or several processes, or is shutting down.
"""

import asyncio
import contextlib
import select
import socket
from types import TracebackType
from typing import Self

__all__ = ["Reports", "ask", "tell"]

TIMEOUT = 30.0  # seconds, against hanging only
GO = b"g"


class Reports:
    """The test's side. What still waits when it is closed gets ``ConnectionError``."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._listener.settimeout(TIMEOUT)
        self.port: int = self._listener.getsockname()[1]
        self._asking: list[socket.socket] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for connection in (*self._asking, self._listener):
            connection.close()

    def next(self) -> str:
        """Return the next report; ``TimeoutError`` if none comes."""
        connection, _ = self._listener.accept()
        connection.settimeout(TIMEOUT)
        with connection.makefile("rb") as lines:
            text = lines.readline().decode().rstrip("\n")
        self._asking.append(connection)
        return text

    def is_empty(self) -> bool:
        """Whether no report waits to be read."""
        return not select.select([self._listener], [], [], 0)[0]

    def go(self) -> None:
        """Let the app go on whose report came last, if it has asked."""
        with contextlib.suppress(OSError):
            self._asking[-1].sendall(GO)


def tell(port: int, text: str) -> None:
    """Report. It blocks for as long as a connection takes on one machine."""
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT) as connection:
        connection.sendall(text.encode() + b"\n")


async def ask(port: int, text: str) -> None:
    """Report, and wait on the loop until the test says ``go()``."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(text.encode() + b"\n")
        if await reader.read(1) != GO:
            raise ConnectionError(f"the test did not let {text!r} go on")
    finally:
        writer.close()
