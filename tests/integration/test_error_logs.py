"""An error that no server sees is in the log that the server or the application keeps: once, and with its request."""

import signal
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import StartServer
from tests.support.faults import known
from tests.support.servers import ASGI_SERVERS, WSGI_SERVERS, RunningServer, poll

APPS = "tests.integration.apps.late_errors"
LOOPS = ("request", "shared")
#: What is in the log of each of the errors: a line that names the request, and a traceback that ends so.
PATHS = {"/boom/a": "kaputt a", "/task": "kaputt task"}


def ask(server: RunningServer, paths: tuple[str, ...] = tuple(PATHS)) -> None:
    for path in paths:
        # A connection for each: uWSGI's --http-socket closes them without saying so.
        with server.client() as client:
            client.get(path)


def told_once(text: str, path: str) -> bool:
    lines = text.splitlines()
    named = [line for line in lines if f"'{path}'" in line and "INFO" not in line]
    return (
        len(named) == 1
        and f"GET '{path}'" in named[0]
        and "ERROR" in named[0]
        # mod_wsgi writes a time of its own before each line.
        and sum(line.endswith(f"ValueError: {PATHS[path]}") for line in lines) == 1
    )


def leave_an_upload(server: RunningServer) -> None:
    """Half a request body, and the client is gone."""
    with server.connect() as connection:
        connection.sendall(b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf")
    if not known("app called before the body's end", server.kind.name):
        server.wait_for_log("it broke off")


# Where the log goes hangs on the server and on the logging, when and where it is written on the server and the loop: of
# each server both pairs are tried, and of one all three together.
@pytest.mark.parametrize(
    ("name", "loop", "logging"),
    [
        *((name, "request", "") for name in WSGI_SERVERS if name != "gunicorn-gevent"),
        *((name, "shared", logging) for name in WSGI_SERVERS for logging in ("basic", "disabled")),
        *(
            ("gunicorn-gthread", *rest)
            for rest in (("request", "basic"), ("request", "disabled"), ("shared", ""))
        ),
        ("gunicorn-gevent", "shared", ""),
    ],
)
def test_an_asgi_app(name: str, loop: str, logging: str, start_server: StartServer) -> None:
    server = start_server(name, f"{APPS}:wsgi", environ={"LOOP": loop, "LOGGING": logging})
    ask(server)
    for error in PATHS.values():
        server.wait_for_log(f"ValueError: {error}")
    leave_an_upload(server)
    server.stop()
    for path in PATHS:
        assert told_once(server.log(), path), server.log()
    # A client that leaves is no error, and an upload that it leaves behind is none.
    assert "ClientLeft" not in server.log()
    assert "ClientDisconnect" not in server.log()


@pytest.mark.parametrize("logging", ["", "disabled"])
@pytest.mark.parametrize("loop", LOOPS)
def test_gunicorns_own_log(loop: str, logging: str, start_server: StartServer, tmp_path: Path) -> None:
    log = tmp_path / "error.log"
    server = start_server(
        "gunicorn-gthread",
        f"{APPS}:wsgi",
        arguments=("--error-logfile", str(log)),
        environ={"LOOP": loop, "LOGGING": logging},
    )

    # dictConfig() closes the handlers that there are: gunicorn's file is no place for wsgi.errors any more.
    def text() -> str:
        return log.read_text() + (server.log() if logging else "")

    ask(server)
    # Of the work after a response too: before 3.12.3 Python 3.12 starts no thread for it at exit.
    poll(lambda: all(f"ValueError: {error}" in text() for error in PATHS.values()), 20, text)
    server.stop()
    for path in PATHS:
        assert told_once(text(), path), text()
    assert logging or "ValueError" not in server.log()


@pytest.mark.parametrize("logging", ["", "basic", "disabled"])
@pytest.mark.parametrize("name", ASGI_SERVERS)
def test_a_wsgi_app_whose_close_fails(name: str, logging: str, start_server: StartServer) -> None:
    server = start_server(name, f"{APPS}:asgi", environ={"LOGGING": logging})
    ask(server, ("/task",))
    server.wait_for_log("ValueError: kaputt task")
    server.stop()
    assert told_once(server.log(), "/task"), server.log()


@pytest.mark.parametrize(
    ("name", "app", "loop"),
    [
        ("uvicorn-h11", "fastapi", ""),
        ("gunicorn-gthread", "wsgi", "request"),
        ("gunicorn-gthread", "wsgi", "shared"),
        ("gunicorn-gthread", "flask_app", ""),
        ("uvicorn-h11", "asgi", ""),
    ],
    ids=["fastapi at home", "fastapi, request", "fastapi, shared", "flask at home", "flask"],
)
def test_sentry_gets_each_error_once_with_its_url(
    name: str, app: str, loop: str, start_server: StartServer
) -> None:
    server = start_server(name, f"{APPS}:{app}", environ={"LOOP": loop or "request", "SENTRY": "1"})
    ask(server)
    for error in PATHS.values():
        server.wait_for_log(f"ValueError: {error}")
    events: list[dict[str, Any]] = []

    def arrived() -> bool:
        # The log may have the error before Sentry has it.
        events[:] = client.get("/events").json()
        return len(events) >= len(PATHS)

    with server.client() as client:
        poll(arrived, 20, lambda: f"Sentry was sent {events}")
    # Each is sent by the thread of its request, and the client is told before.
    events.sort(key=lambda event: str(event["what"]))
    assert events == [{"what": error, "url": f"{server.url}{path}"} for path, error in PATHS.items()]


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(
    ("name", "arguments"),
    [("waitress", ("--channel-request-lookahead", "1")), ("gunicorn-gthread", ()), ("gunicorn-sync", ())],
)
def test_a_client_that_leaves_an_idle_stream(
    name: str, arguments: tuple[str, ...], loop: str, start_server: StartServer
) -> None:
    server = start_server(name, f"{APPS}:wsgi", arguments=arguments, environ={"LOOP": loop})
    with server.connect() as connection:
        connection.sendall(b"GET /idle HTTP/1.1\r\nHost: x\r\n\r\n")
        received = b""
        while b"first" not in received:
            received += connection.recv(65536)
    if name == "waitress":
        server.wait_for_log("INFO:waitress:Client disconnected while serving /idle")
    else:
        # gunicorn's access log has the request when it is over; the sync worker serves no other one before.
        server.wait_for_log("GET /idle") if name == "gunicorn-gthread" else ask(server, ("/events",))
    server.stop()
    server.assert_no_traceback()
    assert "ERROR" not in server.log()


@pytest.mark.parametrize("loop", LOOPS)
def test_a_quick_stop_in_the_work_after_a_response(loop: str, start_server: StartServer) -> None:
    server = start_server("gunicorn-sync", f"{APPS}:wsgi", environ={"LOOP": loop})
    ask(server, ("/long",))
    server.wait_for_log("it sleeps")
    # gunicorn's last word before it closes the response: a signal that came while it sends is an error of its own.
    server.wait_for_log('"GET /long')
    server.process.send_signal(signal.SIGINT)
    assert server.ends_by_itself(30)
    server.assert_no_traceback()
    assert "[ERROR]" not in server.log(), server.log()
