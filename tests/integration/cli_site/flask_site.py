"""A WSGI app for the tests of ``bridge serve``, which run in this directory."""

import hashlib
import os

from flask import Flask, request, url_for

app = Flask(__name__)


@app.get("/where")
def where() -> dict[str, object]:
    return {
        "url": url_for("where"),
        "root_path": request.script_root,
        "path": request.path,
        "pid": os.getpid(),
    }


@app.post("/digest")
def digest() -> str:
    return hashlib.sha256(request.get_data()).hexdigest()
