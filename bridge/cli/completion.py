"""``bridge completion SHELL``: a script that makes a shell complete the words of ``bridge``, by shtab.

It completes the name by which the command was called: ``bridge``, or ``asgi-wsgi-bridge``.
"""

import argparse
import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .errors import UsageError
from .main import COMMANDS
from .parser import Parser

__all__ = ["completion_parser", "run"]

_SHELLS = ("bash", "zsh", "fish", "tcsh", "powershell")
_LONG_NAME = "asgi-wsgi-bridge"


def run(words: list[str]) -> int:
    """Print the script for the shell that ``words`` name."""
    shell = completion_parser().parse_args(words).shell
    if importlib.util.find_spec("shtab") is None:
        raise UsageError("completion is written by shtab: python -m pip install shtab")
    import shtab

    if shell not in shtab.SUPPORTED_SHELLS:  # fish from 1.9 on, say
        raise UsageError(
            f"this release of shtab, {shtab.__version__}, knows no {shell}: python -m pip install --upgrade shtab"
        )
    is_long = Path(sys.argv[0]).stem == _LONG_NAME
    whole = _whole_parser(_LONG_NAME if is_long else "bridge")
    _complete_files(
        whole, {"FILE": shtab.FILE, "PATH": shtab.FILE, "APP": shtab.FILE, "DIR": shtab.DIRECTORY}
    )
    print(shtab.complete(whole, shell=shell))
    return 0


def completion_parser() -> Parser:
    """Return the parser of this command."""
    parser = Parser(
        prog="bridge completion",
        description="Print the script that makes a shell complete the words of bridge.",
        epilog="for bash: bridge completion bash > ~/.local/share/bash-completion/completions/bridge\n"
        "for zsh:  bridge completion zsh > a file _bridge in a directory of $fpath\n"
        "for fish: bridge completion fish > ~/.config/fish/completions/bridge.fish",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "shell", metavar="SHELL", choices=_SHELLS, help=f"{', '.join(_SHELLS[:-1])} or {_SHELLS[-1]}"
    )
    return parser


def _whole_parser(prog: str) -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(
        prog=prog, description="WSGI apps on ASGI servers, ASGI apps on WSGI servers."
    )
    whole.add_argument("--version", action="version", version="")
    commands = whole.add_subparsers(dest="command")
    for name, command in COMMANDS.items():
        module, _, function = command.parser.partition(":")
        make: Callable[[], Parser] = getattr(importlib.import_module(module), function)
        # A parent's options come with it, its groups too; --help is among them.
        commands.add_parser(name, parents=[make()], add_help=False, help=command.help)
    return whole


def _complete_files(parser: argparse.ArgumentParser, by_metavar: Mapping[str, Any]) -> None:
    """Have the values of options completed: from their choices, and by files where they take the name of one."""
    for action in parser._actions:
        action.choices = getattr(action, "bridge_choices", None) or action.choices
        if action.metavar in by_metavar and isinstance(action.metavar, str):
            setattr(action, "complete", by_metavar[action.metavar])  # noqa: B010 - shtab's own attribute
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                _complete_files(command, by_metavar)
