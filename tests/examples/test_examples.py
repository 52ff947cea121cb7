"""Each example runs as its own first lines say: the server of its command line, then each client's line."""

import hashlib
import json
from pathlib import Path

from tests.conftest import StartServer
from tests.support.examples import Example
from tests.support.servers import REPOSITORY

LICENSE = (REPOSITORY / "LICENSE").read_bytes()
LICENSE_DIGEST = hashlib.sha256(LICENSE).hexdigest()


def test_sse(start_server: StartServer) -> None:
    example = Example("sse", start_server)
    (line,) = example.lines
    events = example.run(line).split("\n\n")
    assert [event.split("\n")[0] for event in events[:3]] == ["id: 0", "id: 1", "id: 2"]
    example.server.wait_for_log("a client has left the events")


def test_upload(start_server: StartServer, tmp_path: Path) -> None:
    example = Example("upload", start_server)
    (line,) = example.lines
    assert json.loads(example.run(line)) == {
        "name": "LICENSE",
        "size": len(LICENSE),
        "sha256": LICENSE_DIGEST,
    }
    large = tmp_path / "LICENSE"
    large.write_bytes(b"0123456789abcdef" * 2**20)
    answer = json.loads(example.run(line, "--header", "Transfer-Encoding: chunked", directory=tmp_path))
    assert answer["sha256"] == hashlib.sha256(large.read_bytes()).hexdigest()


def test_django(start_server: StartServer, tmp_path: Path) -> None:
    example = Example("django_app", start_server, {"DJANGO_DATABASE": str(tmp_path / "sessions.sqlite3")})
    (line,) = example.lines
    example.run(line, directory=tmp_path)
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
    index, countdown, upload = example.lines
    assert json.loads(example.run(index)) == {"greeting": "Hello from the lifespan"}
    example.server.wait_for_log("after the response")
    assert example.run(countdown) == "3\n2\n1\nLift-off!\n"
    assert json.loads(example.run(upload)) == {
        "name": "LICENSE",
        "size": len(LICENSE),
        "sha256": LICENSE_DIGEST,
    }
    example.server.stop()
    assert "the lifespan has ended" in example.server.log()


def test_django_asgi(start_server: StartServer) -> None:
    example = Example("django_asgi", start_server)
    index, together, countdown, sync = example.lines
    asynchronous, synchronous = json.loads(example.run(index)), json.loads(example.run(sync))
    assert asynchronous["request"] == synchronous["request"] == "ASGIRequest"
    assert asynchronous["thread"] != synchronous["thread"]
    assert json.loads(example.run(together)) == {"as they came": ["third", "second", "first"]}
    assert example.run(countdown) == "3\n2\n1\nLift-off!\n"
