"""Requests over HTTP/2 that would be another one in HTTP/1: RFC 9113, sections 8.1.1, 8.2 and 10.3.

A proxy that hands HTTP/2 on as HTTP/1 may be fooled by them. Here the server refuses them as malformed; an app, which
has an environ in the form of HTTP/1, gets none.
"""

from collections.abc import Sequence

import h2.config
import h2.connection
import h2.events
import pytest

from tests.conftest import ServerPool
from tests.support.faults import hold
from tests.support.servers import RunningServer

HANG = 30.0
APP = "tests.integration.apps.echo_bridged:app"
PSEUDO = [(":method", "POST"), (":scheme", "http"), (":path", "/"), (":authority", "test")]

Fields = Sequence[tuple[str, str]]
MALFORMED: dict[str, tuple[Fields, bytes]] = {
    "a body longer than its length (8.1.1)": ([*PSEUDO, ("content-length", "2")], b"abc"),
    "a body shorter than its length (8.1.1)": ([*PSEUDO, ("content-length", "9")], b"abc"),
    "lengths that differ (8.1.1)": ([*PSEUDO, ("content-length", "3"), ("content-length", "2")], b"abc"),
    "a transfer coding (8.2.2)": ([*PSEUDO, ("transfer-encoding", "chunked")], b"0\r\n\r\n"),
    "a connection's own (8.2.2)": ([*PSEUDO, ("connection", "x-user"), ("x-user", "evil")], b"abc"),
    "a line break in a value (8.2.1)": ([*PSEUDO, ("x-a", "b\r\nx-user: evil")], b"abc"),
    "NUL in a value (8.2.1)": ([*PSEUDO, ("x-a", "b\0")], b"abc"),
    "a line break in a name (8.2.1)": ([*PSEUDO, ("x-a: b\r\nx-user", "evil")], b"abc"),
    "a blank in a name (8.2.1)": ([*PSEUDO, ("x user", "evil")], b"abc"),
    "a name in upper case (8.2)": ([*PSEUDO, ("X-User", "evil")], b"abc"),
    "a name that is not ASCII (8.2.1)": ([*PSEUDO, ("x-us\xdfer", "evil")], b"abc"),
    "two paths (8.3)": ([*PSEUDO, (":path", "/evil")], b"abc"),
    "an empty path (8.3.1)": ([*PSEUDO[:2], (":path", ""), PSEUDO[3]], b"abc"),
    "a blank in the path (10.3)": ([*PSEUDO[:2], (":path", "/ HTTP/1.1\r\nx-user: evil"), PSEUDO[3]], b"abc"),
    "another host than the authority (8.3.1)": ([*PSEUDO, ("host", "evil")], b"abc"),
    "blanks around a value (8.2.1)": ([*PSEUDO, ("x-a", " evil ")], b"abc"),
    "a path without a slash (8.3.1)": ([*PSEUDO[:2], (":path", "evil"), PSEUDO[3]], b"abc"),
    "a blank in the method (10.3)": ([(":method", "GET /evil HTTP/1.1\r\nx:"), *PSEUDO[1:]], b"abc"),
}


@pytest.fixture(scope="module", params=["hypercorn-h2c", "granian"])
def server(request: pytest.FixtureRequest, server_pool: ServerPool) -> RunningServer:
    """Both take HTTP/2 from a client that begins with it."""
    return server_pool.get(request.param, APP)


def ask(server: RunningServer, fields: Fields, body: bytes) -> tuple[str, bytes]:
    """The status and the body; the status is empty where the stream, or its connection, was broken off."""
    config = h2.config.H2Configuration(
        client_side=True,
        validate_outbound_headers=False,
        normalize_outbound_headers=False,
    )
    http = h2.connection.H2Connection(config)
    http.initiate_connection()
    http.send_headers(1, [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields])
    http.send_data(1, body, end_stream=True)
    status, received = "", b""
    with server.connect(HANG) as connection:
        connection.sendall(http.data_to_send())
        while data := connection.recv(65536):
            for event in http.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived):
                    status = dict(event.headers or ())[b":status"].decode()
                elif isinstance(event, h2.events.DataReceived):
                    received += event.data or b""
                elif isinstance(event, (h2.events.StreamEnded, h2.events.ConnectionTerminated)):
                    return status, received
                elif isinstance(event, h2.events.StreamReset):
                    return "", received
            connection.sendall(http.data_to_send())
    return status, received


def test_the_client_can_ask(server: RunningServer) -> None:
    status, body = ask(server, [*PSEUDO, ("content-length", "3"), ("x-user", "ada")], b"abc")
    assert status == "200"
    assert b'"HTTP_X_USER": "ada"' in body


def test_a_malformed_request_reaches_no_app(server: RunningServer) -> None:
    reached = []
    for name in sorted(MALFORMED):
        status, body = ask(server, *MALFORMED[name])
        # In its own answer the bridge names the target that is no path.
        if status not in {"", "400"} or (not status and b"evil" in body):
            reached.append(name)
    hold("malformed request of HTTP/2", server.kind.name, reached, right=[])
