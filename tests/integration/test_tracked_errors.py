"""An error that the server logs is logged in the app's context: with the ids of the app, and for Sentry once."""

import contextlib

import httpx
import pytest

from tests.conftest import StartServer

APPS = "tests.integration.apps.tracked_errors"
PATHS = ("/first", "/middle")


@pytest.mark.parametrize(
    ("name", "app"),
    [
        # At home.
        ("uvicorn-h11", "asgi_middleware"),
        ("gunicorn-gthread", "wsgi_middleware"),
        # A WSGI app on an ASGI server. Not granian, whose log line Sentry takes for another error, and not daphne for
        # /first, which logs it in a task of its own: both do so at home too.
        ("uvicorn-h11", "wsgi_middleware_bridged"),
        ("uvicorn-h11", "flask_app_bridged"),
        ("hypercorn", "wsgi_middleware_bridged"),
    ],
)
def test_it_is_tracked_once_with_its_request(name: str, app: str, start_server: StartServer) -> None:
    server = start_server(name, f"{APPS}:{app}")
    for path in PATHS:
        with server.client() as client, contextlib.suppress(httpx.RemoteProtocolError):
            assert client.get(path).status_code == 500
        server.wait_for_log(f"ValueError: kaputt {path}")
    with server.client() as client:
        events, known = client.get("/events").json()
    tracked = [event for event in events if "kaputt" in event["what"]]
    assert tracked == [
        {"what": f"kaputt {path}", "method": "GET", "url": f"{server.url}{path}"} for path in PATHS
    ]
    # The next request finds nothing of those that failed. At home a WSGI app's own would be there.
    assert known == "none" or not app.endswith("_bridged")
    server.stop()
    lines = server.log().splitlines()
    for path in PATHS:
        assert sum(line.endswith(f"ValueError: kaputt {path}") for line in lines) == 1
        assert sum("ERROR" in line and f"<{path}>" in line for line in lines) == 1, server.log()
