"""A life of a server: started, warmed up, played on, disturbed, played on, ended; and what was wrong with it.

start, warm up           all its threads and loops are there, and its caches full: a sample of the process
play                     calm; samples of memory between batches
rest                     nothing is left, or a complaint
play, and disturb        once, in the first half of these requests; what overlaps it has more outcomes
warm up again, rest      the server is as good as before
end                      by itself; and each line of its log is one that is expected
"""

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.servers import RunningServer

from .adapters import SOCKETS
from .chaos import Chaos, disturb, end, small_disk, small_disk_missing
from .checks import Sample, check_memory, check_rest, ended_sample
from .logs import check_log
from .model import Complaint, Loss
from .play import Playing
from .scenarios import App, Client, Place, Scenario, Work, draw
from .servers import SoakServer, start, temporary
from .target import Target
from .websocket import open_websockets

__all__ = ["Life", "Plan", "live"]

#: Requests between two samples of memory.
_BATCH = 250
#: Of a life's requests, those that are played while something is done to the server.
_DISTURBED = 0.25
#: Index of the first scenario of the warm-up: none that is drawn has it.
_WARM = 9_000_000


@dataclass(frozen=True, slots=True)
class Plan:
    """A life as it is asked for; the same plan gives the same scenarios."""

    server: SoakServer
    adapter: str
    seed: int
    scenarios: Sequence[Scenario]
    chaos: Chaos | None = None
    patience: float = 20.0
    """Seconds that a client waits for the next byte."""

    @property
    def place(self) -> Place:
        return self.server.place_of(self.adapter)

    def __str__(self) -> str:
        done = f", {self.chaos.value}" if self.chaos else ""
        return f"{self.server.name}, {self.adapter}, seed {self.seed}{done}"


@dataclass(slots=True)
class Life:
    """What came of a plan."""

    plan: Plan
    complaints: list[Complaint] = field(default_factory=list)
    requests: int = 0
    seconds: float = 0.0
    slopes: dict[str, float] = field(default_factory=dict)
    """Objects, and bytes of memory, that each request leaves."""

    def losses(self) -> Counter[Loss]:
        """How often each kind."""
        counts: Counter[Loss] = Counter()
        for complaint in self.complaints:
            counts[complaint.loss] += complaint.number
        return counts


def live(plan: Plan, directory: Path, played: Callable[[], object] = lambda: None) -> Life:
    """Live it. ``directory`` takes the server's files; ``played`` is called after each scenario, by any thread."""
    life = Life(plan)
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        if plan.chaos is Chaos.SPACE:
            assert small_disk_missing() is None, small_disk_missing()
            stack.enter_context(small_disk(temporary(directory)))
        servers: list[RunningServer] = []

        def restart() -> RunningServer:
            servers.append(start(plan.server, plan.adapter, directory))
            return servers[-1]

        target = Target(restart(), plan.patience, plan.server.idle)
        try:
            _play_all(life, target, restart, directory, played)
        except (OSError, AssertionError) as error:
            # The clients' own are answers; this is of who asks for counts, and of a start.
            life.complaints.append(Complaint(Loss.SERVER, f"it does not serve any more: {error!r}"))
        finally:
            life.complaints.extend(end(target.server))
            for server in servers:
                log = server.log()
                life.complaints.extend(check_log(log, plan.server.kind, [plan.chaos] if plan.chaos else []))
    life.seconds = time.monotonic() - began
    return life


def _play_all(
    life: Life,
    target: Target,
    restart: Callable[[], RunningServer],
    directory: Path,
    played: Callable[[], object],
) -> None:
    plan = life.plan
    place, scenarios = plan.place, plan.scenarios
    calm = int(len(scenarios) * (1 - _DISTURBED)) if plan.chaos is not None else len(scenarios)
    before = _warm_up(life, target)
    samples: list[tuple[int, Sample]] = []
    for batch in _batches(scenarios[:calm]):
        playing = Playing(target, place, batch, played=played)
        _join(life, playing)
        samples.append((life.requests, _sample(life, target)))
    life.complaints.extend(_rest(life, target, before))
    life.slopes, complaints = check_memory(samples)
    life.complaints.extend(complaints)
    if plan.chaos is None:
        return
    playing = Playing(target, place, scenarios[calm:], played=played)
    try:
        playing.wait_for((len(scenarios) - calm) // 4)
        life.complaints.extend(disturb(target, plan.chaos, restart, temporary(directory)))
    finally:
        _join(life, playing)
    after = _warm_up(life, target)
    life.complaints.extend(_rest(life, target, after if after.pid != before.pid else before))


def _batches(scenarios: Sequence[Scenario]) -> Iterator[Sequence[Scenario]]:
    for offset in range(0, len(scenarios), _BATCH):
        yield scenarios[offset : offset + _BATCH]


def _join(life: Life, playing: Playing) -> None:
    playing.join()
    life.complaints.extend(playing.complaints)
    life.requests += playing.requests


def _warm_up(life: Life, target: Target) -> Sample:
    """Have as much at once as there will ever be, and return what the process then has."""
    place = life.plan.place
    for app, up, down in ((App.ECHO, 300_000, 0), (App.PLAIN, 0, 300_000)):
        _at_once(life, target, app, up, down)
    # What each kind of request makes once.
    _join(life, Playing(target, place, draw(0, range(_WARM, _WARM + 150), place)))
    if place.direction == "wsgi" and place.websockets:
        life.complaints.extend(open_websockets(target, SOCKETS))
    _occupy(life, target)
    return check_rest(target, _sample(life, target))[0]


def _sample(life: Life, target: Target) -> Sample:
    time.sleep(life.plan.server.keeps)  # nobody tells
    return ended_sample(target)


def _rest(life: Life, target: Target, before: Sample) -> list[Complaint]:
    """What is left, when all threads and loops are there again: a request that fails may have ended its loop."""
    _occupy(life, target)
    return check_rest(target, before)[1]


def _occupy(life: Life, target: Target) -> None:
    """Keep all threads busy at once, each with a loop: none ends before all are."""
    number = life.plan.server.serves(life.plan.adapter)
    _play_at_once(life, target, [Work(App.GATHER, _WARM + index, 0, 200, number) for index in range(number)])


def _at_once(life: Life, target: Target, app: App, up: int, down: int) -> None:
    number = life.plan.server.at_once
    works = [Work(app, _WARM + index, up, down, max(1, down // 20)) for index in range(number)]
    _play_at_once(life, target, works)


def _play_at_once(life: Life, target: Target, works: Sequence[Work]) -> None:
    scenarios = [Scenario(work, Client.CLOSE, chunked=False, at=0.5) for work in works]
    _join(life, Playing(target, life.plan.place, scenarios, clients=len(works)))
