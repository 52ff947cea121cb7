"""Both adapters in one chain, on real servers: the innermost app has what it has at home."""

import pytest

from tests.conftest import ServerPool
from tests.support.faults import hold, known
from tests.support.servers import ASGI_SERVERS, WSGI_SERVERS, poll

WSGI = "tests.integration.apps.chains:wsgi_app"
ASGI = "tests.integration.apps.chains:asgi_app"


@pytest.mark.parametrize(("mount", "secret"), [("/old", False), ("/site/part", True)])
@pytest.mark.parametrize("name", [name for name in WSGI_SERVERS if "gevent" not in name])
def test_a_wsgi_app_below_an_asgi_app_below_a_wsgi_server(
    name: str, mount: str, secret: bool, server_pool: ServerPool
) -> None:
    server = server_pool.get(name, WSGI)
    headers = {"X-Secret": "1"}
    if known("close that is announced", name):
        headers["Connection"] = "close"
    with server.client(headers=headers) as client:
        seen = client.post(f"{mount}/who", content=b"body").raise_for_status().json()
    assert seen == {
        "user": ["ada", "Basic"],
        "multiprocess": True,
        "errors": True,
        "software": True,
        "path": [mount, "/who"],
        "body": "body",
        "taken away": secret,
    }
    server.wait_for_log("a line of the inner app")


@pytest.mark.parametrize("mount", ["/direct", "/site/part"])
@pytest.mark.parametrize("name", ASGI_SERVERS)
def test_an_asgi_app_below_a_wsgi_app_below_an_asgi_server(
    name: str, mount: str, server_pool: ServerPool
) -> None:
    server = server_pool.get(name, ASGI)
    with server.client() as client:
        seen = client.get(f"{mount}/scope").raise_for_status().json()
        assert (seen["changed"], seen["moved"]) == ([], [])
        assert seen["user"] == "ada"
        assert seen["path"] == [mount, f"{mount}/scope"]
        assert seen["url"] == f"{server.url}{mount}/scope"
        hold("lifespan", name, seen["state"], right=["inner", "outer"], wrong=["inner"])
        with server.client() as leaving, leaving.stream("GET", f"{mount}/endless") as response:
            assert next(response.iter_raw()) == b"first"
        poll(lambda: bool(client.get(f"{mount}/left").json()), 30.0, lambda: "the app did not hear of it")
    server.assert_no_traceback()
