"""The command line of ``bridge check``: what it refuses, in one line, with status 2."""

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from bridge.check import command
from bridge.check.child import end_group
from bridge.check.command import run
from bridge.check.model import label
from bridge.check.parser import check_parser
from bridge.cli.asked import Asked
from tests.support.servers import REPOSITORY


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current one, with an app in it."""
    app = """
        def app(environ, start_response):
            start_response("200 OK", [])
            return [b"fine"]
        """
    (tmp_path / "shop.py").write_text(dedent(app))
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "store.py").write_text(
        "from os import environ\ndef make(): import shop; return shop.app"
    )
    (tmp_path / "fails.py").write_text("raise LookupError('at import')")
    (tmp_path / "ends.py").write_text("import os; os._exit(3)")
    (tmp_path / "breaks.py").write_text("def app(environ): ...\napp()")
    (tmp_path / "requests").write_text("GET /a\nGET /a /b\n")
    (tmp_path / "archive").write_text("{}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    return tmp_path


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere:app"], "nowhere:app: No module named 'nowhere' in {here}, nor among what is installed"),
        (
            ["nowhere:app", "--app-dir", "src"],
            "nowhere:app: No module named 'nowhere' in {here}/src and {here}",
        ),
        (
            ["store:app"],
            "store:app: No module named 'store' in {here}, nor among what is installed; it is in src",
        ),
        (["shop:app", "--app-dir", "nowhere"], "--app-dir: there is no directory 'nowhere'"),
        (["shop:app", "--env-file", "nowhere"], "--env-file: there is no file 'nowhere'"),
        ([], "there is no app to be found: say APP"),
        (["shop:ap"], "shop:ap: module 'shop' has no attribute 'ap'; did you mean 'app'?"),
        (
            ["shop:app", "--native", "uvicorn"],
            "--native uvicorn: it calls ASGI apps; here it has to be one of",
        ),
        (
            ["shop:app", "--bridged", "gunicorn"],
            "--bridged gunicorn: it calls WSGI apps; here it has to be one of",
        ),
        (["shop:app", "--requests", "nowhere"], "--requests: nowhere: No such file or directory"),
        (["shop:app", "--requests", "requests"], "--requests requests: line 2: there is to be one URL"),
        (["shop:app", "--har", "archive"], "--har archive: it is no HTTP archive"),
        (
            ["nowhere:app", "--html", "nowhere/report.html"],
            "--html nowhere/report.html: there is no such directory",
        ),
        (["ends:app"], "ends:app: importing it ended the process (status 3)"),
        (["fails:app"], "fails:app: LookupError was raised, with the traceback above"),
        (["breaks:app"], "breaks:app: TypeError was raised, with the traceback above"),
        (
            ["shop:app", "--kind", "asgi"],
            "shop:app: --kind asgi: the function 'app' is a WSGI app, not an ASGI one",
        ),
    ],
)
def test_what_is_refused(
    words: list[str], message: str, directory: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(words) == 2
    output, errors = capfd.readouterr()
    assert output == ""
    assert f"bridge: error: {message.replace('{here}', str(directory))}" in errors
    assert ("Traceback" in errors) == ("traceback" in message)


def test_modules_of_the_user_are_not_taken_for_pythons_and_the_servers(directory: Path) -> None:
    """As the command ``bridge``, which has its own folder first on Python's path; so have the servers' commands."""
    for name in ("queue", "token", "random", "gunicorn", "rich"):
        (directory / f"{name}.py").write_text("raise LookupError('a module of the user')")
    done = subprocess.run(
        [sys.executable, "-P", "-m", "bridge", "check", "shop:app", "--json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert done.stderr == ""
    assert json.loads(done.stdout)["app"] == "shop:app"


def test_an_import_that_does_not_end(
    directory: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A process of its own too, as a reloader has; both hold the pipe open.
    os.mkfifo("held")
    (directory / "runs.py").write_text(
        "import subprocess, sys\nheld = open('held', 'wb', buffering=0)\nheld.write(b'begun')\n"
        "code = 'import threading; threading.Event().wait()'\n"
        "subprocess.run([sys.executable, '-c', code], pass_fds=[held.fileno()])"
    )
    monkeypatch.setattr(command, "_IMPORT", 2.0)
    reader = os.open("held", os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert run(["runs:app"]) == 2
        assert os.read(reader, 100) == b"begun"
        assert select.select([reader], [], [], 20)[0]
        assert os.read(reader, 100) == b"", "somebody still holds it"
    finally:
        os.close(reader)
    expected = "runs:app: importing it takes more than 2 seconds. Does the module start a server"
    assert expected in capfd.readouterr().err


def test_a_thread_that_the_import_leaves(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (directory / "leaves.py").write_text(
        "import threading\nthreading.Thread(target=threading.Event().wait).start()\nfrom shop import app"
    )
    monkeypatch.setattr(command, "_LEAVING", 0.1)
    looked = command._look(Asked(app="leaves:app"))
    assert looked is not None
    assert looked["kind"] == "wsgi"


def test_a_second_interrupt_leaves_no_server() -> None:
    """It comes while a server that takes its time is waited for."""

    class Impatient(subprocess.Popen[bytes]):
        interrupted = False

        def wait(self, timeout: float | None = None) -> int:
            if not self.interrupted:
                self.interrupted = True
                raise KeyboardInterrupt
            return super().wait(timeout)

    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); signal.pause()"
    process = Impatient([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    with process.stdout:
        process.stdout.readline()
        with pytest.raises(KeyboardInterrupt):
            end_group(process)
    assert process.returncode == -signal.SIGKILL


def test_no_request_is_in_the_plan_twice(directory: Path) -> None:
    route = {"path": "/", "methods": ["GET", "HEAD", "OPTIONS"], "websocket": False}
    looked: dict[str, Any] = {"kind": "wsgi", "loop": None, "host": "localhost", "routes": [route]}
    plan = command._plan(check_parser().parse_args([]), Asked(app="shop:app"), looked)
    labels = [label(request) for request in plan.requests]
    assert sorted(labels) == sorted(set(labels))
    assert {"GET /", "GET / (from a proxy)", "GET / (a range)"} <= set(labels)


def test_the_report_is_printed_though_the_page_cannot_be_written(
    directory: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (directory / "page").mkdir()
    assert run(["shop:app", "--html", "page", "--json"]) == 2
    output, errors = capfd.readouterr()
    assert json.loads(output)["app"] == "shop:app"
    assert errors.lstrip("\n") == "bridge: error: --html page: Is a directory\n"  # rich 13 begins a line


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_that_end_it(number: int, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hit(*_: object) -> None:
        signal.raise_signal(number)

    monkeypatch.setattr(command, "_look", hit)
    before = signal.getsignal(number)
    default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    signal.signal(number, default)
    try:
        assert run(["shop:app"]) == 128 + number  # a shell's
        assert signal.getsignal(number) is default
    finally:
        signal.signal(number, before)


INTERRUPTED = """
import signal, sys
from bridge.check import command

def hit(*_):
    exec("signal.raise_signal(signal.SIGINT)")  # as dataclasses, which are made when a library is imported late

command._look = hit
sys.exit(command.run(["shop:app"]))
"""


def test_ctrl_c_in_a_string_that_is_executed_ends_it_by_a_status_and_not_by_the_signal(
    tmp_path: Path,
) -> None:
    """As ``python -m bridge``: Python looks at its end whether the last such string was interrupted."""
    (tmp_path / "interrupted.py").write_text(INTERRUPTED)
    done = subprocess.run(
        [sys.executable, "-m", "interrupted"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (128 + signal.SIGINT, "")


@pytest.mark.parametrize(
    "words", [["shop:app", "shop:app"], ["shop:app", "--native", "nginx"], ["shop:app", "--nothing"]]
)
def test_words_that_are_none(words: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        run(words)
    assert exit_.value.code == 2
    errors = capfd.readouterr().err
    assert errors.startswith("bridge: error: ")
    assert errors.endswith("(see bridge check --help)\n")
    assert errors.count("\n") == 1


def test_help_fits_a_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        run(["--help"])
    assert exit_.value.code == 0
    assert max(map(len, capfd.readouterr().out.splitlines())) <= 82


@pytest.mark.parametrize("missing", ["rich", "h11", "rich and h11"])
def test_without_the_extra(missing: str) -> None:
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({missing.split(' and ')!r}))\n"
        "from bridge.cli.main import main; sys.exit(main(['check', 'shop:app']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=60
    )
    expected = (
        f"bridge: error: bridge check needs {missing}: python -m pip install 'asgi-wsgi-bridge[check]'\n"
    )
    assert (done.returncode, done.stderr) == (2, expected)


def test_a_fault_of_its_own_is_no_finding(directory: Path) -> None:
    """Here of an installation that is broken. Python's own status for a traceback would be that of findings."""
    (directory / "rich").mkdir()
    (directory / "rich" / "__init__.py").write_text("raise LookupError('broken')")
    done = subprocess.run(
        [sys.executable, "-m", "bridge", "check", "shop:app"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    *above, last = done.stderr.splitlines()
    assert done.returncode == 2
    assert above[-1] == "LookupError: broken"
    assert last == (
        "bridge: error: bridge check itself failed, so nothing is known of the app; please report the traceback above"
    )


@pytest.mark.parametrize(
    "how", ["print('the report')", "Console().print('the report')"], ids=["json", "rich"]
)
@pytest.mark.parametrize(
    ("where", "why"), [("a full disk", "No space left on device"), ("a closed pipe", "Broken pipe")]
)
def test_a_report_that_cannot_be_printed_is_no_finding(how: str, where: str, why: str) -> None:
    """Python tries once more at its exit, and has status 120 for it; rich has 1 for a pipe that nobody reads."""
    code = (
        "import sys; from bridge.check import command; from rich.console import Console\n"
        "def check(options):\n"
        "    with command._standard_output():\n"
        f"        {how}\n"
        "    return 0\n"
        "command._check = check; sys.exit(command.run(['shop:app']))"
    )
    if where == "a full disk":
        output = os.open("/dev/full", os.O_WRONLY)
    else:
        reader, output = os.pipe()
        os.close(reader)
    with os.fdopen(output, "wb") as closed_at_the_end:
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=REPOSITORY,
            stdout=closed_at_the_end,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )
    expected = f"bridge: error: the report can't be written to standard output: {why}\n"
    assert (done.returncode, done.stderr) == (2, expected)


@pytest.mark.parametrize("how", ["print(text)", "Console().print(text)"], ids=["json", "rich"])
@pytest.mark.parametrize(("encoding", "mark"), [("utf-8", "✓"), ("latin-1", r"\u2713"), ("ascii", r"\u2713")])
def test_a_report_whose_text_the_terminal_has_no_letters_for(how: str, encoding: str, mark: str) -> None:
    """Its own marks, and a name of a file that is no text in any encoding."""
    code = (
        "from bridge.check import command; from rich.console import Console\n"
        "text = chr(0x2713) + ' ' + chr(0xdcff)\n"
        f"with command._standard_output(): {how}"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert (done.stdout.decode("utf-8"), done.stderr) == (f"{mark} \\udcff\n", b"")


def test_a_page_with_a_name_that_is_no_text(tmp_path: Path) -> None:
    command._write(str(tmp_path / "page.html"), "✓ \udcff")
    assert (tmp_path / "page.html").read_bytes() == "✓ \\udcff".encode()


def test_the_help_names_the_servers_of_each_kind(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(["--help"])
    said = capsys.readouterr().out
    assert "for WSGI  gunicorn, waitress, wsgiref\n" in said
    assert "for ASGI  uvicorn, hypercorn, granian, daphne\n" in said
    assert max(map(len, said.splitlines())) <= 80
