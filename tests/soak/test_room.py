"""No room for an upload: a full disk, and no descriptors. It gets 507 and a log line, and nothing else suffers."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.soak.chaos import full_disk, low_descriptors, small_disk, small_disk_missing, worker_of
from tests.soak.heads import beside, of_bridge
from tests.soak.scenarios import App, Work, content
from tests.soak.servers import SERVERS, start, temporary
from tests.support.raw import RawConnection, RawResponse
from tests.support.servers import RunningServer

NAMES = ("uvicorn", "hypercorn", "granian")
LARGE, SMALL = 200_000, 1000
LINE = "POST '/work': the request body can't be kept in a temporary file; its client gets 507: "


def upload(connection: RawConnection, index: int, size: int) -> RawResponse:
    work = Work(App.ECHO, index, up=size, down=0, piece=1)
    head = f"POST {work.target} HTTP/1.1\r\nHost: test\r\nContent-Length: {size}\r\n\r\n"
    return connection.request(head.encode() + content(index, size))


@contextlib.contextmanager
def connected(server: RunningServer) -> Iterator[Callable[[int, int], RawResponse]]:
    """Uploads on connections that are there before anything lacks, as many as a test wants."""
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(RawConnection(server.connect())) for _ in range(6)]
        for number, connection in enumerate(connections):
            # Each is accepted, and has had its first request.
            assert upload(connection, number, SMALL).status == 200
        yield lambda index, size: upload(connections.pop(), index, size)


def check(
    server: RunningServer, lacking: Callable[[], AbstractContextManager[None]], why: str, *, uploads: int
) -> None:
    with RawConnection(server.connect()) as connection:
        assert upload(connection, 0, LARGE).body == content(0, LARGE)
    with connected(server) as send:
        with lacking():
            for index in range(uploads):
                refused = send(index, LARGE)
                assert (refused.status, refused.complete) == (507, True), server.log()
                assert refused.body == b"the server has no room for the request body\n"
                assert not of_bridge(beside(http2=False)).fault(refused.headers)
                assert send(index + 10, SMALL).body == content(index + 10, SMALL)
        assert send(3, LARGE).body == content(3, LARGE)
    log = server.wait_for_log(LINE)
    lines = [line for line in log.splitlines() if LINE in line]
    assert len(lines) == uploads
    assert all(why in line for line in lines)
    server.assert_no_traceback()


@pytest.mark.parametrize("name", NAMES)
def test_no_descriptors(name: str, tmp_path: Path) -> None:
    """One upload: its connection is closed, and another one finds that descriptor."""
    server = start(SERVERS[name], "bridge", tmp_path)
    try:
        check(server, lambda: low_descriptors(worker_of(server), 0), "Too many open files", uploads=1)
    finally:
        server.stop()


@pytest.mark.skipif(small_disk_missing() is not None, reason=str(small_disk_missing()))
@pytest.mark.parametrize("name", NAMES)
def test_a_full_disk(name: str, tmp_path: Path) -> None:
    with small_disk(temporary(tmp_path)):
        server = start(SERVERS[name], "bridge", tmp_path)
        try:
            check(server, lambda: full_disk(temporary(tmp_path)), "No space left on device", uploads=2)
            assert not list(temporary(tmp_path).iterdir())
        finally:
            server.stop()
