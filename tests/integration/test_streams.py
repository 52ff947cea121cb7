"""Streams of one connection over HTTP/2: one that ends badly leaves the others alone."""

import pytest

from tests.conftest import ServerPool
from tests.integration.cases_server import start_cases
from tests.support.http2 import Http2Connection
from tests.support.servers import RunningServer

HANG = 30.0


@pytest.fixture(scope="module")
def server(server_pool: ServerPool) -> RunningServer:
    """At its end nothing is left that keeps it from ending."""
    return start_cases(server_pool, "hypercorn-h2c")


@pytest.mark.parametrize("failure", ["in-body", "in-body-with-length", "in-body-with-exit", "short-body"])
def test_a_response_that_breaks_off_ends_its_stream_alone(server: RunningServer, failure: str) -> None:
    """RFC 9113, section 5.4.2; natively hypercorn leaves the stream open, and its client waiting."""
    with Http2Connection(server.connect(HANG)) as connection:
        waiting = connection.post(f"/upload/{failure}")
        for _ in range(3):
            broken = connection.get(f"/fail/{failure}")
            connection.wait_for(broken)
            assert broken.status == 200
            assert not broken.complete
        connection.send(waiting, b"x" * 100, end=True)
        connection.wait_for(waiting)
        assert waiting.complete
        assert waiting.status == 200
