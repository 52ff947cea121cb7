"""The environ of a WebSocket handshake."""

import base64
import os
from io import BytesIO

from ...mapping.environ import build_environ
from ...types import Environ, Scope

__all__ = ["handshake_environ"]


def handshake_environ(scope: Scope) -> Environ:
    """The environ of a WebSocket handshake, in the form that it has on HTTP/1.1 (RFC 6455, section 4.2.1).

    Over HTTP/2 (RFC 8441) a handshake has no key and no Upgrade, and some servers keep them to themselves. Frameworks
    and libraries look for them. Extensions such as compression are between the client and the server.

    Raises:
        ValueError: the request target is not a path, or a header's name is none.
    """
    environ = build_environ(scope)
    environ["REQUEST_METHOD"] = "GET"
    environ["HTTP_UPGRADE"] = "websocket"
    environ["HTTP_CONNECTION"] = "Upgrade"
    environ["HTTP_SEC_WEBSOCKET_VERSION"] = "13"
    environ.setdefault("HTTP_SEC_WEBSOCKET_KEY", base64.b64encode(os.urandom(16)).decode())
    environ.setdefault("HTTP_HOST", f"{environ['SERVER_NAME']}:{environ['SERVER_PORT']}")
    environ.pop("HTTP_SEC_WEBSOCKET_EXTENSIONS", None)
    # It has no body, whatever the client says: an app that believed it would miss the rest.
    environ.pop("CONTENT_LENGTH", None)
    environ.pop("HTTP_TRANSFER_ENCODING", None)
    if scope.get("subprotocols"):
        environ["HTTP_SEC_WEBSOCKET_PROTOCOL"] = ", ".join(scope["subprotocols"])
    environ["wsgi.input"] = BytesIO()
    return environ
