"""Each example runs as its own first lines say: the server of its command line, then each curl line."""

import ast
import hashlib
import json
import shlex
import subprocess
from pathlib import Path

from tests.conftest import StartServer
from tests.support.servers import REPOSITORY, RunningServer

# The servers' command lines in the examples, as rows of the harness's table.
KINDS = {"uvicorn": "uvicorn-httptools", "gunicorn": "gunicorn-sync"}
LICENSE = (REPOSITORY / "LICENSE").read_bytes()
LICENSE_DIGEST = hashlib.sha256(LICENSE).hexdigest()


class Example:
    """An example, its server started, and the curl lines of its docstring."""

    def __init__(self, name: str, start_server: StartServer, environ: dict[str, str] | None = None) -> None:
        docstring = ast.get_docstring(ast.parse((REPOSITORY / "examples" / f"{name}.py").read_text()))
        assert docstring is not None
        serve, *self.curls = [line.strip() for line in docstring.splitlines() if line.startswith("    ")]
        server, app = serve.split()
        assert app.startswith(f"examples.{name}:")
        self.server: RunningServer = start_server(KINDS[server], app, environ=environ or {})

    def curl(self, line: str, *options: str, directory: Path = REPOSITORY) -> str:
        """What the line prints. ``options`` are added."""
        command, *words = shlex.split(line.replace("http://127.0.0.1:8000", self.server.url))
        done = subprocess.run(
            [command, "--silent", "--show-error", *options, *words],
            cwd=directory,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode in {0, 28}, done.stderr  # 28: --max-time of the line itself
        return done.stdout


def test_sse(start_server: StartServer) -> None:
    example = Example("sse", start_server)
    (line,) = example.curls
    events = example.curl(line).split("\n\n")
    assert [event.split("\n")[0] for event in events[:3]] == ["id: 0", "id: 1", "id: 2"]
    example.server.wait_for_log("a client has left the events")


def test_upload(start_server: StartServer, tmp_path: Path) -> None:
    example = Example("upload", start_server)
    (line,) = example.curls
    assert json.loads(example.curl(line)) == {
        "name": "LICENSE",
        "size": len(LICENSE),
        "sha256": LICENSE_DIGEST,
    }
    large = tmp_path / "LICENSE"
    large.write_bytes(b"0123456789abcdef" * 2**20)
    answer = json.loads(example.curl(line, "--header", "Transfer-Encoding: chunked", directory=tmp_path))
    assert answer["sha256"] == hashlib.sha256(large.read_bytes()).hexdigest()


def test_django(start_server: StartServer, tmp_path: Path) -> None:
    example = Example("django_app", start_server, {"DJANGO_DATABASE": str(tmp_path / "sessions.sqlite3")})
    (line,) = example.curls
    example.curl(line, directory=tmp_path)
    rows = (tmp_path / "numbers.csv").read_text().splitlines()
    assert (len(rows), rows[0], rows[-1]) == (100_001, "number,square", "99999,9999800001")

    with example.server.client() as client:
        assert "None yet." in client.get("/").text
        assert client.post("/", data={"text": "without the token"}).status_code == 403
        for text in ("first", "sécond"):
            form = {"text": text, "csrfmiddlewaretoken": client.cookies["csrftoken"]}
            assert client.post("/", data=form).status_code == 302
        page = client.get("/").text
        assert "<li>first</li><li>sécond</li>" in page
    with example.server.client() as other:
        assert "None yet." in other.get("/").text


def test_fastapi(start_server: StartServer) -> None:
    example = Example("fastapi_app", start_server)
    index, countdown, upload = example.curls
    assert json.loads(example.curl(index)) == {"greeting": "Hello from the lifespan"}
    example.server.wait_for_log("after the response")
    assert example.curl(countdown) == "3\n2\n1\nLift-off!\n"
    assert json.loads(example.curl(upload)) == {
        "name": "LICENSE",
        "size": len(LICENSE),
        "sha256": LICENSE_DIGEST,
    }
    example.server.stop()
    assert "the lifespan has ended" in example.server.log()
