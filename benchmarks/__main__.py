"""``python -m benchmarks``: the command line."""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import replace

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from . import in_process, leaving, load, memory, servers, slow_clients, websockets
from .measure import QUICK, Outcome, Settings, measure, print_table, print_wanted

_GROUPS = {group.name: group for group in (*in_process.GROUPS, *servers.GROUPS)}
_OTHERS: dict[str, Callable[[Console, Progress, Settings], None]] = {
    "memory": memory.run,
    "slow-clients": slow_clients.run,
    "leaving": leaving.run,
    "websockets": websockets.run,
}
_NAMES = (*_GROUPS, *_OTHERS)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="The bridge beside its peers.")
    parser.add_argument(
        "--quick", action="store_true", help="small counts: does it run? The ratios mean little."
    )
    parser.add_argument(
        "--only", action="append", metavar="NAME", help="a benchmark, or all that begin with it (repeatable)"
    )
    parser.add_argument("--rounds", type=int, help="instead of 5, or 2 with --quick")
    parser.add_argument("--seconds", type=float, help="for one in-process measurement, instead of 0.3")
    parser.add_argument("--list", action="store_true", help="print the names, and end")
    options = parser.parse_args(arguments)
    if options.list:
        print(*_NAMES, sep="\n")
        return 0
    prefixes = options.only or [""]
    for prefix in prefixes:
        if not any(name.startswith(prefix) for name in _NAMES):
            parser.error(f"no benchmark begins with {prefix!r}; there are {', '.join(_NAMES)}")
    settings = QUICK if options.quick else Settings()
    if options.rounds is not None:
        if options.rounds < 1:
            parser.error("--rounds has to be 1 or more")
        settings = replace(settings, rounds=options.rounds)
    if options.seconds is not None:
        settings = replace(settings, seconds=options.seconds)
    _run([name for name in _NAMES if name.startswith(tuple(prefixes))], settings)
    return 0


def _run(names: list[str], settings: Settings) -> None:
    # Tables go to a file or a pipe as well, and are not to be cut there.
    console = Console() if sys.stdout.isatty() else Console(width=132)
    start = time.perf_counter()
    console.print(f"{settings.rounds} rounds, in turn; load generator: {load.generator()}\n")
    outcomes: list[Outcome] = []
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description} {task.completed}/{task.total}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        for name in names:
            if name in _GROUPS:
                outcomes.append(measure(_GROUPS[name], settings, progress))
                print_table(console, outcomes[-1])
            else:
                _OTHERS[name](console, progress, settings)
    print_wanted(console, outcomes)
    console.print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
