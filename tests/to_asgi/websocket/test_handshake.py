"""What the app sees of the handshake."""

import pytest

from bridge.to_asgi.websocket.handshake import handshake_environ
from tests.support.websockets import (
    websocket_scope,
)

pytestmark = pytest.mark.usefixtures("no_bridge_threads")


def test_the_environ_of_a_handshake() -> None:
    environ = handshake_environ(websocket_scope("/chat", scheme="wss", subprotocols=["a", "b"]))
    assert environ["REQUEST_METHOD"] == "GET"
    assert environ["PATH_INFO"] == "/chat"
    assert environ["wsgi.url_scheme"] == "https"
    assert environ["HTTP_UPGRADE"] == "websocket"
    assert environ["HTTP_CONNECTION"] == "Upgrade"
    assert environ["HTTP_SEC_WEBSOCKET_KEY"] == "dGhlIHNhbXBsZSBub25jZQ=="
    assert environ["HTTP_SEC_WEBSOCKET_PROTOCOL"] == "a, b"
    assert "HTTP_SEC_WEBSOCKET_EXTENSIONS" not in environ
    assert environ["wsgi.input"].read() == b""


def test_the_environ_of_a_handshake_over_http_2() -> None:
    """RFC 8441 has no Upgrade and no key; what the app looks for is there all the same."""
    scope = websocket_scope(http_version="2", headers=[])
    environ = handshake_environ(scope)
    assert environ["HTTP_HOST"] == "127.0.0.1:8000"
    assert environ["HTTP_UPGRADE"] == "websocket"
    assert environ["HTTP_SEC_WEBSOCKET_VERSION"] == "13"
    assert len(environ["HTTP_SEC_WEBSOCKET_KEY"]) == 24
    assert environ["HTTP_SEC_WEBSOCKET_KEY"] != handshake_environ(scope)["HTTP_SEC_WEBSOCKET_KEY"]


@pytest.mark.parametrize("field", [(b"content-length", b"5"), (b"transfer-encoding", b"chunked")])
def test_a_handshake_has_no_body_whatever_the_client_says(field: tuple[bytes, bytes]) -> None:
    """Flask and Django would take the empty input for a client that left in the middle."""
    environ = handshake_environ(websocket_scope(headers=[field]))
    assert "CONTENT_LENGTH" not in environ
    assert "HTTP_TRANSFER_ENCODING" not in environ
