"""What is looked at beside the answers: what the process has left over, and how its memory grows."""

import contextlib
import json
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.support.faults import known
from tests.support.raw import RawConnection
from tests.support.servers import poll

from .model import Complaint, Loss
from .target import Target

__all__ = ["Sample", "check_memory", "check_rest", "ended_sample", "take_sample"]

#: How long a server may take to notice that clients have left, of the time that a client waits for the next byte:
#: hypercorn takes 5 seconds between two requests.
_SETTLE = 1.5
#: What may not be more than before. Memory and objects are judged by their slope.
_COUNTED = ("threads", "descriptors", "temporary files", "tasks", "loops")
#: What is never right.
_NEVER = {
    "broken uploads taken for whole": Loss.UPLOAD,
    "iterables closed again": Loss.CLOSED,
    "iterables closed in another thread": Loss.CLOSED,
    "contexts lost at close()": Loss.CLOSED,
}
#: Slopes from which memory grows with requests: what CPython and malloc do by themselves stays below. An object that a
#: request leaves has a slope of one or more.
_OBJECTS_EACH, _BYTES_EACH = 0.5, 1024.0
#: Samples that it takes to tell.
_SAMPLES = 8


@dataclass(frozen=True, slots=True)
class Sample:
    """What ``/counts`` said."""

    pid: int
    counts: dict[str, int]
    process: dict[str, int]
    waiting: Mapping[str, int] = field(default_factory=dict)
    """How many tasks wait in which coroutines."""

    def more_than(self, before: "Sample") -> dict[str, tuple[int, int]]:
        """What there is more of, with both numbers."""
        pairs = {name: (before.process[name], self.process[name]) for name in _COUNTED}
        return {name: (old, new) for name, (old, new) in pairs.items() if new > old}

    def unended(self) -> dict[str, int]:
        """What has begun and not ended, or ended more often than it began."""
        names = [name.removesuffix(" begun") for name in self.counts if name.endswith(" begun")]
        open_ = {name: self.counts[f"{name} begun"] - self.counts.get(f"{name} ended", 0) for name in names}
        return {name: number for name, number in open_.items() if number}


def take_sample(target: Target) -> Sample:
    """Ask the app. Raises ``OSError``, or ``AssertionError``, where it does not answer."""
    with RawConnection(target.connect()) as connection:
        response = connection.request(b"GET /counts HTTP/1.1\r\nHost: soak\r\nConnection: close\r\n\r\n")
    assert response.status == 200, response
    assert response.complete, response
    data: dict[str, Any] = json.loads(response.body)
    data["process"]["tasks"] -= _left_by_fault(target, data["waiting"])
    return Sample(data["pid"], data["counts"], data["process"], data["waiting"])


def _left_by_fault(target: Target, waiting: Mapping[str, int]) -> int:
    """Tasks that the server leaves by its fault "500 to a client that has left": a request's, and its connection's."""
    if known("500 to a client that has left", target.server.kind.name) is None:
        return 0
    return 2 * sum(number for where, number in waiting.items() if "_send_error_response" in where)


def ended_sample(target: Target) -> Sample:
    """A sample when all calls have ended, or when there is no more patience: ``check_rest`` complains of that.

    In stream mode an app that does not read its body hears late that its client has left. Until then hypercorn's
    memory grows with each of its writes, whatever the app: asyncio's ``drain()`` raises one error again and again, and
    its traceback gets longer.
    """
    samples: list[Sample] = []

    def ended() -> bool:
        samples.append(take_sample(target))
        return not samples[-1].unended()

    with contextlib.suppress(AssertionError):
        poll(ended, _SETTLE * target.patience, lambda: "")
    return samples[-1] if samples else take_sample(target)


def check_rest(target: Target, before: Sample) -> tuple[Sample, list[Complaint]]:
    """Wait until nothing is left of the requests; what is left for long is complained of."""
    last = [before]

    def settled() -> bool:
        last[0] = take_sample(target)
        return not last[0].unended() and (last[0].pid != before.pid or not last[0].more_than(before))

    try:
        poll(settled, _SETTLE * target.patience, lambda: "")
    except (AssertionError, OSError) as error:
        if str(error):
            return last[0], [Complaint(Loss.SERVER, f"it does not tell its counts: {error!r}")]
    after = last[0]
    complaints = [
        Complaint(Loss.LEFT, f"{n} {name} have not ended", number=abs(n))
        for name, n in after.unended().items()
    ]
    if after.pid == before.pid:
        complaints += [
            Complaint(
                Loss.LEFT, f"{name}: {new}, and {old} before{_where(name, after, before)}", number=new - old
            )
            for name, (old, new) in after.more_than(before).items()
        ]
    complaints += [
        Complaint(loss, f"{after.counts[name]} {name}", number=after.counts[name])
        for name, loss in _NEVER.items()
        if after.counts.get(name)
    ]
    return after, complaints


def _where(name: str, after: Sample, before: Sample) -> str:
    """Of tasks: in which coroutines those wait that there were not before."""
    if name != "tasks":
        return ""
    more = Counter(after.waiting) - Counter(before.waiting)
    return "".join(f"\n    {number} x {where}" for where, number in more.items())


def check_memory(samples: Sequence[tuple[int, Sample]]) -> tuple[dict[str, float], list[Complaint]]:
    """The slopes of objects and of bytes, each request, over samples of one process with their count of requests.

    The first third is left out: caches fill. What grows with requests does so in both halves of the rest; a step is
    in one of them.
    """
    later = samples[len(samples) // 3 :]
    if len(later) < _SAMPLES or len({sample.pid for _, sample in later}) > 1:
        return {}, []
    slopes: dict[str, float] = {}
    complaints: list[Complaint] = []
    for name, limit in (("objects", _OBJECTS_EACH), ("memory", _BYTES_EACH)):
        slopes[name] = _slope(later, name)
        half = len(later) // 2
        if min(slopes[name], _slope(later[:half], name), _slope(later[half:], name)) > limit:
            values = [sample.process[name] for _, sample in later]
            complaints.append(Complaint(Loss.MEMORY, f"{slopes[name]:.1f} {name} each request: {values}"))
    return slopes, complaints


def _slope(samples: Sequence[tuple[int, Sample]], name: str) -> float:
    counts = [count for count, _ in samples]
    return statistics.linear_regression(counts, [sample.process[name] for _, sample in samples]).slope
