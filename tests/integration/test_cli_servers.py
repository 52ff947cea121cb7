"""``bridge serve`` on every server that it knows, as its user runs it: a command, a client, a signal."""

import ast
import contextlib
import hashlib
import itertools
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import httpx
import pytest

from bridge.cli.servers import SERVERS
from tests.support.faults import hold, known
from tests.support.servers import HOST, REPOSITORY, RunningServer, ServerKind, free_port, poll
from tests.support.versions import NO_CONTROL_SOCKET

SITE = Path(__file__).with_name("cli_site")
APPS = {"wsgi": "flask_site:app", "asgi": "fastapi_site:app"}
WITH_WORKERS = [name for name, server in SERVERS.items() if server.workers]
WITH_RELOAD = [name for name, server in SERVERS.items() if server.reload != "no"]

# gunicorn's control socket is one file for all gunicorns of a user.
OWN_OPTIONS = {"gunicorn": ("--", *NO_CONTROL_SOCKET)}


@contextlib.contextmanager
def serving(app: str, server: str, *options: str, directory: Path = SITE) -> Iterator[RunningServer]:
    """``bridge serve`` in ``directory``; at the end of the block, nothing of it is left.

    ``app`` is one word, or more with spaces between: ``--mount /=x:app``.
    """
    port = free_port()
    own = OWN_OPTIONS.get(server, ())
    command = [
        sys.executable,
        "-m",
        "bridge",
        "serve",
        *app.split(),
        "--server",
        server,
        "--port",
        str(port),
        *options,
        *own,
    ]
    kind = ServerKind(f"bridge-serve-{server}", SERVERS[server].interface, tuple(command), tcp=())
    with tempfile.TemporaryDirectory(prefix="bridge-") as logs:
        log_path = Path(logs) / "log"
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                command,
                cwd=directory,
                env=os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONPATH": str(REPOSITORY)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        running = RunningServer(kind, app, HOST, port, None, log_path, process)
        try:
            running.wait_until_accepting()
            yield running
        finally:
            running.stop()


def answers(server: RunningServer, path: str = "/where") -> httpx.Response:
    """The answer of a server that accepts, but whose workers may be on their way."""
    with server.client() as client:
        return client.get(path)


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
@pytest.mark.parametrize("name", SERVERS)
def test_serves_either_kind_under_a_root_path_until_it_is_told_to_end(
    name: str, kind: Literal["wsgi", "asgi"]
) -> None:
    body = os.urandom(200_000)
    with serving(APPS[kind], name, "--root-path", "/site") as server:
        with server.client() as client:
            # As behind a proxy that cuts the prefix off, and as behind one that doesn't.
            for path in ("/where", "/site/where"):
                answer = client.get(path).raise_for_status().json()
                assert answer["url"] == "/site/where"
                assert (answer["root_path"], answer["path"]) == ("/site", "/where")
            digest = client.post("/digest", content=body).raise_for_status().text
            assert digest.strip('"') == hashlib.sha256(body).hexdigest()

        first_line = server.log().splitlines()[0]
        assert first_line == (
            f"bridge: {kind.upper()} app {APPS[kind]}, {how(name, kind)}, on {name}: {server.url}/site/"
        )

        # One is ended as by Ctrl-C in a terminal, which reaches the workers too, one as by a process manager.
        ends_by = signal.SIGINT if kind == "wsgi" else signal.SIGTERM
        if ends_by == signal.SIGINT and not known("two signals to a worker", name):
            os.killpg(server.process.pid, ends_by)
        else:
            server.process.send_signal(ends_by)
        assert server.process.wait(20) == exit_status(name, ends_by)
        _wait_for_no_process(server)
        if kind == "asgi":
            _hold_lifespan(server, name)
        if ends_by != signal.SIGINT or not known("traceback at SIGINT", name):
            server.assert_no_traceback()


@pytest.mark.parametrize("name", ["uvicorn", "gunicorn"])
def test_serves_apps_at_one_prefix_in_turn(name: str) -> None:
    app = f"--mount /={APPS['asgi']} --mount /={APPS['wsgi']}"
    with serving(app, name, "--threads", "5") as server:
        first_line = server.log().splitlines()[0]
        asgi, wsgi = (
            ("as it is", "in WsgiToAsgi(app, threads=5)")
            if name == "uvicorn"
            else ("in AsgiToWsgi(app)", "as it is")
        )
        what = f"/={APPS['asgi']} (ASGI, {asgi}, or the next), /={APPS['wsgi']} (WSGI, {wsgi})"
        assert what in first_line
        with server.client() as client:
            # FastAPI has no route for HEAD and answers 405; Flask has.
            assert client.head("/where").status_code == 200
            assert client.get("/where").json()["path"] == "/where"
            assert "<title>404 Not Found</title>" in client.get("/nowhere").text, "Flask's"


MOUNTS = f"--mount /new={APPS['asgi']},fallback --mount /={APPS['wsgi']}"


@pytest.mark.parametrize(
    ("name", "app"),
    [
        *((name, MOUNTS) for name in SERVERS),
        *((name, "dispatcher_site:app") for name in ("uvicorn", "gunicorn")),
    ],
)
def test_serves_a_site_of_both_kinds_under_a_root_path(name: str, app: str) -> None:
    body = os.urandom(200_000)
    with serving(app, name, "--root-path", "/site") as server:
        with server.client() as client:
            for path, root_path in (
                ("/where", "/site"),
                ("/site/where", "/site"),
                ("/new/where", "/site/new"),
            ):
                answer = client.get(path).raise_for_status().json()
                assert answer["url"] == f"{root_path}/where"
                assert (answer["root_path"], answer["path"]) == (root_path, "/where")
            for path in ("/digest", "/new/digest"):
                digest = client.post(path, content=body).raise_for_status().text
                assert digest.strip('"') == hashlib.sha256(body).hexdigest()
            # What the first app has nothing for is the second one's: its 404 page is another.
            assert client.get("/new/nowhere").text == client.get("/nowhere").text

        if app == MOUNTS:
            asgi, wsgi = how(name, "asgi"), how(name, "wsgi")
            what = f"/new={APPS['asgi']} (ASGI, {asgi}, or the next), /={APPS['wsgi']} (WSGI, {wsgi})"
        else:
            what = "WSGI and ASGI app dispatcher_site:app, as it is"
        assert server.log().splitlines()[0] == f"bridge: {what}, on {name}: {server.url}/site/"

        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(20) == exit_status(name, signal.SIGTERM)
        _wait_for_no_process(server)
        _hold_lifespan(server, name)
        server.assert_no_traceback()


def _hold_lifespan(server: RunningServer, name: str) -> None:
    log = server.log()
    for words in ("lifespan begins", "lifespan ends"):
        hold("lifespan", name, log.count(words), right=1)


def how(name: str, kind: str) -> str:
    if kind == SERVERS[name].interface:
        return "as it is"
    return "in AsgiToWsgi(app)" if kind == "asgi" else "in WsgiToAsgi(app)"


def exit_status(name: str, ended_by: signal.Signals) -> int:
    """uvicorn ends itself by the SIGTERM that it got, after a shutdown in good order."""
    return -ended_by if name == "uvicorn" and ended_by == signal.SIGTERM else 0


@pytest.mark.parametrize("name", WITH_WORKERS)
def test_workers_are_processes_that_all_serve_the_app(name: str) -> None:
    # The app of the other kind, so that each worker has to wrap it.
    app = APPS["wsgi" if SERVERS[name].interface == "asgi" else "asgi"]
    with serving(app, name, "--workers", "2") as server:
        pids: set[int] = set()

        def both_answered() -> bool:
            # The kernel gives connections to whom it likes: many at once make it likely that both get one.
            with ThreadPoolExecutor(8) as threads:
                for answer in threads.map(lambda _: answers(server), range(16)):
                    pids.add(answer.raise_for_status().json()["pid"])
            return len(pids) == 2

        poll(both_answered, 20, lambda: f"only {pids} answered; the log:\n{server.log()}")
        assert pids <= {process.pid for process in server.processes()}
        assert "2 workers" in server.log().splitlines()[0]
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(20) == 0
        _wait_for_no_process(server)


@pytest.mark.parametrize("name", WITH_RELOAD)
def test_reload_serves_the_changed_source(name: str, tmp_path: Path) -> None:
    source = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"{answer}"]
"""
    module = tmp_path / "changing.py"
    module.write_text(source.format(answer="before"))
    os.utime(module, (1_000_000_000, 1_000_000_000))
    # Such as one that comes when a file is saved again. The reloader that waits then doesn't end on a signal either.
    own = ("--", "--workers-kill-timeout", "2") if known("SIGTERM to a worker that starts", name) else ()
    with serving("changing:app", name, "--reload", *own, directory=tmp_path) as server:
        assert answers(server, "/").text == "before"
        module.write_text(source.format(answer="after"))
        saved = itertools.count(int(time.time()))

        def changed() -> bool:
            with contextlib.suppress(httpx.TransportError):
                if answers(server, "/").text == "after":
                    return True
                # gunicorn takes for unchanged what it sees first, which may have been this: save it again.
                os.utime(module, times=(now := next(saved), now))
            return False

        poll(changed, 20, lambda: f"still the old answer; the log:\n{server.log()}")
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(20) == 0
        _wait_for_no_process(server)


def test_the_servers_own_options_and_a_unix_socket(tmp_path: Path) -> None:
    socket = tmp_path / "s"
    command = [
        sys.executable,
        "-m",
        "bridge",
        "serve",
        "flask_site",
        "--",
        "--uds",
        str(socket),
        "--header",
        "x:y",
    ]
    with subprocess.Popen(
        command,
        cwd=SITE,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stderr is not None
            assert process.stderr.readline() == (
                "bridge: WSGI app flask_site, in WsgiToAsgi(app), on uvicorn: "
                f"where its own options say (--uds {socket} --header x:y)\n"
            )
            poll(socket.exists, 20, lambda: "no socket")
            transport = httpx.HTTPTransport(uds=str(socket))
            with httpx.Client(transport=transport, base_url="http://bridge") as client:
                answer = client.get("/where")
            assert answer.json()["path"] == "/where"
            assert answer.headers["x"] == "y"
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.communicate(timeout=30)
            finally:
                process.kill()  # nothing, where it has ended
    assert process.returncode == 0
    assert not socket.exists()


@pytest.mark.parametrize("server", ["waitress", "gunicorn"])
def test_threads_are_the_servers_own_on_a_wsgi_server(server: str) -> None:
    with serving(APPS["wsgi"], server, "--threads", "3") as running:
        assert answers(running).status_code == 200
        assert "3 threads" in running.log().splitlines()[0]
        if server == "gunicorn":
            assert "gthread" in running.log()


def test_the_flask_example_runs_as_its_first_lines_say() -> None:
    example = REPOSITORY / "examples" / "flask_app.py"
    docstring = ast.get_docstring(ast.parse(example.read_text()))
    assert docstring is not None
    serve, *requests = [line.strip() for line in docstring.splitlines() if line.startswith("    ")]
    assert serve == "bridge serve examples.flask_app:app"

    with serving(serve.split()[-1], "uvicorn", directory=REPOSITORY) as server:
        with server.client() as client:
            page = client.get("/").raise_for_status().text
            assert "on an ASGI server, through bridge" in page

        curls = [
            ["curl", "--silent", *shlex.split(line.replace("http://127.0.0.1:8000", server.url))[1:]]
            for line in requests
        ]
        greeting, countdown, upload = curls
        done = subprocess.run(greeting, capture_output=True, text=True, check=True, timeout=60)
        assert "Hello, Ada!" in done.stdout

        with subprocess.Popen(countdown, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "5\n"
            assert process.poll() is None, "the first line came with the last"
            assert process.stdout.read() == "4\n3\n2\n1\nLift-off!\n"

        done = subprocess.run(upload, cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=60)
        sent = (REPOSITORY / "README.md").read_bytes()
        assert json.loads(done.stdout) == {
            "name": "README.md",
            "size": len(sent),
            "sha256": hashlib.sha256(sent).hexdigest(),
        }


def _wait_for_no_process(server: RunningServer) -> None:
    """What helps the workers, such as the resource tracker of multiprocessing, ends a moment after the server."""
    poll(lambda: not server.processes(), 20, lambda: f"still there: {server.processes()}")
