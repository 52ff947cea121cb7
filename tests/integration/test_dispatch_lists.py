"""``Dispatcher({"/": [new, old]})`` on servers of either kind."""

import hashlib

import pytest
from websockets.sync.client import connect

from tests.conftest import StartServer
from tests.integration.test_dispatcher import MEGABYTE, SERVERS


@pytest.mark.parametrize("name", SERVERS)
def test_the_new_app_first_and_the_old_one_behind_it(start_server: StartServer, name: str) -> None:
    server = start_server(name, "tests.integration.apps.listed:app")
    with server.client() as client:
        assert client.get("/page").json() == "new"
        assert client.get("/old-page").text == "old"
        assert client.post("/upload", content=MEGABYTE).text == hashlib.sha256(MEGABYTE).hexdigest()
        assert "<title>404 Not Found</title>" in client.get("/nowhere").text, "the last one's answer counts"
    if server.kind.interface == "asgi":
        for kind in ("new", "old"):
            with connect(f"ws://{server.host}:{server.port}/{kind}-socket", proxy=None) as websocket:
                assert websocket.recv() == kind
