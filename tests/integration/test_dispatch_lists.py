"""``Dispatcher({"/": [new, old]})`` on servers of either kind."""

import hashlib

import pytest
from websockets.sync.client import connect

from tests.conftest import StartServer
from tests.integration.test_dispatcher import DIGEST, MEGABYTE, SERVERS
from tests.support.faults import known

#: One of each way in which a server has a chunked upload.
CHUNKED = ["uvicorn-h11", "gunicorn-sync", "waitress", "cheroot", "granian-wsgi", "uwsgi", "mod_wsgi"]
EMPTY = hashlib.sha256(b"").hexdigest()


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


@pytest.mark.parametrize("name", CHUNKED)
def test_the_next_app_has_a_chunked_upload(start_server: StartServer, name: str) -> None:
    """Also where a server has it elsewhere than in ``wsgi.input``: uWSGI."""
    if known("chunked upload", name):
        pytest.skip("it takes none")
    server = start_server(name, "tests.integration.apps.listed:app")
    with server.client(headers={"Connection": "close"}) as client:  # uWSGI closes it, and does not say so
        for path in ("/upload", "/asgi/upload", "/wsgi/upload"):
            answer = client.post(path, content=iter([MEGABYTE[:10], MEGABYTE[10:]]))
            assert answer.text.strip('"') == DIGEST, path
        assert client.post("/asgi/upload", content=iter([])).text.strip('"') == EMPTY
