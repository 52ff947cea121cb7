"""The command ``bridge``: what it says, what it refuses, and what it leaves as it was for the server."""

import contextlib
import inspect
import os
import re
import signal
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from textwrap import dedent

import httpx
import pytest

from bridge import __version__
from bridge.cli import main as cli
from bridge.cli.servers import SERVERS
from tests.support.servers import REPOSITORY, free_port, poll


def run(*words: str, directory: Path = REPOSITORY) -> subprocess.CompletedProcess[str]:
    """``python -m bridge`` with ``words``, for what ends by itself."""
    return subprocess.run(
        [sys.executable, "-m", "bridge", *words],
        cwd=directory,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
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


# --- help ---------------------------------------------------------------------------------------------------


def test_help_names_every_server_and_option_and_fits_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["serve", "--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    options = (
        "--kind",
        "--mount",
        ",fallback",
        "--threads",
        "--root-path",
        "--server",
        "--host",
        "--port",
        "--workers",
        "--reload",
    )
    for word in (*SERVERS, *options, "module:create_app()", "path/to/file.py:app", "-- "):
        assert word in text
    assert max(map(len, text.splitlines())) <= 80


def test_help_tells_the_true_default_of_threads(capsys: pytest.CaptureFixture[str]) -> None:
    from bridge.to_asgi.adapter import WsgiToAsgi

    default = inspect.signature(WsgiToAsgi).parameters["threads"].default
    with pytest.raises(SystemExit):
        cli.main(["serve", "--help"])
    assert f"(default {default})" in capsys.readouterr().out


def test_each_example_of_the_help_is_understood(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["serve", "--help"])
    examples = re.findall(r"^  bridge (serve .*)$", capsys.readouterr().out, re.MULTILINE)
    assert len(examples) >= 5
    for example in examples:
        # It gets as far as looking for the app, which isn't there.
        done = subprocess.run(
            f"{sys.executable} -m bridge {example}",
            shell=True,
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 2
        assert re.fullmatch(r"bridge: error: .*(No module named|there is no file).*\n", done.stderr), example


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 0
    assert "serve an app of either kind on a server of either kind" in capsys.readouterr().out


def test_version() -> None:
    assert run("--version").stdout == f"bridge {__version__}\n"


def test_the_command_is_installed_with_the_package() -> None:
    scripts = [script for script in entry_points(group="console_scripts") if script.name == "bridge"]
    if not scripts:
        pytest.skip("the package is not installed, only importable")
    assert scripts[0].load() is cli.main


# --- what is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "there is no app to serve: say APP, or --mount /prefix=APP (see bridge serve --help)"),
        ("x:app --mount /=y:app", "x:app and --mount: say APP, or mount all there is"),
        ("--mount /=y:app --kind wsgi", "--kind is for one APP"),
        ("--mount /x/=y:app --mount /x=y:app", "--mount: y:app is mounted twice at '/x'"),
        (
            "--mount /x=y:app,fallback --mount /x/=z:app",
            "--mount: leave ,fallback out behind y:app; apps at one",
        ),
        ("--mount y:app", "argument --mount: 'y:app' is not /prefix=APP, such as /api=new.main:app"),
        ("--mount /=", "argument --mount: '/=' is not /prefix=APP"),
        ("--mount /x=,fallback", "argument --mount: '/x=,fallback' is not /prefix=APP"),
        ("--mount /x=a:app,fallbak", "argument --mount: '/x=a:app,fallbak' ends with ,fallbak"),
        ("--mount api=y:app", "argument --mount: the prefix 'api' does not begin with a slash: write '/api'"),
        ("--mount /a/../b=y:app", "argument --mount: the prefix '/a/../b' has a segment"),
        ("x:app --port 65536", "argument --port: '65536' is not a port, 0 to 65535"),
        ("x:app --port -1", "argument --port: "),
        ("x:app --host=", "argument --host: it is empty"),
        ("x:app --workers 0", "argument --workers: '0' is not a number from 1 up"),
        ("x:app --threads many", "argument --threads: 'many' is not a number from 1 up"),
        ("x:app --root-path api", "argument --root-path: the prefix 'api' does not begin with a slash"),
        (
            "x:app --root-path /a//b",
            "argument --root-path: the prefix '/a//b' has a segment that is empty or dots",
        ),
        ("x:app --server nginx", "argument --server: invalid choice: 'nginx'"),
        ("x:app --kind cgi", "argument --kind: invalid choice: 'cgi'"),
        ("x:app --log-level debug", "unrecognized arguments: --log-level debug"),
        ("x:app y:app", "unrecognized arguments: y:app"),
        ("x:app --server daphne --workers 2", "--workers: daphne can't run more than one"),
        ("x:app --server wsgiref -- -v", "wsgiref has no options of its own to take after --"),
    ],
)
def test_what_cannot_be_asked_for(capsys: pytest.CaptureFixture[str], words: str, message: str) -> None:
    assert refused(capsys, *words.split()).startswith(message)


def test_what_cannot_be_found_or_is_no_app(tmp_path: Path) -> None:
    (tmp_path / "site_.py").write_text(
        "import bridge\nasync def app(scope, receive, send): ...\nnumber = 3\nboth = bridge.Dispatcher({'/': app})\n"
    )
    for words, message in (
        (["nowhere:app"], "nowhere:app: No module named 'nowhere'"),
        (["site_:ap"], "site_:ap: module 'site_' has no attribute 'ap'; did you mean 'app'?"),
        (["site_:number"], "site_:number: an object of class 'int' is not an app: it can't be called"),
        (["--mount", "/=site_:app", "--mount", "/x=nowhere:app"], "nowhere:app: No module named 'nowhere'"),
        (
            ["--mount", "/=site_:app", "--threads", "2"],
            "--threads: uvicorn runs an ASGI app on its event loop",
        ),
        (["site_:both", "--threads", "2"], "--threads: a Dispatcher has its own; WsgiToAsgi(app, threads=N)"),
        (
            ["site_", "--threads", "2"],
            "--threads: uvicorn runs an ASGI app on its event loop, not in threads;",
        ),
    ):
        done = run("serve", *words, directory=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(f"bridge: error: {message}")
        assert done.stderr.count("\n") == 1


def test_an_app_that_ends_the_process_when_it_is_imported(tmp_path: Path) -> None:
    (tmp_path / "gone.py").write_text("import os; os._exit(0)")
    done = run("serve", "gone:app", directory=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "bridge: error: gone:app: importing it ended the process (status 0)\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/=a:b", ("/", "a:b", False)),
        ("/api/=a", ("/api", "a", False)),
        ("/api=a:make('x', y=1)", ("/api", "a:make('x', y=1)", False)),
        ("/a b=a:make(1),fallback", ("/a b", "a:make(1)", True)),
    ],
)
def test_mounts_as_words(text: str, expected: tuple[str, str, bool]) -> None:
    mount = cli._mount(text)
    assert (mount.prefix, mount.app, mount.fallback) == expected


# --- on the way to the server -------------------------------------------------------------------------------


def test_interrupted_while_the_app_is_imported(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text("import signal\nprint('importing', flush=True)\nsignal.pause()")
    with subprocess.Popen(
        [sys.executable, "-m", "bridge", "serve", "slow:app"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            assert process.stderr is not None
            assert process.stderr.readline() == "importing\n"
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does
            assert process.communicate(timeout=30)[1] == ""
        finally:
            with contextlib.suppress(ProcessLookupError):  # nothing is left of it
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 130


def test_the_server_starts_from_what_the_user_started_from(tmp_path: Path) -> None:
    """What importing the app does to the trial's process is not done twice; -X dev holds for the server."""
    restless = """
        import os, signal, sys

        os.environ["TIMES"] = os.environ.get("TIMES", "") + "once"
        os.chdir("/")
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.default_int_handler)

        def app(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [f"{os.environ['TIMES']} {sys.flags.dev_mode} {os.getpid()}".encode()]
        """
    (tmp_path / "restless.py").write_text(dedent(restless))
    port = free_port()
    command = [sys.executable, "-X", "dev", "-m", "bridge", "serve", "restless:app"]
    with subprocess.Popen(
        [*command, "--server", "wsgiref", "--port", str(port)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            answer = ""

            def answered() -> bool:
                nonlocal answer
                try:
                    answer = httpx.get(f"http://127.0.0.1:{port}/", trust_env=False).text
                except httpx.ConnectError:
                    return False
                return True

            poll(answered, 30, lambda: "the server does not answer")
            # The server is the very process that the user started: a signal to it is a signal to the server.
            assert answer == f"once True {process.pid}"
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.communicate(timeout=30)
            finally:
                process.kill()  # nothing, where it has ended
    assert process.returncode == 0
