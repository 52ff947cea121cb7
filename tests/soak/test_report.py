"""The figures in the documentation are those of a run, and a run's report is written as it goes."""

from pathlib import Path

from tests.soak import report
from tests.soak.chaos import Chaos
from tests.soak.model import Complaint, Loss
from tests.soak.run import Life
from tests.soak.short import plan
from tests.support.servers import REPOSITORY

DOCS = REPOSITORY / "docs/soak"


def test_the_tables_of_the_documentation_are_of_its_report() -> None:
    for name, text in report.tables(report.read(DOCS)).items():
        assert (DOCS / name).read_text() == text, name


def test_a_report_is_added_to(tmp_path: Path) -> None:
    data = report.read(None)
    assert data == report.read(tmp_path)
    for server, adapter in (("granian", "bridge"), ("waitress", "bridge-shared")):
        life = Life(plan(server, adapter, 1, 10, Chaos.KILL), requests=1234, slopes={"objects": 0.25})
        life.complaints.append(Complaint(Loss.LEFT, "two of them", number=2))
        data["lives"].append(report.as_data(life))
        report.write(tmp_path, data)
        data = report.read(tmp_path)
    assert [life["server"] for life in data["lives"]] == ["granian", "waitress"]
    table = (tmp_path / "soak.inc").read_text()
    assert "**A WSGI app on ASGI servers: 1,234 requests**" in table
    assert "| waitress | bridge-shared | 1,234 | 1 | SIGKILL to a worker | 0.25 | - | 2 |" in table
