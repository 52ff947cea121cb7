"""One ``Dispatcher``, four frameworks, three levels deep, on servers of either kind, which get no hint."""

import hashlib
import random
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest
from websockets.sync.client import connect

from tests.conftest import ServerPool, StartServer
from tests.integration.apps.dispatched import MOUNTS
from tests.support.faults import known
from tests.support.servers import RunningServer

SITE = "tests.integration.apps.dispatched:app"
SERVERS = [
    "uvicorn-h11",
    "gunicorn-sync",
    "gunicorn-gthread",
    "hypercorn",
    "granian-ws",
    "daphne",
    "waitress",
]
MEGABYTE = random.Random(1).randbytes(1_000_003)
DIGEST = hashlib.sha256(MEGABYTE).hexdigest()
#: Of the apps that have a lifespan, in the order in which they are mounted.
LIFESPANS = ["api", "starlette", "deep", "new"]


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest, server_pool: ServerPool) -> RunningServer:
    return server_pool.get(request.param, SITE)


@pytest.fixture
def client(server: RunningServer) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


def follow(client: httpx.Client, root: str, framework: str, below: str = "") -> None:
    """Ask the app at ``root`` for its URL, and that URL for the same."""
    answer = client.get(f"{root}/where/7").raise_for_status().json()
    url = urlsplit(answer["url"])
    assert url.path == f"{below}{root}/where/7"
    assert url.netloc == client.base_url.netloc.decode()
    assert (answer["framework"], answer["root"], answer["path"]) == (framework, below + root, "/where/7")
    assert client.get(url.path).raise_for_status().json() == answer


def test_each_app_finds_its_own_urls(client: httpx.Client) -> None:
    for root, framework in MOUNTS.items():
        follow(client, root, framework)


def test_each_app_has_its_own_state(client: httpx.Client, server: RunningServer) -> None:
    if fault := known("lifespan", server.kind.name):
        pytest.skip(fault.does)
    names = {"/api": "api", "/api/v1": "starlette", "/api/v1/fastapi": "deep", "/new": "new"}
    for root, name in names.items():
        assert client.get(f"{root}/where/7").json()["state"] == {"name": name}


def test_what_nobody_has(client: httpx.Client) -> None:
    assert client.get("/api/v2").json() == {"detail": "Not Found"}, "FastAPI's"
    assert "<title>404 Not Found</title>" in client.get("/apix").text, "Flask's"
    assert client.get("/new/nowhere").text == client.get("/nowhere").text, (
        "what both have nothing for is the last's"
    )


def test_a_fallback_has_the_whole_upload(client: httpx.Client) -> None:
    """First the new app's own route; then one that it reads the body for, and one that it does not know."""
    for path, framework in (("/new/moved", "fastapi"), ("/new/digest", "flask")):
        assert client.post(path, content=MEGABYTE).json() == {"framework": framework, "sha256": DIGEST}
    assert client.put("/new/moved").status_code == 405, "the old one's answer"
    pieces = (MEGABYTE[start : start + 50_000] for start in range(0, len(MEGABYTE), 50_000))
    chunked = client.post("/new/digest", content=pieces)
    if chunked.status_code == 411:
        pytest.skip("the server takes no chunked bodies")
    assert chunked.json()["sha256"] == DIGEST


def test_websockets(server: RunningServer) -> None:
    """To ASGI parts and to WSGI parts; where the new app does not know the path, to the old one."""
    if server.kind.interface == "wsgi":
        with server.client() as client:
            headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Key": "x" * 22 + "=="}
            assert client.get("/api/echo", headers=headers).status_code == 501
        return
    for path, greeting in (
        ("/api/echo", "fastapi /api"),
        ("/api/v1/flask/socket", "flask /api/v1/flask"),
        ("/new/echo", "fastapi /new"),
        ("/new/socket", "flask "),
    ):
        with connect(f"ws://{server.host}:{server.port}{path}", proxy=None) as websocket:
            assert websocket.recv() == greeting
            websocket.send("hello")
            assert websocket.recv() == "hello"


def ups_and_downs(server: RunningServer) -> list[str]:
    return [line for line in server.log().splitlines() if line.split(" ")[0] in LIFESPANS]


def test_lifespans_start_in_order_and_end_in_reverse(start_server: StartServer) -> None:
    server = start_server("uvicorn-h11", SITE)
    with server.client() as client:
        client.get("/api/where/1").raise_for_status()
    server.stop()
    lines = ups_and_downs(server)
    assert lines == [f"{name} up" for name in LIFESPANS] + [f"{name} down" for name in reversed(LIFESPANS)]


def test_on_a_wsgi_server_lifespans_start_when_they_are_needed(start_server: StartServer) -> None:
    server = start_server("gunicorn-gthread", SITE)
    with server.client() as client:
        for root in ("/new", "", "/api", "/new"):
            client.get(f"{root}/where/1").raise_for_status()
    server.stop()
    lines = ups_and_downs(server)
    assert lines[:2] == ["new up", "api up"]
    assert sorted(lines[2:]) == ["api down", "new down"]


def test_below_the_servers_own_root_path(start_server: StartServer) -> None:
    for server, root in (
        (start_server("uvicorn-h11", SITE, arguments=("--root-path", "/site")), ""),
        (start_server("hypercorn", SITE, arguments=("--root-path", "/site")), ""),
        (start_server("granian-ws", SITE, arguments=("--url-path-prefix", "/site")), "/site"),
        (start_server("gunicorn-gthread", SITE, environ={"SCRIPT_NAME": "/site"}), "/site"),
    ):
        with server.client() as client:
            for mount, framework in MOUNTS.items():
                answer = client.get(f"{root}{mount}/where/7").raise_for_status().json()
                assert (answer["framework"], answer["root"]) == (framework, f"/site{mount}")
                assert urlsplit(answer["url"]).path == f"/site{mount}/where/7"


def test_a_startup_that_fails_keeps_an_asgi_server_from_starting(start_server: StartServer) -> None:
    with pytest.raises(AssertionError, match="ended with") as caught:
        start_server("uvicorn-h11", SITE.replace(":app", ":failing"))
    log = str(caught.value)
    assert "/second/broken: the application's startup failed" in log
    assert "in connect_to_the_database" in log
    assert "OSError: no database" in log
    assert log.index("first up") < log.index("/second/broken") < log.index("first down")
    assert "Application startup failed" in log


def test_a_startup_that_fails_on_a_wsgi_server(start_server: StartServer) -> None:
    server = start_server("gunicorn-gthread", SITE.replace(":app", ":failing"))
    with server.client() as client:
        assert client.get("/second/broken/x").status_code == 500
        assert client.get("/first/where/1").status_code == 200, "the others serve on"
    assert "in connect_to_the_database" in server.wait_for_log("OSError: no database")
