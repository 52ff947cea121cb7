"""The command ``bridge``: which commands there are, and handing the words on to the one that is named."""

import difflib
import importlib
import sys
from dataclasses import dataclass

from .. import __version__
from .errors import UsageError

__all__ = ["main"]


@dataclass(frozen=True, slots=True)
class Command:
    """A subcommand; its module is imported when it is called."""

    module: str
    """It has ``run(words: list[str]) -> int``, which returns the exit status, and may raise ``UsageError``."""
    help: str
    parser: str
    """The function that makes its parser, for completion: ``module:function``."""


COMMANDS = {
    "serve": Command(
        "bridge.cli.serve",
        "serve an app of either kind on a server of either kind",
        "bridge.cli.parser:serve_parser",
    ),
    # Of a layer above this one.
    "check": Command(
        "bridge.check.command",
        "run an app natively and through the bridge, and say what differs",
        "bridge.check.parser:check_parser",
    ),
    "completion": Command(
        "bridge.cli.completion",
        "print a script that completes these words in a shell",
        "bridge.cli.completion:completion_parser",
    ),
}


def main(argv: list[str] | None = None) -> int:
    """Run the command with the words of ``argv``, by default those of the process; return its exit status.

    2: it can't do what is asked for, and one line on stderr says why; 130: interrupted before it could.
    """
    words = sys.argv[1:] if argv is None else argv
    try:
        return _run(words)
    except UsageError as exc:
        print(f"bridge: error: {exc}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _run(words: list[str]) -> int:
    match words:
        case [] | ["-h" | "--help", *_]:
            print(_help())
            return 0
        case ["--version", *_]:
            print(f"bridge {__version__}")
            return 0
        case [name, *rest] if name in COMMANDS:
            run = importlib.import_module(COMMANDS[name].module).run
            status: int = run(rest)
            return status
    *others, last = COMMANDS
    near = difflib.get_close_matches(words[0], COMMANDS, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(others)} and {last}"
    if ":" in words[0] or words[0].endswith(".py"):
        hint = f"to serve it: bridge serve {words[0]}"
    raise UsageError(f"{words[0]!r} is no command; {hint}")


def _help() -> str:
    width = max(map(len, COMMANDS))
    return "\n".join(
        [
            "usage: bridge COMMAND ...",
            "",
            "WSGI apps on ASGI servers, ASGI apps on WSGI servers.",
            "",
            "commands:",
            *(f"  {name:<{width}}  {command.help}" for name, command in COMMANDS.items()),
            "",
            "  -h, --help, --version",
            "",
            "bridge COMMAND --help says more.",
        ]
    )
