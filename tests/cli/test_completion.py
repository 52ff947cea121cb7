"""Completion in a shell: the script that shtab writes, run by the shell itself."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bridge.cli import main as cli
from bridge.cli.main import COMMANDS

#: Each prints a line for each of its arguments, which are lines of words: what they are completed to. ``{here}`` has
#: the script, by the name that the shell knows it by.
SHELLS = {
    "bash": """
source {here}/bridge.bash
for line in "$@"; do
    COMP_WORDS=($line)
    COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
    _shtab_bridge
    echo "${{COMPREPLY[@]}}"
done
""",
    "fish": """
source {here}/bridge.fish
for line in $argv
    complete -C $line | string split -f 1 \\t
end
""",
    # As its user has it: what is typed, then Tab, then Return.
    "zsh": """
zmodload zsh/zpty
zpty inner 'PS1="ready> " TERM=dumb zsh -f -i'
zpty -r inner out '*ready> *'
zpty -w inner 'fpath=({here} $fpath); autoload -Uz compinit; compinit -D -u; bridge() {{ print -r -- $#: $@[-1] :$# }}'
zpty -r inner out '*ready> *'
for line; do
    zpty -w -n inner "$line"$'\\t\\n'
    zpty -r inner out '*<->: * :<->*'
    print -r -- ${{${{out##*<->: }}%% :<->*}}
done
""",
}
FILES = {"bash": "bridge.bash", "fish": "bridge.fish", "zsh": "_bridge"}
COMPLETED = {
    "bridge se": "serve",
    "bridge ch": "check",
    "bridge completion z": "zsh",
    "bridge serve --max": "--max-body-size",
    "bridge serve --server gra": "granian",
    "bridge serve --loop sh": "shared",
    "bridge check --all": "--all-methods",
    "bridge check --native wai": "waitress",
    "bridge check --kind as": "asgi",
}
#: What names a file or a folder; of bash, it is the shell's own function that does it.
FILES_COMPLETED = {
    "bridge serve shop": "shop.py",
    "bridge serve --env-file sho": "shop.py",
    "bridge check --app-dir sr": "src",
}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_completes_options_and_their_values(
    shell: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("shtab", minversion="1.9" if shell == "fish" else None)
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell}")
    assert cli.main(["completion", shell]) == 0
    (tmp_path / FILES[shell]).write_text(capsys.readouterr().out)
    (tmp_path / "program").write_text(SHELLS[shell].format(here=tmp_path))
    place = tmp_path / "place"
    (place / "src").mkdir(parents=True)
    (place / "shop.py").write_text("")
    wanted = COMPLETED | ({} if shell == "bash" else FILES_COMPLETED)
    done = subprocess.run(
        [shell, str(tmp_path / "program"), *wanted],
        cwd=place,
        env=os.environ | {"HOME": str(tmp_path), "ZDOTDIR": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert [line.strip().rstrip("/") for line in done.stdout.splitlines()] == list(wanted.values())


def test_the_long_name_is_completed_by_the_script_that_it_prints(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("shtab")
    for name in ("bridge", "asgi-wsgi-bridge"):
        monkeypatch.setattr(sys, "argv", [f"/usr/bin/{name}"])
        assert cli.main(["completion", "zsh"]) == 0
        assert capsys.readouterr().out.startswith(f"#compdef {name}\n")


def test_each_command_has_its_options_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("shtab")
    assert cli.main(["completion", "zsh"]) == 0
    script = capsys.readouterr().out
    for name in COMMANDS:
        assert f"_shtab_bridge_{name}_options=(" in script
    assert "--har[" in script
    assert "--max-body-size[" in script


def test_a_shell_that_this_release_of_shtab_does_not_know(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shtab = pytest.importorskip("shtab")
    monkeypatch.setattr(shtab, "SUPPORTED_SHELLS", ["bash", "zsh"])
    assert cli.main(["completion", "fish"]) == 2
    assert "knows no fish: python -m pip install --upgrade shtab" in capsys.readouterr().err


def test_without_shtab_the_way_to_install_it_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert cli.main(["completion", "bash"]) == 2
    assert "python -m pip install shtab" in capsys.readouterr().err
