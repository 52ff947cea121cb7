"""The report: for people at 80 columns, for programs, and for a browser."""

import io
import json

from rich.console import Console

from bridge.check.costs import Cost
from bridge.check.documents import as_html, as_json
from bridge.check.findings import KINDS, Finding
from bridge.check.judge import Verdict
from bridge.check.model import Request
from bridge.check.report import mark, print_report
from tests.check.builders import plan

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


def printed(verdict: Verdict) -> str:
    console = Console(file=io.StringIO(), width=80, highlight=False)
    print_report(console, PLAN, verdict, COSTS)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_for_people() -> None:
    text = printed(BAD)
    assert max(map(len, text.splitlines())) <= 80
    assert "[bold]x[/]" in text, "no text of the app's is markup"
    assert "[red]no markup[/]" in text
    words = " ".join(text.split())
    for kind in KINDS.values():
        assert " ".join(kind.what.split()) in words
    assert "and 2 more" in words
    assert "3 requests: 1 built-in, 1 of the app's routes, 1 of files" in words
    assert "12 differences, 2 broken rules, 8 risks in 3 requests" in words


def test_for_people_when_all_is_well() -> None:
    text = printed(GOOD)
    assert text.count("✓ nothing") == 8
    assert text.rstrip().endswith("No difference in 3 requests: the app behaves on uvicorn as on gunicorn.")


def test_an_area_is_marked_by_the_gravest_of_its_findings() -> None:
    streams, blocking = (
        "streams, broken-off responses, clients that leave",
        "blocking calls, work after the response",
    )
    assert mark(BAD, streams) == ("✗ 4", "differs")
    assert mark(BAD, blocking) == ("✗ 2", "risk")
    assert mark(GOOD, streams) == ("✓ nothing", "")


def test_for_programs() -> None:
    report = json.loads(as_json(PLAN, BAD, COSTS))
    assert [finding["kind"] for finding in report["findings"]] == list(KINDS)
    assert report["findings"][0]["level"] == "differs"
    assert report["costs"] == [
        {"request": "GET /", "native": 1.25, "bridged": 2.0, "native_cpu": 0.5, "bridged_cpu": 0.75}
    ]


def test_for_a_browser() -> None:
    page = as_html(PLAN, BAD, COSTS)
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "://" not in page, "it asks nobody"
    assert page.count("<article") == len(KINDS)
    assert "<article" not in as_html(PLAN, GOOD, [])
