"""Sentry is sent the local variables of each frame of an error, by default. What of them has a secret of the request?

The server's own frames have what they have: uvicorn's middleware for proxies, hypercorn's tasks, and so on natively.
"""

from pathlib import Path

import pytest

from tests.conftest import StartServer
from tests.support.servers import poll

APPS = "tests.integration.apps.tracked_variables"
#: More of a cookie and a token than a server tells of itself.
HEADERS = {"Cookie": "sessionid=s3cr3t", "Authorization": "Bearer s3cr3t"}


def sent(name: str, app: str, loop: str, start_server: StartServer, directory: Path) -> list[str]:
    """The variables with a secret in them."""
    file = directory / "variables"
    file.touch()
    server = start_server(name, f"{APPS}:{app}", environ={"LOOP": loop, "VARIABLES": str(file)})
    with server.client() as client:
        assert client.post("/", headers=HEADERS, content=b"password=s3cr3t").status_code == 500
    poll(lambda: "kaputt\n" in file.read_text(), 20, lambda: f"Sentry was sent nothing: {server.log()}")
    server.stop()
    return [line for line in file.read_text().splitlines() if line != "kaputt"]


@pytest.mark.parametrize(
    ("name", "app"),
    [
        # Not granian: its log line has the error as text, and no frames.
        ("uvicorn-h11", "wsgi_app_bridged"),
        ("uvicorn-httptools", "flask_app_bridged"),
        ("uvicorn-h11", "flask_site"),
        ("hypercorn", "flask_site"),
        ("daphne", "flask_site"),
    ],
)
def test_a_wsgi_app_on_an_asgi_server(name: str, app: str, start_server: StartServer, tmp_path: Path) -> None:
    """In the frames of the app and the bridge there is none, as on gunicorn."""
    server = name.partition("-")[0]
    found = sent(name, app, "request", start_server, tmp_path)
    assert [variable for variable in found if not variable.startswith(f"{server}.")] == []


@pytest.mark.parametrize(
    ("name", "app", "loop"),
    [
        ("gunicorn-gthread", "starlette_app_bridged", "request"),
        ("gunicorn-gthread", "starlette_site", "shared"),
        ("waitress", "asgi_app_bridged", "request"),
        ("waitress", "starlette_site", "shared"),
    ],
)
def test_an_asgi_app_on_a_wsgi_server(
    name: str, app: str, loop: str, start_server: StartServer, tmp_path: Path
) -> None:
    """None at all; on uvicorn and hypercorn each frame of such an app has them."""
    assert sent(name, app, loop, start_server, tmp_path) == []
