"""One ``WsgiToAsgi`` on two uvicorn servers of one process, each with its loop in a thread of its own."""

import threading
from types import TracebackType
from typing import Self

import httpx
import pytest
import uvicorn
from websockets.exceptions import ConnectionClosed as ClientsConnectionClosed
from websockets.sync.client import connect

from bridge import ConnectionClosed, WsgiToAsgi
from bridge.types import Environ, StartResponse
from tests.support.asgi import HANG
from tests.support.servers import poll
from tests.support.threads import bridge_threads, wait_for_no_bridge_threads

pytestmark = pytest.mark.usefixtures("no_bridge_threads")


class Server:
    """uvicorn in a thread."""

    def __init__(self, adapter: WsgiToAsgi) -> None:
        config = uvicorn.Config(adapter, port=0, log_level="warning", lifespan="on", ws="websockets-sansio")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, name="uvicorn")

    def __enter__(self) -> Self:
        self._thread.start()
        poll(lambda: self._server.started, HANG, lambda: "uvicorn has not started")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """As SIGTERM, of which a process has one; to the end."""
        self._server.should_exit = True
        self._thread.join(HANG)
        assert not self._thread.is_alive()

    @property
    def address(self) -> str:
        port: int = self._server.servers[0].sockets[0].getsockname()[1]
        return f"127.0.0.1:{port}"


def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """Echo a WebSocket's messages; or say hello."""
    websocket = environ.get("wsgi.websocket")
    if websocket is None:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"hello"]
    try:
        while True:
            websocket.send(websocket.receive())
    except ConnectionClosed:
        return []


def test_one_that_stops_leaves_the_other_as_it_is() -> None:
    adapter = WsgiToAsgi(app)
    with Server(adapter) as one, Server(adapter) as other:
        with (
            connect(f"ws://{one.address}/", proxy=None) as on_one,
            connect(f"ws://{other.address}/", proxy=None) as on_other,
        ):
            for websocket in (on_one, on_other):
                websocket.send("before")
                assert websocket.recv(HANG) == "before"
            one.stop()
            with pytest.raises(ClientsConnectionClosed) as closed:
                on_one.recv(HANG)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1012
            on_other.send("after")
            assert on_other.recv(HANG) == "after"
        for _ in range(2):
            assert httpx.get(f"http://{other.address}/", trust_env=False, timeout=HANG).text == "hello"
        assert bridge_threads()
    wait_for_no_bridge_threads()
