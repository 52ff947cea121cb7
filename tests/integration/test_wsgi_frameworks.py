"""Flask, Django, Falcon, Bottle and Pyramid behind bridge on every ASGI server.

Each of the five apps keeps one contract (``apps/*_app.py``), and ``wsgiref.validate`` stands between bridge
and app.
"""

import hashlib
import random
import subprocess
from collections.abc import Iterator

import httpx
import pytest

from tests.conftest import ServerPool
from tests.support.servers import ASGI_SERVERS, RunningServer

FRAMEWORKS = ("flask", "django", "falcon", "bottle", "pyramid")
SITE = "tests.integration.apps.site:app"
# Larger than request_buffer, so that the body goes through a temporary file, and no multiple of any buffer.
LARGE = random.Random(1).randbytes(300_001)
LARGE_DIGEST = {"size": len(LARGE), "sha256": hashlib.sha256(LARGE).hexdigest()}

pytestmark = pytest.mark.parametrize("framework", FRAMEWORKS)


@pytest.fixture(scope="module", params=ASGI_SERVERS)
def server(request: pytest.FixtureRequest, server_pool: ServerPool) -> RunningServer:
    return server_pool.get(request.param, SITE)


@pytest.fixture
def client(server: RunningServer, framework: str) -> Iterator[httpx.Client]:
    with server.client(base_url=f"{server.url}/{framework}/") as client:
        yield client


def _pieces(data: bytes) -> Iterator[bytes]:
    """Cut data at odd places; httpx sends what comes from an iterator chunked (HTTP/2: without a length)."""
    generator = random.Random(2)
    position = 0
    while position < len(data):
        size = generator.randrange(1, 40_000)
        yield data[position : position + size]
        position += size


def test_query_and_text(client: httpx.Client) -> None:
    response = client.get("hello", params={"name": "Zoë & co"})
    assert (response.status_code, response.text) == (200, "hello Zoë & co")
    assert response.headers["content-type"].startswith("text/plain")


def test_head_has_no_body(client: httpx.Client) -> None:
    response = client.head("hello", params={"name": "x"})
    # Falcon's router knows no HEAD, Django's and Pyramid's function views take any method.
    assert response.status_code in (200, 405)
    assert response.content == b""


def test_path_below_a_mount(client: httpx.Client, server: RunningServer, framework: str) -> None:
    response = client.get("path/caf%C3%A9/a%20b/c", params={"q": "1"})
    answer = response.json()
    assert (answer["rest"], answer["script"]) == ("café/a b/c", f"/{framework}")
    url = httpx.URL(answer["url"])
    assert url.raw_path == f"/{framework}/path/caf%C3%A9/a%20b/c?q=1".encode()
    assert (url.scheme, url.port) == (server.kind.scheme, server.port)


def test_body_with_a_length(client: httpx.Client) -> None:
    assert client.post("body", content=LARGE).json() == LARGE_DIGEST


def test_chunked_body(client: httpx.Client) -> None:
    assert client.post("body", content=_pieces(LARGE)).json() == LARGE_DIGEST


def test_empty_body(client: httpx.Client) -> None:
    assert client.post("body").json()["size"] == 0


def test_multipart_upload(client: httpx.Client) -> None:
    response = client.post("form", data={"field": "näme"}, files={"upload": ("file.bin", LARGE)})
    assert response.json() == {"field": "näme", "filename": "file.bin"} | LARGE_DIGEST


def test_chunked_multipart_upload(client: httpx.Client) -> None:
    form = httpx.Request("POST", "http://form", data={"field": "näme"}, files={"upload": ("file.bin", LARGE)})
    headers = {"Content-Type": form.headers["Content-Type"]}
    response = client.post("form", content=_pieces(form.read()), headers=headers)
    assert response.json() == {"field": "näme", "filename": "file.bin"} | LARGE_DIGEST


def test_session_and_cookies(client: httpx.Client) -> None:
    client.cookies.set("other", "value")
    for number in (1, 2, 3):
        assert client.get("count").json() == {"count": number, "cookie": "value"}


def test_streamed_response(client: httpx.Client) -> None:
    response = client.get("stream", params={"chunks": 5000})
    assert response.text == "".join(f"{number:06d}\n" for number in range(5000))


def test_redirect(client: httpx.Client) -> None:
    response = client.get("away", follow_redirects=True)
    assert [old.status_code for old in response.history] in ([302], [303])
    assert response.text == "hello there"


def test_no_content(client: httpx.Client) -> None:
    response = client.get("empty")
    assert (response.status_code, response.content) == (204, b"")
    assert client.get("hello", params={"name": "again"}).text == "hello again"


def test_not_found(client: httpx.Client) -> None:
    assert client.get("nowhere").status_code == 404


def test_error_in_a_view(client: httpx.Client, server: RunningServer) -> None:
    assert client.get("boom").status_code == 500
    server.wait_for_log("boom in a view")


def test_curl_uploads_and_downloads(server: RunningServer, framework: str) -> None:
    command = [
        "curl",
        "--silent",
        "--show-error",
        "--fail",
        "--max-time",
        "30",
        "--noproxy",
        "*",
        "-F",
        "field=x",
    ]
    if server.ca_path is not None:
        command += ["--cacert", str(server.ca_path)]
    if server.kind.http == "2":
        command.append("--http2" if server.kind.tls else "--http2-prior-knowledge")
    command += ["-F", "upload=@-;filename=file.bin", f"{server.url}/{framework}/form"]
    done = subprocess.run(command, input=LARGE, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert LARGE_DIGEST["sha256"].encode() in done.stdout.lower()  # type: ignore[attr-defined]


def test_what_the_validator_only_prints(server: RunningServer, framework: str) -> None:
    # Its complaint about an iterator without close() comes from __del__, where it can raise nothing.
    assert "garbage collected without being closed" not in server.log()
