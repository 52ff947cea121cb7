"""The report for people, at 80 columns."""

import io

from rich.console import Console

from bridge.check.findings import KINDS
from bridge.check.judge import Verdict
from bridge.check.report import mark, print_report
from tests.check.reports import BAD, COSTS, GOOD, PLAN


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
