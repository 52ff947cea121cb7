"""The shop of ``examples/migration`` on an ASGI server and on a WSGI one, as its first lines say, without a browser."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import websockets.exceptions
import websockets.sync.client

from tests.conftest import ServerPool
from tests.support.examples import lines_of
from tests.support.servers import REPOSITORY, RunningServer, ServerKind, free_port
from tests.support.versions import NO_CONTROL_SOCKET

SITE = REPOSITORY / "examples" / "migration" / "site.py"
LINES = lines_of(SITE)
APP = "examples.migration.site:app"

# Server -> who answers: the old part and the new one.
WHO = {
    "uvicorn-httptools": ("Flask, WSGI through WsgiToAsgi", "FastAPI, ASGI directly"),
    "gunicorn-gthread": ("Flask, WSGI directly", "FastAPI, ASGI through AsgiToWsgi"),
}


@pytest.fixture(params=WHO)
def server(server_pool: ServerPool, request: pytest.FixtureRequest) -> RunningServer:
    return server_pool.get(request.param, APP)


@pytest.fixture
def client(server: RunningServer) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


def who(server: RunningServer) -> tuple[str, str]:
    return WHO[server.kind.name]


def test_the_first_lines_serve_it_on_both_kinds() -> None:
    assert [line for line in LINES if APP in line] == [
        f"uvicorn {APP}",
        f"gunicorn --worker-class gthread --threads 8 {APP}",
    ]


@pytest.mark.parametrize(
    ("line", "answer"),
    list(
        zip(
            [line for line in LINES if line.startswith("curl ")],
            ['"slug":"sidama"', '"orders":[]', '"media_type":"image/png"'],
            strict=True,
        )
    ),
)
def test_the_clients_lines(line: str, answer: str, server: RunningServer) -> None:
    command = shlex.split(line.replace("http://127.0.0.1:8000", server.url))
    done = subprocess.run(
        [command[0], "--silent", "--show-error", "--noproxy", "*", *command[1:]],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert answer in done.stdout.replace(" ", "")


def test_each_answer_says_who_gave_it(server: RunningServer, client: httpx.Client) -> None:
    old, new = who(server)
    for path, answerer in (
        ("/", old),
        ("/static/shop.css", old),
        ("/api/products", new),
        ("/api/orders", old),  # FastAPI has no such route
        ("/api/products/gayo/picture", old),  # FastAPI has no picture of it
        ("/api/nothing", old),  # nobody has
    ):
        assert client.get(path).headers["x-served-by"] == answerer, path


def test_the_urls_of_each_part_lead_back_to_it(server: RunningServer, client: httpx.Client) -> None:
    products = client.get("/api/products").json()
    assert [product["slug"] for product in products] == ["sidama", "huila", "nyeri", "gayo"]
    for product in products:
        assert product["picture"] == f"{server.url}/api/products/{product['slug']}/picture"
        assert client.get(product["picture"]).headers["content-type"].startswith("image/")


def test_the_cart_is_in_the_session(client: httpx.Client) -> None:
    assert client.post("/api/orders").status_code == 409
    for _ in range(2):
        assert client.post("/cart", data={"coffee": "nyeri"}).headers["location"] == "/#cart"
    assert "2 × Nyeri" in client.get("/").text
    assert client.post("/api/orders").status_code == 303
    assert client.get("/api/orders").json()["orders"][0]["items"] == {"nyeri": 2}
    assert client.post("/cart", data={"coffee": "tea"}).status_code == 404


def test_an_upload_moves_the_picture_to_the_new_part(server: RunningServer, client: httpx.Client) -> None:
    picture = b"\x89PNG\r\n\x1a\n" + os.urandom(1_000_000)
    path = "/api/products/nyeri/picture"
    assert client.put(path, content=picture).json()["size"] == len(picture)
    answer = client.get(path)
    assert (answer.content, answer.headers["x-served-by"]) == (picture, who(server)[1])
    assert client.put(path, content=b"text").status_code == 415
    # Each on a connection of its own: one with a body that was not read may be closed after the answer.
    with server.client() as other:
        assert other.put(path, content=bytes(9 * 2**20)).status_code == 413
    with server.client() as other:
        # FastAPI knows no such coffee; Flask has no PUT there.
        assert other.put("/api/products/tea/picture", content=picture).status_code == 405


def test_the_clock_ticks(server: RunningServer, client: httpx.Client) -> None:
    with client.stream("GET", "/api/clock") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        events = (json.loads(line[5:]) for line in response.iter_lines() if line.startswith("data:"))
        first, second = next(events), next(events)
    assert first["now"] < second["now"]
    assert first["opened"] == second["opened"]
    assert first["served_by"] == who(server)[1]


def test_the_ticker(server: RunningServer) -> None:
    url = f"{server.url.replace('http', 'ws')}/ticker"
    if server.kind.interface == "wsgi":
        with pytest.raises(websockets.exceptions.InvalidStatus) as raised:
            websockets.sync.client.connect(url).__enter__()
        assert raised.value.response.status_code == 501
        assert b"which has no WebSocket" in (raised.value.response.body or b"")
        return
    with websockets.sync.client.connect(url) as socket:
        first, second = (json.loads(socket.recv(timeout=30)) for _ in range(2))
    assert first["cents"].keys() == second["cents"].keys() == {"sidama", "huila", "nyeri", "gayo"}
    assert first["served_by"] == who(server)[0]


@pytest.mark.parametrize("kind", ["uvicorn", "gunicorn"])
def test_make_demo(kind: str, tmp_path: Path) -> None:
    """The target serves it, with what the tests' own environment has installed, and installs nothing."""
    port = free_port()
    # --assume-old: without installing the lock. VENV is said, for a make that runs the tests hands its own on to this
    # one. A path of this checkout's may have a blank in it, which is the end of a name for make.
    (tmp_path / "here").symlink_to(sys.prefix)
    command = [
        "make",
        f"VENV={tmp_path}/here",
        f"--assume-old={tmp_path}/here/.examples",
        "demo",
        f"PORT={port}",
        f"SERVER={kind}",
    ]
    log_path, outer = tmp_path / "log", tmp_path / "venv"
    environ = os.environ | {"MAKEFLAGS": f" -- VENV={outer}", "VENV": str(outer)}
    if kind == "gunicorn":
        environ["GUNICORN_CMD_ARGS"] = " ".join(NO_CONTROL_SOCKET)
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    row = ServerKind("make-demo", "asgi" if kind == "uvicorn" else "wsgi", tuple(command), tcp=())
    server = RunningServer(row, APP, "127.0.0.1", port, None, log_path, process)
    try:
        server.wait_until_accepting()
        with server.client() as client:
            assert "Bridge Street Coffee" in client.get("/").text
    finally:
        server.stop()
    assert not outer.exists()


def test_make_demo_with_a_server_that_it_does_not_know() -> None:
    done = subprocess.run(
        ["make", "--dry-run", "demo", "SERVER=apache"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "SERVER is uvicorn or gunicorn, not 'apache'" in done.stderr
