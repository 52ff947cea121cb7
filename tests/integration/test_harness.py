"""The harness itself: every server of the table starts, answers and ends, and a broken response is seen as
one.
"""

import asyncio
import concurrent.futures
import os
import re
import shlex
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from bridge.types import Receive, Scope, Send
from tests.conftest import StartServer
from tests.support.asgi import Exchange, call_asgi, http_scope
from tests.support.gate import Gate, pass_gate
from tests.support.raw import RawConnection
from tests.support.servers import ASGI_SERVERS, REPOSITORY, SERVERS, WSGI_SERVERS, start
from tests.support.threads import bridge_threads, wait_for_no_bridge_threads

APPS = "tests.integration.apps.plain"
REQUEST = b"GET /x HTTP/1.1\r\nHost: test\r\n\r\n"


@pytest.mark.parametrize("name", [*ASGI_SERVERS, *WSGI_SERVERS])
def test_server_starts_answers_and_ends(name: str, start_server: StartServer) -> None:
    interface = SERVERS[name].interface
    server = start_server(name, f"{APPS}:{interface}_app")
    with server.client() as client:
        response = client.get("/x")
    assert (response.status_code, response.text) == (200, f"{interface} /x")
    assert (response.http_version == "HTTP/2") == (server.kind.http == "2")
    server.stop()
    assert not server.processes()


@pytest.mark.parametrize("name", [name for name, kind in SERVERS.items() if kind.unix])
def test_server_on_a_unix_socket(name: str, start_server: StartServer) -> None:
    interface = SERVERS[name].interface
    server = start_server(name, f"{APPS}:{interface}_app", unix=True)
    with RawConnection(server.connect()) as connection:
        response = connection.request(REQUEST)
    assert (response.status, response.body) == (200, f"{interface} /x".encode())


def test_server_that_can_not_start_fails_with_its_log(start_server: StartServer) -> None:
    with pytest.raises(AssertionError, match=r"(?s)ended with [1-9].*missing_app"):
        start_server("uvicorn-h11", f"{APPS}:missing_app")


def test_a_test_that_fails_shows_the_logs_of_its_servers(tmp_path: Path) -> None:
    failing = tmp_path / "test_failing.py"
    failing.write_text(
        f"def test_it(start_server):\n"
        f"    server = start_server('wsgiref', '{APPS}:wsgi_app')\n"
        f"    assert server.process is None\n"
        f"def test_another(start_server):\n"
        f"    raise LookupError\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", str(failing)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 1, done.stdout
    assert done.stdout.count(f" log of <wsgiref serving {APPS}:wsgi_app at ") == 1


def test_what_a_server_leaves_behind_is_killed_and_reported(tmp_path: Path) -> None:
    server = start("wsgiref", "tests.integration.apps.orphan:wsgi_app", tmp_path)
    with pytest.raises(AssertionError, match=r"had to be killed.*sleep"):
        server.stop(timeout=1.0)
    assert not server.processes()


def test_a_run_in_the_background_interrupts_its_servers_all_the_same() -> None:
    """A shell without job control has SIGINT ignored there; see ``tests/conftest.py``."""
    interrupting = "tests/cli/test_serve.py::test_interrupted_while_the_app_is_imported[--server uvicorn]"
    ignored = ("sh", "-c", 'trap "" INT; exec "$@"', "sh")
    assert _run_of_pytest([interrupting], {}, before=ignored) == 1


def test_what_the_shell_sets_for_servers_and_terminals_is_not_the_tests() -> None:
    """As on a developer's machine, and where tests are run as a service."""
    hostile = """
        http_proxy=http://127.0.0.1:9 HTTPS_PROXY=http://127.0.0.1:9 ALL_PROXY=http://127.0.0.1:9
        FORCE_COLOR=1 COLUMNS=40 CI=true TZ=Asia/Kathmandu LANG=C HOME=/nonexistent
        BRIDGE_PORT=9 UVICORN_PORT=9 PORT=9 WEB_CONCURRENCY=3 GUNICORN_CMD_ARGS=--no-such FORWARDED_ALLOW_IPS=*
        DJANGO_SETTINGS_MODULE=no.such FLASK_DEBUG=1
        PYTHONSAFEPATH=1 PYTHONIOENCODING=latin-1 PYTHONDONTWRITEBYTECODE=1
        """
    passed = _run_of_pytest(
        [
            "tests/check/test_report.py::test_for_people",
            "tests/check/test_command.py::test_a_fault_of_its_own_is_no_finding",
            "tests/cli/test_parser.py::test_each_example_of_the_help_is_understood",
            "tests/cli/test_serve.py::test_the_server_has_what_the_user_started_from",
            "tests/integration/test_harness.py::test_server_starts_answers_and_ends[gunicorn-sync]",
            "tests/integration/test_harness.py::test_server_starts_answers_and_ends[uvicorn-h11]",
            "tests/integration/test_cli_servers.py::test_the_flask_example_runs_as_its_first_lines_say",
        ],
        dict(variable.split("=", 1) for variable in shlex.split(hostile)),
    )
    assert passed == 7


def _run_of_pytest(tests: list[str], environ: dict[str, str], *, before: tuple[str, ...] = ()) -> int:
    """Return how many tests have passed in a run of their own. Raise if any failed."""
    # Plugins that write files, or that share the run's processes, have no part in the inner run.
    words = shlex.split("-m pytest -q --color no -p no:cacheprovider -p no:xdist --timeout 60")
    done = subprocess.run(
        [*before, sys.executable, *words, *tests],
        check=False,
        cwd=REPOSITORY,
        env={name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"} | environ,
        capture_output=True,
        text=True,
        timeout=110,
    )
    passed = re.search(r"(\d+) passed", done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert passed is not None, done.stdout
    return int(passed[1])


def test_bridge_threads_are_seen(no_bridge_threads: None) -> None:
    end = threading.Event()
    thread = threading.Thread(target=end.wait, name="bridge-test")
    thread.start()
    try:
        assert bridge_threads() == [thread]
        with pytest.raises(AssertionError, match="bridge-test"):
            wait_for_no_bridge_threads(timeout=0.01)
    finally:
        end.set()


@pytest.mark.parametrize(
    ("wire", "framing", "body", "complete"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "content-length", b"ok", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nok", "content-length", b"ok", False),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            "chunked",
            b"ok",
            True,
        ),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", "chunked", b"ok", False),
        (b"HTTP/1.1 200 OK\r\n\r\nok", "eof", b"ok", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "none", b"", True),
        (b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 304 Not Modified\r\n\r\n", "none", b"", True),
    ],
)
def test_raw_connection_tells_whole_from_broken(
    wire: bytes, framing: str, body: bytes, complete: bool
) -> None:
    ours, theirs = socket.socketpair()
    with RawConnection(ours) as connection, theirs:
        theirs.sendall(wire)
        theirs.shutdown(socket.SHUT_WR)
        response = connection.request(REQUEST)
        assert (response.framing, response.body, response.complete) == (framing, body, complete)
        assert bool(response.error) is not complete
        assert theirs.recv(100) == REQUEST


def test_gate_holds_an_app_until_it_is_let_through() -> None:
    with Gate() as gate, concurrent.futures.ThreadPoolExecutor(1) as app:
        first = app.submit(pass_gate, gate.port)
        gate.wait_for_arrival()
        assert not first.done()
        gate.let_through()
        first.result()
        second = app.submit(pass_gate, gate.port)
        gate.wait_for_arrival()
        gate.__exit__(None, None, None)
        with pytest.raises(ConnectionError):
            second.result()


def test_exchange_scripts_both_sides() -> None:
    async def exchange() -> Exchange:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": [(b"x-a", b"1")]})
            await send({"type": "http.response.body", "body": b"a", "more_body": True})
            while (await receive())["type"] != "http.disconnect":
                pass
            await send({"type": "http.response.body", "body": b"b"})

        running = Exchange(app, http_scope())
        async with running:
            await running.wait_for("http.response.body")
            assert (running.status, running.body, running.complete) == (200, b"a", False)
            running.disconnect()
        return running

    ended = asyncio.run(exchange())
    assert (ended.header(b"X-A"), ended.chunks, ended.complete) == (b"1", [b"a", b"b"], True)


def test_exchange_raises_what_the_app_raises() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError("from the app")

    with pytest.raises(ValueError, match="from the app"):
        call_asgi(app)
