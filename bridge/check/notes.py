"""What there is to know beside the findings: what has to differ, or differs and does not show."""

from collections.abc import Iterable, Iterator, Sequence

from ..kind import Kind
from .compare import Difference, unread
from .findings import NOTES, Finding
from .model import Answer, Plan, Run, label
from .requests import PROXY

__all__ = ["notes", "refusal"]

_NAMED = 4

#: What to do where all answers have a status.
_INSTEAD = {
    400: "Is it the Host header? --host says another one.",
    401: "--requests and --har take requests that are authorised.",
    403: "--requests and --har take requests that are authorised.",
    404: "--requests and --har say what there is.",
}


def refusal(plan: Plan, difference: Difference, request: str) -> str:
    """A request that one server answers by itself."""
    return NOTES["refused"].format(
        request=request,
        first=plan.native,
        native=difference.native,
        second=plan.bridged,
        bridged=difference.bridged,
    )


def notes(
    plan: Plan, interface: Kind, native: Run, bridged: Run, again: Run, findings: Sequence[Finding]
) -> Iterator[str]:
    """Each in a sentence; ``interface``: of the bridged server."""
    yield NOTES["own"]
    pairs = list(zip(native.answers, again.answers, strict=True))
    if noisy := sum(_noisy(*pair) for pair in pairs):
        yield NOTES["noise"].format(count=noisy, all=len(pairs))
    read_otherwise: dict[str, list[str]] = {}
    for request, answer in zip(plan.requests, native.answers, strict=True):
        if what := unread(answer):
            read_otherwise.setdefault(what, []).append(label(request))
    for what, where in read_otherwise.items():
        yield NOTES["unread"].format(what=what, where=_some(where))
    if not any(finding.kind == "proxy" for finding in findings):
        yield from _addresses(plan, native, bridged)
    if any(record.file for record in native.records.values()):
        yield NOTES["file"]
    if interface == "asgi" and (gained := [route.path for route in plan.routes if route.websocket]):
        yield NOTES["gains"].format(where=_some(gained))
    if not plan.routes and not any(request.origin == "file" for request in plan.requests):
        yield NOTES["no-routes"]
    statuses = {
        answer.status
        for answer, request in zip(native.answers, plan.requests, strict=True)
        if not request.break_off
    }
    if len(statuses) == 1 and (status := statuses.pop()) >= 400:
        yield NOTES["all-refused"].format(status=status, do=_INSTEAD.get(status, _INSTEAD[404]))
    asked_for = {(request.method, request.target) for request in plan.requests}
    unsafe = [
        f"{method} {route.path}"
        for route in plan.routes
        for method in route.methods
        if not route.websocket
        and (method, route.path) not in asked_for
        and method not in {"HEAD", "OPTIONS", "TRACE"}
    ]
    if unsafe:
        yield NOTES["unsafe"].format(where=_some(unsafe))


def _noisy(one: Answer, two: Answer) -> bool:
    own = {"date"}
    heads = [
        [(name, value) for name, value in answer.headers if name.lower() not in own] for answer in (one, two)
    ]
    return (one.status, heads[0], one.body) != (two.status, heads[1], two.body) and not one.left


def _addresses(plan: Plan, native: Run, bridged: Run) -> Iterator[str]:
    for number, request in enumerate(plan.requests):
        records = native.records.get(number), bridged.records.get(number)
        if request.note != PROXY or None in records:
            continue
        for what in ("peer", "scheme"):
            one, other = (getattr(record, what) for record in records)
            if one != other:
                yield NOTES[what].format(native=one, bridged=other, first=plan.native, second=plan.bridged)
        return


def _some(names: Iterable[str]) -> str:
    names = list(dict.fromkeys(names))
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
