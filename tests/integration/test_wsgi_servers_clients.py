"""``AsgiToWsgi`` on real WSGI servers, in both loop modes: clients that leave, and uploads as they arrive."""

import contextlib
import json
import socket
import struct
from collections.abc import Iterator

import pytest

from bridge.to_wsgi.client import PROBE_INTERVAL
from tests.conftest import ServerPool, StartServer
from tests.integration.apps.wsgi_reports import Reports
from tests.support.faults import hold, known
from tests.support.greenlets import skip_request_loops
from tests.support.raw import RawConnection
from tests.support.servers import WSGI_SERVERS, RunningServer, poll

APP = "tests.integration.apps.wsgi_contract:app"
LOOPS = ("request", "shared")
# The servers that show the connection to the app, by which alone an idle client's leaving can be seen, and
# what they want for it on their command line.
SHOWS_CONNECTION = {
    "gunicorn-sync": (),
    "gunicorn-gthread": (),
    "gunicorn-gevent": (),
    # By default it does not look at a connection while the app is at work.
    "waitress": ("--channel-request-lookahead", "1"),
}
BROKEN_UPLOADS = {
    "sized": b"Content-Length: 9\r\n\r\nabcdefgh",
    "chunked": b"Transfer-Encoding: chunked\r\n\r\n8\r\nabcdefgh\r\n",
}


MEBIBYTE = 1024 * 1024
#: What a response may have ahead of its client; waitress keeps 16 MiB of one itself (its outbuf_high_watermark), and
#: the allocator some of what it has kept.
AHEAD = {"waitress": 40 * MEBIBYTE}


@pytest.fixture(scope="module", params=LOOPS)
def loop(request: pytest.FixtureRequest) -> str:
    mode: str = request.param
    return mode


@pytest.fixture(scope="module", params=WSGI_SERVERS)
def server(request: pytest.FixtureRequest, loop: str, server_pool: ServerPool) -> RunningServer:
    skip_request_loops(request.param, loop)
    return server_pool.get(request.param, APP, {"BRIDGE_OPTIONS": json.dumps({"loop": loop})})


def test_client_that_leaves_ends_the_app(server: RunningServer, reports: Reports) -> None:
    with RawConnection(server.connect()) as connection:
        connection.send(_get(f"/endless?port={reports.port}"))
        assert connection.read_chunk(connection.read_start())
    assert reports.next() in ("cancelled", "send() raised")
    assert reports.next() == "finally"
    _still_serves(server)


def test_client_that_does_not_read_costs_no_memory(server: RunningServer, reports: Reports) -> None:
    """The app could send without end; what it has ahead of the client is 64 KiB, and what the server keeps."""
    for _ in range(2):
        before = _resident_of_a_download(server, reports, 4 * MEBIBYTE)
    grown = _resident_of_a_download(server, reports, 64 * MEBIBYTE) - before
    assert grown < AHEAD.get(server.kind.name, 4 * MEBIBYTE), f"{grown} bytes more after 64 MiB"
    _still_serves(server)


def test_client_that_leaves_is_a_disconnect_to_who_listens(server: RunningServer, reports: Reports) -> None:
    with RawConnection(server.connect()) as connection:
        connection.send(_get(f"/endless_listening?port={reports.port}"))
        assert connection.read_chunk(connection.read_start())
    assert reports.next() == "http.disconnect"
    assert reports.next() == "finally"
    _still_serves(server)


def test_app_that_neither_sends_nor_listens_any_more_is_cancelled(
    server: RunningServer, reports: Reports
) -> None:
    """Its server has closed the response, being unable to write: the app can learn of it in no other way."""
    with RawConnection(server.connect()) as connection:
        connection.send(_get(f"/careless?port={reports.port}"))
        assert connection.read_chunk(connection.read_start())
    assert reports.next() == "cancelled"
    assert reports.next() == "finally"
    _still_serves(server)


@pytest.mark.parametrize("name", SHOWS_CONNECTION)
def test_client_that_leaves_while_nothing_is_written(
    name: str, loop: str, start_server: StartServer, reports: Reports
) -> None:
    """On the servers that show the connection: there is no write by which the others could notice.

    An event stream, an app that does not listen, and a long poll.
    """
    skip_request_loops(name, loop)
    assert PROBE_INTERVAL < 1
    options = {"BRIDGE_OPTIONS": json.dumps({"loop": loop})}
    server = start_server(name, APP, arguments=SHOWS_CONNECTION[name], environ=options)
    with RawConnection(server.connect()) as connection:
        connection.send(_get(f"/idle?port={reports.port}"))
        assert connection.read_chunk(connection.read_start()) == b"data: first\n\n"
    assert reports.next() == "http.disconnect"
    assert reports.next() == "finally"
    with RawConnection(server.connect()) as connection:
        connection.send(_get(f"/deaf?port={reports.port}"))
        assert connection.read_chunk(connection.read_start()) == b"first"
    assert reports.next() == "cancelled"
    assert reports.next() == "finally"
    with RawConnection(server.connect()) as connection:
        connection.send(_get(f"/poll?port={reports.port}"))
        assert reports.next() == "waiting"
    assert reports.next() == "http.disconnect"
    _still_serves(server)


@pytest.mark.parametrize("framing", BROKEN_UPLOADS)
def test_upload_that_breaks_off_is_never_whole(server: RunningServer, reports: Reports, framing: str) -> None:
    name = server.kind.name
    if framing == "chunked" and (fault := known("chunked upload", name)):
        pytest.skip(fault.does)
    with RawConnection(server.connect()) as connection:
        connection.send(f"POST /upload?port={reports.port} HTTP/1.1\r\nHost: test\r\n".encode())
        connection.send(BROKEN_UPLOADS[framing])
    if known("app called before the body's end", name):
        # This one was not called.
        whole = f"POST /upload?port={reports.port} HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n"
        with RawConnection(server.connect()) as connection:
            connection.request(whole.encode())
        assert reports.next() == "whole"
        assert reports.is_empty()
        return
    seen = reports.next()
    if framing == "chunked":
        hold("chunked upload that breaks off", name, seen, right="disconnect")
    else:
        assert seen == "disconnect"
    _still_serves(server)


def test_upload_reaches_the_app_as_it_arrives(server: RunningServer, reports: Reports) -> None:
    with _half_an_upload(server, reports) as connection:
        connection.send(b"u" * (70_000 - 65_536))
        assert connection.read_response().body == b"70000"


def test_upload_whose_connection_is_reset_is_never_whole(server: RunningServer, reports: Reports) -> None:
    """A client that closes is an end of the body on most servers, and one that resets is an error."""
    with _half_an_upload(server, reports) as connection:
        # Seconds to linger: none, so that closing resets.
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    while (report := reports.next()) != "disconnect":
        assert report.startswith("read ")
    _still_serves(server)


@contextlib.contextmanager
def _half_an_upload(server: RunningServer, reports: Reports) -> Iterator[RawConnection]:
    """A connection on which 65,536 of 70,000 bytes were sent and read."""
    if fault := known("app called before the body's end", server.kind.name):
        pytest.skip(fault.does)
    with RawConnection(server.connect()) as connection:
        head = (
            f"POST /slow_upload?port={reports.port} HTTP/1.1\r\nHost: test\r\nContent-Length: 70000\r\n\r\n"
        )
        connection.send(head.encode() + b"u" * 65_536)
        read = 0
        while read < 65_536:
            read = int(reports.next().removeprefix("read "))
        yield connection


def _resident_of_a_download(server: RunningServer, reports: Reports, size: int) -> int:
    """Read ``size`` bytes of an endless download, then nothing; return the resident memory when the server waits."""
    with RawConnection(server.connect()) as connection:
        connection.send(_get(f"/endless?port={reports.port}"))
        while size > 0:
            data = connection.socket.recv(MEBIBYTE)
            assert data, "the response ended"
            size -= len(data)
        looks: list[float] = []
        began = server.rss()

        def waits() -> bool:
            assert server.rss() - began < 256 * MEBIBYTE, "it fills the memory"
            looks.append(sum(sum(process.cpu_times()[:2]) for process in server.processes()))
            return len(looks) >= 10 and looks[-1] == looks[-10]

        poll(waits, 30.0, lambda: f"it goes on: {looks[-10:]}")
        resident = server.rss()
    assert reports.next() in ("cancelled", "send() raised")
    assert reports.next() == "finally"
    return resident


def _still_serves(server: RunningServer) -> None:
    with RawConnection(server.connect()) as connection:
        assert connection.request(_get("/hello")).body == b"hello"


def _get(target: str) -> bytes:
    return f"GET {target} HTTP/1.1\r\nHost: test\r\n\r\n".encode()
