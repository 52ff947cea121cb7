"""The report for programs (JSON), and for a browser (one HTML file that asks nobody for anything)."""

import dataclasses
import json
from collections.abc import Iterator, Sequence
from html import escape

from .costs import Cost
from .findings import Finding
from .judge import Verdict
from .model import Plan
from .report import AREAS, details, headline, mark, sets_of, verdict_line, with_last

__all__ = ["as_html", "as_json"]


def as_json(plan: Plan, verdict: Verdict, costs: Sequence[Cost]) -> str:
    """Return the report as one JSON object.

    It has ``app``, ``kind``, ``native`` and ``bridged`` (servers), ``requests`` (their number), ``verdict``,
    ``findings``, ``notes``, ``costs`` (in milliseconds).
    """
    findings = [
        {**dataclasses.asdict(finding), **dataclasses.asdict(finding.about)} for finding in verdict.findings
    ]
    return json.dumps(
        {
            "app": plan.app,
            "kind": plan.kind,
            "native": plan.native,
            "bridged": plan.bridged,
            "requests": len(plan.requests),
            "verdict": verdict_line(plan, verdict),
            "findings": findings,
            "notes": verdict.notes,
            "costs": [dataclasses.asdict(cost) for cost in costs],
        },
        indent=2,
    )


_STYLE = """\
:root { color-scheme: light dark; --bad: light-dark(#b3261e, #ff8a80); --risk: light-dark(#8a5a00, #ffc46b);
  --good: light-dark(#1b6e35, #7fd99a); --line: light-dark(#ddd, #444); --soft: light-dark(#666, #aaa); }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 56rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.3rem; margin: 0; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
.verdict { font-size: 1.1rem; font-weight: 600; } .soft { color: var(--soft); }
.good { color: var(--good); } .differs, .rule { color: var(--bad); } .risk { color: var(--risk); }
caption { text-align: left; }
table { border-collapse: collapse; width: 100%; } th { text-align: left; font-weight: 600; }
th, td { padding: .25rem .75rem .25rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
.mark { white-space: nowrap; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
article { border-left: 4px solid currentColor; padding-left: 1rem; margin: 1.25rem 0; }
article h3 { font-size: 1rem; margin: 0 0 .25rem; } dl { display: grid; grid-template-columns: 6rem 1fr; margin: 0;
  color: CanvasText; } dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
"""


def as_html(plan: Plan, verdict: Verdict, costs: Sequence[Cost]) -> str:
    """Return the report as a page."""
    colour = "differs" if verdict.findings else "good"
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width">',
            f"<title>bridge check {escape(plan.app)}</title>\n<style>\n{_STYLE}</style>",
            f'<h1>bridge check</h1>\n<p class="soft">{escape(headline(plan))}</p>',
            f'<p class="verdict {colour}">{escape(verdict_line(plan, verdict))}</p>',
            *_areas(plan, verdict),
            *(["<h2>Found</h2>"] if verdict.findings else []),
            *(_article(finding, plan, last=last) for finding, last in with_last(verdict.findings)),
            *_costs(plan, costs),
            "<h2>Also to know</h2>\n<ul>",
            *(f"<li>{escape(note)}</li>" for note in verdict.notes),
            "</ul>\n</html>\n",
        ]
    )


def _areas(plan: Plan, verdict: Verdict) -> Iterator[str]:
    yield f'<h2>Checked</h2>\n<table>\n<caption class="soft">{escape(sets_of(plan))}</caption>'
    for area in AREAS:
        text, level = mark(verdict, area)
        yield f'<tr><td>{escape(area)}</td><td class="{level or "good"} mark">{text}</td></tr>'
    yield "</table>"


def _article(finding: Finding, plan: Plan, *, last: bool) -> str:
    about = finding.about
    subject = f": {finding.subject}" if finding.subject else ""
    rows = "\n".join(
        f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>"
        for name, value in details(finding, plan, last=last)
    )
    return f'<article class="{about.level}">\n<h3>{escape(about.what + subject)}</h3>\n<dl>\n{rows}\n</dl>\n</article>'


def _costs(plan: Plan, costs: Sequence[Cost]) -> Iterator[str]:
    if not costs:
        return
    yield "<h2>One request, in milliseconds</h2>\n<table>"
    heads = "".join(
        f'<th class="number">{escape(name)}</th><th class="number">its CPU</th>'
        for name in (plan.native, plan.bridged)
    )
    yield f"<tr><th>request</th>{heads}</tr>"
    for cost in costs:
        numbers = (cost.native, cost.native_cpu, cost.bridged, cost.bridged_cpu)
        cells = "".join(f'<td class="number">{number:.1f}</td>' for number in numbers)
        yield f"<tr><td>{escape(cost.request)}</td>{cells}</tr>"
    yield "</table>"
