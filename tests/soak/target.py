"""The server that is played on, and whether it is being disturbed: what clients and chaos share.

One thread disturbs; the threads of the clients read. ``stamp`` is odd while something is being done to the server, and
never has a value twice. A client that reads it before and after its request knows whether the two overlapped. The
server is replaced while the stamp is odd; who still has the old one sees its connection fail, which is allowed then.
"""

import contextlib
import math
import socket
from collections.abc import Iterator

from tests.support.servers import RunningServer

__all__ = ["Target"]


class Target:
    def __init__(self, server: RunningServer, patience: float, idle: float = math.inf) -> None:
        """Nothing is done to it yet.

        Args:
            patience: seconds that a client waits for the next byte; then the answer counts as one that hangs.
            idle: seconds after which the server ends a connection that has nothing under way. Whose request takes as
                long may have found it so, on a machine that has no processor for its client meanwhile.
        """
        self.server = server
        self.patience = patience
        self.idle = idle
        self.stamp = 0

    def connect(self) -> socket.socket:
        connection = self.server.connect(self.patience)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    @contextlib.contextmanager
    def disturbing(self) -> Iterator[None]:
        """Around whatever is done to the server, until it is whole again."""
        self.stamp += 1
        try:
            yield
        finally:
            self.stamp += 1

    def disturbed_since(self, stamp: int) -> bool:
        return bool(stamp % 2) or self.stamp != stamp
