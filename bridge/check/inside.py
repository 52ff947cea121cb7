"""What was seen from inside the served processes, as findings: log lines, broken rules, risks, what is left behind."""

from collections.abc import Iterator
from typing import Any

from ..kind import Kind
from .costs import measures_of
from .findings import Finding
from .model import Plan, Run, label
from .serving import AGAIN, REPEATS

__all__ = ["leaks", "logs", "risks", "rules"]

# Seconds after the response from which on there is work.
_AFTER = 0.1


def events_of(run: Run, at: str) -> list[dict[str, Any]]:
    """What the probe wrote down of this sort."""
    return [event for event in run.events if event["at"] == at]


def logs(native: Run, bridged: Run, again: Run, confirmed: Run | None) -> Iterator[Finding]:
    def said(run: Run) -> set[tuple[str, ...]]:
        return {(log["logger"], log["level"], log["text"], log["error"]) for log in events_of(run, "log")}

    one, two, others = (
        said(native),
        said(again),
        [said(run) for run in (bridged, confirmed) if run is not None],
    )
    for sides, lines in (
        (("{}", "nothing"), (one & two).difference(*others)),
        (("nothing", "{}"), others[0].intersection(*others) - one - two),
    ):
        by_logger: dict[tuple[str, str], list[tuple[str, ...]]] = {}
        for line in sorted(lines):
            by_logger.setdefault((line[0], line[1]), []).append(line)
        for (logger, _), same in by_logger.items():
            more = f" and {len(same) - 1} more" if len(same) > 1 else ""
            seen = [side.format(_line(same[0]) + more) for side in sides]
            yield Finding(kind="log", subject=logger, native=seen[0], bridged=seen[1])


def _line(line: tuple[str, ...]) -> str:
    return f"{line[1]} {line[2]}" + (f" ({line[3]})" if line[3] else "")


def rules(plan: Plan, *runs: Run) -> Iterator[Finding]:
    broken: dict[tuple[str, str], int] = {}
    for event in [event for run in runs for event in events_of(run, "rule")]:
        broken.setdefault((event["interface"], event["rule"]), event["number"] % AGAIN)
    for (interface, rule), number in broken.items():
        yield Finding(kind=f"rule-{interface}", subject=rule, where=(label(plan.requests[number]),))


def risks(plan: Plan, interface: Kind, native: Run, bridged: Run, again: Run) -> Iterator[Finding]:
    runs = (native, bridged, again)
    to_wsgi = plan.kind == "asgi" and interface == "wsgi"
    kinds = {"early-local", *(["blocking"] if plan.kind != "wsgi" else ["global"])}
    if to_wsgi and not plan.one_loop:
        kinds |= {"loop-bound", "task"}
    # Each in the same words, whichever run has seen it.
    events = {
        str(sorted(event.items())): event for run in runs for event in run.events if event["at"] in kinds
    }
    for event in events.values():
        subject = event.get("name") or event["call"]
        kind = f" ({event['kind']})" if "kind" in event else ""
        yield Finding(
            kind=event["at"], subject=subject + kind, where=tuple(filter(None, [event.get("where")]))
        )
    if interface == "wsgi" and (lost := [route.path for route in plan.routes if route.websocket]):
        yield Finding(kind="websocket", where=tuple(lost))
    if to_wsgi and not plan.one_loop:
        worked = [
            number
            for number, request in enumerate(plan.requests)
            if all(
                (record := run.records.get(number))
                and record.after > _AFTER
                and run.answers[number].left == ""
                for run in runs
            )
        ]
        if worked:
            yield Finding(kind="after", where=tuple(label(plan.requests[number]) for number in worked))


def leaks(plan: Plan, native: Run, bridged: Run) -> Iterator[Finding]:
    for what in ("threads", "files"):
        left = [_growth(run, what) for run in (native, bridged)]
        for number in sorted(left[0].keys() | left[1].keys()):
            yield Finding(
                kind="leak",
                subject=what,
                where=(label(plan.requests[number]),),
                native=f"{left[0].get(number, 0)} after {2 * REPEATS} requests",
                bridged=f"{left[1].get(number, 0)} after {2 * REPEATS} requests",
            )


def _growth(run: Run, what: str) -> dict[int, int]:
    """By the request's number, what its repetitions have left: at least one each, in both rounds."""
    measures, grown = measures_of(run), {}
    for name, after in measures.items():
        part, _, number = name.partition(" ")
        if part != "after" or after[what] is None:
            continue
        before, between = measures[f"before {number}"], measures[f"between {number}"]
        if min(between[what] - before[what], after[what] - between[what]) >= REPEATS:
            grown[int(number)] = after[what] - before[what]
    return grown
