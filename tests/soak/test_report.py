"""The figures in the documentation are those of a run, and a run's report is written as it goes."""

import multiprocessing
from pathlib import Path

from tests.soak import report
from tests.soak.chaos import Chaos
from tests.soak.model import Complaint, Loss
from tests.soak.run import Life
from tests.soak.short import plan
from tests.support.servers import REPOSITORY

DOCS = REPOSITORY / "docs/soak"
#: Lives that each of the processes adds.
_EACH = 20


def test_the_tables_of_the_documentation_are_of_its_report() -> None:
    for name, text in report.tables(report.read(DOCS)).items():
        assert (DOCS / name).read_text() == text, name


def test_a_report_is_added_to(tmp_path: Path) -> None:
    report.begin(tmp_path, "lives")
    for server, adapter in (("granian", "bridge"), ("waitress", "bridge-shared")):
        life = Life(plan(server, adapter, 1, 10, Chaos.KILL), requests=1234, slopes={"objects": 0.25})
        life.complaints.append(Complaint(Loss.LEFT, "two of them", number=2))
        report.add(tmp_path, "lives", life)
    assert [life["server"] for life in report.read(tmp_path)["lives"]] == ["granian", "waitress"]
    table = (tmp_path / "soak.inc").read_text()
    assert "**A WSGI app on ASGI servers: 1,234 requests**" in table
    assert "| waitress, bridge-shared | 1,234 | 2 | 0.25 | - |" in table
    assert "Lives: 1, with 1 x SIGKILL to a worker." in table
    report.begin(tmp_path, "peers")
    assert len(report.read(tmp_path)["lives"]) == 2


def test_several_soaks_add_to_one_report(tmp_path: Path) -> None:
    life = Life(plan("granian", "bridge", 1, 10))
    processes = [
        multiprocessing.get_context("spawn").Process(target=_add, args=(tmp_path, life)) for _ in range(3)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert len(report.read(tmp_path)["lives"]) == 3 * _EACH


def _add(folder: Path, life: Life) -> None:
    for _ in range(_EACH):
        report.add(folder, "lives", life)
