"""The report for programs, and for a browser."""

import json

from bridge.check.documents import as_html, as_json
from bridge.check.findings import KINDS
from tests.check.reports import BAD, COSTS, GOOD, PLAN


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
