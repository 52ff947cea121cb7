"""An error that the server logs is logged in the app's context: with the ids of the app, and for Sentry once."""

import contextlib
from typing import Any

import httpx
import pytest

from tests.conftest import StartServer
from tests.support.servers import RunningServer, poll

APPS = "tests.integration.apps.tracked_errors"
PATHS = ("/first", "/middle")


def fail(server: RunningServer, prefix: str = "") -> list[dict[str, Any]]:
    """Have the app fail in both ways, each logged once by the server; return what is to be tracked of it."""
    for path in PATHS:
        with server.client() as client, contextlib.suppress(httpx.RemoteProtocolError):
            assert client.get(prefix + path).status_code == 500
        server.wait_for_log(f"ValueError: kaputt {path}")
    return [
        {"what": f"kaputt {path}", "method": "GET", "url": f"{server.url}{prefix}{path}"} for path in PATHS
    ]


def tracked(server: RunningServer, prefix: str = "", *, at_least: int = len(PATHS)) -> tuple[list[Any], str]:
    """What Sentry was sent of it, and the id that one more request finds."""
    events: list[Any] = []
    known = ""

    def arrived() -> bool:
        nonlocal known
        # The log may have an error before Sentry has it.
        with server.client() as client:
            events[:], known = client.get(f"{prefix}/events").json()
        events[:] = [event for event in events if "kaputt" in event["what"]]
        return len(events) >= at_least

    poll(arrived, 20, lambda: f"Sentry was sent {events}")
    return events, known


@pytest.mark.parametrize(
    ("name", "app", "prefix"),
    [
        # At home.
        ("uvicorn-h11", "asgi_middleware", ""),
        ("gunicorn-gthread", "wsgi_middleware", ""),
        # A WSGI app on an ASGI server. Not granian, whose log line Sentry takes for another error, and not daphne for
        # /first, which logs it in a task of its own: both do so at home too.
        ("uvicorn-h11", "wsgi_middleware_bridged", ""),
        ("uvicorn-h11", "flask_app_bridged", ""),
        ("hypercorn", "wsgi_middleware_bridged", ""),
        # Both, side by side.
        ("uvicorn-h11", "site", "/wsgi"),
        ("uvicorn-h11", "site", ""),
        ("gunicorn-gthread", "site", "/wsgi"),
    ],
)
def test_it_is_tracked_once_with_its_request(
    name: str, app: str, prefix: str, start_server: StartServer
) -> None:
    server = start_server(name, f"{APPS}:{app}")
    expected = fail(server, prefix)
    events, known = tracked(server, prefix)
    assert events == expected
    # The next request finds nothing of those that failed. At home a WSGI app's own would be there.
    bridged = app.endswith("_bridged") or (name, prefix) == ("uvicorn-h11", "/wsgi")
    assert known == "none" or not bridged
    server.stop()
    lines = server.log().splitlines()
    for path in PATHS:
        assert sum(line.endswith(f"ValueError: kaputt {path}") for line in lines) == 1
        assert sum("ERROR" in line and f"<{path}>" in line for line in lines) == 1, server.log()


@pytest.mark.parametrize(
    ("name", "logger", "loop", "app"),
    [
        ("gunicorn-gthread", "gunicorn.error", "request", "asgi_middleware_bridged"),
        ("gunicorn-gthread", "gunicorn.error", "shared", "asgi_middleware_bridged"),
        ("gunicorn-gthread", "gunicorn.error", "request", "site"),
        ("gunicorn-gthread", "gunicorn.error", "shared", "site"),
        ("waitress", "waitress", "request", "asgi_middleware_bridged"),
    ],
)
def test_of_an_asgi_app_once_if_sentry_ignores_the_servers_logger(
    name: str, logger: str, loop: str, app: str, start_server: StartServer
) -> None:
    """That line is not logged in the app's context: the server's thread goes on to another request."""
    server = start_server(name, f"{APPS}:{app}", environ={"LOOP": loop, "IGNORE": logger})
    expected = fail(server)
    events, known = tracked(server)
    assert events == expected
    assert known == "none"


def test_of_an_asgi_app_twice_if_it_does_not(start_server: StartServer) -> None:
    """What the guide says of it; the second event knows of no request."""
    server = start_server("gunicorn-gthread", f"{APPS}:asgi_middleware_bridged")
    expected = fail(server)
    events, _ = tracked(server, at_least=2 * len(PATHS))
    seconds = [{"what": event["what"], "method": None, "url": None} for event in expected]
    assert sorted(map(str, events)) == sorted(map(str, [*expected, *seconds]))
