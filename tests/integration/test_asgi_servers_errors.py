"""``WsgiToAsgi`` on real ASGI servers: errors of the app, limits, and shutdown."""

import concurrent.futures
import re
import select
from collections.abc import Iterator

import httpx
import pytest

from tests.conftest import ServerPool, StartServer
from tests.integration.cases_server import CASES, new_token, options, start_cases
from tests.support.faults import hold, known
from tests.support.gate import Gate
from tests.support.raw import RawConnection, RawResponse
from tests.support.servers import ASGI_SERVERS, SERVERS, STOP_TIMEOUT, RunningServer

HTTP_1_SERVERS = [name for name in ASGI_SERVERS if SERVERS[name].http == "1.1"]
# Without a lifespan, a server cancels what runs when it is told to stop.
GRACEFUL_SERVERS = [name for name in ASGI_SERVERS if not known("lifespan", name)]

# A server's option for the seconds that it gives to what is open when it is told to stop.
LIMITS = {
    "uvicorn-h11": "--timeout-graceful-shutdown",
    "uvicorn-httptools": "--timeout-graceful-shutdown",
    "hypercorn": "--graceful-timeout",
}

WHOLE_ERRORS = ("before", "before-with-exit", "before-with-stop-iteration", "after-start", "in-first-chunk")
BROKEN_RESPONSES = ("in-body", "in-body-with-length", "in-body-with-exit", "short-body")


@pytest.fixture(scope="module", params=ASGI_SERVERS)
def server(request: pytest.FixtureRequest, server_pool: ServerPool) -> RunningServer:
    return start_cases(server_pool, request.param)


@pytest.fixture
def client(server: RunningServer) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


@pytest.mark.parametrize("failure", WHOLE_ERRORS)
def test_error_before_anything_is_sent_is_a_500(client: httpx.Client, failure: str) -> None:
    """PEP 3333, "The start_response() Callable": until the first chunk nothing has been sent."""
    assert client.get(f"/fail/{failure}").status_code == 500
    assert client.get("/ignore/x").text == "ignored"


@pytest.mark.parametrize("failure", BROKEN_RESPONSES)
def test_error_after_the_start_never_looks_like_a_whole_response(
    client: httpx.Client, server: RunningServer, failure: str
) -> None:
    # Where the connection is reset, the client may not even get to see the head.
    with pytest.raises(httpx.TransportError) as error:
        client.get(f"/fail/{failure}")
    assert not isinstance(error.value, httpx.TimeoutException), "the client had to give up waiting"
    with server.client() as other:
        assert other.get("/ignore/x").text == "ignored"
        # The server still makes a 500 of what fails before the start.
        assert other.get("/fail/before").status_code == 500


def test_errors_are_logged_with_their_traceback(client: httpx.Client, server: RunningServer) -> None:
    client.get("/fail/before")
    server.wait_for_log("RuntimeError: failed before the start")
    with pytest.raises(httpx.TransportError):
        client.get("/fail/in-body")
    log = server.wait_for_log("RuntimeError: failed in the body")
    assert re.search(r"cases\.py.*in _chunks", log)


@pytest.mark.parametrize("name", HTTP_1_SERVERS)
def test_full_backlog_is_a_503(name: str, server_pool: ServerPool) -> None:
    """One thread, one waiting: of three requests one is refused at once, and the other two are served."""
    server = start_cases(server_pool, name, threads=1, backlog=1)
    with Gate() as gate:
        request = f"GET /gate/{gate.port} HTTP/1.1\r\nHost: test\r\n\r\n".encode()
        with (
            RawConnection(server.connect()) as running,
            RawConnection(server.connect()) as second,
            RawConnection(server.connect()) as third,
        ):
            running.send(request)
            gate.wait_for_arrival()
            second.send(request)
            third.send(request)
            refused, waiting = _first_to_answer(second, third)
            refusal = refused.read_response()
            assert refusal.status == 503
            assert refusal.complete
            assert int(refusal.header("retry-after") or "") > 0
            gate.let_through()
            assert _passed(running.read_response())
            gate.wait_for_arrival()
            gate.let_through()
            assert _passed(waiting.read_response())
            # And the one that was refused gets through now.
            with RawConnection(server.connect()) as again:
                assert again.request(b"GET /ignore/x HTTP/1.1\r\nHost: test\r\n\r\n").status == 200
    server.wait_for_log("backlog")


def test_threads_of_one_adapter_are_capped(server_pool: ServerPool) -> None:
    server = start_cases(server_pool, "uvicorn-h11", threads=3)
    with Gate() as gate, concurrent.futures.ThreadPoolExecutor(8) as users, server.client() as client:
        answers = [users.submit(client.get, f"/gate/{gate.port}") for _ in range(8)]
        for _ in range(3):
            gate.wait_for_arrival()
        for _ in range(5):
            gate.let_through()
            gate.wait_for_arrival()
        for _ in range(3):
            gate.let_through()
        assert [answer.result().text for answer in answers] == ["passed"] * 8
        assert 1 <= len(client.get("/threads/x").json()) <= 3


@pytest.mark.parametrize("name", ASGI_SERVERS)
def test_max_body_size_is_a_413(name: str, server_pool: ServerPool) -> None:
    server = start_cases(server_pool, name, max_body_size=1000)
    with server.client() as client:
        assert client.post(f"/upload/{new_token()}", content=b"x" * 1000).json()["size"] == 1000
    # A server that loses the connection over it may lose the answer too, if it comes before the end of the body.
    right = {413, None} if known("upload that is answered early", name) else {413}
    for content in (b"x" * 1001, b"x" * 500_000, iter([b"x" * 600] * 2)):
        with server.client() as client:
            try:
                status = client.post("/upload/over", content=content).status_code
            except httpx.TransportError:
                status = None
        assert status in right
    with server.client() as client:
        assert client.get("/facts/over").json()["started"] == 0


@pytest.mark.parametrize("name", HTTP_1_SERVERS)
def test_max_body_size_answers_before_the_body_where_the_length_tells(
    name: str, server_pool: ServerPool
) -> None:
    if fault := known("app called before the body's end", name):
        pytest.skip(fault.does)
    server = start_cases(server_pool, name, max_body_size=1000)
    with RawConnection(server.connect()) as connection:
        head = b"POST /upload/over HTTP/1.1\r\nHost: test\r\nContent-Length: 1000000\r\n\r\n"
        assert connection.request(head).status == 413


@pytest.mark.parametrize("name", GRACEFUL_SERVERS)
@pytest.mark.parametrize("path", ["gate", "half"])
def test_shutdown_lets_running_requests_finish(name: str, path: str, start_server: StartServer) -> None:
    server = start_server(name, CASES)
    with Gate() as gate, concurrent.futures.ThreadPoolExecutor(1) as user, server.client() as client:
        answer = user.submit(client.get, f"/{path}/{gate.port}")
        gate.wait_for_arrival()
        server.terminate()
        server.wait_until_not_accepting()
        gate.let_through()
        assert answer.result().text == {"gate": "passed", "half": "firstsecond"}[path]
    server.stop()
    server.assert_no_traceback()


@pytest.mark.parametrize("name", ["uvicorn-h11", "uvicorn-httptools", "hypercorn"])
def test_shutdown_ends_an_endless_response(name: str, start_server: StartServer) -> None:
    """Its client does not read, so the app's thread waits; the server gives up on it, and so does the bridge."""
    server = start_server(name, CASES, arguments=(LIMITS[name], "1"))
    with RawConnection(server.connect()) as connection:
        connection.send(b"GET /endless/x HTTP/1.1\r\nHost: test\r\n\r\n")
        assert connection.read_start().status == 200
        _hold_the_end(server, "shutdown beside a client that does not read")


@pytest.mark.parametrize("name", ["uvicorn-h11", "hypercorn"])
def test_shutdown_leaves_an_app_behind_that_does_not_end(name: str, start_server: StartServer) -> None:
    """A thread can't be ended from outside: after ``shutdown_timeout`` the server goes without it."""
    environ = options(shutdown_timeout=0.1)
    server = start_server(name, CASES, arguments=(LIMITS[name], "1"), environ=environ)
    with Gate() as gate, RawConnection(server.connect()) as connection:
        connection.send(f"GET /gate/{gate.port} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        gate.wait_for_arrival()
        if _hold_the_end(server, "shutdown beside an open connection"):
            assert "left a request behind" in server.log()


def _hold_the_end(server: RunningServer, name: str) -> bool:
    """Stop the server, which may not wait for its clients for ever; return whether it has ended by itself."""
    ends = server.ends_by_itself(5.0 if known(name, server.kind.name) else STOP_TIMEOUT)
    hold(name, server.kind.name, "ended" if ends else "had to be killed", right="ended")
    return ends


def _first_to_answer(one: RawConnection, other: RawConnection) -> tuple[RawConnection, RawConnection]:
    readable, _, _ = select.select([one.socket, other.socket], [], [], 30.0)
    assert readable, "neither was answered"
    return (one, other) if readable[0] is one.socket else (other, one)


def _passed(response: RawResponse) -> bool:
    return (response.status, response.body, response.complete) == (200, b"passed", True)
