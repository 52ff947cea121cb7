"""Middleware of today and the bridge together on real servers: a file arrives whole, compressed where it should be."""

from pathlib import Path

import pytest

from tests.conftest import ServerPool
from tests.support.faults import known
from tests.support.middleware import ENCODINGS, MIDDLEWARE, decoded
from tests.support.servers import ASGI_SERVERS, SERVERS, WSGI_SERVERS

CONTENT = b"0123456789abcdef" * 20_000


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files") / "page.txt"
    path.write_bytes(CONTENT)
    return path


@pytest.mark.parametrize("name", [*ASGI_SERVERS, *WSGI_SERVERS])
def test_a_file_goes_through_it(name: str, path: Path, server_pool: ServerPool) -> None:
    app = f"tests.integration.apps.middleware:{SERVERS[name].interface}_app"
    server = server_pool.get(name, app, {"FILE": str(path)})
    headers = {"Accept-Encoding": "gzip, br"}
    if known("close that is announced", name):
        headers["Connection"] = "close"
    with server.client(headers=headers) as client:
        for number, middleware in enumerate(MIDDLEWARE):
            with client.stream("GET", f"/{number}/") as response:
                assert response.status_code == 200, middleware
                raw = b"".join(response.iter_raw())
            encoding = ENCODINGS.get(middleware)
            assert response.headers.get("content-encoding") == encoding, middleware
            assert decoded(raw, encoding) == CONTENT, middleware
    server.assert_no_traceback()
