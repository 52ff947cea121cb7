"""A WSGI app with WebSockets, behind bridge (``app``); under ``/native/`` the same in plain ASGI, to compare with.

A WebSocket's path is ``/KIND/TOKEN``. What came of the app's call is in the report of its token: see ``cases``, whose
``/signal/``, ``/report/`` and others are served here too.

``BRIDGE_OPTIONS`` in the environment: the keyword arguments of ``WsgiToAsgi``, as JSON.
"""

import contextlib
import json
import os
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qsl

from bridge import ConnectionClosed, WebSocket, WsgiToAsgi
from bridge.types import Environ, Receive, Scope, Send, StartResponse
from tests.integration.apps import cases
from tests.integration.apps.cases import Report, report_of, signal_of, text, wait
from tests.integration.apps.websockets_native import native
from tests.support.websocket_leftovers import leftovers

__all__ = ["app"]

BLOCK = b"b" * 65_536
Query = dict[str, str]
Handler = Callable[[WebSocket, Query, Report], None]


def echo(websocket: WebSocket, query: Query, report: Report) -> None:
    for message in websocket:
        websocket.send(message)
    websocket.receive()  # raises, and says why


def accept(websocket: WebSocket, query: Query, report: Report) -> None:
    """Accept with what the query names, say what the client offers, and be silent until the end."""
    headers = [("Set-Cookie", "seen=yes"), ("Set-Cookie", "again=yes"), ("X-Mark", "mark")]
    websocket.accept(query.get("subprotocol"), headers if "headers" in query else ())
    websocket.send(json.dumps(websocket.subprotocols))
    list(websocket)


def receive(websocket: WebSocket, query: Query, report: Report) -> None:
    """Receive until that raises."""
    websocket.accept()
    report.facts["messages"] = messages = []
    signal_of(f"{query['token']}-accepted").set()
    while True:
        message = websocket.receive()
        messages.append(message if isinstance(message, str) else message.hex())


def close(websocket: WebSocket, query: Query, report: Report) -> None:
    """Close with the code and the reason of the query, when a message has come."""
    websocket.receive()
    websocket.close(int(query["code"]), query.get("reason", ""))
    websocket.close(3999, "a second time, without effect")
    websocket.send("after the close")


def close_first(websocket: WebSocket, query: Query, report: Report) -> None:
    websocket.close()


def leave(websocket: WebSocket, query: Query, report: Report) -> None:
    """Return when a message has come."""
    websocket.receive()


def fail(websocket: WebSocket, query: Query, report: Report) -> None:
    websocket.receive()
    raise RuntimeError("failed after a message")


def fail_first(websocket: WebSocket, query: Query, report: Report) -> None:
    raise RuntimeError("failed before the handshake")


def timeout(websocket: WebSocket, query: Query, report: Report) -> None:
    """Say that no message came in time, and then echo."""
    websocket.accept()
    try:
        websocket.receive(timeout=0.01)
    except TimeoutError as error:
        websocket.send(str(error))
    websocket.send(websocket.receive(timeout=20.0))


def numbers(websocket: WebSocket, query: Query, report: Report) -> None:
    """Send numbers without waiting, then say whether the client's came in order too."""
    count = int(query["count"])
    for number in range(count):
        websocket.send(str(number))
    received = [websocket.receive() for _ in range(count)]
    websocket.send("in order" if received == [str(number) for number in range(count)] else repr(received))


def threads(websocket: WebSocket, query: Query, report: Report) -> None:
    """Send from several threads at once, as a broadcast does."""
    websocket.accept()
    count, each = int(query["threads"]), int(query["each"])
    together = threading.Barrier(count)

    def broadcast(number: int) -> None:
        together.wait()
        for step in range(each):
            # Long enough for messages to be cut to pieces, if there were two writers.
            with contextlib.suppress(ConnectionClosed):
                websocket.send(f"{number}:{step}:" + str(number) * 2000)

    senders = [threading.Thread(target=broadcast, args=(number,)) for number in range(count)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()


def pour(websocket: WebSocket, query: Query, report: Report) -> None:
    """Send without end, and count."""
    websocket.accept()
    while True:
        websocket.send(BLOCK)
        report.facts["chunks"] += 1


def late(websocket: WebSocket, query: Query, report: Report) -> None:
    """Accept after the signal, and echo."""
    signal_of(f"{query['token']}-called").set()
    wait(query["token"])
    websocket.accept()
    echo(websocket, query, report)


def deaf(websocket: WebSocket, query: Query, report: Report) -> None:
    """Receive nothing before the signal; then count what has come."""
    websocket.accept()
    signal_of(f"{query['token']}-accepted").set()
    wait(query["token"])
    report.facts["count"] = 0
    for message in websocket:
        report.facts["count"] += 1
        if message == "end":
            websocket.send(str(report.facts["count"]))


SOCKETS: dict[str, Handler] = {
    handler.__name__: handler
    for handler in (
        *(echo, accept, receive, close, close_first, leave, fail, fail_first, timeout, numbers, threads),
        *(pour, late, deaf),
    )
}


def respond(start_response: StartResponse, token: str) -> Iterable[bytes]:
    """An ordinary response to a handshake; the token is its status."""
    start_response(f"{token} Whatever", [("Content-Type", "text/plain"), ("X-Why", "because")])
    return [b"not ", b"here"]


def send_environ(environ: Environ) -> Iterable[bytes]:
    """The environ of the handshake as a message; after the message that comes back, an empty one."""
    websocket: WebSocket = environ["wsgi.websocket"]
    fields = {key: value for key, value in environ.items() if isinstance(value, (str, int, bool))}
    fields["wsgi.input"] = environ["wsgi.input"].read().decode()
    websocket.send(json.dumps(fields))
    websocket.receive()
    yield b""  # which nobody gets


def http(environ: Environ, start_response: StartResponse, kind: str, token: str) -> Iterable[bytes]:
    if kind == "leftovers":
        return text(start_response, json.dumps(leftovers(bridged)))
    if kind == "environ":
        return text(start_response, str("wsgi.websocket" in environ))
    handler = cases.HANDLERS.get(kind)
    if handler is None:
        return text(start_response, "there is nothing here", "404 Not Found")
    return handler(environ, start_response, token)


def wsgi_app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    _, kind, token = environ["PATH_INFO"].split("/", 2)
    websocket = environ.get("wsgi.websocket")
    if websocket is None:
        return http(environ, start_response, kind, token)
    if kind == "respond":
        return respond(start_response, token)
    if kind == "environ":
        return send_environ(environ)
    if kind not in SOCKETS:
        return text(start_response, "there is nothing here", "404 Not Found")
    serve(SOCKETS[kind], websocket, dict(parse_qsl(environ["QUERY_STRING"])) | {"token": token})
    return []


def serve(handler: Handler, websocket: WebSocket, query: Query) -> None:
    report = report_of(query["token"])
    report.facts["started"] += 1
    try:
        handler(websocket, query, report)
    except ConnectionClosed as closed:
        report.facts["end"] = [closed.code, closed.reason]
        raise
    except Exception as error:
        report.facts["end"] = repr(error)
        raise
    else:
        report.facts["end"] = "returned"
    finally:
        # For tests whose server can't be asked any more.
        print(f"ended {query['token']}: {report.facts['end']}", file=sys.stderr, flush=True)
        report.done.set()


bridged: WsgiToAsgi = WsgiToAsgi(wsgi_app, **json.loads(os.environ.get("BRIDGE_OPTIONS", "{}")))


async def app(scope: Scope, receive: Receive, send: Send) -> Any:
    if scope["type"] != "lifespan" and scope["path"].startswith("/native/"):
        return await native(scope, receive, send)
    if scope["type"] != "lifespan" and scope["path"].startswith("/mounted/"):
        # As frameworks mount apps: the path keeps its prefix (ASGI specification, "Connection Scope").
        scope = {**scope, "root_path": scope.get("root_path", "") + "/mounted"}
    return await bridged(scope, receive, send)
