"""Completion in a shell: the script that shtab writes, run by bash."""

import subprocess
import sys
from pathlib import Path

import pytest

from bridge.cli import main as cli

COMPLETE = """
source {script}
COMP_WORDS=({words})
COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
_shtab_bridge
echo "${{COMPREPLY[@]}}"
"""


def test_bash_completes_options_and_their_values(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("shtab")
    assert cli.main(["completion", "bash"]) == 0
    script = tmp_path / "bridge.bash"
    script.write_text(capsys.readouterr().out)
    for words, completed in (
        ("bridge se", "serve"),
        ("bridge ch", "check"),
        ("bridge completion z", "zsh"),
        ("bridge serve --max", "--max-body-size"),
        ("bridge serve --server gra", "granian"),
        ("bridge serve --loop sh", "shared"),
    ):
        done = subprocess.run(
            ["bash", "-c", COMPLETE.format(script=script, words=words)],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert done.stdout.split() == [completed], words


def test_without_shtab_the_way_to_install_it_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert cli.main(["completion", "bash"]) == 2
    assert "python -m pip install shtab" in capsys.readouterr().err
