"""From runs to findings and notes: data in, data out."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from ..kind import Kind
from .compare import Asked, Difference, differences
from .findings import KINDS, Finding
from .inside import leaks, logs, risks, rules
from .model import Plan, Run, label
from .notes import notes, refusal
from .requests import PROXY

__all__ = ["Verdict", "differing", "judge", "only_errors"]

#: By the request's number, and what differs.
Found = dict[tuple[int, str], Difference]


@dataclass(slots=True, kw_only=True)
class Verdict:
    """What the check has come to."""

    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def judge(
    plan: Plan, interface: Kind, native: Run, bridged: Run, again: Run, confirmed: Run | None
) -> Verdict:
    """Return what there is to say of two native runs and one or two bridged ones; ``interface``: of the bridged server.

    What differs counts only if it does in each bridged run.
    """
    found = differing(plan, native, bridged, again)
    if confirmed is not None:
        second = differing(plan, native, confirmed, again)
        found = {key: difference for key, difference in found.items() if key in second}
    # Which odd request a server takes is its own affair, until somebody is known to send it.
    odd = {key for key in found if key[1] == "refused" and plan.requests[key[0]].origin == "built-in"}
    varying = {
        request.target
        for request, one, two in zip(plan.requests, native.answers, again.answers, strict=True)
        if one.body != two.body
    }
    counted = {
        key: difference
        for key, difference in found.items()
        if key not in odd and not _follows(plan, key, found, varying)
    }
    findings = [
        *_seen(plan, counted),
        *logs(native, bridged, again, confirmed),
        *rules(plan, native, bridged),
        *risks(plan, interface, native, bridged, again),
        *leaks(plan, native, bridged),
    ]
    findings.sort(key=lambda finding: list(KINDS).index(finding.kind))
    said = [refusal(plan, found[key], label(plan.requests[key[0]])) for key in sorted(odd)]
    return Verdict(
        findings=findings, notes=[*notes(plan, interface, native, bridged, again, findings), *said]
    )


def only_errors(plan: Plan, native: Run) -> str:
    """What to say of an app that answers nothing but errors of its own: nothing of it can be compared. Else empty."""
    answers = [
        (number, answer)
        for number, (request, answer) in enumerate(zip(plan.requests, native.answers, strict=True))
        if not request.break_off
    ]
    if not answers or any(0 < answer.status < 500 for _, answer in answers):
        return ""
    number, first = answers[0]
    record = native.records.get(number)
    logged = [event["error"] or event["text"] for event in native.events if event["at"] == "log"]
    reason = record.raised if record and record.raised else next(iter(logged), "")
    return (
        f"it answers none of {len(answers)} requests but by errors, so there is nothing to compare. "
        f"{label(plan.requests[number])}: {first.status or first.error}{f', {reason}' if reason else ''}"
    )


def differing(plan: Plan, native: Run, bridged: Run, again: Run) -> Found:
    """The differences between both native runs and a bridged one."""
    return {
        (number, difference.what): difference
        for number, request in enumerate(plan.requests)
        for difference in differences(
            request,
            *(Asked(run.answers[number], run.records.get(number)) for run in (native, again, bridged)),
        )
    }


def _follows(plan: Plan, key: tuple[int, str], found: Found, varying: set[str]) -> bool:
    """Whether another difference says it: that of the same request without a proxy, of the GET for a HEAD.

    ``varying``: the targets whose bodies differ natively, and so may their lengths.
    """
    number, what = key
    request = plan.requests[number]
    if request.note == PROXY:
        return any(
            what == other_what and _same_target(plan, number, other) and plan.requests[other].note != PROXY
            for other, other_what in found
        )
    if request.method == "HEAD" and what == "header content-length":
        return request.target in varying or any(
            other_what == "body" and _same_target(plan, number, other) for other, other_what in found
        )
    return False


def _same_target(plan: Plan, one: int, other: int) -> bool:
    return plan.requests[one].target == plan.requests[other].target


def _seen(plan: Plan, found: Found) -> Iterator[Finding]:
    """As findings, together what differs in the same way."""
    groups: dict[tuple[str, ...], list[int]] = {}
    for (number, what), difference in found.items():
        kind, _, subject = what.partition(" ")
        # Headers and bodies differ in each.
        values = ("", "") if kind in {"body", "header", "cookie"} else (difference.native, difference.bridged)
        if plan.requests[number].note == PROXY:
            kind, subject = "proxy", what
        groups.setdefault((kind, subject, what, *values), []).append(number)
    for (kind, subject, what, *_), numbers in groups.items():
        first = found[numbers[0], what]
        yield Finding(
            kind=kind,
            subject=subject,
            where=tuple(label(plan.requests[number]) for number in numbers),
            native=first.native,
            bridged=first.bridged,
        )
