"""Figures in the documentation are those that a benchmark has written."""

import json

from benchmarks import report
from tests.support.servers import REPOSITORY

FIGURES = json.loads((REPOSITORY / "docs/benchmarks/figures.json").read_text())


def test_the_readmes_figures_are_those_of_the_run() -> None:
    assert report.summary(FIGURES) in " ".join((REPOSITORY / "README.md").read_text().split())


def test_the_plots_are_of_the_same_run() -> None:
    for name in (
        "throughput.svg",
        "transfers.svg",
        "cost-uvicorn.svg",
        "cost-gthread.svg",
        "summary.svg",
        "figures.inc",
    ):
        assert FIGURES["machine"]["date"] in (REPOSITORY / "docs/benchmarks" / name).read_text(), name
