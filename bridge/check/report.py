"""What people read: a table of what was checked, the findings with what to do, and a verdict."""

from collections.abc import Iterator, Sequence
from typing import Literal

from rich import box
from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from .costs import Cost
from .findings import Finding, Level
from .judge import Verdict
from .model import Plan

__all__ = [
    "AREAS",
    "area_of",
    "details",
    "headline",
    "mark",
    "print_report",
    "sets_of",
    "verdict_line",
    "with_last",
]

#: What is checked, and the kinds of findings that belong to it.
AREAS: dict[str, frozenset[str]] = {
    "status, headers, cookies, bodies": frozenset(
        {"answer", "status", "refused", "header", "cookie", "body", "proxy"}
    ),
    "streams, broken-off responses, clients that leave": frozenset({"cut", "whole", "stream", "left"}),
    "what the app logs": frozenset({"log"}),
    "the rules of its interface": frozenset({"rule-wsgi", "rule-asgi"}),
    "what is kept between requests": frozenset({"global", "early-local", "loop-bound", "task"}),
    "blocking calls, work after the response": frozenset({"blocking", "after"}),
    "WebSocket routes": frozenset({"websocket"}),
    "threads and files left behind": frozenset({"leak"}),
}
_NAMED = 3
#: From the gravest on.
_COLOURS: dict[Level, str] = {"differs": "red", "rule": "red", "risk": "yellow"}


def area_of(finding: Finding) -> str:
    """The area that a finding belongs to."""
    return next(area for area, kinds in AREAS.items() if finding.kind in kinds)


def mark(verdict: Verdict, area: str) -> tuple[str, Level | Literal[""]]:
    """How many findings belong to an area, and the gravest of their levels; empty: there is none."""
    levels = {finding.about.level for finding in verdict.findings if area_of(finding) == area}
    count = sum(area_of(finding) == area for finding in verdict.findings)
    worst = next((level for level in _COLOURS if level in levels), None)
    return (f"✗ {count}", worst) if worst else ("✓ nothing", "")


def headline(plan: Plan) -> str:
    """What was compared with what."""
    kinds = {"wsgi": "WSGI app", "asgi": "ASGI app", "both": "app of both kinds"}
    how = {"wsgi": "through WsgiToAsgi ", "asgi": "through AsgiToWsgi ", "both": ""}[plan.kind]
    native = "" if plan.kind == "both" else "natively "
    return f"{plan.app}: {kinds[plan.kind]}, {native}on {plan.native} and {how}on {plan.bridged}"


def verdict_line(plan: Plan, verdict: Verdict) -> str:
    """One sentence: may one switch?"""
    count = len(plan.requests)
    if not verdict.findings:
        return f"No difference in {count} requests: the app behaves on {plan.bridged} as on {plan.native}."
    levels = [finding.about.level for finding in verdict.findings]
    said = [
        _number(levels.count("differs"), "difference", "differences"),
        _number(levels.count("rule"), "broken rule", "broken rules"),
        _number(levels.count("risk"), "risk", "risks"),
    ]
    return f"{', '.join(filter(None, said))} in {count} requests: see what to do before the switch."


def _number(count: int, one: str, many: str) -> str:
    return "" if not count else f"{count} {one if count == 1 else many}"


def sets_of(plan: Plan) -> str:
    """How many requests were sent, and where they are from."""
    own = sum(request.origin == "route" for request in plan.requests)
    files = sum(request.origin == "file" for request in plan.requests)
    sets = [f"{len(plan.requests) - own - files} built-in"]
    sets += [f"{own} of the app's routes"] if own else []
    sets += [f"{files} of files"] if files else []
    return f"{len(plan.requests)} requests: {', '.join(sets)}"


def with_last(findings: Sequence[Finding]) -> Iterator[tuple[Finding, bool]]:
    """Each with whether it is the last one of its kind: there it is said why it matters, and what to do."""
    for number, finding in enumerate(findings, 1):
        yield finding, all(other.kind != finding.kind for other in findings[number:])


def details(finding: Finding, plan: Plan, *, last: bool) -> Iterator[tuple[str, str]]:
    """What is said of a finding under its title, name by name."""
    if finding.where:
        more = f" and {len(finding.where) - _NAMED} more" if len(finding.where) > _NAMED else ""
        yield "where", ", ".join(finding.where[:_NAMED]) + more
    if finding.native or finding.bridged:
        yield plan.native, finding.native or "(nothing)"
        yield plan.bridged, finding.bridged or "(nothing)"
    if last:
        yield "why", finding.about.why
        yield "do", finding.about.do


def print_report(console: Console, plan: Plan, verdict: Verdict, costs: list[Cost]) -> None:
    """Print all of it."""
    console.print(Text(headline(plan), style="bold"))
    console.print(_areas(plan, verdict))
    for finding, last in with_last(verdict.findings):
        console.print(Padding(_shown(finding, plan, last=last), (1, 0, 0, 0)))
    if costs:
        console.print(Padding(_costs(plan, costs), (1, 0, 0, 0)))
    if verdict.notes:
        # A table of rich's ends with an empty line.
        console.print(Padding(Text("Also to know", style="bold"), (0 if costs else 1, 0, 0, 0)))
        console.print(Padding(_listed(verdict.notes), (0, 0, 0, 2)))
    console.print()
    console.print(Text(verdict_line(plan, verdict), style="bold red" if verdict.findings else "bold green"))


def _areas(plan: Plan, verdict: Verdict) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("checked")
    table.add_column("found", no_wrap=True)
    table.caption = sets_of(plan)
    table.caption_justify = "left"
    for area in AREAS:
        text, level = mark(verdict, area)
        table.add_row(area, Text(text, style=_COLOURS[level] if level else "green"))
    return table


def _listed(notes: Sequence[str]) -> Table:
    table = Table.grid(padding=(0, 1))
    for note in notes:
        table.add_row("-", Text(note, style="dim"))
    return table


def _shown(finding: Finding, plan: Plan, *, last: bool) -> Group:
    about = finding.about
    subject = f": {finding.subject}" if finding.subject else ""
    title = Text.assemble((f"✗ {about.what}{subject}", f"bold {_COLOURS[about.level]}"))
    return Group(title, Padding(_details(finding, plan, last=last), (0, 0, 0, 2)))


def _details(finding: Finding, plan: Plan, *, last: bool) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in details(finding, plan, last=last):
        table.add_row(name, Text(value))
    return table


def _costs(plan: Plan, costs: list[Cost]) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        title="one request, in ms",
        title_justify="left",
        title_style="bold",
    )
    table.add_column("request", overflow="ellipsis", no_wrap=True, max_width=36)
    for server in (plan.native, plan.bridged):
        table.add_column(server, justify="right")
        table.add_column("its CPU", justify="right")
    for cost in costs:
        numbers = (cost.native, cost.native_cpu, cost.bridged, cost.bridged_cpu)
        table.add_row(cost.request, *(f"{number:.1f}" for number in numbers))
    return table
