"""A large upload, read as it arrives, with its size and SHA-256 sent back.

Run it from the directory above:

    pip install '.[serve]' flask
    uvicorn examples.upload:app

    curl --upload-file LICENSE http://127.0.0.1:8000/

``request_body="stream"`` calls the app when the first 64 KiB are there, instead of when all of it is: nothing is kept
in memory or on disk, and a slow client holds a thread meanwhile. A client that leaves in the middle makes the read
raise.
"""

import hashlib

from flask import Flask, request

from bridge import WsgiToAsgi

flask_app = Flask(__name__)


@flask_app.put("/", defaults={"name": ""})
@flask_app.put("/<path:name>")
def upload(name: str) -> dict[str, object]:
    digest = hashlib.sha256()
    size = 0
    while block := request.stream.read(65536):
        digest.update(block)
        size += len(block)
    return {"name": name, "size": size, "sha256": digest.hexdigest()}


app = WsgiToAsgi(flask_app, request_body="stream", max_body_size=10 * 2**30)
