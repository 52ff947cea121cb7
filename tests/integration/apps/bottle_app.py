"""The common contract of the framework apps, in Bottle; see ``test_wsgi_frameworks``."""

import hashlib
from collections.abc import Iterator
from typing import Any

from bottle import Bottle, HTTPResponse, redirect, request, response

app: Any = Bottle()


def hello() -> str:
    response.content_type = "text/plain"
    return f"hello {request.query.name}"


def path(rest: str) -> dict[str, str]:
    return {"rest": rest, "script": request.script_name.rstrip("/"), "url": request.url}


def body() -> dict[str, object]:
    data = request.body.read()
    return {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def form() -> dict[str, object]:
    upload = request.files.get("upload")
    data = upload.file.read()
    digest = hashlib.sha256(data).hexdigest()
    field = request.forms.getunicode("field")
    return {"field": field, "filename": upload.raw_filename, "size": len(data), "sha256": digest}


def count() -> dict[str, object]:
    value = int(request.get_cookie("count", 0)) + 1
    response.set_cookie("count", str(value))
    return {"count": value, "cookie": request.get_cookie("other", "")}


def stream() -> Iterator[bytes]:
    response.content_type = "text/plain"
    for number in range(int(request.query.chunks)):
        yield b"%06d\n" % number


def away() -> None:
    redirect("hello?name=there")


def empty() -> HTTPResponse:
    return HTTPResponse(status=204)


def boom() -> str:
    raise RuntimeError("boom in a view")


app.route("/hello", "GET", hello)
app.route("/path/<rest:path>", "GET", path)
app.route("/body", "POST", body)
app.route("/form", "POST", form)
app.route("/count", "GET", count)
app.route("/stream", "GET", stream)
app.route("/away", "GET", away)
app.route("/empty", "GET", empty)
app.route("/boom", "GET", boom)
