"""What a request costs on either side: time, as the client has it, and CPU of the served process."""

import itertools
import statistics
from dataclasses import dataclass
from typing import Any

from .model import Plan, Run, label
from .serving import REPEATS

__all__ = ["Cost", "costs", "measures_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Of one request, in milliseconds, on either side."""

    request: str
    native: float
    bridged: float
    native_cpu: float
    bridged_cpu: float


def costs(plan: Plan, native: Run, bridged: Run) -> list[Cost]:
    """Time and CPU of the requests that were repeated on both sides."""
    return [
        Cost(
            request=label(plan.requests[number]),
            native=statistics.median(native.times[number]) * 1000,
            bridged=statistics.median(bridged.times[number]) * 1000,
            native_cpu=_cpu(native, number) * 1000,
            bridged_cpu=_cpu(bridged, number) * 1000,
        )
        for number in native.times
        if number in bridged.times
    ]


def _cpu(run: Run, number: int) -> float:
    """Seconds of CPU of the served process for one repetition."""
    measures = measures_of(run)
    clocks = [measures[f"{part} {number}"]["cpu"] for part in ("before", "between", "after")]
    rounds = [end[0] - begin[1] for begin, end in itertools.pairwise(clocks)]
    return float(sum(rounds)) / (len(rounds) * REPEATS)


def measures_of(run: Run) -> dict[str, dict[str, Any]]:
    """What the probe has measured in a run, by its labels; see ``Watch.measure()``."""
    return {event["label"]: event for event in run.events if event["at"] == "measure"}
