"""A Flask app on an ASGI server: a page, a form, an answer that is sent as it is made, an upload.

Run it from the directory above, and open http://127.0.0.1:8000/:

    pip install '.[serve]' flask
    bridge serve examples.flask_app:app

Without a browser:

    curl http://127.0.0.1:8000/greeting --data name=Ada
    curl --no-buffer http://127.0.0.1:8000/countdown
    curl http://127.0.0.1:8000/upload --form file=@README.md

It is an ordinary Flask app, which knows nothing of bridge. With --server gunicorn it runs on a WSGI server,
as it is; the page says on which kind it runs.
"""

import hashlib
import time
from collections.abc import Iterator

from flask import Flask, Response, abort, render_template_string, request

app = Flask(__name__)

PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>A Flask app, served through bridge</title>
<style>
  :root { color-scheme: light dark; }
  body { font: 17px/1.5 system-ui, sans-serif; max-width: 36em; margin: 3em auto; padding: 0 1em; }
  h1 { font-size: 1.5em; margin-bottom: 0; }
  section { border-top: 1px solid #8884; padding: 0 0 1em; }
  h2 { font-size: 1.05em; }
  input, button { font: inherit; }
  .side { color: #888; margin-top: 0; }
  output { font-weight: bold; }
</style>
<h1>A Flask app</h1>
{% set kind = "an ASGI server, through bridge" if "asgi.scope" in request.environ else "a WSGI server" %}
<p class="side">on {{ kind }}</p>

<section>
  <h2>A form</h2>
  {% if name %}<p><output>Hello, {{ name }}!</output></p>{% endif %}
  <form method="post" action="{{ url_for('greeting') }}">
    <label>Your name <input name="name" required></label> <button>Greet me</button>
  </form>
</section>

<section>
  <h2>An answer sent as it is made</h2>
  <p><a href="{{ url_for('countdown') }}">Count down from five</a>, a line a second.</p>
</section>

<section>
  <h2>An upload</h2>
  <form method="post" action="{{ url_for('upload') }}" enctype="multipart/form-data">
    <input type="file" name="file" required aria-label="File"> <button>Send</button>
  </form>
  <p>The answer is its size and its SHA-256.</p>
</section>
"""


@app.get("/")
def index() -> str:
    return render_template_string(PAGE)


@app.post("/greeting")
def greeting() -> str:
    return render_template_string(PAGE, name=request.form["name"])


@app.get("/countdown")
def countdown() -> Response:
    def lines() -> Iterator[str]:
        for second in range(5, 0, -1):
            yield f"{second}\n"
            time.sleep(1)
        yield "Lift-off!\n"

    # nosniff: browsers hold the first bytes of an answer back while they guess its type.
    return Response(lines(), mimetype="text/plain", headers={"X-Content-Type-Options": "nosniff"})


@app.post("/upload")
def upload() -> dict[str, str | int]:
    file = request.files.get("file")
    if file is None:
        abort(400, "the field 'file' is missing")
    digest = hashlib.sha256()
    size = 0
    while block := file.stream.read(65536):
        digest.update(block)
        size += len(block)
    return {"name": file.filename or "", "size": size, "sha256": digest.hexdigest()}
