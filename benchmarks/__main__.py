"""``python -m benchmarks``: the command line."""

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from . import account, curves, in_process, leaving, load, memory, report, servers, slow_clients, websockets
from .measure import QUICK, Outcome, Settings, measure, print_table, print_wanted
from .processes import end_children

_GROUPS = {group.name: group for group in (*in_process.GROUPS, *servers.GROUPS)}
_CURVES = {curve.name: curve for curve in curves.CURVES}
_OTHERS: dict[str, Callable[[Console, Progress, Settings], None]] = {
    "memory": memory.run,
    "slow-clients": slow_clients.run,
    "leaving": leaving.run,
    "websockets": websockets.run,
}
_NAMES = (*_GROUPS, "account", *_CURVES, *_OTHERS)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="The bridge beside its peers.")
    parser.add_argument("--quick", action="store_true", help="small counts, and no verdicts: does it run?")
    parser.add_argument(
        "--only", action="append", metavar="NAME", help="a benchmark, or all that begin with it (repeatable)"
    )
    parser.add_argument("--rounds", type=int, help="instead of 5, or 2 with --quick")
    parser.add_argument("--seconds", type=float, help="for one in-process measurement, instead of 0.3")
    parser.add_argument(
        "--output", type=Path, metavar="FOLDER", help="leave figures.json and plots of it there"
    )
    parser.add_argument(
        "--draw", type=Path, metavar="FOLDER", help="draw the plots of the figures.json there anew, and end"
    )
    parser.add_argument("--list", action="store_true", help="print the names, and end")
    options = parser.parse_args(arguments)
    if options.list:
        print(*_NAMES, sep="\n")
        return 0
    if options.draw:
        figures = json.loads((options.draw / "figures.json").read_text())
        print(*report.draw(options.draw, figures), sep="\n")
        return 0
    # Terminated, it ends its servers, as it does for Ctrl-C.
    signal.signal(signal.SIGTERM, _end)
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
    try:
        _run([name for name in _NAMES if name.startswith(tuple(prefixes))], settings, options.output)
    finally:
        end_children()
    return 0


def _end(number: int, _frame: object) -> None:
    sys.exit(128 + number)


def _run(names: list[str], settings: Settings, output: Path | None) -> None:
    # Tables go to a file or a pipe as well, and are not to be cut there.
    console = Console() if sys.stdout.isatty() else Console(width=132)
    start = time.perf_counter()
    console.print(f"{settings.rounds} rounds, in turn; load generator: {load.generator()}\n")
    outcomes: list[Outcome] = []
    points: list[curves.Points] = []
    accounts: list[account.Account] = []
    of = report.machine()
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description} {task.completed}/{task.total}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        for name in names:
            if name in _GROUPS:
                outcomes.append(measure(_GROUPS[name], settings, progress))
                print_table(console, outcomes[-1], verdicts=settings.verdicts)
            elif name == "account":
                accounts = account.measure(settings, progress)
                account.print_accounts(console, accounts)
            elif name in _CURVES:
                points.append(curves.measure(_CURVES[name], settings, progress))
                curves.print_points(console, points[-1])
            else:
                _OTHERS[name](console, progress, settings)
    if settings.verdicts:
        print_wanted(console, outcomes)
    if output is not None:
        for path in report.write(output, report.as_data(of, settings, outcomes, points, accounts)):
            console.print(f"written: {path}")
    console.print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
