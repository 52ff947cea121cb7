"""A gate at which an app in another process waits, and by which a test knows that it has arrived.

The app calls ``pass_gate(port)``; the test's ``Gate`` accepts it (the app is there) and lets it through when
it likes. It needs no second request, so it works where the server has no thread left for one, or takes no
connections any more.
"""

import socket
from types import TracebackType
from typing import Self

__all__ = ["Gate", "pass_gate"]

TIMEOUT = 30.0  # seconds, against hanging only
GO = b"g"


class Gate:
    """The test's side. What has not been let through fails in the app when the gate is closed."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(TIMEOUT)
        self.port: int = self._listener.getsockname()[1]
        self._waiting: list[socket.socket] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for connection in (*self._waiting, self._listener):
            connection.close()

    def wait_for_arrival(self) -> None:
        """Return when one more app waits at the gate."""
        connection, _ = self._listener.accept()
        self._waiting.append(connection)

    def let_through(self) -> None:
        """Let the one go on that has waited longest."""
        with self._waiting.pop(0) as connection:
            connection.sendall(GO)


def pass_gate(port: int) -> None:
    """Wait until the test lets this one through. Raises ``ConnectionError`` if the gate is closed instead."""
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT) as connection:
        if connection.recv(1) != GO:
            raise ConnectionError(f"the gate {port} was closed")
