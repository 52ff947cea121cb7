"""One report of everything, and one of nothing, for the tests of how they are told."""

from bridge.check.costs import Cost
from bridge.check.findings import KINDS, Finding
from bridge.check.judge import Verdict
from bridge.check.model import Request
from tests.check.builders import plan

__all__ = ["BAD", "COSTS", "GOOD", "PLAN"]

PLAN = plan(Request(), Request(target="/a", origin="route"), Request(target="/b", origin="file"))
FINDINGS = [
    Finding(
        kind=kind,
        subject="[bold]x[/]" if number % 2 else "",
        where=tuple(f"GET /{'long' * 20}/{each}" for each in range(5)),
        native="<script>alert(1)</script>",
        bridged="[red]no markup[/]",
    )
    for number, kind in enumerate(KINDS)
]
BAD = Verdict(findings=FINDINGS, notes=["Something & more."])
GOOD = Verdict(notes=["Something & more."])
COSTS = [Cost(request="GET /", native=1.25, bridged=2.0, native_cpu=0.5, bridged_cpu=0.75)]
