"""A word that is no option: which one is nearest, and which server has it among its own.

The servers' own options are read from their ``--help``, so that they are those of the releases that are installed. That
takes a moment, and only who has made a mistake waits for it.
"""

import difflib
import re
import subprocess
import sys

from .errors import UsageError
from .folders import module_words
from .options import OPTIONS
from .servers import SERVERS, Server

__all__ = ["unrecognized"]

_OPTION = re.compile(r"(?<![\w\[-])--?(?:\[no-\])?[a-z][\w-]*")


def unrecognized(words: list[str], server: Server) -> UsageError:
    """Return the error for ``words``, which the command line has no place for."""
    message = f"unrecognized arguments: {' '.join(words)}"
    name = words[0].partition("=")[0]
    if not name.startswith("-"):
        return UsageError(f"{message}; there is one APP, and --mount /prefix=APP for several")
    own = _options_of_servers()
    having = [other for other, options in own.items() if name in options]
    if server.name in having:
        return UsageError(f"{message}; {server.name} has it, behind --: -- {' '.join(words)}")
    if having:
        return UsageError(f"{message}; {_and(having)} has it, behind -- (--server {having[0]} -- {name})")
    ours = [option.flag for option in OPTIONS.values()]
    ours += [f"--no-{option.name.replace('_', '-')}" for option in OPTIONS.values() if option.shape == "pair"]
    near = difflib.get_close_matches(name, ours, n=1)
    if near:
        return UsageError(f"{message}; did you mean {near[0]}?")
    near = difflib.get_close_matches(name, sorted(own.get(server.name, ())), n=1, cutoff=0.75)
    if near:
        return UsageError(f"{message}; did you mean {server.name}'s {near[0]}, behind --: -- {near[0]}?")
    return UsageError(f"{message}; neither bridge nor {_and([*own], 'nor')} has {name}")


def _and(names: list[str], word: str = "and") -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {word} {names[-1]}"


def _options_of_servers() -> dict[str, set[str]]:
    """The options of each server that is installed and has a command line; all are asked at the same time."""
    asked = {
        name: subprocess.Popen(  # noqa: S603 - modules that are named in the table
            [sys.executable, *module_words(name), "--help"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for name, server in SERVERS.items()
        if server.requirement is not None and server.installed
    }
    options: dict[str, set[str]] = {}
    for name, process in asked.items():
        try:
            text, _ = process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            text, _ = process.communicate()
        options[name] = set()
        for word in _OPTION.findall(text):
            options[name] |= {word.replace("[no-]", ""), word.replace("[no-]", "no-")}
    return options
