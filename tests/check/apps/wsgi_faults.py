"""A Flask app with one fault of each kind, each at its own route; beside some, what looks like it and is none."""

import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from flask import Flask, Response, abort, make_response, request
from werkzeug.wsgi import ClosingIterator

app = Flask(__name__)

visits = 0
totals = {"visits": 0}
guarded = 0
guard = threading.Lock()
_settings: dict[str, str] | None = None
local = threading.local()
local.user = "nobody"
left: list[threading.Event] = []
files: list[int] = []


class Filled(threading.local):
    def __init__(self) -> None:
        self.user = "nobody"


filled = Filled()


def bridged() -> bool:
    return "asgi.scope" in request.environ


@app.get("/status")
def status() -> str:
    if bridged():
        abort(409)
    return "fine"


@app.get("/raises")
def raises() -> str:
    if bridged():
        raise LookupError("not here")
    return "fine"


@app.get("/no-answer")
def no_answer() -> str:
    """Needs what one server alone has."""
    if connection := request.environ.get("gunicorn.socket"):
        connection.shutdown(socket.SHUT_RDWR)
    return "fine"


@app.get("/runs-on")
def runs_on() -> Response:
    def pieces(notices: bool) -> Iterator[bytes]:
        yield b"first, "
        if not notices:
            threading.Event().wait(12)  # longer than the check waits
        while True:
            time.sleep(0.02)
            yield b"more, "

    return Response(pieces(not bridged()), mimetype="text/plain")


@app.get("/header")
def header() -> Response:
    return Response("the same", headers={"X-Multiprocess": str(bridged())})


@app.get("/cookie")
def cookie() -> Response:
    response = make_response("the same")
    response.set_cookie("side", "new" if bridged() else "old", samesite="Lax")
    return response


@app.get("/body")
def body() -> dict[str, object]:
    return {"now": time.time(), "software": "asgi" if bridged() else "wsgi", "token": os.urandom(8).hex()}


@app.get("/held-back")
def held_back() -> Response:
    def pieces() -> Iterator[bytes]:
        for number in range(3):
            yield b"%d\n" % number
            time.sleep(0.15)

    return Response(b"".join(pieces()) if bridged() else pieces(), mimetype="text/plain")


@app.get("/streamed")
def streamed() -> Response:
    def pieces() -> Iterator[bytes]:
        for number in range(3):
            yield b"%d\n" % number
            time.sleep(0.15)

    return Response(pieces(), mimetype="text/plain")


@app.get("/looks-whole")
def looks_whole() -> Response:
    def pieces(fails: bool) -> Iterator[bytes]:
        yield b"the first half, "
        if fails:
            raise RuntimeError("in the middle")

    return Response(pieces(not bridged()), mimetype="text/plain")


@app.get("/cut")
def cut() -> Response:
    def pieces(fails: bool) -> Iterator[bytes]:
        yield b"the first half, "
        if fails:
            raise RuntimeError("in the middle")

    return Response(pieces(bridged()), mimetype="text/plain")


@app.get("/broken-off")
def broken_off() -> Response:
    """Breaks off on both sides: no finding."""

    def pieces() -> Iterator[bytes]:
        yield b"the first half, "
        raise RuntimeError("in the middle")

    return Response(pieces(), mimetype="text/plain")


@app.get("/proxied")
def proxied() -> str:
    return f"you are {request.remote_addr}"


@app.get("/logs")
def logs() -> str:
    if bridged():
        logging.getLogger("shop.orders").warning("no such %s", "order")
    return "the same"


@app.get("/globals")
def globals_() -> str:
    global visits, guarded, _settings  # noqa: PLW0603 - the fault
    visits += 1
    totals["visits"] += 1
    with guard:
        guarded += 1
    if _settings is None:
        _settings = {"made": "at its first use"}
    return "the same"


@app.get("/leaves-a-thread")
def leaves_a_thread() -> str:
    left.append(threading.Event())
    threading.Thread(target=left[-1].wait, daemon=True).start()
    return "the same"


@app.get("/leaves-a-file")
def leaves_a_file() -> str:
    files.append(os.open(os.devnull, os.O_RDONLY))
    return "the same"


def _breaks_rules(
    environ: dict[str, Any], start_response: Callable[..., Any], of_app: Callable[..., Iterable[bytes]]
) -> Iterable[bytes]:
    """In place of Flask, at two paths: what frameworks don't let through."""
    if environ["PATH_INFO"] == "/rules/length":
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "20")])
        return [b"too short"]
    if environ["PATH_INFO"] == "/rules/header":
        start_response("200 OK", [("Content-Type", "text/plain"), ("X-", "ends with a hyphen")])
        return ClosingIterator([b"fine"])
    return of_app(environ, start_response)


_flask = app.wsgi_app


def _with_rules(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    return _breaks_rules(environ, start_response, _flask)


app.wsgi_app = _with_rules  # type: ignore[method-assign]  # as Flask's documentation has middleware put

for _path in ("/rules/length", "/rules/header"):
    app.add_url_rule(_path, _path, lambda: "")

print("imported", file=sys.stderr)
