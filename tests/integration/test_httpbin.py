"""httpbin, a whole app that knows nothing of bridge, behind it on every ASGI server."""

import gzip
import json
import zlib
from collections.abc import Iterator

import httpx
import pytest

from tests.conftest import ServerPool
from tests.support.servers import ASGI_SERVERS, RunningServer

APP = "tests.integration.apps.httpbin_app:app"


@pytest.fixture(scope="module", params=ASGI_SERVERS)
def server(request: pytest.FixtureRequest, server_pool: ServerPool) -> RunningServer:
    return server_pool.get(request.param, APP)


@pytest.fixture
def client(server: RunningServer) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_methods(client: httpx.Client, method: str) -> None:
    answer = client.request(method, f"/{method.lower()}", params={"a": ["1", "2"], "é": "ü"}).json()
    assert answer["args"] == {"a": ["1", "2"], "é": "ü"}
    assert answer["url"].startswith(str(client.base_url))
    assert answer["origin"] == "127.0.0.1"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "TRACE"])
def test_anything(client: httpx.Client, method: str) -> None:
    answer = client.request(method, "/anything/x/y%20z").json()
    assert (answer["method"], answer["url"]) == (method, f"{client.base_url}/anything/x/y%20z")


def test_head_and_options(client: httpx.Client) -> None:
    head = client.head("/get")
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["content-length"]) > 0
    assert "GET" in client.options("/get").headers["allow"]


def test_request_headers(client: httpx.Client) -> None:
    headers = [("X-One", "1"), ("X-Two", "a"), ("X-Two", "b"), ("X_Evil", "no")]
    seen = client.get("/headers", headers=headers).json()["headers"]
    assert (seen["X-One"], seen["X-Two"]) == ("1", "a,b")
    assert "X-Evil" not in seen
    assert client.get("/user-agent", headers={"User-Agent": "Test/1"}).json() == {"user-agent": "Test/1"}


def test_response_headers(client: httpx.Client) -> None:
    response = client.get("/response-headers", params=[("X-Dup", "1"), ("X-Dup", "2"), ("X-Other", "ü")])
    assert response.headers.get_list("x-dup") == ["1", "2"]


@pytest.mark.parametrize("status", [200, 201, 204, 206, 300, 304, 400, 404, 418, 429, 500, 503])
def test_statuses(client: httpx.Client, status: int) -> None:
    assert client.get(f"/status/{status}").status_code == status
    # The connection is still in step with the server.
    assert client.get("/get").status_code == 200


def test_form_json_and_data(client: httpx.Client) -> None:
    assert client.post("/post", data={"a": "1", "b": "é"}).json()["form"] == {"a": "1", "b": "é"}
    assert client.post("/post", json={"a": [1, None]}).json()["json"] == {"a": [1, None]}
    assert client.put("/put", content=b"raw text").json()["data"] == "raw text"
    large = "x" * 200_000
    assert client.post("/post", content=large.encode()).json()["data"] == large


def test_chunked_data(client: httpx.Client) -> None:
    answer = client.post("/post", content=iter([b"a" * 70_000, b"b" * 10])).json()
    assert answer["data"] == "a" * 70_000 + "b" * 10


def test_files(client: httpx.Client) -> None:
    answer = client.post("/post", files={"f": ("n.txt", b"l" * 100_000)}, data={"x": "y"}).json()
    assert (answer["files"], answer["form"]) == ({"f": "l" * 100_000}, {"x": "y"})


def test_redirects(client: httpx.Client) -> None:
    for path in ("/redirect/3", "/relative-redirect/3", "/absolute-redirect/3"):
        response = client.get(path, follow_redirects=True)
        assert (response.status_code, len(response.history)) == (200, 3)
    response = client.get(
        "/redirect-to", params={"url": "/get?a=b", "status_code": 307}, follow_redirects=True
    )
    assert response.json()["args"] == {"a": "b"}


def test_cookies(client: httpx.Client) -> None:
    client.get("/cookies/set", params={"a": "1", "b": "2"})
    assert client.get("/cookies").json() == {"cookies": {"a": "1", "b": "2"}}
    client.get("/cookies/delete", params={"a": ""})
    assert client.get("/cookies").json() == {"cookies": {"b": "2"}}


def test_authentication(client: httpx.Client) -> None:
    assert client.get("/basic-auth/u/p").status_code == 401
    assert client.get("/basic-auth/u/p", auth=("u", "p")).json() == {"authenticated": True, "user": "u"}
    digest = client.get("/digest-auth/auth/u/p", auth=httpx.DigestAuth("u", "p"))
    assert (digest.status_code, digest.json()["authenticated"]) == (200, True)
    assert client.get("/bearer", headers={"Authorization": "Bearer t"}).json()["token"] == "t"


def test_compressed_responses(client: httpx.Client) -> None:
    with client.stream("GET", "/gzip") as response:
        assert json.loads(gzip.decompress(b"".join(response.iter_raw())))["gzipped"] is True
    with client.stream("GET", "/deflate") as response:
        assert json.loads(zlib.decompress(b"".join(response.iter_raw())))["deflated"] is True


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html"),
        ("/html", "text/html"),
        ("/xml", "application/xml"),
        ("/json", "application/json"),
        ("/robots.txt", "text/plain"),
        ("/encoding/utf8", "text/html"),
        ("/image/png", "image/png"),
        ("/image/svg", "image/svg+xml"),
    ],
)
def test_documents(client: httpx.Client, path: str, kind: str) -> None:
    response = client.get(path)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith(kind)
    assert len(response.content) == int(response.headers["content-length"]) > 0


def test_bytes_and_streams(client: httpx.Client) -> None:
    assert len(client.get("/bytes/100000", params={"seed": 1}).content) == 100_000
    streamed = client.get("/stream-bytes/100000", params={"seed": 1, "chunk_size": 700})
    assert streamed.content == client.get("/stream-bytes/100000", params={"seed": 1}).content
    assert [json.loads(line)["id"] for line in client.get("/stream/20").text.splitlines()] == list(range(20))


def test_drip(client: httpx.Client) -> None:
    response = client.get("/drip", params={"duration": 0.05, "numbytes": 20, "delay": 0})
    assert response.content == b"*" * 20


def test_ranges(client: httpx.Client) -> None:
    response = client.get("/range/1000", headers={"Range": "bytes=10-19"})
    assert (response.status_code, response.text) == (206, "klmnopqrst")
    assert client.get("/range/1000", headers={"Range": "bytes=2000-"}).status_code == 416


def test_caching(client: httpx.Client) -> None:
    assert client.get("/cache").status_code == 200
    assert client.get("/cache", headers={"If-None-Match": "x"}).status_code == 304
    assert client.get("/etag/x", headers={"If-None-Match": '"x"'}).status_code == 304
    assert client.get("/etag/x", headers={"If-Match": '"y"'}).status_code == 412
    assert client.get("/cache/60").headers["cache-control"] == "public, max-age=60"
