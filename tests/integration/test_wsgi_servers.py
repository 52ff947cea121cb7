"""``AsgiToWsgi`` on real WSGI servers, in both loop modes: requests, responses, errors, lifespan."""

import contextlib
import hashlib
import json
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import ServerPool, StartServer
from tests.integration.apps.wsgi_reports import Reports
from tests.support.faults import hold, known
from tests.support.greenlets import skip_request_loops
from tests.support.raw import RawConnection
from tests.support.servers import SERVERS, WSGI_SERVERS, RunningServer, poll

APP = "tests.integration.apps.wsgi_contract:app"
LOOPS = ("request", "shared")
HANDSHAKE = (
    b"GET /hello HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)

# Who has what PEP 3333 and ASGI leave to the servers.
FILE_WRAPPERS = {
    "gunicorn-sync",
    "gunicorn-gthread",
    "gunicorn-preload",
    "gunicorn-gevent",
    "waitress",
    "wsgiref",
    "uwsgi",
    "mod_wsgi",
}
EARLY_HINTS = {"gunicorn-sync", "gunicorn-gthread", "gunicorn-preload", "gunicorn-gevent"}


@pytest.fixture(scope="module", params=LOOPS)
def loop(request: pytest.FixtureRequest) -> str:
    mode: str = request.param
    return mode


@pytest.fixture(scope="module", params=WSGI_SERVERS)
def server(request: pytest.FixtureRequest, loop: str, server_pool: ServerPool) -> RunningServer:
    skip_request_loops(request.param, loop)
    return server_pool.get(request.param, APP, {"BRIDGE_OPTIONS": json.dumps({"loop": loop})})


def test_hello(server: RunningServer) -> None:
    with _client(server) as client:
        for _ in range(3):
            response = client.get("/hello")
            assert (response.status_code, response.text) == (200, "hello")


def test_head(server: RunningServer) -> None:
    with _client(server) as client:
        response = client.head("/hello")
        assert (response.status_code, response.headers["content-length"], response.content) == (200, "5", b"")
        assert client.get("/hello").text == "hello"


def test_what_the_app_sees_and_the_client_gets(server: RunningServer) -> None:
    with _client(server, cookies={"a": "b", "c": "d"}) as client:
        response = client.get("/request?a=%20&b=caf%C3%A9", headers={b"X-One": b"1", b"X-Two": b"caf\xe9"})
    seen = response.json()
    headers = dict(map(tuple, seen["headers"]))
    assert (seen["type"], seen["method"], seen["scheme"]) == ("http", "GET", "http")
    assert (seen["path"], seen["root_path"], seen["query"]) == ("/request", "", "a=%20&b=caf%C3%A9")
    # Most say the machine's name, or their own, in SERVER_NAME.
    assert seen["server"][0]
    assert seen["server"][1] == server.port
    assert seen["client"][0] == "127.0.0.1"
    assert (headers["x-one"], headers["cookie"]) == ("1", "a=b; c=d")
    hold("request header that is not ASCII", server.kind.name, headers["x-two"], right="caf\xe9")
    assert headers["host"] == f"127.0.0.1:{server.port}"
    assert response.headers.get_list("set-cookie") == ["a=1; Path=/", "b=2; HttpOnly"]
    [latin] = [value for name, value in response.headers.raw if name.lower() == b"x-latin"]
    hold("response header that is not ASCII", server.kind.name, latin, right=b"caf\xe9")


@pytest.mark.parametrize("size", [0, 1, 65_536, 3_000_000])
def test_upload(server: RunningServer, size: int) -> None:
    body = bytes(range(256)) * (size // 256) + b"u" * (size % 256)
    with _client(server) as client:
        answer = client.post("/upload", content=body).json()
    assert answer[:2] == [size, hashlib.sha256(body).hexdigest()]
    assert answer[2] <= 65_536


@pytest.mark.parametrize("parts", [0, 1, 3])
def test_chunked_upload(server: RunningServer, parts: int) -> None:
    body = b"chunk" * 40_000
    with _client(server) as client:
        response = client.post("/upload", content=iter([body] * parts))
    hold("chunked upload", server.kind.name, response.status_code, right=200)
    if response.status_code == 200:
        assert response.json()[:2] == [len(body) * parts, hashlib.sha256(body * parts).hexdigest()]


@pytest.mark.parametrize("size", [10, 300_000])
def test_body_that_is_read_after_the_first_chunk(server: RunningServer, size: int) -> None:
    """cheroot reads the rest of the body when it sends the head, and throws it away."""
    head = f"POST /answer_first HTTP/1.1\r\nHost: test\r\nContent-Length: {size}\r\n\r\n"
    with RawConnection(server.connect()) as connection:
        connection.send(head.encode() + b"b" * size)
        response = connection.read_response()
    assert response.body == f"first http.request {size}".encode()
    assert response.complete


def test_body_that_the_app_does_not_read(server: RunningServer) -> None:
    with _client(server) as client:
        assert client.post("/unread", content=b"i" * 10_000).text == "unread"
    with _client(server) as client:
        assert client.get("/hello").text == "hello"


def test_first_chunk_arrives_before_the_second_is_made(server: RunningServer, reports: Reports) -> None:
    with RawConnection(server.connect()) as connection:
        connection.send(_get(f"/stream?port={reports.port}"))
        response = connection.read_start()
        assert connection.read_chunk(response) == b"first"
        assert reports.next() == "between"
        reports.go()
        while connection.read_chunk(response):
            pass
    assert (response.body, response.complete) == (b"firstsecond", True)


def test_head_arrives_while_the_app_waits(server: RunningServer, reports: Reports) -> None:
    with RawConnection(server.connect()) as connection:
        connection.send(_get(f"/head_first?port={reports.port}"))
        assert reports.next() == "between"
        if known("head before the body", server.kind.name):
            reports.go()
        response = connection.read_start()
        assert response.status == 200
        reports.go()
        while connection.read_chunk(response):
            pass
    assert (response.body, response.complete) == (b"body", True)


def test_event_stream_is_open_before_its_first_event(server: RunningServer, reports: Reports) -> None:
    if fault := known("head before the body", server.kind.name):
        pytest.skip(fault.does)
    with _client(server) as client, client.stream("GET", f"/events?port={reports.port}") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert reports.next() == "waiting"
        reports.go()
        assert response.read() == b"data: first\n\ndata: second\n\n"


def test_error_after_the_head_has_gone_never_looks_like_the_end(
    server: RunningServer, reports: Reports
) -> None:
    with RawConnection(server.connect()) as connection:
        connection.send(_get(f"/head_first_fail?port={reports.port}"))
        assert reports.next() == "between"
        name = server.kind.name
        if known("head before the body", name):
            reports.go()
            assert connection.read_response().status == 500
            return
        response = connection.read_start()
        reports.go()
        while connection.read_chunk(response):
            pass
    assert (response.status, response.body) == (200, b"")
    seen = (response.framing, response.complete)
    hold("end of a response that fails", name, seen, right=("chunked", False))
    server.wait_for_log("MeantError: after the head")


def test_head_arrives_before_the_upload_that_the_app_reads_then(server: RunningServer) -> None:
    name = server.kind.name
    for why in ("head before the body", "body read by the head", "app called before the body's end"):
        if fault := known(why, name):
            pytest.skip(fault.does)
    with RawConnection(server.connect()) as connection:
        connection.send(b"POST /head_first_upload HTTP/1.1\r\nHost: test\r\nContent-Length: 70000\r\n\r\n")
        response = connection.read_start()
        connection.send(b"u" * 70_000)
        while connection.read_chunk(response):
            pass
    assert (response.status, response.body) == (200, b"70000")


@pytest.mark.parametrize("path", ["/fail", "/fail_started", "/nothing"])
def test_error_before_the_first_chunk_is_a_500(server: RunningServer, path: str) -> None:
    with RawConnection(server.connect()) as connection:
        connection.send(_get(path))
        seen: object = "closed without an answer"
        with contextlib.suppress(ConnectionError):
            response = connection.read_response()
            seen = (response.status, response.complete)
            assert b"MeantError" not in response.body
    hold("answer to an error", server.kind.name, seen, right=(500, True))
    with _client(server) as client:
        assert client.get("/hello").text == "hello"
    server.wait_for_log("no http.response.start was sent" if path == "/nothing" else "MeantError")


@pytest.mark.parametrize("path", ["/fail_streaming", "/fail_sized"])
def test_error_in_the_middle_never_looks_like_the_end(
    server: RunningServer, reports: Reports, path: str
) -> None:
    with RawConnection(server.connect()) as connection:
        connection.send(_get(f"{path}?port={reports.port}"))
        response = connection.read_start()
        assert connection.read_chunk(response) == b"half"
        assert reports.next() == "between"
        reports.go()
        while connection.read_chunk(response):
            pass
        assert (response.status, response.body) == (200, b"half")
        seen = (response.framing, response.complete)
        if path == "/fail_streaming":
            hold("end of a response that fails", server.kind.name, seen, right=("chunked", False))
        else:
            assert seen == ("content-length", False)
    server.wait_for_log("MeantError: in the middle")
    with _client(server) as client:
        assert client.get("/hello").text == "hello"


@pytest.mark.parametrize("path", ["/background", "/background_unsized"])
def test_work_after_the_response_comes_after_its_last_byte(
    server: RunningServer, reports: Reports, path: str
) -> None:
    """Also where the app says no length: cheroot and granian end chunks after close()."""
    with RawConnection(server.connect()) as connection:
        # The app waits until this test has the whole response: a work before the last byte would never end.
        response = connection.request(_get(f"{path}?port={reports.port}"))
        assert (response.body, response.complete) == (b"done", True)
    assert reports.next() == "background"
    reports.go()
    assert reports.next() == "background ended"


@pytest.fixture(scope="module", params=[False, True], ids=["bytes", "sendfile"])
def sendfile(request: pytest.FixtureRequest) -> bool:
    asked_for: bool = request.param
    return asked_for


@pytest.fixture(scope="module")
def files(server: RunningServer, loop: str, sendfile: bool, server_pool: ServerPool) -> RunningServer:
    """The server; with ``sendfile`` the one that may send files by its own means."""
    if not sendfile:
        return server
    if server.kind.name not in FILE_WRAPPERS:
        pytest.skip(f"{server.kind.name} has no wsgi.file_wrapper")
    options = json.dumps({"loop": loop, "sendfile": True})
    return server_pool.get(server.kind.name, APP, {"BRIDGE_OPTIONS": options})


@pytest.mark.parametrize("size", [0, 1_000_000])
def test_file(files: RunningServer, sendfile: bool, tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(250)) * (size // 250))
    with _client(files) as client:
        response = client.get("/file", params={"path": str(path)})
        head = client.head("/file", params={"path": str(path)})
    assert (response.status_code, response.content) == (200, path.read_bytes())
    assert response.headers["x-sent-as"] == ("path" if sendfile else "bytes")
    assert response.headers["content-length"] == str(size)
    assert (head.status_code, head.content) == (200, b"")


def test_work_after_a_file(files: RunningServer, tmp_path: Path, reports: Reports) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"f" * 100_000)
    with RawConnection(files.connect()) as connection:
        response = connection.request(_get(f"/file?path={path}&port={reports.port}"))
        assert (response.body, response.complete) == (b"f" * 100_000, True)
    assert reports.next() == "after the file"
    reports.go()


def test_early_hints(server: RunningServer) -> None:
    with RawConnection(server.connect()) as connection:
        response = connection.request(_get("/hints"))
    assert (response.status, response.body) == (200, b"hinted")
    hints = [103] if server.kind.name in EARLY_HINTS else []
    hold("early hints", server.kind.name, response.interim, right=hints)


def test_fields_that_are_the_servers_own(server: RunningServer) -> None:
    """waitress, for one, answers 500 to an application that sets Connection."""
    with RawConnection(server.connect()) as connection:
        response = connection.request(_get("/connection"))
    assert (response.status, response.body, response.complete) == (200, b"connected", True)
    assert "77" not in (response.header("keep-alive") or "")


def test_task_that_is_left_over(server: RunningServer, loop: str, reports: Reports) -> None:
    """It ends with its request, or goes on on the shared loop until that ends."""
    with _client(server) as client:
        assert client.get(f"/leftover?port={reports.port}").text == "left"
        if loop == "request":
            assert reports.next() == "leftover ended"
        assert client.get("/hello").text == "hello"


def test_websocket_handshake_is_refused_with_the_reason(server: RunningServer) -> None:
    with RawConnection(server.connect()) as connection:
        response = connection.request(HANDSHAKE)
    assert (response.status, response.complete) == (501, True)
    assert b"WSGI, which has no WebSocket" in response.body
    server.wait_for_log("a WebSocket handshake for '/hello' was refused")


def test_state_is_copied_into_every_scope(server: RunningServer) -> None:
    with _client(server) as client:
        for _ in range(4):
            state, process = client.get("/state").json()
            assert state == {"process": process}


@pytest.mark.parametrize("name", [name for name in WSGI_SERVERS if SERVERS[name].unix])
def test_unix_socket(name: str, start_server: StartServer) -> None:
    """It has no addresses: where gunicorn says nothing, and waitress its path, uWSGI makes some up."""
    server = start_server(name, APP, unix=True)
    with RawConnection(server.connect()) as connection:
        response = connection.request(_get("/request"))
    seen = json.loads(response.body)
    assert seen["path"] == "/request"
    host, port = seen["server"]
    addresses = (seen["client"], port, host == str(server.unix_path))
    hold("addresses of a unix socket", name, addresses, right=(None, 80, False))


@pytest.mark.parametrize("name", WSGI_SERVERS)
def test_lifespan_runs_once_per_process(
    name: str, loop: str, start_server: StartServer, reports: Reports
) -> None:
    skip_request_loops(name, loop)
    options = {"BRIDGE_OPTIONS": json.dumps({"loop": loop, "lifespan": "on"}), "REPORTS": str(reports.port)}
    server = start_server(name, APP, environ=options)
    processes = set()
    with _client(server) as client:
        for _ in range(8):
            processes.add(client.get("/state").json()[1])
    assert {reports.next() for _ in processes} == {f"startup {process}" for process in processes}
    _let_requests_end(server, "GET /state", 8)
    if known("end by SIGTERM", name):
        server.process.send_signal(signal.SIGINT)
        server.process.wait(30.0)
    server.stop()
    assert {reports.next() for _ in processes} == {f"shutdown {process}" for process in processes}


@pytest.mark.parametrize("name", WSGI_SERVERS)
def test_sigterm_is_no_sudden_death(name: str, start_server: StartServer) -> None:
    """The interpreter ends, so that the lifespan's shutdown runs: ``test_lifespan_runs_once_per_process`` shows it."""
    server = start_server(name, APP)
    with _client(server) as client:
        assert client.get("/hello").text == "hello"
    _let_requests_end(server, "GET /hello", 1)
    status = server.stop()
    seen = "killed by SIGTERM" if status == -signal.SIGTERM else "ended"
    hold("end by SIGTERM", name, seen, right="ended")


def test_close_is_announced(server: RunningServer) -> None:
    """A client may send its next request on a connection of which nothing was said (RFC 9112, section 9.6)."""
    seen = "kept or announced"
    with RawConnection(server.connect()) as connection:
        response = connection.request(_get("/hello"))
        if response.http_version == "1.1" and (response.header("connection") or "").lower() != "close":
            try:
                assert connection.request(_get("/hello")).body == b"hello"
            except ConnectionError:
                seen = "closes without a word"
    hold("close that is announced", server.kind.name, seen, right="kept or announced")


def _let_requests_end(server: RunningServer, line: str, count: int) -> None:
    """Wait until requests that were answered have ended in the server too, where SIGTERM must not find one."""
    if known("SIGTERM beside a request", server.kind.name):
        poll(lambda: server.log().count(line) == count, 20.0, server.log)


def _get(target: str) -> bytes:
    return f"GET {target} HTTP/1.1\r\nHost: test\r\n\r\n".encode()


def _client(server: RunningServer, **options: Any) -> httpx.Client:
    if known("close that is announced", server.kind.name):
        options["headers"] = {"Connection": "close"}
    return server.client(**options)
