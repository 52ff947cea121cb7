"""The command line of ``bridge check``: what it refuses, in one line, with status 2."""

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from bridge.check.command import run
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
    (tmp_path / "fails.py").write_text("raise LookupError('at import')")
    (tmp_path / "ends.py").write_text("import os; os._exit(3)")
    (tmp_path / "requests").write_text("GET /a\nGET /a /b\n")
    (tmp_path / "archive").write_text("{}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    return tmp_path


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere:app"], "nowhere:app: No module named 'nowhere'"),
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
        (["ends:app"], "ends:app: importing it ended the process (status 3)"),
        (["fails:app"], "fails:app: LookupError was raised, with the traceback above"),
    ],
)
def test_what_is_refused(
    words: list[str], message: str, directory: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(words) == 2
    output, errors = capfd.readouterr()
    assert output == ""
    assert f"bridge: error: {message}" in errors
    assert ("Traceback" in errors) == ("traceback" in message)


@pytest.mark.parametrize("words", [[], ["shop:app", "--native", "nginx"], ["shop:app", "--nothing"]])
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


def test_without_rich() -> None:
    code = "import sys; sys.modules['rich'] = None; from bridge.check.command import run; sys.exit(run(['shop:app']))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2
    expected = "bridge: error: bridge check needs rich: python -m pip install 'asgi-wsgi-bridge[check]'\n"
    assert done.stderr == expected
