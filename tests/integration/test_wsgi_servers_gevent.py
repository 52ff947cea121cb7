"""``AsgiToWsgi`` where greenlets have replaced threads: gunicorn's gevent worker. What is said of it runs on its own
loop in the other tests of WSGI servers; here is what is different."""

import concurrent.futures
import contextlib
import socket
from collections.abc import Iterator

import pytest

from tests.conftest import StartServer
from tests.integration.apps.greenlets import MEETING
from tests.support.servers import RunningServer

APP = "tests.integration.apps.greenlets"
NOTE = "gevent has replaced the threads of this process by greenlets"


@pytest.fixture
def server(start_server: StartServer) -> RunningServer:
    return start_server("gunicorn-gevent", f"{APP}:plain")


def ask(server: RunningServer, path: str, times: int) -> list[str]:
    def one(_: int) -> str:
        with server.client(timeout=60.0) as client:
            return client.get(path).raise_for_status().text

    with concurrent.futures.ThreadPoolExecutor(times) as pool:
        return list(pool.map(one, range(times)))


@pytest.mark.parametrize("path", ["/meet", "/meet_in_threads"])
def test_requests_wait_for_each_other_and_all_are_answered(server: RunningServer, path: str) -> None:
    for _ in range(3):
        assert len(ask(server, path, MEETING)) == MEETING
    server.stop()
    assert server.log().count(NOTE) == 1
    assert "Traceback" not in server.log()


def test_an_app_that_was_imported_before_threads_were_replaced(start_server: StartServer) -> None:
    """anyio's threads don't work then, nor others' that have a threading.local; what the bridge has does."""
    server = start_server("gunicorn-gevent", f"{APP}:plain", arguments=("--preload",))
    assert len(ask(server, "/meet", MEETING)) == MEETING
    server.stop()
    assert server.log().count(NOTE) == 1
    assert "Traceback" not in server.log()


def test_streams_and_uploads_at_once(server: RunningServer) -> None:
    expected = "".join(f"{number}," for number in range(20))

    def upload(_: int) -> int:
        with server.client(timeout=60.0) as client:
            size: int = client.post("/upload", content=iter([b"u" * 50_000] * 20)).json()
            return size

    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        uploads = [pool.submit(upload, number) for number in range(10)]
        assert ask(server, "/stream", 10) == [expected] * 10
        assert [job.result() for job in uploads] == [1_000_000] * 10
    server.stop()
    assert "Traceback" not in server.log()


@contextlib.contextmanager
def one_that_blocks(server: RunningServer) -> Iterator["concurrent.futures.Future[list[str]]"]:
    """A request whose sync view waits in a socket until the end of the block."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(30)
            blocked = pool.submit(ask, server, f"/blocks?port={listener.getsockname()[1]}", 1)
            connection, _ = listener.accept()
        with connection:
            connection.settimeout(30)
            assert connection.recv(10) == b"blocks"
            yield blocked
        blocked.exception(30)


def test_sync_code_that_blocks_lets_the_others_run(server: RunningServer) -> None:
    with server.client() as client, one_that_blocks(server) as blocked:
        assert client.get("/sync").status_code == 200
        assert not blocked.done()
    assert blocked.result() == ['""']


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/sync", '"no loop"'),
        ("/own_loop", '"ran ran"'),
        ("/sync_to_async", '"no loop ran"'),
        ("/many_threads", '["no loop"' + ',"no loop"' * 9 + "]"),
    ],
)
def test_sync_code_is_in_no_loop(server: RunningServer, path: str, answer: str) -> None:
    for _ in range(2):
        assert ask(server, path, 1) == [answer]
    assert set(ask(server, "/sync_to_async", 20)) == {'"no loop ran"'}


def test_who_asks_for_a_loop_for_each_request_is_told(start_server: StartServer) -> None:
    server = start_server("gunicorn-gevent", f"{APP}:explicit")
    with server.client() as client:
        for _ in range(2):
            assert client.get("/sync").status_code == 500
    server.wait_for_log("gevent runs several requests in one thread by turns")
    assert "loop='shared'" in server.log()
    assert NOTE not in server.log()


def test_a_loop_that_would_stop_all_greenlets_is_refused(start_server: StartServer) -> None:
    server = start_server("gunicorn-gevent", f"{APP}:with_uvloop")
    with server.client() as client:
        for _ in range(2):
            assert client.get("/sync").status_code == 500
    server.wait_for_log("Leave out the loop_factory")
