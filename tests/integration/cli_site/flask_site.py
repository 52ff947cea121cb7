"""A WSGI app for the tests of ``bridge serve``, which run in this directory. It logs its import.

``/held`` answers when the file of its query is there.
"""

import hashlib
import os
import sys
import time
from pathlib import Path

from flask import Flask, request, url_for

print("imported", file=sys.stderr, flush=True)

app = Flask(__name__)


@app.get("/where")
def where() -> dict[str, object]:
    return {
        "url": url_for("where"),
        "root_path": request.script_root,
        "path": request.path,
        "pid": os.getpid(),
        "client": request.remote_addr,
        "scheme": request.scheme,
    }


@app.get("/held")
def held() -> str:
    print("held", file=sys.stderr, flush=True)
    while not Path(request.query_string.decode()).exists():
        time.sleep(0.02)
    return "released " * 10_000


@app.post("/digest")
def digest() -> str:
    return hashlib.sha256(request.get_data()).hexdigest()
