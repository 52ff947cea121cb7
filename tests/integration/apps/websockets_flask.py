"""A Flask app with WebSockets in three ways: ``wsgi.websocket``, flask-sock, Flask-SocketIO; behind bridge (``app``).

The reports of ``cases`` say what came of a call. ``SOCK_SERVER_OPTIONS`` in the environment: flask-sock's, as JSON.
"""

import json
import os
from collections.abc import Callable
from typing import Any, TypeVar

from flask import Flask, Response, jsonify, request
from flask_sock import Sock
from flask_socketio import SocketIO, emit
from simple_websocket import ConnectionClosed, Server
from wsproto.utilities import LocalProtocolError

from bridge import WebSocket, WsgiToAsgi
from tests.integration.apps.cases import WAIT, report_of
from tests.support.faults import known
from tests.support.websocket_leftovers import leftovers

__all__ = ["app"]

flask_app = Flask(__name__)
flask_app.config["SOCK_SERVER_OPTIONS"] = json.loads(os.environ.get("SOCK_SERVER_OPTIONS", "{}"))
View = TypeVar("View", bound=Callable[..., object])
# The libraries' decorators have no types.
route: Callable[[str], Callable[[View], View]] = Sock(flask_app).route
# ping_interval: a long poll that its client has given up lasts as long.
socketio = SocketIO(flask_app, async_mode="threading", ping_interval=1, ping_timeout=20)
on: Callable[[str], Callable[[View], View]] = socketio.on


@flask_app.errorhandler(OSError)
def lost(error: Exception) -> tuple[str, int]:
    """A client that leaves while the app sends is no error that Flask should log: the response goes to nobody."""
    return "", 400


if known("message of an app beside the client's close", "hypercorn") is not None:
    flask_app.register_error_handler(LocalProtocolError, lost)


@flask_app.get("/leftovers/x")
def get_leftovers() -> Response:
    return jsonify(leftovers(app))


@flask_app.get("/report/<token>")
def get_report(token: str) -> Response:
    report = report_of(token)
    if not report.done.wait(WAIT):
        raise TimeoutError(f"{token} has not ended: {report.facts}")
    return jsonify(report.facts)


# By the environ alone.


@flask_app.route("/plain/echo", websocket=True)
def plain_echo() -> str:
    websocket: WebSocket = request.environ["wsgi.websocket"]
    for message in websocket:
        websocket.send(message)
    return "which nobody gets"


@flask_app.route("/plain/cookie", websocket=True)
def plain_cookie() -> str:
    websocket: WebSocket = request.environ["wsgi.websocket"]
    websocket.send(f"{request.cookies['session']} at {request.url}")
    return ""


@flask_app.route("/plain/fail", websocket=True)
def plain_fail() -> str:
    websocket: WebSocket = request.environ["wsgi.websocket"]
    websocket.receive()
    raise RuntimeError("failed in a view of Flask")


@flask_app.route("/plain/fail_first", websocket=True)
def plain_fail_first() -> str:
    raise RuntimeError("failed before the handshake")


@flask_app.route("/plain/denied", websocket=True)
def plain_denied() -> Response:
    response = Response("log in first", status=401)
    response.set_cookie("seen", "yes")
    return response


# By flask-sock.


@route("/sock/echo")
def sock_echo(ws: Server) -> None:
    while True:
        ws.send(ws.receive())


@route("/sock/close/<int:code>/<reason>")
def sock_close(ws: Server, code: int, reason: str) -> None:
    ws.receive()
    ws.close(code, reason)  # type: ignore[arg-type]  # the types know no codes but the registered ones


@route("/sock/leave")
def sock_leave(ws: Server) -> None:
    ws.receive()


@route("/sock/fail")
def sock_fail(ws: Server) -> None:
    ws.receive()
    raise RuntimeError("failed in a route of flask-sock")


@route("/sock/receive/<token>")
def sock_receive(ws: Server, token: str) -> None:
    """Receive until that raises."""
    report = report_of(token)
    messages: list[Any] = []
    try:
        while True:
            messages.append(ws.receive())
    except ConnectionClosed as closed:
        report.facts |= {"messages": messages, "end": [closed.reason, closed.message or ""]}
        raise
    finally:
        report.done.set()


@route("/sock/pour/<token>")
def sock_pour(ws: Server, token: str) -> None:
    """Send without end."""
    report = report_of(token)
    try:
        while True:
            ws.send(b"p" * 65_536)
    except (ConnectionClosed, OSError) as error:
        report.facts["raised"] = type(error).__name__
        raise
    finally:
        report.done.set()


@route("/sock/patient")
def sock_patient(ws: Server) -> None:
    """Wait for more than twice the ping interval; without a pong the library would have closed by then."""
    ws.send(repr(ws.receive(timeout=4.0)))
    ws.send(ws.receive())


# By Flask-SocketIO.


@on("connect")
def on_connect() -> None:
    emit("welcome", request.args.get("name", ""))


@on("echo")
def on_echo(data: Any) -> Any:
    return data


@on("answer")
def on_answer(data: Any) -> None:
    emit("answered", data)


@on("tell")
def on_tell(data: Any) -> None:
    emit("told", data, broadcast=True)


@on("disconnect")
def on_disconnect(reason: str) -> None:
    report = report_of(request.args["name"])
    report.facts["end"] = reason
    report.done.set()


app = WsgiToAsgi(flask_app)
