"""The common contract of the framework apps, in Flask; see ``test_wsgi_frameworks``."""

import hashlib
from collections.abc import Iterator

from flask import Flask, Response, jsonify, redirect, request, session

app = Flask(__name__)
app.secret_key = "test"


@app.get("/hello")
def hello() -> Response:
    return Response(f"hello {request.args['name']}", mimetype="text/plain")


@app.get("/path/<path:rest>")
def path(rest: str) -> Response:
    return jsonify(rest=rest, script=request.script_root, url=request.url)


@app.post("/body")
def body() -> Response:
    data = request.get_data()
    return jsonify(size=len(data), sha256=hashlib.sha256(data).hexdigest())


@app.post("/form")
def form() -> Response:
    upload = request.files["upload"]
    data = upload.read()
    return jsonify(
        field=request.form["field"],
        filename=upload.filename,
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
    )


@app.get("/count")
def count() -> Response:
    session["count"] = session.get("count", 0) + 1
    return jsonify(count=session["count"], cookie=request.cookies.get("other", ""))


@app.get("/stream")
def stream() -> Response:
    count = int(request.args["chunks"])

    def chunks() -> Iterator[bytes]:
        for number in range(count):
            yield b"%06d\n" % number

    return Response(chunks(), mimetype="text/plain")


@app.get("/away")
def away() -> Response:
    return redirect("hello?name=there")  # type: ignore[return-value]


@app.get("/empty")
def empty() -> Response:
    response = Response(status=204)
    del response.headers["Content-Type"]
    return response


@app.get("/boom")
def boom() -> Response:
    raise RuntimeError("boom in a view")
