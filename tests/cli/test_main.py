"""The command ``bridge``: which commands it has, and its own words."""

import os
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint

import pytest

from bridge import __version__
from bridge.cli import main as cli
from tests.support.servers import REPOSITORY


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 0
    bare = capsys.readouterr().out
    assert "serve       serve an app of either kind on a server of either kind" in bare
    assert cli.main(["--help"]) == 0
    assert capsys.readouterr().out == bare
    assert max(map(len, bare.splitlines())) <= 80


def test_version_as_a_module_of_python() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bridge", "--version"],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == f"bridge {__version__}\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["serv"], "'serv' is no command; did you mean serve?"),
        (["x:app"], "'x:app' is no command; to serve it: bridge serve x:app"),
        (["app.py", "--reload"], "'app.py' is no command; to serve it: bridge serve app.py"),
        (["frobnicate"], "'frobnicate' is no command; there are serve, check and completion"),
    ],
)
def test_what_is_no_command(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(words) == 2
    assert capsys.readouterr().err == f"bridge: error: {message}\n"


def test_the_command_is_installed_by_its_name_and_by_the_distributions() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert project["scripts"].keys() == {"bridge", project["name"]}
    for place in project["scripts"].values():
        assert EntryPoint(name="", value=place, group="").load() is cli.main
