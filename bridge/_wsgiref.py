"""The standard library's server, for ``bridge serve --server wsgiref``: it has no command line of its own.

One request at a time, HTTP/1.0, no timeouts: for looking at an app where nothing else is installed, never for
the open network.
"""

import contextlib
import socket
import sys
from typing import TYPE_CHECKING, cast
from wsgiref.simple_server import WSGIServer, make_server

if TYPE_CHECKING:
    from bridge._types import WSGIApp

__all__ = ["main"]


class _IPv6Server(WSGIServer):
    address_family = socket.AF_INET6


def main(host: str, port: int) -> None:
    """Serve until SIGINT or SIGTERM."""
    # Imported here: it makes SIGTERM raise KeyboardInterrupt, in this process and no other.
    from bridge._serve_target import app

    server_class = _IPv6Server if ":" in host else WSGIServer
    with make_server(host, port, cast("WSGIApp", app), server_class=server_class) as server:
        print(f"wsgiref listens on {host}, port {server.server_port}", file=sys.stderr)
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
