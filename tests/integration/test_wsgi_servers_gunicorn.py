"""``AsgiToWsgi`` under gunicorn: what no other server adds to.

Interrupted workers, a startup that fails, Django's synchronous views, TLS, uvloop, asyncio's debug mode.
"""

import concurrent.futures
import json
import re
import signal
import ssl
from pathlib import Path

import psutil
import pytest

from tests.conftest import StartServer
from tests.integration.apps.wsgi_reports import Reports
from tests.support.raw import RawConnection

APP = "tests.integration.apps.wsgi_contract:app"
MEETING = "tests.integration.apps.wsgi_meeting:app"
LOOPS = ("request", "shared")


@pytest.mark.parametrize("loop", LOOPS)
def test_a_worker_that_takes_too_long_is_interrupted(
    loop: str, start_server: StartServer, reports: Reports
) -> None:
    """gunicorn's SIGABRT becomes a SystemExit wherever the thread is: here in the loop, or waiting for one."""
    server = start_server(
        "gunicorn-sync", APP, arguments=("--timeout", "1"), environ=_environ(loop, reports.port)
    )
    with RawConnection(server.connect()) as connection:
        connection.send(_get(f"/deaf?port={reports.port}"))
        assert reports.next().startswith("startup ")
        response = connection.read_start()
        assert connection.read_chunk(response) == b"first"
        assert [reports.next() for _ in range(2)] == ["cancelled", "finally"]
        while connection.read_chunk(response):
            pass
        assert not response.complete
    assert reports.next().startswith("shutdown ")
    with server.client() as client:
        assert client.get("/hello").text == "hello"
    assert reports.next().startswith("startup ")
    server.stop()
    assert reports.next().startswith("shutdown ")


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("name", ["gunicorn-sync", "gunicorn-gthread"])
def test_a_quick_stop_does_not_wait_for_requests(
    name: str, loop: str, start_server: StartServer, reports: Reports
) -> None:
    server = start_server(name, APP, environ=_environ(loop, reports.port))
    with RawConnection(server.connect()) as connection:
        connection.send(_get(f"/deaf?port={reports.port}"))
        assert reports.next().startswith("startup ")
        assert connection.read_chunk(connection.read_start()) == b"first"
        server.process.send_signal(signal.SIGINT)
        ends = [reports.next() for _ in range(2)]
    assert ends == ["cancelled", "finally"]
    assert reports.next().startswith("shutdown ")
    server.process.wait(30)
    server.stop()


def test_synchronous_views_of_django_do_not_wait_for_each_other(start_server: StartServer) -> None:
    """Each of the eight returns only when all are there: in one thread for all, none ever would."""
    server = start_server("gunicorn-gthread", MEETING)

    def ask(number: int) -> tuple[int, str]:
        with server.client(timeout=90.0) as client:
            response = client.get("/meet")
            return response.status_code, response.text

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(8)))
    assert {status for status, _ in answers} == {200}


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(("lifespan", "startup"), [("auto", "fails"), ("on", "raises")])
def test_a_startup_that_fails_fails_each_request_and_is_logged(
    lifespan: str, startup: str, loop: str, start_server: StartServer
) -> None:
    options = {"BRIDGE_OPTIONS": json.dumps({"loop": loop, "lifespan": lifespan}), "STARTUP": startup}
    server = start_server("gunicorn-gthread", APP, environ=options)
    with server.client() as client:
        for _ in range(2):
            response = client.get("/hello")
            assert response.status_code == 500
            assert "MeantError" not in response.text
    log = server.wait_for_log("LifespanError")
    assert "Traceback" in log
    assert "MeantError: in the startup" in log


@pytest.mark.parametrize("loop", LOOPS)
def test_a_worker_stops_whose_startup_never_ends(
    loop: str, start_server: StartServer, reports: Reports
) -> None:
    """Its threads wait for the startup; the end of the interpreter tells it to end."""
    server = start_server(
        "gunicorn-gthread",
        APP,
        arguments=("--graceful-timeout", "1"),
        environ={**_environ(loop, reports.port), "STARTUP": "waits"},
    )
    with RawConnection(server.connect()) as first, RawConnection(server.connect()) as second:
        for connection in (first, second):
            connection.send(_get("/hello"))
        assert reports.next() == "waiting"
        # Not gunicorn as a whole, which kills a worker at the same moment at which that gives up its threads.
        [worker] = psutil.Process(server.process.pid).children()
        worker.terminate()
        assert reports.next() == "cancelled"


@pytest.mark.parametrize("loop", LOOPS)
def test_tls(
    loop: str, start_server: StartServer, certificate: tuple[Path, Path, Path], reports: Reports
) -> None:
    """A TLS socket can't be peeked at; that its client has left is seen all the same."""
    chain, key, root = certificate
    server = start_server(
        "gunicorn-gthread",
        APP,
        arguments=("--certfile", str(chain), "--keyfile", str(key)),
        environ=_environ(loop, 0),
    )
    context = ssl.create_default_context(cafile=root)

    def connect() -> RawConnection:
        return RawConnection(context.wrap_socket(server.connect(), server_hostname=server.host))

    with connect() as connection:
        seen = json.loads(connection.request(_get("/request")).body)
        assert (seen["scheme"], seen["server"]) == ("https", [server.host, server.port])
    with connect() as connection:
        connection.send(_get(f"/deaf?port={reports.port}"))
        assert connection.read_chunk(connection.read_start()) == b"first"
    assert [reports.next() for _ in range(2)] == ["cancelled", "finally"]


@pytest.mark.parametrize("loop", LOOPS)
def test_uvloop(loop: str, start_server: StartServer, reports: Reports) -> None:
    server = start_server("gunicorn-gthread", APP, environ=_environ(loop, 0) | {"UVLOOP": "1"})
    with server.client() as client:
        for _ in range(3):
            assert client.get("/loop").text == "uvloop"
        assert client.post("/upload", content=iter([b"u" * 200_000])).json()[0] == 200_000
        assert client.get("/fail").status_code == 500
    for path in ("/deaf", "/careless"):
        with RawConnection(server.connect()) as connection:
            connection.send(_get(f"{path}?port={reports.port}"))
            assert connection.read_chunk(connection.read_start())
        assert [reports.next() for _ in range(2)] == ["cancelled", "finally"]


@pytest.mark.parametrize("loop", LOOPS)
def test_asyncios_debug_mode_has_nothing_to_say(
    loop: str, start_server: StartServer, reports: Reports
) -> None:
    """Not about what was left, not awaited, called from a wrong thread, or not closed; until the process' end.

    How long a callback took tells what else the machine did.
    """
    debug = {"PYTHONASYNCIODEBUG": "1", "PYTHONWARNINGS": "always"}
    server = start_server("gunicorn-gthread", APP, environ=_environ(loop, 0) | debug)
    with server.client() as client:
        assert client.get("/hello").text == "hello"
        assert client.post("/upload", content=b"u" * 200_000).json()[0] == 200_000
        assert client.post("/unread", content=b"u").text == "unread"
        assert client.get("/fail").status_code == 500
        assert client.get(f"/leftover?port={reports.port}").text == "left"
        if loop == "request":
            assert reports.next() == "leftover ended"
    for path, expected in {
        "/careless": ["cancelled", "finally"],
        "/endless_listening": ["http.disconnect", "finally"],
    }.items():
        with RawConnection(server.connect()) as connection:
            connection.send(_get(f"{path}?port={reports.port}"))
            assert connection.read_chunk(connection.read_start())
        assert [reports.next() for _ in range(2)] == expected
    server.stop()
    log = re.sub(r"^Executing .* took [\d.]+ seconds$", "", server.log(), flags=re.MULTILINE)
    assert "MeantError" in log
    for word in ("Warning", "never", "asyncio", "was destroyed", "Executing", "Error in"):
        assert word not in log, _lines_with(log, word)


def _lines_with(log: str, word: str) -> str:
    return "\n".join(line for line in log.splitlines() if word in line)


def _environ(loop: str, port: int) -> dict[str, str]:
    return {"BRIDGE_OPTIONS": json.dumps({"loop": loop}), "REPORTS": str(port)}


def _get(target: str) -> bytes:
    return f"GET {target} HTTP/1.1\r\nHost: test\r\n\r\n".encode()
