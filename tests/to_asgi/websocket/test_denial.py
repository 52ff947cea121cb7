"""An app that refuses a handshake by a response."""

from collections.abc import Iterator

import pytest

from bridge import ApplicationError
from bridge.types import Environ, StartResponse
from tests.support.websockets import (
    closing,
    sent,
    serve,
)

pytestmark = pytest.mark.usefixtures("no_bridge_threads")


def refusing(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    start_response("403 Forbidden", [("Content-Type", "text/plain"), ("X-Why", "no")])
    yield b"not "
    yield b"here"


def test_a_response_is_the_denial() -> None:
    exchange = serve(refusing, denial=True)
    start, body = exchange.messages
    assert start == {
        "type": "websocket.http.response.start",
        "status": 403,
        "headers": [(b"content-type", b"text/plain"), (b"x-why", b"no")],
    }
    # granian takes no second one.
    assert body == {"type": "websocket.http.response.body", "body": b"not here", "more_body": False}


def test_a_long_denial_is_not_held_back() -> None:
    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("403 Forbidden", [])
        for _ in range(1000):
            yield b"x" * 1000

    _, *bodies = serve(app, denial=True).messages
    assert [message["more_body"] for message in bodies] == [True] * (len(bodies) - 1) + [False]
    assert sum(len(message["body"]) for message in bodies) == 1_000_000
    # 256 KiB, the response_buffer as well, and a chunk.
    assert max(len(message["body"]) for message in bodies) <= 2 * 262144 + 1000


def test_a_response_where_the_server_takes_none() -> None:
    exchange = serve(refusing)
    assert closing(exchange) == (1000, "")
    assert len(exchange.messages) == 1


def test_a_refused_handshake_can_t_be_accepted() -> None:
    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"x"
        environ["wsgi.websocket"].accept()

    with pytest.raises(ApplicationError, match="answered the handshake with a response"):
        serve(app, denial=True)


def test_a_generator_that_accepts_while_it_is_iterated() -> None:
    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        environ["wsgi.websocket"].send("x")
        start_response("200 OK", [("Content-Length", "1000")])
        yield b"nobody wants this"

    exchange = serve(app)
    assert sent(exchange) == ["x"]
    assert closing(exchange) == (1000, "")
