"""``bridge completion SHELL``: a script that makes a shell complete the words of ``bridge``, by shtab."""

import argparse
import importlib.util

from .errors import UsageError
from .main import COMMANDS
from .parser import Parser, serve_parser

__all__ = ["run"]

_SHELLS = ("bash", "zsh", "tcsh")


def run(words: list[str]) -> int:
    """Print the script for the shell that ``words`` name."""
    parser = Parser(
        prog="bridge completion",
        description="Print the script that makes a shell complete the words of bridge.",
        epilog="for bash: bridge completion bash > ~/.local/share/bash-completion/completions/bridge\n"
        "for zsh:  bridge completion zsh > a file _bridge in a directory of $fpath",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "shell", metavar="SHELL", choices=_SHELLS, help=f"{', '.join(_SHELLS[:-1])} or {_SHELLS[-1]}"
    )
    shell = parser.parse_args(words).shell
    if importlib.util.find_spec("shtab") is None:
        raise UsageError("completion is written by shtab: python -m pip install shtab")
    import shtab

    print(shtab.complete(_whole_parser(), shell=shell))
    return 0


def _whole_parser() -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(
        prog="bridge", description="WSGI apps on ASGI servers, ASGI apps on WSGI servers."
    )
    whole.add_argument("--version", action="version", version="")
    commands = whole.add_subparsers(dest="command")
    # A parent's options come with it, its groups too. The options of a command of another layer are not known here.
    parents = {"serve": [serve_parser()]}
    added = {
        name: commands.add_parser(name, parents=parents.get(name, []), add_help=False, help=command.help)
        for name, command in COMMANDS.items()
    }
    added["completion"].add_argument("shell", choices=_SHELLS)
    serve = added["serve"]
    for action in serve._actions:
        action.choices = getattr(action, "bridge_choices", None) or action.choices
    return whole
