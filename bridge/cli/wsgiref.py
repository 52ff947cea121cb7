"""The standard library's server, for ``bridge serve --server wsgiref``: it has no command line of its own.

One request at a time, HTTP/1.0, no timeouts: for looking at an app where nothing else is installed, never for
the open network.
"""

import contextlib
import signal
import socket
import sys
import threading
from types import FrameType
from typing import TYPE_CHECKING, Any, cast
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

if TYPE_CHECKING:
    from ..types import WSGIApp

__all__ = ["main"]


_ENDINGS = (signal.SIGINT, signal.SIGTERM)


class _IPv6Server(WSGIServer):
    address_family = socket.AF_INET6


class _Handler(WSGIRequestHandler):
    """Without headers whose names have an underscore: in the environ ``X_User`` would pass for a proxy's ``X-User``."""

    def get_environ(self) -> dict[str, Any]:
        for name in {name for name in self.headers if "_" in name}:
            del self.headers[name]
        return super().get_environ()


class _QuietHandler(_Handler):
    """Without an access log; what went wrong is still written."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None: ...


def main(host: str, port: int, *, access_log: bool = True) -> None:
    """Serve until SIGINT or SIGTERM: the running request is finished first, unless the signal comes twice."""
    from .served import app

    server_class = _IPv6Server if ":" in host else WSGIServer
    handler_class = _Handler if access_log else _QuietHandler
    with make_server(
        host, port, cast("WSGIApp", app), server_class=server_class, handler_class=handler_class
    ) as server:

        def stop(_number: int, _frame: FrameType | None) -> None:
            # Not a KeyboardInterrupt at once: wsgiref takes one inside a request for the app's error, and serves on.
            # shutdown() waits for serve_forever(), which is below on this very thread.
            threading.Thread(target=server.shutdown, daemon=True).start()
            for ending in _ENDINGS:
                signal.signal(ending, signal.default_int_handler)

        for ending in _ENDINGS:
            signal.signal(ending, stop)
        print(f"wsgiref listens on {host}, port {server.server_port}", file=sys.stderr)
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever(poll_interval=0.1)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), access_log="--no-access-log" not in sys.argv)
