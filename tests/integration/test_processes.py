"""``wsgi.multiprocess`` and ``REMOTE_ADDR`` on real servers, with one worker and with several."""

import importlib.util
import sys
import tempfile
from pathlib import Path

import httpx
import pytest

from tests.conftest import StartServer
from tests.integration.test_cli_servers import serving
from tests.support import servers
from tests.support.faults import hold, known
from tests.support.servers import ASGI_SERVERS, REPOSITORY, SERVERS, WSGI_SERVERS, ServerKind

APPS = "tests.integration.apps.processes"

# The server, its arguments, and whether another process may serve the app.
ASKED: list[tuple[str, tuple[str, ...], bool]] = [
    ("uvicorn-h11", (), False),
    ("uvicorn-h11", ("--workers", "2"), True),
    ("uvicorn-h11", ("--reload",), False),
    ("hypercorn", (), False),
    ("hypercorn", ("--workers", "2"), True),
    ("hypercorn", ("--workers", "0"), False),
    ("daphne", (), False),
    # Its workers are told nothing about the others: what can't be known is true.
    ("granian", (), True),
]


@pytest.mark.parametrize(("name", "arguments", "several"), ASKED)
def test_a_server_with_so_many_workers(
    start_server: StartServer, name: str, arguments: tuple[str, ...], several: bool
) -> None:
    server = start_server(name, f"{APPS}:app", arguments=arguments)
    with server.client() as client:
        assert client.get("/").json()["multiprocess"] is several


def test_a_worker_of_gunicorn_cannot_know(start_server: StartServer) -> None:
    if importlib.util.find_spec("gunicorn.workers.gasgi") is None:
        pytest.skip("this gunicorn does not serve ASGI")
    server = start_server("gunicorn-sync", f"{APPS}:app", arguments=("--worker-class", "asgi"))
    with server.client() as client:
        assert client.get("/").json()["multiprocess"] is True


@pytest.mark.parametrize("workers", [None, 2])
def test_variables_of_uvicorn_say_it_too(start_server: StartServer, workers: int | None) -> None:
    environ = {} if workers is None else {"WEB_CONCURRENCY": str(workers)}
    server = start_server("uvicorn-h11", f"{APPS}:app", environ=environ)
    with server.client() as client:
        assert client.get("/").json()["multiprocess"] is (workers is not None)


FORKING = """
import os, sys
import uvicorn
from tests.integration.apps.processes import app

child = os.fork()
if child:
    import signal
    signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGTERM))
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
uvicorn.run(app, host=sys.argv[1], port=int(sys.argv[2]))
"""


def test_a_process_that_was_forked_with_the_app(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = ServerKind("forking", "asgi", (sys.executable, "-c", FORKING), tcp=("{host}", "{port}"))
    monkeypatch.setitem(SERVERS, "forking", kind)
    with tempfile.TemporaryDirectory(prefix="bridge-") as directory:
        server = servers.start("forking", f"{APPS}:app", Path(directory))
        try:
            with server.client() as client:
                assert client.get("/").json()["multiprocess"] is True
        finally:
            server.stop()


@pytest.mark.parametrize(
    ("name", "options", "several"),
    [
        ("uvicorn", (), False),
        ("uvicorn", ("--reload",), False),
        ("granian", (), False),
        ("granian", ("--workers", "2", "--", "--workers-kill-timeout", "15"), True),
        ("hypercorn", ("--workers", "2"), True),
        ("daphne", (), False),
        # What is behind -- may say how many.
        ("granian", ("--", "--backlog", "128"), True),
    ],
)
def test_bridge_serve_knows_how_many_workers_it_asks_for(
    name: str, options: tuple[str, ...], several: bool
) -> None:
    with (
        # Variables of the server's own may say how many as well.
        serving(f"{APPS}:wsgi_app", name, *options, directory=REPOSITORY, environment={}) as server,
        server.client() as client,
    ):
        assert client.get("/").json()["multiprocess"] is several
        if "--workers" in options and known("SIGTERM to a worker that starts", name):
            for worker in (1, 2):
                server.wait_for_log(f"Started worker-{worker}")


ON_UNIX = [name for name in ASGI_SERVERS if SERVERS[name].unix]


@pytest.mark.parametrize(
    "name", [*ON_UNIX, *(name for name in WSGI_SERVERS if name in {"gunicorn-sync", "waitress"})]
)
def test_on_a_unix_socket_the_address_is_empty(start_server: StartServer, name: str) -> None:
    """Through the adapter as on gunicorn and waitress themselves."""
    app = "app" if SERVERS[name].interface == "asgi" else "wsgi_app"
    server = start_server(name, f"{APPS}:{app}", unix=True)
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(server.unix_path)), timeout=30) as client:
        address = client.get("http://unix.example/").json()["address"]
    hold("addresses of a unix socket", name, address, right="", wrong="localhost")
