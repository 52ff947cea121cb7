"""What is told beside the findings."""

from bridge.check.compare import Asked
from bridge.check.judge import judge
from bridge.check.model import Plan, Record, Request, Route, Run
from tests.check.builders import asked, plan, run

ONE = plan(Request())


def notes_of(of: Plan, native: Run, *, again: Run | None = None) -> list[str]:
    """The same on either side."""
    return judge(of, "asgi", native, native, again or native, None).notes


def refused(answer: Asked) -> Run:
    return run(answer, answer)


def test_notes() -> None:
    two = plan(Request(), Request(target="/a"), routes=(Route(path="/a", methods=("GET", "POST")),))
    notes = notes_of(two, refused(asked(status=400)))
    assert any("All answers were 400" in note for note in notes)
    assert any("POST /a" in note for note in notes)
    denied = notes_of(two, refused(asked(status=401)))
    assert any("All answers were 401" in note and "--requests" in note for note in denied)
    broken = run(asked("{", ("content-type", "application/json")))
    assert any("GET / is said to be JSON, and is not" in note for note in notes_of(ONE, broken))
    file = run(asked(record=Record(status=200, file=True)), asked())
    assert any("sendfile=True" in note for note in notes_of(two, file))
    assert any("routes are not known" in note for note in notes_of(ONE, run(asked())))
    varying = notes_of(ONE, run(asked("a")), again=run(asked("b")))
    assert any("1 of 1 answers differed" in note for note in varying)
