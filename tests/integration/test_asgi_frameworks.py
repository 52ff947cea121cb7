"""ASGI frameworks, and an application whole, behind ``AsgiToWsgi`` under gunicorn."""

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.conftest import ServerPool
from tests.integration.apps.wsgi_reports import Reports
from tests.support.raw import RawConnection
from tests.support.servers import RunningServer

APP = "tests.integration.apps.wsgi_frameworks:app"
FRAMEWORKS = ("fastapi", "starlette", "django", "litestar", "quart", "falcon")
WAYS = (("gunicorn-gthread", "request"), ("gunicorn-sync", "request"), ("gunicorn-gthread", "shared"))
NUMBERS = b"".join(b"%09d\n" % number for number in range(20_000))
BODY = bytes(range(256)) * 1000
SUM = f"{len(BODY)} {hashlib.sha256(BODY).hexdigest()}"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("data")
    (directory / "numbers.txt").write_bytes(NUMBERS)
    database = sqlite3.connect(directory / "rows.db")
    with database:
        database.execute("CREATE TABLE birds (id INTEGER PRIMARY KEY, name TEXT, wings INTEGER)")
        database.executemany(
            "INSERT INTO birds (name, wings) VALUES (?, ?)", [(f"bird {n}", 2) for n in range(300)]
        )
    database.close()
    return directory


@pytest.fixture(scope="module", params=WAYS, ids=["-".join(way) for way in WAYS])
def server(request: pytest.FixtureRequest, server_pool: ServerPool, data: Path) -> RunningServer:
    name, loop = request.param
    return server_pool.get(name, APP, {"BRIDGE_OPTIONS": json.dumps({"loop": loop}), "DATA": str(data)})


@pytest.fixture(params=FRAMEWORKS)
def client(request: pytest.FixtureRequest, server: RunningServer) -> Iterator[httpx.Client]:
    with _client(server, request.param) as open_client:
        yield open_client


@pytest.fixture
def fastapi(server: RunningServer) -> Iterator[httpx.Client]:
    with _client(server, "fastapi") as open_client:
        yield open_client


@pytest.fixture
def datasette(server: RunningServer) -> Iterator[httpx.Client]:
    with _client(server, "datasette") as open_client:
        yield open_client


def test_async_and_sync_pages(client: httpx.Client) -> None:
    for _ in range(2):
        assert _text(client.get("/hello")) == "hello"
        assert _text(client.get("/sync")) == "sync"
        assert client.get("/nothing-here").status_code == 404


def test_headers_and_cookies(client: httpx.Client) -> None:
    host = client.headers["host"]
    response = client.get("/headers?q=1", headers={b"X-Test": b"caf\xe9", b"Cookie": b"a=1"})
    assert response.json() == ["caf\xe9", "1", f"http://{host}/headers?q=1"]
    assert response.headers["set-cookie"].startswith("b=2")


@pytest.mark.parametrize("chunked", [False, True])
def test_upload(client: httpx.Client, chunked: bool) -> None:
    content = iter([BODY[:100_000], BODY[100_000:]]) if chunked else BODY
    assert _text(client.post("/upload", content=content)) == SUM


def test_form_with_a_file(client: httpx.Client) -> None:
    response = client.post("/form", data={"name": "given"}, files={"file": ("numbers.bin", BODY)})
    assert _text(response) == f"given numbers.bin {SUM}"


def test_stream_is_delivered_as_it_is_made(client: httpx.Client, reports: Reports) -> None:
    with client.stream("GET", f"/stream?port={reports.port}") as response:
        chunks = response.iter_raw()
        assert next(chunks) == b"first"
        assert reports.next() == "between"
        reports.go()
        assert b"".join(chunks) == b"second"


def test_error_is_a_500(client: httpx.Client) -> None:
    response = client.get("/error")
    assert response.status_code == 500
    assert "ValueError" not in response.text
    assert _text(client.get("/hello")) == "hello"


def test_fastapi_validates_and_stamps(fastapi: httpx.Client) -> None:
    response = fastapi.get("/items/7?flag=yes")
    assert response.json() == {"number": 7, "flag": True}
    assert response.headers["x-stamp"] == "/items/7"
    assert fastapi.get("/items/none").status_code == 422
    assert fastapi.get("/openapi.json").json()["paths"].keys() >= {"/items/{number}", "/form"}


def test_fastapi_lifespan_state(fastapi: httpx.Client) -> None:
    assert fastapi.get("/state").json() == "by the lifespan"


def test_fastapi_file_and_its_ranges(fastapi: httpx.Client) -> None:
    whole = fastapi.get("/file")
    assert (whole.status_code, whole.content) == (200, NUMBERS)
    assert whole.headers["content-length"] == str(len(NUMBERS))
    assert fastapi.head("/file").content == b""
    part = fastapi.get("/file", headers={"Range": "bytes=1000-1999"})
    assert (part.status_code, part.content) == (206, NUMBERS[1000:2000])
    assert part.headers["content-range"] == f"bytes 1000-1999/{len(NUMBERS)}"
    assert fastapi.get("/file", headers={"Range": "bytes=-10"}).content == NUMBERS[-10:]
    several = fastapi.get("/file", headers={"Range": "bytes=0-9,100-109"})
    assert several.status_code == 206
    assert NUMBERS[:10] in several.content
    assert NUMBERS[100:110] in several.content
    beyond = fastapi.get("/file", headers={"Range": "bytes=9000000-"})
    assert beyond.status_code == 416


def test_fastapi_background_task_comes_after_the_last_byte(fastapi: httpx.Client, reports: Reports) -> None:
    # It waits for this test to have the whole response.
    assert fastapi.get(f"/background?port={reports.port}").json() == "done"
    assert reports.next() == "background"
    reports.go()
    assert reports.next() == "background ended"


def test_fastapi_event_stream_ends_when_its_client_leaves(server: RunningServer, reports: Reports) -> None:
    with RawConnection(server.connect()) as connection:
        connection.send(f"GET /events?port={reports.port} HTTP/1.1\r\nHost: fastapi.test\r\n\r\n".encode())
        response = connection.read_start()
        assert response.header("content-type") == "text/event-stream; charset=utf-8"
        assert connection.read_chunk(response) == b"data: first\n\n"
    assert reports.next() == "events ended"


def test_datasette_pages(datasette: httpx.Client) -> None:
    for path, text in {
        "/": "rows",
        "/rows": "birds",
        "/rows/birds": "bird 42",
        "/rows/birds?_sort_desc=id&_size=5": "bird 299",
        "/rows/birds?_facet=wings": "facet",
        "/rows/birds/17": "bird 16",
        "/-/versions": "datasette",
        "/-/plugins": "plugins",
    }.items():
        response = datasette.get(path)
        assert (response.status_code, response.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert text in response.text, path
    style = datasette.get("/-/static/app.css")
    assert (style.status_code, style.headers["content-type"]) == (200, "text/css")
    assert datasette.get("/rows/none").status_code == 404


def test_datasette_data(datasette: httpx.Client) -> None:
    rows = datasette.get("/rows/birds.json?_shape=array&_size=max").json()
    assert [row["name"] for row in rows] == [f"bird {number}" for number in range(300)]
    query = "select count(*) as n, sum(wings) as w from birds where id > :least"
    answer = datasette.get("/rows.json", params={"sql": query, "least": "200", "_shape": "array"})
    assert answer.json() == [{"n": 100, "w": 200}]
    broken = datasette.get("/rows.json", params={"sql": "select * from nowhere"})
    assert (broken.status_code, broken.json()["error"]) == (400, "no such table: nowhere")
    csv = datasette.get("/rows/birds.csv?_stream=on&_size=max").text.splitlines()
    assert (len(csv), csv[0], csv[-1]) == (301, "id,name,wings", "300,bird 299,2")


def _client(server: RunningServer, name: str) -> httpx.Client:
    return server.client(headers={"Host": f"{name}.test"})


def _text(response: httpx.Response) -> str:
    """Return the text; FastAPI's is JSON."""
    assert response.status_code == 200, response.text
    if response.headers["content-type"] == "application/json":
        text: str = response.json()
        return text
    return response.text
