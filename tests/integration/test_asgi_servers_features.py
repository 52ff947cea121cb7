"""``WsgiToAsgi`` on real ASGI servers: files, early hints, unix sockets, TLS, async code inside sync apps."""

import asyncio
import subprocess

import httpx
import pytest

from tests.conftest import ServerPool, StartServer
from tests.integration.cases_server import CASES, start_cases
from tests.support.raw import RawConnection
from tests.support.servers import ASGI_SERVERS, SERVERS, RunningServer

ASYNC_APP = "tests.integration.apps.flask_async_app:app"


@pytest.fixture(scope="module", params=ASGI_SERVERS)
def server(request: pytest.FixtureRequest, server_pool: ServerPool) -> RunningServer:
    return start_cases(server_pool, request.param)


@pytest.fixture(scope="module", params=[False, True], ids=["chunks", "sendfile"])
def files(server: RunningServer, request: pytest.FixtureRequest, server_pool: ServerPool) -> RunningServer:
    """The server; also where it may send files by its own means."""
    return start_cases(server_pool, server.kind.name, sendfile=True) if request.param else server


@pytest.mark.parametrize("size", [0, 16, 160_000, 3_200_000])
def test_file_wrapper_sends_the_whole_file(files: RunningServer, size: int) -> None:
    with files.client() as client:
        response = client.get(f"/file/{size}")
    assert response.headers["x-wrapper"] == "offered"
    assert int(response.headers["content-length"]) == size
    assert response.content == _file(size)


def test_file_wrapper_keeps_a_temporary_file_until_it_is_sent(files: RunningServer) -> None:
    """granian opens the file of ``http.response.pathsend`` after ``send()`` returned; closing this one
    deletes it.
    """
    with files.client() as client:
        for _ in range(40):
            response = client.get("/file/1600")
            assert (response.status_code, response.content) == (200, _file(1600))


def test_file_wrapper_starts_where_the_file_stands(files: RunningServer) -> None:
    """PEP 3333, "Optional Platform-Specific File Handling": transmission begins at the current position."""
    with files.client() as client:
        assert client.get("/file/160000-1000").content == _file(160_000)[1000:]


def test_file_wrapper_without_a_length(files: RunningServer) -> None:
    with files.client() as client:
        assert client.get("/file/160000?no-length").content == _file(160_000)
        assert client.get("/file/160000-1000?no-length").content == _file(160_000)[1000:]


def test_file_wrapper_to_head(files: RunningServer) -> None:
    with files.client() as client:
        response = client.head("/file/160000")
        assert (response.headers["content-length"], response.content) == ("160000", b"")
        assert client.get("/file/16").content == _file(16)


def test_client_that_leaves_while_a_file_is_sent(files: RunningServer) -> None:
    client = files.client()
    with client.stream("GET", "/file/32000000") as response:
        next(response.iter_raw())
        client.close()
    with files.client() as other:
        assert other.get("/file/16").content == _file(16)


def test_early_hints(server: RunningServer) -> None:
    _early_hints(server)


def test_early_hints_on_the_http_2_of_uvicorn(start_server: StartServer) -> None:
    _early_hints(start_server("uvicorn-h2c", CASES), "--data", "body")


def _early_hints(server: RunningServer, *options: str) -> None:
    command = ["curl", "--silent", "--show-error", "--include", "--max-time", "30", "--noproxy", "*"]
    if server.ca_path is not None:
        command += ["--cacert", str(server.ca_path)]
    if server.kind.http == "2":
        command.append("--http2" if server.kind.tls else "--http2-prior-knowledge")
    command += [*options, f"{server.url}/early_hints/x"]
    answer = subprocess.run(command, capture_output=True, check=True).stdout
    offered = server.kind.http == "2"
    assert (b"103" in answer.splitlines()[0]) is offered
    assert (b"link: </style.css>; rel=preload; as=style" in answer.lower()) is offered
    assert answer.endswith(f"hints: {offered}".encode())


def test_address(server: RunningServer) -> None:
    with server.client() as client:
        environ = client.get("/address/x").json()
    # As PEP 3333, "environ Variables", has it: strings, of which SERVER_NAME and SERVER_PORT are never empty.
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("127.0.0.1", str(server.port))
    assert environ["REMOTE_ADDR"] == "127.0.0.1"
    assert int(environ["REMOTE_PORT"]) > 0
    assert environ["SERVER_PROTOCOL"] in ("HTTP/1.1", "HTTP/2")


@pytest.mark.parametrize("name", [name for name in ASGI_SERVERS if SERVERS[name].unix])
def test_unix_socket(name: str, start_server: StartServer) -> None:
    server = start_server(name, CASES, unix=True)
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(server.unix_path)), timeout=30) as client:
        environ = client.get("http://named.example:8080/address/x").json()
        assert client.post("http://named.example/upload/x", content=b"x" * 100_000).json()["size"] == 100_000
    assert environ["SERVER_NAME"]
    assert environ["SERVER_PORT"].isdecimal()


def test_http_1_0(server_pool: ServerPool) -> None:
    for name in ASGI_SERVERS:
        if SERVERS[name].http != "1.1":
            continue
        server = start_cases(server_pool, name)
        with RawConnection(server.connect()) as connection:
            response = connection.request(b"GET /address/x HTTP/1.0\r\n\r\n")
        assert response.complete
        # granian names the version "1" in the scope.
        assert b'"SERVER_PROTOCOL": "HTTP/1.0"' in response.body, name


@pytest.mark.parametrize("name", ASGI_SERVERS)
def test_async_views_share_one_client(name: str, server_pool: ServerPool) -> None:
    """1,000 requests on uvicorn, 100 on the others: with ``async_views="server"`` they all find the server's loop."""
    upstream = server_pool.get("uvicorn-h11", "tests.integration.apps.plain:asgi_app")
    server = server_pool.get(name, ASYNC_APP, {"UPSTREAM": upstream.url})
    count = 1000 if name == "uvicorn-httptools" else 100
    assert asyncio.run(_fetch_all(server, count)) == count
    with server.client() as client:
        assert client.get("/loops").json() == 1


async def _fetch_all(server: RunningServer, count: int) -> int:
    users = asyncio.Semaphore(16)

    async def one(client: httpx.AsyncClient, number: int) -> int:
        async with users:
            response = await client.get(f"/{'async' if number % 2 else 'sync'}/{number}")
        return int(response.text == f"asgi /{number}")

    async with server.async_client() as client, asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(client, number)) for number in range(count)]
    return sum(task.result() for task in tasks)


def _file(size: int) -> bytes:
    return b"".join(b"%015d\n" % number for number in range(size // 16))
