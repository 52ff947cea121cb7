"""``bridge serve``: its help, what it refuses before anything starts, and what it leaves as it was for the server."""

import contextlib
import itertools
import os
import re
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import httpx
import pytest

from bridge.cli import main as cli
from bridge.cli import serve
from bridge.cli.asked import Asked
from bridge.cli.servers import SERVERS
from tests.support.faults import known
from tests.support.servers import REPOSITORY, free_port, poll
from tests.support.versions import NO_CONTROL_SOCKET


def run(*words: str, directory: Path = REPOSITORY, **variables: str) -> subprocess.CompletedProcess[str]:
    """``python -m bridge serve`` with ``words``, for what ends by itself."""
    return subprocess.run(
        [sys.executable, "-m", "bridge", "serve", *words],
        cwd=directory,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)} | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one line on stderr with which the command refuses ``words``, with exit status 2."""
    try:
        status: object = cli.main(["serve", *words])
    except SystemExit as exc:
        status = exc.code
    out, err = capsys.readouterr()
    assert (status, out) == (2, "")
    assert err.startswith("bridge: error: ")
    assert err.count("\n") == 1
    return err.removeprefix("bridge: error: ").rstrip()


# --- what is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--mount /x/=y:app --mount /x=y:app", "--mount: y:app is mounted twice at '/x'"),
        (
            "--mount /x=y:app,fallback --mount /x/=z:app",
            "--mount: leave ,fallback out behind y:app; apps at one",
        ),
        ("x:app --port", "-p/--port: expected one argument (see bridge serve --help)"),
        ("x:app --port 65536", "--port: '65536' is not a port, 0 to 65535"),
        ("x:app y:app", "unrecognized arguments: y:app"),
        ("x:app --server daphne --workers 2", "--workers: daphne can't run more than one"),
        ("x:app --server wsgiref -- -v", "wsgiref has no options of its own to take after --"),
        ("x:app --loop shared", "--loop is for an ASGI app on a WSGI server; uvicorn is an ASGI server"),
        ("x:app --forwarded-allow-ips *", "--forwarded-allow-ips says whose headers count: it goes with"),
        ("x:app --ssl-keyfile k", "--ssl-keyfile is the key of a certificate: it goes with --ssl-certfile"),
        ("x:app --ssl-certfile /nowhere", "--ssl-certfile: '/nowhere': No such file or directory"),
        ("x:app --app-dir /nowhere", "--app-dir: there is no directory '/nowhere'"),
        ("x:app --env-file /nowhere", "--env-file: there is no file '/nowhere'"),
        ("x:app --host 192.0.2.1", "192.0.2.1:8000: this machine has no such address"),
    ],
)
def test_what_cannot_be_asked_for(capsys: pytest.CaptureFixture[str], words: str, message: str) -> None:
    assert refused(capsys, *words.split()).startswith(message)


def test_a_file_of_variables_may_say_where_the_server_listens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Then it is not refused because the default port is in use."""
    probed: list[object] = []
    monkeypatch.setattr("bridge.cli.serve.probe", probed.append)
    monkeypatch.setattr("runpy.run_module", lambda name, **_: None)
    monkeypatch.setattr(os, "environ", {"PATH": os.defpath})
    monkeypatch.setattr(sys, "argv", [])
    (tmp_path / "env").write_text("UVICORN_PORT=9000")
    assert cli.main(["serve", "x:app", "--env-file", str(tmp_path / "env")]) == 0
    assert capsys.readouterr().err == "bridge: x:app on uvicorn: where UVICORN_PORT may say\n"
    assert probed == []


def test_the_variable_of_the_field_for_trusted_proxies(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "proxy")
    line = refused(capsys, "x:app", "--proxy-headers", "-p", "0")
    assert line.startswith("FORWARDED_ALLOW_IPS: 'proxy' is neither an address")
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "10.0.0.1")
    asked = Asked(proxy_headers=True)
    assert serve._target(SERVERS["uvicorn"], asked).trusted == "10.0.0.1"
    assert serve._target(SERVERS["uvicorn"], replace(asked, forwarded_allow_ips="*")).trusted == "*"
    assert serve._target(SERVERS["uvicorn"], Asked()).trusted == ""


@pytest.mark.parametrize("server", SERVERS)
def test_a_port_in_use_is_one_line_on_every_server(server: str, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = refused(capsys, "x:app", "--server", server, "-p", str(port))
    assert line == f"127.0.0.1:{port}: the port is in use; say another one with --port, or 0 for a free one"


# --- on the way to the server -------------------------------------------------------------------------------


def test_what_cannot_be_found_or_is_no_app(tmp_path: Path) -> None:
    (tmp_path / "site_.py").write_text(
        "import bridge\nasync def app(scope, receive, send): ...\nboth = bridge.Dispatcher({'/': app})\n"
    )
    port = str(free_port())
    for words, message in (
        (["site_:ap"], "site_:ap: module 'site_' has no attribute 'ap'; did you mean 'app'?"),
        (["--mount", "/=site_:app", "--mount", "/x=nowhere:app"], "nowhere:app: No module named 'nowhere'"),
        (["site_:both", "--threads", "2"], "--threads: a Dispatcher has its own; WsgiToAsgi(app, threads=N)"),
        (
            ["--server", "waitress", "site_", "--kind", "wsgi"],
            "site_: --kind wsgi: the function 'app' is an ASGI app",
        ),
    ):
        done = run(*words, "-p", port, directory=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        first, second = done.stderr.splitlines()
        assert first.startswith("bridge: ")
        assert second.startswith(f"bridge: error: {message}")


@pytest.mark.parametrize(
    "words",
    [
        *(["--server", server] for server in SERVERS),
        ["--server", "uvicorn", "--workers", "2"],
        ["--server", "hypercorn", "--workers", "2"],
        ["--server", "granian", "--workers", "2"],
    ],
    ids=" ".join,
)
def test_interrupted_while_the_app_is_imported(tmp_path: Path, words: list[str]) -> None:
    # Not one long wait: a signal that comes just before it begins would be seen after it alone.
    (tmp_path / "slow.py").write_text(
        "import os, time\nos.write(1, b'importing\\n')\nwhile True: time.sleep(0.01)"
    )
    workers = 2 if "--workers" in words else 1
    with subprocess.Popen(
        [sys.executable, "-m", "bridge", "serve", "slow:app", *words, "-p", str(free_port())],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout is not None
            importing = filter("importing\n".__eq__, process.stdout)  # granian's log is there too
            assert len(list(itertools.islice(importing, workers))) == workers
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does
            _, errors = process.communicate(timeout=30)
        finally:
            with contextlib.suppress(ProcessLookupError):  # nothing is left of it
                os.killpg(process.pid, signal.SIGKILL)
    assert "instead of making an app" not in errors
    if known("signal to a worker at its end", words[1]):
        errors = re.sub(r"Exception ignored in.*?\nSystemExit: 0\n", "", errors, flags=re.DOTALL)
    assert "Traceback" not in errors
    if words[1] == "gunicorn":
        assert process.returncode == 0, errors
    if words[1] in {"daphne", "waitress", "wsgiref"}:  # without processes of their own
        assert errors.count("\n") == 1
        assert process.returncode == 130


def test_the_server_has_what_the_user_started_from(tmp_path: Path) -> None:
    """One import, in the process that the user started, with its options, its variables and those of a file."""
    restless = """
        import os, signal, sys, threading

        os.environ["TIMES"] = os.environ.get("TIMES", "") + "once"
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        threading.Thread(target=threading.Event().wait, daemon=True).start()

        def application(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            seen = (os.environ[name] for name in ("TIMES", "OF_FILE", "HERE"))
            return [f"{' '.join(seen)} {sys.flags.dev_mode} {os.getpid()}".encode()]

        def main():
            return application
        """
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "restless.py").write_text(dedent(restless))
    (tmp_path / ".env").write_text("OF_FILE=file\nHERE=file\n")
    port = free_port()
    (tmp_path / "pyproject.toml").write_text(
        f'[tool.bridge.serve]\nserver = "wsgiref"\nport = {port}\napp-dir = "src"\nenv-file = ".env"\n'
    )
    with subprocess.Popen(
        [sys.executable, "-X", "dev", "-m", "bridge", "serve", "restless:main", "--factory"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), "HERE": "here", "BRIDGE_ACCESS_LOG": "no"},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            answer = ""

            def answered() -> bool:
                nonlocal answer
                try:
                    answer = httpx.get(f"http://127.0.0.1:{port}/", trust_env=False, timeout=30).text
                except httpx.ConnectError:
                    return False
                return True

            poll(answered, 30, lambda: "the server does not answer")
            # The server is the very process that the user started: a signal to it is a signal to the server.
            assert answer == f"once file here True {process.pid}"
        finally:
            process.send_signal(signal.SIGINT)
            try:
                _, log = process.communicate(timeout=30)
            finally:
                process.kill()  # nothing, where it has ended
    assert process.returncode == 0
    assert log.splitlines() == [
        f"bridge: restless:main on wsgiref, 1 thread: http://127.0.0.1:{port}/",
        "bridge: WSGI app restless:main, as it is: one request at a time, so that a stream stops all others",
        f"wsgiref listens on 127.0.0.1, port {port}",
    ]


def test_gunicorn_is_executed_anew_as_it_was_begun(tmp_path: Path) -> None:
    """At SIGUSR2, as the command ``bridge`` has begun it: a module of the user's does not stand for Python's."""
    (tmp_path / "queue.py").write_text("raise LookupError('a module of the user')")
    (tmp_path / "shop.py").write_text("def app(environ, start_response): ...")
    words = ["shop:app", "--server", "gunicorn", "--port", str(free_port()), "--", *NO_CONTROL_SOCKET]
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "bridge", "serve", *words],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            assert process.stderr is not None
            log = iter(process.stderr)
            last = "bridge: 1 worker of the class sync"
            assert any(last in line for line in log)
            process.send_signal(signal.SIGUSR2)
            assert last in next(line for line in log if last in line or "LookupError" in line)
            os.killpg(process.pid, signal.SIGTERM)
            process.communicate(timeout=30)
        finally:
            with contextlib.suppress(ProcessLookupError):  # nothing is left of it
                os.killpg(process.pid, signal.SIGKILL)
