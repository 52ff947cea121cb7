"""``python -m tests.soak``: the command line. ``make soak`` calls it."""

import argparse
import itertools
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import NoReturn

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from benchmarks.processes import end_children

from . import report
from .chaos import Chaos, small_disk_missing
from .model import Loss
from .peers import PEERS
from .run import Life, Plan, live
from .scenarios import Scenario, draw
from .servers import SERVERS, SoakServer
from .shrink import shrink

#: Scenarios of a life. Its memory is judged over those.
_LIFE = 10_000


def _end(number: int, _: FrameType | None) -> NoReturn:
    """As Ctrl-C does: what was started and mounted is undone on the way out."""
    sys.exit(128 + number)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak",
        description="Random apps and clients on real servers, which fail and are failed.",
    )
    parser.add_argument(
        "--seed", type=int, help="the same seed draws the same scenarios (default: a new one)"
    )
    parser.add_argument("--requests", type=int, default=2000, help="on each server (default: 2,000)")
    parser.add_argument(
        "--server",
        action="append",
        choices=SERVERS,
        metavar="NAME",
        help=f"{', '.join(SERVERS)} (repeatable)",
    )
    parser.add_argument(
        "--adapter", help="bridge, bridge-stream, bridge-shared (default: each that the server has)"
    )
    parser.add_argument("--chaos", choices=[chaos.name.lower() for chaos in Chaos], help="do this alone")
    parser.add_argument(
        "--indices",
        type=_indices,
        metavar="N,N",
        help='these scenarios alone, in one life of each server; "none": its warm-up alone, and --chaos',
    )
    parser.add_argument(
        "--peers", action="store_true", help="play on the peers and on native apps, and compare"
    )
    parser.add_argument("--minutes", type=float, default=60.0, help="begin no life after that (default: 60)")
    parser.add_argument(
        "--tries",
        type=int,
        default=10,
        help="play a failure so often again, to make it smaller (default: 10)",
    )
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="leave the report there")
    parser.add_argument(
        "--add",
        action="store_true",
        help="add to the report that is there, as other soaks may at the same time",
    )
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _end)
    seed: int = random.randrange(1 << 32) if options.seed is None else options.seed
    servers = [SERVERS[name] for name in options.server or SERVERS]
    if options.peers:
        plans = _peers(seed, options.requests)
    else:
        chaos = Chaos[options.chaos.upper()] if options.chaos else None
        for server in servers:
            if options.adapter not in {None, *server.adapters}:
                parser.error(f"{server.name} is played with {', '.join(server.adapters)} alone")
            if chaos not in {None, *server.chaos()}:
                parser.error(f"{server.name} has no {options.chaos}")
        each = [
            _plans(server, options.adapter, seed, options.requests, chaos, options.indices)
            for server in servers
        ]
        # In turns, so that a run that is ended has played on each of them.
        plans = [plan for turn in itertools.zip_longest(*each) for plan in turn if plan is not None]
    console = Console() if sys.stdout.isatty() else Console(width=132)
    lives: list[Life] = []
    part: report.Part = "peers" if options.peers else "lives"
    if options.output is not None and not options.add:
        report.begin(options.output, part)
    for life in _live_all(plans, console, options.minutes * 60):
        lives.append(life)
        if options.output is not None:
            report.add(options.output, part, life)
    failed = [life for life in lives if life.complaints]
    if options.peers:
        return 0
    for life in failed:
        _explain(life, console, options.tries)
    return 1 if failed else 0


def _indices(words: str) -> list[int]:
    return [] if words == "none" else [int(word) for word in words.split(",")]


def _plans(
    server: SoakServer,
    adapter: str | None,
    seed: int,
    requests: int,
    chaos: Chaos | None,
    indices: Sequence[int] | None,
) -> list[Plan]:
    """Lives of one server, which take turns at what is done to it, and at its adapters."""
    adapters = (adapter,) if adapter else server.adapters
    if indices is not None:
        return [Plan(server, adapters[0], seed, draw(seed, indices, server.place_of(adapters[0])), chaos)]
    room = small_disk_missing() is None
    turns = [chaos] if chaos else [done for done in server.chaos() if room or done is not Chaos.SPACE]
    # Which comes first depends on the seed: short runs don't all do the same.
    both = list(itertools.product(turns, adapters))
    plans: list[Plan] = []
    for number, first in enumerate(range(0, requests, _LIFE), start=seed):
        done, name = both[number % len(both)]
        scenarios = draw(seed, range(first, min(first + _LIFE, requests)), server.place_of(name))
        plans.append(Plan(server, name, seed, scenarios, done))
    return plans


def _peers(seed: int, requests: int) -> list[Plan]:
    return [
        Plan(server, adapter, seed, draw(seed, range(requests), server.place_of(adapter)), patience=5.0)
        for server, adapter in PEERS
    ]


def _live_all(plans: Sequence[Plan], console: Console, seconds: float) -> Iterator[Life]:
    """Each life when it has ended; none is begun after so many seconds."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    end = time.monotonic() + seconds
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=sum(len(plan.scenarios) for plan in plans))
        for number, plan in enumerate(plans):
            if time.monotonic() > end:
                console.print(f"{len(plans) - number} of {len(plans)} lives are left out: the time is over")
                return
            progress.update(task, description=str(plan))
            life = _live(plan, lambda: progress.advance(task))
            losses = ", ".join(f"{number} x {loss.value}" for loss, number in life.losses().items())
            console.print(
                f"{plan}: {life.requests:,} requests in {life.seconds:.0f} s; {losses or 'all right'}"
            )
            for complaint in life.complaints[:20]:
                console.print(f"  {complaint}", markup=False, soft_wrap=True)
            yield life


def _live(plan: Plan, played: Callable[[], object] = lambda: None) -> Life:
    # Not below the user's own temporary directory: a unix socket's path may be too long there.
    with tempfile.TemporaryDirectory(prefix="soak-") as directory:
        try:
            return live(plan, Path(directory), played)
        finally:
            end_children()


def _explain(life: Life, console: Console, tries: int) -> None:
    """Print the fewest scenarios with which it still fails.

    What it loses without any of them is told first, and blamed on none: each part of them would seem to be guilty.
    """
    plan = life.plan
    kinds = set(life.losses())
    alone = kinds & set(_live(replace(plan, scenarios=[])).losses()) if tries else set()
    if alone:
        around = f"its warm-up and {plan.chaos.value}" if plan.chaos else "its warm-up"
        names = ", ".join(loss.value for loss in Loss if loss in alone)
        console.print(f"{plan}: {around} alone, without any request of the plan: {names}:", markup=False)
        _print_command(plan, [], console)
    if kinds - alone:
        small = smaller(life, kinds - alone, tries)
        console.print(f"{plan}: again, with {len(small)} of {len(plan.scenarios)}:", markup=False)
        _print_command(plan, small, console)


def _print_command(plan: Plan, scenarios: Sequence[Scenario], console: Console) -> None:
    chaos = f" --chaos {plan.chaos.name.lower()}" if plan.chaos else ""
    numbers = ",".join(str(scenario.index) for scenario in scenarios[:200]) or "none"
    console.print(
        f"  python -m tests.soak --server {plan.server.name} --adapter {plan.adapter} --seed {plan.seed}{chaos} "
        f"--indices {numbers}",
        markup=False,
        soft_wrap=True,
    )


def smaller(life: Life, kinds: set[Loss], tries: int) -> list[Scenario]:
    """Scenarios of the life, as few as can be had, that still lose one of ``kinds``."""
    plan = life.plan

    def fails(scenarios: Sequence[Scenario]) -> bool:
        return bool(kinds & set(_live(replace(plan, scenarios=scenarios)).losses()))

    blamed = {
        complaint.scenario.index
        for complaint in life.complaints
        if complaint.scenario is not None and complaint.loss in kinds
    }
    suspects = [scenario for scenario in plan.scenarios if scenario.index in blamed]
    if tries and suspects and len(suspects) < len(plan.scenarios) and fails(suspects):
        return shrink(suspects, fails, tries)
    return shrink(plan.scenarios, fails, tries)


if __name__ == "__main__":
    sys.exit(main())
