"""The help of ``bridge serve``, and what its parser makes of words."""

import os
import re
import shlex
import sys
from pathlib import Path

import pytest

from bridge.cli import main as cli
from bridge.cli.options import OPTIONS
from bridge.cli.parser import serve_parser
from bridge.cli.servers import SERVERS


def help_of(capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as caught:
        cli.main(["serve", "--help"])
    assert caught.value.code == 0
    return capsys.readouterr().out


def test_help_names_every_server_and_option_and_fits_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    text = help_of(capsys)
    options = [option.flag for option in OPTIONS.values()]
    for word in (
        *SERVERS,
        *options,
        ",fallback",
        "module:create_app()",
        "path/to/file.py:app",
        "-- ",
        "BRIDGE_PORT",
    ):
        assert word in text
    assert max(map(len, text.splitlines())) <= 80


def test_each_example_of_the_help_is_understood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    examples = re.findall(r"^  bridge (serve .*)$", help_of(capsys), re.MULTILINE)
    assert len(examples) >= 8
    started: list[str] = []
    monkeypatch.setattr("runpy.run_module", lambda name, **_: started.append(name))
    monkeypatch.setattr("bridge.cli.serve.probe", lambda address: None)
    monkeypatch.chdir(tmp_path)
    for example in examples:
        monkeypatch.setattr(os, "environ", dict(os.environ))
        monkeypatch.setattr(sys, "argv", [])
        assert cli.main(shlex.split(example)) == 0, example
    assert len(started) == len(examples)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", {}),
        ("x:app", {"app": "x:app"}),
        ("x:app --reload --no-access-log", {"app": "x:app", "reload": True, "access_log": False}),
        ("--mount /=x:app --mount /y=y:app", {"mount": ["/=x:app", "/y=y:app"]}),
        ("-b 0.0.0.0:80 -w 4", {"bind": "0.0.0.0:80", "workers": "4"}),
    ],
)
def test_what_was_not_said_is_not_there(words: str, said: dict[str, object]) -> None:
    """So that a variable, a file or the server's own configuration may say it."""
    assert vars(serve_parser().parse_args(words.split())) == said


@pytest.mark.parametrize("words", ["x:app --wor 2", "x:app --port"])
def test_a_word_that_is_not_understood_is_one_line(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An abbreviation too: it would change its meaning with the next option."""
    with pytest.raises(SystemExit) as caught:
        serve_parser().parse_args(words.split())
    assert caught.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
