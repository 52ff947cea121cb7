"""Rounds, ratios and tables.

A ``Group`` is measured in rounds, each subject once per round in turn (A B C A B C ...), so that what else the machine
does falls on all alike. A ratio is the median of the rounds' ratios; a rate or a time is the median of the rounds.
"""

import statistics
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Literal

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

__all__ = [
    "Group",
    "Outcome",
    "Sample",
    "Settings",
    "Subject",
    "Wanted",
    "measure",
    "print_table",
    "print_wanted",
]


#: The share of requests that may fail, for a connection that the server closed just then.
_TOLERATED = 0.01


@dataclass(frozen=True)
class Settings:
    """How much is measured. Sizes in bytes, times in seconds."""

    rounds: int = 5
    #: Whether targets are held against what was measured: small counts say too little.
    verdicts: bool = True
    #: For one in-process measurement.
    seconds: float = 0.3
    #: For one measurement with a load generator; wrk takes whole seconds.
    server_seconds: int = 1
    chunks: int = 20_000
    #: Of an upload, or a download.
    body: int = 100 * 2**20
    memory: int = 2**30
    #: Seconds that a client does not read.
    stall: float = 5.0
    stalled_clients: int = 200
    #: Requests whose latency is taken, per round.
    latencies: int = 200
    open_websockets: int = 200
    #: Messages that each WebSocket echoes, per round.
    echoes: int = 300
    #: Clients that leave a download, and the size of those that are whole.
    leaving_clients: int = 100
    rows: int = 100_000
    download: int = 200 * 2**20


QUICK = Settings(
    rounds=2,
    verdicts=False,
    seconds=0.05,
    server_seconds=1,
    chunks=2_000,
    body=10 * 2**20,
    memory=64 * 2**20,
    stall=1.0,
    stalled_clients=40,
    latencies=40,
    open_websockets=40,
    echoes=20,
    leaving_clients=20,
    rows=5_000,
    download=20 * 2**20,
)


@dataclass(frozen=True)
class Sample:
    """``count`` requests took ``seconds`` of wall time and ``cpu`` seconds of processor time; ``failed`` others
    came to nothing."""

    count: int
    seconds: float
    cpu: float
    failed: int = 0

    @property
    def each(self) -> float:
        return self.seconds / self.count


@dataclass(frozen=True)
class Subject:
    name: str
    run: Callable[[], Sample]


@dataclass(frozen=True)
class Wanted:
    """A target: ``subject`` is at least ``factor`` times as fast as ``against``; in a group that measures times, it
    takes at most ``factor`` times as long."""

    subject: str
    against: str
    factor: float


@dataclass(frozen=True)
class Group:
    """Subjects that are compared. ``prepare`` makes them and leaves what is to be ended on the stack."""

    name: str
    title: str
    reference: str
    prepare: Callable[[ExitStack, Settings], list[Subject]]
    wanted: tuple[Wanted, ...] = ()
    #: "rate": many requests per sample, and a larger ratio is better; "time": one request, and a smaller one is.
    measures: Literal["rate", "time"] = "rate"


@dataclass
class Outcome:
    group: Group
    samples: dict[str, list[Sample]] = field(default_factory=dict)

    def ratio(self, subject: str, against: str) -> float:
        """The median of the rounds' ratios: of rates, or of times."""
        pairs = zip(self.samples[subject], self.samples[against], strict=True)
        if self.group.measures == "rate":
            return statistics.median(other.each / mine.each for mine, other in pairs)
        return statistics.median(mine.each / other.each for mine, other in pairs)


def measure(group: Group, settings: Settings, progress: Progress) -> Outcome:
    outcome = Outcome(group)
    with ExitStack() as stack:
        bar = progress.add_task(group.title, total=None)
        stack.callback(progress.remove_task, bar)
        subjects = group.prepare(stack, settings)
        progress.update(bar, total=len(subjects) * (settings.rounds + 1))
        # Round 0 warms up: imports, caches, worker threads.
        for round_number in range(settings.rounds + 1):
            for subject in subjects:
                sample = subject.run()
                _check(group, subject, sample)
                if round_number:
                    outcome.samples.setdefault(subject.name, []).append(sample)
                progress.advance(bar)
    return outcome


def _check(group: Group, subject: Subject, sample: Sample) -> None:
    """A peer may fail, and its row says so; a ratio that is wanted has no failures in it."""
    wanted = {group.reference}.union(*({wanted.subject, wanted.against} for wanted in group.wanted))
    if sample.failed > _TOLERATED * sample.count and (subject.name in wanted or not sample.count):
        raise RuntimeError(
            f"{group.name}: {subject.name} failed {sample.failed} requests, {sample.count} came through"
        )


def _cpu(samples: list[Sample]) -> float:
    """A mean: servers' processor time is counted in ticks of 10 ms, which a short request hardly fills."""
    return sum(sample.cpu for sample in samples) / sum(sample.count for sample in samples)


def _name(name: str, samples: list[Sample]) -> str:
    failed = sum(sample.failed for sample in samples)
    everything = failed + sum(sample.count for sample in samples)
    return f"{name} ({failed / everything:.0%} failed)" if failed > _TOLERATED * everything else name


def print_table(console: Console, outcome: Outcome, *, verdicts: bool) -> None:
    group = outcome.group
    rates = group.measures == "rate"
    # Wide enough for its title, so that it can be found by it in a log.
    table = Table(title=f"{group.name}: {group.title}", title_justify="left", min_width=100)
    table.add_column("subject")
    table.add_column("requests/s" if rates else "ms", justify="right")
    table.add_column("CPU us/request" if rates else "CPU ms", justify="right")
    table.add_column(f"{'rate' if rates else 'time'} / {group.reference}", justify="right")
    table.add_column("CPU ratio", justify="right")
    table.add_column("rounds, lowest to highest", justify="right")
    for name, samples in outcome.samples.items():
        each = statistics.median(sample.each for sample in samples)
        cpu, reference_cpu = _cpu(samples), _cpu(outcome.samples[group.reference])
        figures = sorted(1 / sample.each if rates else sample.each * 1e3 for sample in samples)
        number = "{:,.0f}" if rates else "{:,.2f}"
        table.add_row(
            _name(name, samples),
            number.format(1 / each if rates else each * 1e3),
            f"{cpu * 1e6:,.1f}" if rates else f"{cpu * 1e3:,.1f}",
            f"{outcome.ratio(name, group.reference):.2f}",
            f"{cpu / reference_cpu:.2f}" if reference_cpu else "-",
            f"{number.format(figures[0])} - {number.format(figures[-1])}",
        )
    console.print(table)
    for wanted in group.wanted if verdicts else ():
        console.print("  " + " | ".join(_describe(outcome, wanted)))
    console.print()


def print_wanted(console: Console, outcomes: list[Outcome]) -> None:
    """All targets once more, together."""
    table = Table(title="Targets", title_justify="left")
    for heading in ("benchmark", "ratio", "wanted and measured", ""):
        table.add_column(heading)
    for outcome in outcomes:
        for wanted in outcome.group.wanted:
            table.add_row(outcome.group.name, *_describe(outcome, wanted))
    if table.row_count:
        console.print(table)


def _describe(outcome: Outcome, wanted: Wanted) -> tuple[str, str, str]:
    ratio = outcome.ratio(wanted.subject, wanted.against)
    if outcome.group.measures == "rate":
        what, bound, met = "rate", "at least", ratio >= wanted.factor
    else:
        what, bound, met = "time", "at most", ratio <= wanted.factor
    return (
        f"{what} of {wanted.subject} / {wanted.against}",
        f"{bound} {wanted.factor:g}x wanted, {ratio:.2f}x measured",
        "met" if met else "missed",
    )
