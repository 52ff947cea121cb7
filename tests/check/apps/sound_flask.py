"""A sound Flask app: what sites do, and nothing that differs. The check has nothing to find in it."""

import secrets
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flask import (
    Flask,
    Response,
    jsonify,
    redirect,
    render_template_string,
    request,
    send_file,
    session,
    url_for,
)
from flask.typing import ResponseReturnValue

app = Flask(__name__)
app.secret_key = secrets.token_hex()

PAGE = """<!doctype html><title>Visits</title><p>{{ visits }} visits, now {{ now }}</p>
<form method=post><input type=hidden name=token value="{{ token }}"></form>"""

_total = 0
_lock = threading.Lock()
_cache: dict[str, str] = {}
_client: object = None
_local = threading.local()


def client() -> Any:
    """Made at its first use."""
    global _client  # noqa: PLW0603 - no fault, once
    if _client is None:
        _client = object()
    return _client


@app.get("/")
def index() -> str:
    global _total  # noqa: PLW0603 - no fault, with a lock
    with _lock:
        _total += 1
    session["visits"] = session.get("visits", 0) + 1
    _cache[request.path] = str(client())
    _local.connection = "this thread's"
    return render_template_string(
        PAGE, visits=session["visits"], now=datetime.now(UTC), token=secrets.token_urlsafe()
    )


@app.get("/json")
def json() -> Response:
    return jsonify(
        id=secrets.token_hex(), now=time.time(), url=url_for("json", _external=True), args=request.args
    )


@app.get("/away")
def away() -> ResponseReturnValue:
    return redirect(url_for("index"))


@app.get("/nothing")
def nothing() -> ResponseReturnValue:
    return "", 204


@app.get("/fails")
def fails() -> str:
    raise LookupError(request.path)


@app.get("/file")
def file() -> Response:
    return send_file(Path(__file__), mimetype="text/plain", conditional=True)


@app.get("/stream")
def stream() -> Response:
    def pieces() -> Iterator[str]:
        for number in range(3):
            yield f"{number}\n"
            time.sleep(0.1)

    return Response(pieces(), mimetype="text/event-stream")


@app.get("/endless")
def endless() -> Response:
    def pieces() -> Iterator[str]:
        while True:
            yield "data: tick\n\n"
            time.sleep(0.1)

    return Response(pieces(), mimetype="text/event-stream")


@app.get("/broken-off")
def broken_off() -> Response:
    def pieces() -> Iterator[str]:
        yield "half of it"
        raise LookupError("in the middle")

    return Response(pieces(), mimetype="text/plain")


@app.get("/<int:number>/<name>")
def parameters(number: int, name: str) -> dict[str, object]:
    return {
        "number": number,
        "name": name,
        "path": request.path,
        "query": request.query_string.decode("latin-1"),
    }


@app.post("/form")
def form() -> dict[str, object]:
    sent = request.files.get("file")
    return {
        "form": request.form,
        "size": len(sent.read()) if sent else None,
        "json": request.get_json(silent=True),
    }


@app.put("/body")
def body() -> dict[str, object]:
    return {"size": len(request.get_data()), "type": request.mimetype}
