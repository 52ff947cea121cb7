"""``bridge serve`` on every server that it knows, as its user runs it: a command, a client, a signal."""

import contextlib
import hashlib
import importlib.util
import itertools
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import httpx
import pytest

from bridge.cli.servers import SERVERS
from tests.support.examples import lines_of
from tests.support.faults import hold, known
from tests.support.servers import HOST, REPOSITORY, RunningServer, ServerKind, free_port, poll
from tests.support.versions import NO_CONTROL_SOCKET

SITE = Path(__file__).with_name("cli_site")
APPS = {"wsgi": "flask_site:app", "asgi": "fastapi_site:app"}
WITH_WORKERS = [name for name, server in SERVERS.items() if server.workers]
WITH_RELOAD = [name for name, server in SERVERS.items() if server.reload != "no"]

# gunicorn's control socket is one file for all gunicorns of a user.
OWN_OPTIONS = {"gunicorn": ("--", *NO_CONTROL_SOCKET)}
#: A worker of granian may miss its end: the row "end of a worker".
OWN_ENVIRONMENT = {"GRANIAN_WORKERS_KILL_TIMEOUT": "15"}


Certificate = tuple[Path, Path, Path]

HOLDS = "each request, and so each stream, holds"
AS_IT_IS = "as it is: the server's event loop runs it, and streams hold no thread"
#: A server with several of the app at a time, in one process: server -> what it holds for a request.
THREADS = {"waitress": "one of 4 threads", "gunicorn": "one of 8 threads"}
ONE_AT_A_TIME = "one request at a time, so that a stream stops all others"


@contextlib.contextmanager
def serving(
    app: str,
    server: str,
    *options: str,
    directory: Path = SITE,
    tls: Certificate | None = None,
    uds: Path | None = None,
    environment: Mapping[str, str] = OWN_ENVIRONMENT,
) -> Iterator[RunningServer]:
    """``bridge serve`` in ``directory``; at the end of the block, nothing of it is left.

    ``app`` is one word, or more with spaces between: ``--mount /=x:app``.
    """
    port = free_port()
    where = ("--port", str(port)) if uds is None else ("--uds", str(uds))
    certificate = () if tls is None else ("--ssl-certfile", str(tls[0]), "--ssl-keyfile", str(tls[1]))
    own = OWN_OPTIONS.get(server, ())
    bridge = [sys.executable, "-m", "bridge", "serve"]
    command = [*bridge, *app.split(), "--server", server, *where, *certificate, *options, *own]
    kind = ServerKind(
        f"bridge-serve-{server}", SERVERS[server].interface, tuple(command), tcp=(), tls=tls is not None
    )
    with tempfile.TemporaryDirectory(prefix="bridge-") as logs:
        log_path = Path(logs) / "log"
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                command,
                cwd=directory,
                env=os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONPATH": str(REPOSITORY), **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        running = RunningServer(kind, app, HOST, port, uds, log_path, process, tls[2] if tls else None)
        try:
            running.wait_until_accepting()
            yield running
        finally:
            running.stop()


def client_of(server: RunningServer) -> httpx.Client:
    if server.unix_path is None:
        return server.client()
    return server.client(transport=httpx.HTTPTransport(uds=str(server.unix_path)))


def answers(server: RunningServer, path: str = "/where") -> httpx.Response:
    """The answer of a server that accepts, but whose workers may be on their way."""
    with client_of(server) as client:
        return client.get(path)


#: What a proxy at 127.0.0.1 says of a client; the first address is the client's own invention.
FORWARDED = {"X-Forwarded-For": "6.6.6.6, 192.0.2.7", "X-Forwarded-Proto": "https"}


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
@pytest.mark.parametrize("name", SERVERS)
def test_serves_either_kind_under_a_root_path_behind_a_proxy_until_it_is_told_to_end(
    name: str, kind: Literal["wsgi", "asgi"], tmp_path: Path
) -> None:
    body = os.urandom(200_000)
    quiet = ("--no-access-log",) if SERVERS[name].access_log else ()
    with serving(APPS[kind], name, "--root-path", "/site", "--proxy-headers", *quiet) as server:
        with server.client() as client:
            # As behind a proxy that cuts the prefix off, and as behind one that doesn't.
            for path in ("/where", "/site/where"):
                answer = client.get(path).raise_for_status().json()
                assert answer["url"] == "/site/where"
                assert (answer["root_path"], answer["path"]) == ("/site", "/where")
                assert (answer["client"], answer["scheme"]) == (HOST, "http")
            answer = client.get("/where", headers=FORWARDED).json()
            assert (answer["client"], answer["scheme"]) == ("192.0.2.7", "https")
            digest = client.post("/digest", content=body).raise_for_status().text
            assert digest.strip('"') == hashlib.sha256(body).hexdigest()

        first_line, *others = server.log().splitlines()
        assert first_line == f"bridge: {APPS[kind]} on {name}{_threads_told(name)}: {server.url}/site/"
        [told, *more] = [line for line in others if "bridge: " in line]
        if name == "gunicorn":
            worker = "sync" if kind == "wsgi" else "gthread, with 8 threads"
            assert more.pop().endswith(f"bridge: 1 worker of the class {worker}")
        assert not more
        assert told.endswith(f"bridge: {kind.upper()} app {APPS[kind]}, {meaning(name, kind)}")
        assert server.log().count("imported") == 1

        # One is ended as by Ctrl-C in a terminal, which reaches the workers too, one as by a process manager.
        ends_by = signal.SIGINT if kind == "wsgi" else signal.SIGTERM
        with ThreadPoolExecutor(1) as clients:
            release = tmp_path / "release"
            request = clients.submit(answers, server, f"/held?{release}")
            try:
                server.wait_for_log("held")
                if ONE_AT_A_TIME not in told:
                    assert answers(server).status_code == 200, "while another request is held"
                if ends_by == signal.SIGINT and not known("two signals to a worker", name):
                    os.killpg(server.process.pid, ends_by)
                else:
                    server.process.send_signal(ends_by)
                if finishes(name, ends_by) and name not in LISTENS_TO_ITS_END:
                    server.wait_until_not_accepting()
            finally:
                release.touch()
            if finishes(name, ends_by):
                assert request.result(20).text.strip('"') == "released " * 10_000
            else:
                with contextlib.suppress(httpx.TransportError):
                    # It may have been released before the server came to the signal.
                    answer = request.result(20)
                    assert answer.status_code == 500 or answer.text.strip('"') == "released " * 10_000
        assert server.process.wait(20) == exit_status(name, ends_by)
        _wait_for_no_process(server)
        if kind == "asgi":
            _hold_lifespan(server, name)
        if ends_by != signal.SIGINT or not known("traceback at SIGINT", name):
            server.assert_no_traceback()
            assert "/digest" not in server.log()


#: Its listening socket, or that of the main process, is closed when all is over.
LISTENS_TO_ITS_END = {"hypercorn", "gunicorn", "waitress", "wsgiref"}


def finishes(name: str, ended_by: signal.Signals) -> bool:
    """Whether a running request finishes: gunicorn takes SIGINT for "at once", and daphne any signal."""
    return name != "daphne" and (name, ended_by) != ("gunicorn", signal.SIGINT)


def meaning(name: str, kind: str) -> str:
    """What the line says of an app of that kind, after its name."""
    if kind == "asgi":
        if SERVERS[name].interface == "asgi":
            return AS_IT_IS
        held = f"{HOLDS} {THREADS[name]}" if name in THREADS else ONE_AT_A_TIME
        return f"in AsgiToWsgi(app): an event loop for each request; {held}"
    if SERVERS[name].interface == "asgi":
        return f"in WsgiToAsgi(app): {HOLDS} one of 40 threads"
    return f"as it is: {HOLDS} one of 4 threads" if name == "waitress" else f"as it is: {ONE_AT_A_TIME}"


@pytest.mark.parametrize("name", ["uvicorn", "gunicorn"])
def test_serves_apps_at_one_prefix_in_turn(name: str) -> None:
    app = f"--mount /={APPS['asgi']} --mount /={APPS['wsgi']}"
    with serving(app, name, "--threads", "5") as server:
        with server.client() as client:
            # FastAPI has no route for HEAD and answers 405; Flask has.
            assert client.head("/where").status_code == 200
            assert client.get("/where").json()["path"] == "/where"
            assert "<title>404 Not Found</title>" in client.get("/nowhere").text, "Flask's"
        first_line, log = server.log().splitlines()[0], server.log()
        assert f"{APPS['asgi']} and {APPS['wsgi']} on {name}" in first_line
        asgi, wsgi = (
            (AS_IT_IS, f"in WsgiToAsgi(app, threads=5): {HOLDS} one of 5 threads")
            if name == "uvicorn"
            else (
                f"in AsgiToWsgi(app): an event loop for each request; {HOLDS} one of 5 threads",
                f"as it is: {HOLDS} one of 5 threads",
            )
        )
        assert f"/: ASGI app {APPS['asgi']}, {asgi}; where it has nothing, the next one is asked\n" in log
        assert f"/: WSGI app {APPS['wsgi']}, {wsgi}\n" in log


MOUNTS = f"--mount /new={APPS['asgi']},fallback --mount /={APPS['wsgi']}"


@pytest.mark.parametrize(
    ("name", "app"),
    [
        *((name, MOUNTS) for name in SERVERS),
        *((name, "dispatcher_site:app") for name in ("uvicorn", "gunicorn")),
    ],
)
def test_serves_a_site_of_both_kinds_under_a_root_path_by_https_where_it_can(
    name: str, app: str, certificate: Certificate
) -> None:
    body = os.urandom(200_000)
    tls = certificate if SERVERS[name].tls else None
    access_log = ("--access-log",) if SERVERS[name].access_log else ()
    with serving(app, name, "--root-path", "/site", *access_log, tls=tls) as server:
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

        log = server.wait_for_log("/new/nowhere") if access_log else server.log()
        assert log.splitlines()[0].endswith(f" on {name}{_threads_told(name)}: {server.url}/site/")
        if app == MOUNTS:
            held = f"{HOLDS} {THREADS[name]}" if name in THREADS else ONE_AT_A_TIME
            asgi = meaning(name, "asgi")
            wsgi = meaning(name, "wsgi") if SERVERS[name].interface == "asgi" else f"as it is: {held}"
            assert (
                f"/new: ASGI app {APPS['asgi']}, {asgi}; where it has nothing, the next one is asked\n" in log
            )
            assert f"/: WSGI app {APPS['wsgi']}, {wsgi}\n" in log
        else:
            assert "bridge: WSGI and ASGI app dispatcher_site:app, as it is\n" in log

        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(20) == exit_status(name, signal.SIGTERM)
        _wait_for_no_process(server)
        _hold_lifespan(server, name)
        server.assert_no_traceback()


def _hold_lifespan(server: RunningServer, name: str) -> None:
    log = server.log()
    for words in ("lifespan begins", "lifespan ends"):
        hold("lifespan", name, log.count(words), right=1)


def _threads_told(name: str) -> str:
    return {"waitress": ", 4 threads", "wsgiref": ", 1 thread"}.get(name, "")


def exit_status(name: str, ended_by: signal.Signals) -> int:
    """uvicorn ends itself by the SIGTERM that it got, after a shutdown in good order."""
    return -ended_by if name == "uvicorn" and ended_by == signal.SIGTERM else 0


@pytest.mark.parametrize("name", WITH_WORKERS)
def test_workers_are_processes_that_all_serve_the_app_at_a_unix_socket(name: str, tmp_path: Path) -> None:
    # The app of the other kind, so that each worker has to wrap it.
    app = APPS["wsgi" if SERVERS[name].interface == "asgi" else "asgi"]
    # Of workers with threads, one may take all the connections. A thread that was asked for is one worker's: sync.
    threads = ("--threads", "1") if name == "gunicorn" else ()
    with serving(app, name, "--workers", "2", *threads, "--proxy-headers", uds=tmp_path / "s") as server:
        pids: set[int] = set()

        def both_answered() -> bool:
            # The kernel gives connections to whom it likes: many at once make it likely that both get one.
            with ThreadPoolExecutor(8) as threads:
                for answer in threads.map(lambda _: answers(server), range(16)):
                    pids.add(answer.raise_for_status().json()["pid"])
            return len(pids) == 2

        poll(both_answered, 20, lambda: f"only {pids} answered; the log:\n{server.log()}")
        assert pids <= {process.pid for process in server.processes()}
        first_line, *others = server.log().splitlines()
        each = ", 1 thread each" if threads else ""
        assert first_line == f"bridge: {app} on {name}, 2 workers{each}: unix:{server.unix_path}"
        # The first of them speaks for both.
        assert sum("bridge: " in line for line in others) == (2 if name == "gunicorn" else 1)
        assert server.log().count("imported") == 2
        with client_of(server) as client:
            answer = client.get("/where", headers=FORWARDED).json()
        assert (answer["client"], answer["scheme"]) == ("192.0.2.7", "https")
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(20) == 0
        _wait_for_no_process(server)


#: With a reloader, they wait for the next change where an app has an error; the others end.
WAIT_FOR_A_BETTER_FILE = {"uvicorn", "gunicorn"}


def _saving_again(module: Path) -> Callable[[], None]:
    """Save the file as it is, now and then.

    What is saved before a reloader looks goes unseen: uvicorn's watches when its worker has started, and gunicorn's
    takes for unchanged what it sees first. Each save starts the app anew, so each gets twice as long as the one before.
    """
    pauses = (2.0**number for number in itertools.count(-1))
    due = time.monotonic()

    def save() -> None:
        nonlocal due
        if time.monotonic() >= due:
            due = time.monotonic() + next(pauses)
            os.utime(module)

    return save


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
        assert server.log().count("bridge: WSGI app changing:app") == 1
        if name in WAIT_FOR_A_BETTER_FILE:
            module.write_text("def app(")
            save_broken = _saving_again(module)

            def told() -> bool:
                save_broken()
                return "SyntaxError" in server.log()

            poll(told, 40, lambda: f"no error; the log:\n{server.log()}")
        module.write_text(source.format(answer="after"))
        save_mended = _saving_again(module)

        def changed() -> bool:
            with contextlib.suppress(httpx.TransportError):
                if answers(server, "/").text == "after":
                    return True
                save_mended()
            return False

        poll(changed, 40, lambda: f"still the old answer; the log:\n{server.log()}")
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(20) == 0
        _wait_for_no_process(server)


@pytest.mark.parametrize("name", ["waitress", "daphne"])
def test_a_unix_socket_of_a_server_without_workers(name: str, tmp_path: Path) -> None:
    quiet = ("--log-level", "warning", *(("--no-access-log",) if SERVERS[name].access_log else ()))
    with serving(APPS["wsgi"], name, "--proxy-headers", *quiet, uds=tmp_path / "s") as server:
        with client_of(server) as client:
            answer = client.get("/where", headers=FORWARDED).json()
        assert (answer["client"], answer["scheme"]) == ("192.0.2.7", "https")
        assert server.log() == "imported\n", "the app's own line"


def test_the_servers_own_options_and_a_descriptor() -> None:
    with socket.create_server((HOST, 0)) as listening:
        os.set_inheritable(listening.fileno(), True)
        port = listening.getsockname()[1]
        command = [sys.executable, "-m", "bridge", "serve", "--fd", str(listening.fileno()), "flask_site"]
        with subprocess.Popen(
            [*command, "--log-level", "warning", "--", "--header", "x:y"],
            cwd=SITE,
            env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            pass_fds=[listening.fileno()],
        ) as process:
            try:
                # The connection waits in the socket until the server is there.
                answer = httpx.get(f"http://{HOST}:{port}/where", trust_env=False, timeout=30)
                assert answer.json()["path"] == "/where"
                assert answer.headers["x"] == "y"
            finally:
                process.send_signal(signal.SIGINT)
                try:
                    log, _ = process.communicate(timeout=30)
                finally:
                    process.kill()  # nothing, where it has ended
    assert process.returncode == 0
    # The app's own line, and nothing that is below the level.
    assert [line for line in log.splitlines() if '"GET /where' not in line] == ["imported"]


def test_gunicorns_own_configuration_wins_over_the_bridges_defaults(tmp_path: Path) -> None:
    """An ASGI worker class gets the ASGI app; what is said to the bridge wins over the file."""
    port = free_port()
    has_own = importlib.util.find_spec("gunicorn.workers.gasgi") is not None  # not in older releases
    worker = "asgi" if has_own else "uvicorn.workers.UvicornWorker"
    (tmp_path / "gunicorn.conf.py").write_text(
        f"bind = '{HOST}:{port}'\nworker_class = '{worker}'\nworkers = 2\nproc_name = 'x'\n"
    )
    app = f"--mount /new={APPS['asgi']} --mount /={APPS['wsgi']}"
    options = ("--workers", "1", "--threads", "3", "--app-dir", str(SITE))
    with serving(app, "gunicorn", *options, directory=tmp_path) as server:
        assert answers(server, "/new/where").json()["path"] == "/where"
        assert answers(server).json()["path"] == "/where"
        log = server.log()
        assert f"{HOST}:{server.port}" in log, "of the command line"
        assert f"Using worker: {worker}" in log
        assert log.count("Booting worker") == 1
        assert f"bridge: /new: ASGI app {APPS['asgi']}, {AS_IT_IS}\n" in log
        wrapped = f"in WsgiToAsgi(app, threads=3): {HOLDS} one of 3 threads"
        assert f"bridge: /: WSGI app {APPS['wsgi']}, {wrapped}\n" in log


@pytest.mark.parametrize("name", SERVERS)
def test_an_app_that_ends_the_process_is_told_in_one_line(name: str, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("import sys\nsys.exit('bye')\napp = 1\n")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "bridge", "serve", "--server", name, "-p", str(free_port())),
            *OWN_OPTIONS.get(name, ()),
        ],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    [line] = [line for line in done.stderr.splitlines() if line.startswith("bridge: error: ")]
    assert line == (
        "bridge: error: app:app: it ends the process instead of making an app, by SystemExit('bye') in line 2 of "
        f"{tmp_path / 'app.py'}"
    )
    assert "Traceback" not in done.stderr
    hold("status of a failed start", name, done.returncode, right=FAILED_START.get(name, 2))


#: gunicorn's "app failed to load", and what granian says of a worker's end.
FAILED_START = {"gunicorn": 4, "granian": 1}


@pytest.mark.parametrize("server", ["waitress", "gunicorn"])
def test_threads_are_the_servers_own_on_a_wsgi_server(server: str) -> None:
    with serving(APPS["wsgi"], server, "--threads", "3") as running:
        assert answers(running).status_code == 200
        assert "3 threads" in running.log().splitlines()[0]
        if server == "gunicorn":
            assert "gthread" in running.log()


def test_the_flask_example_runs_as_its_first_lines_say() -> None:
    _, serve, *requests = lines_of(REPOSITORY / "examples" / "flask_app.py")
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
