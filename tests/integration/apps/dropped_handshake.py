"""A WSGI app behind bridge that accepts its WebSocket in the moment in which daphne drops the connection (``app``).

daphne does so by a timer, 4 to 5 seconds after the request. Here that is called when the app's accept is on its way to
the loop: the loop finds the accept before it finds the connection lost.
"""

import asyncio
import json
import threading

from bridge import ConnectionClosed, WebSocket, WsgiToAsgi
from bridge.types import Environ, Message, Receive, Scope, Send, StartResponse
from tests.integration.apps.cases import WAIT
from tests.support.websocket_leftovers import leftovers

__all__ = ["app"]

listened = threading.Event()
accepted = threading.Event()


def wsgi_app(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """Accept, and wait for a message. Any other request: what is left of WebSockets."""
    if environ["PATH_INFO"] != "/dropped/x":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [json.dumps(leftovers(adapter)).encode()]
    websocket: WebSocket = environ["wsgi.websocket"]
    assert listened.wait(WAIT)
    websocket.accept()
    accepted.set()
    try:
        websocket.receive()
    except ConnectionClosed as closed:
        print(f"the app was told: {closed.code}", flush=True)
    return []


adapter = WsgiToAsgi(wsgi_app)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    messages: list[Message] = []

    async def receive_and_drop() -> Message:
        if messages:
            # The session listens. The loop stands still here until the app has accepted.
            listened.set()
            assert accepted.wait(WAIT)
            protocol = send.args[0]  # type: ignore[attr-defined]  # daphne's own, of its own class
            asyncio.get_running_loop().call_soon(protocol.onOpenHandshakeTimeout)
        messages.append(await receive())
        return messages[-1]

    await adapter(scope, receive_and_drop if scope["type"] == "websocket" else receive, send)
