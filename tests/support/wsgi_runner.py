"""Serves a WSGI app on the servers that have no command line of their own, or one that lacks what tests need.

python -m tests.support.wsgi_runner {wsgiref,cheroot} module:attribute HOST PORT
"""

import importlib
import signal
import sys
import threading
from collections.abc import Callable
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIServer, make_server
from wsgiref.types import WSGIApplication

from cheroot.wsgi import Server as CherootServer


class _ThreadingWSGIServer(ThreadingMixIn, WSGIServer):
    daemon_threads = True


def main(kind: str, path: str, host: str, port: str) -> None:
    """Serve until SIGTERM."""
    module, _, attribute = path.partition(":")
    app: WSGIApplication = getattr(importlib.import_module(module), attribute)
    serve, stop = {"wsgiref": _wsgiref, "cheroot": _cheroot}[kind](app, host, int(port))
    # stop() waits for serve() to end, so it can't be called on serve()'s own thread, where signal handlers
    # run.
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=stop).start())
    serve()


def _wsgiref(app: WSGIApplication, host: str, port: int) -> tuple[Callable[[], object], Callable[[], object]]:
    server = make_server(host, port, app, server_class=_ThreadingWSGIServer)
    return server.serve_forever, server.shutdown


def _cheroot(app: WSGIApplication, host: str, port: int) -> tuple[Callable[[], object], Callable[[], object]]:
    server = CherootServer((host, port), app, numthreads=8)
    return server.start, server.stop


if __name__ == "__main__":
    main(*sys.argv[1:])
