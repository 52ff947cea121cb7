"""What findings and notes come of the runs."""

from typing import Any

import pytest

from bridge.check.judge import Verdict, judge, only_errors
from bridge.check.model import Plan, Record, Request, Route, Run
from bridge.check.requests import PROXY
from bridge.check.serving import REPEATS
from bridge.kind import Kind
from tests.check.builders import asked, plan, run


def verdict(
    of: Plan, native: Run, bridged: Run, *, again: Run | None = None, confirmed: Run | None = None
) -> Verdict:
    interface: Kind = "asgi" if of.kind == "wsgi" else "wsgi"
    return judge(of, interface, native, bridged, again or native, confirmed)


def kinds(*args: Any, **kwargs: Any) -> list[str]:
    return [finding.kind for finding in verdict(*args, **kwargs).findings]


ONE = plan(Request())


def test_nothing() -> None:
    assert verdict(ONE, run(asked()), run(asked())).findings == []


def test_a_difference_counts_if_it_is_there_a_second_time() -> None:
    native, other, third = run(asked("a")), run(asked("b")), run(asked("c"))
    assert kinds(ONE, native, other) == ["body"]
    assert kinds(ONE, native, other, confirmed=third) == ["body"]
    assert kinds(ONE, native, other, confirmed=native) == []


def test_headers_and_bodies_are_told_together_and_statuses_by_value() -> None:
    three = plan(*(Request(target=f"/{number}") for number in range(3)))
    native = run(*(asked(str(number), ("x-a", str(number))) for number in range(3)))
    bridged = run(*(asked(f"other {number}", ("x-a", f"other {number}")) for number in range(3)))
    header, body = verdict(three, native, bridged).findings
    assert (header.kind, header.subject, len(header.where)) == ("header", "x-a", 3)
    assert (header.native, header.bridged) == ("0", "other 0")
    assert (body.kind, body.where) == ("body", ("GET /0", "GET /1", "GET /2"))

    bridged = run(asked(status=500), asked(status=404), asked(status=500))
    first, second = verdict(three, native, bridged).findings
    assert (first.bridged, first.where) == ("500", ("GET /0", "GET /2"))
    assert (second.bridged, second.where) == ("404", ("GET /1",))


def test_what_differs_behind_a_proxy_alone() -> None:
    two = plan(Request(), Request(note=PROXY))
    (finding,) = verdict(two, run(asked("a"), asked("a")), run(asked("a"), asked("b"))).findings
    assert (finding.kind, finding.subject) == ("proxy", "body")
    # What differs without one, too, is said once.
    (finding,) = verdict(two, run(asked("a"), asked("a")), run(asked("b"), asked("b"))).findings
    assert (finding.kind, finding.where) == ("body", ("GET /",))


def test_an_address_that_no_answer_depends_on_is_a_note() -> None:
    request = plan(Request(note=PROXY))
    native = run(asked(record=Record(status=200, peer="127.0.0.1", ended=True)))
    bridged = run(asked(record=Record(status=200, peer="203.0.113.7", ended=True)))
    found = verdict(request, native, bridged)
    assert found.findings == []
    assert any("127.0.0.1 on gunicorn and 203.0.113.7 on uvicorn" in note for note in found.notes)


def test_a_refusal_of_a_built_in_request_is_a_note_and_of_another_a_finding() -> None:
    native, bridged = run(asked()), run(asked(status=400, reached=False))
    found = verdict(ONE, native, bridged)
    assert found.findings == []
    assert any("200 on gunicorn, 400 on uvicorn" in note for note in found.notes)
    assert kinds(plan(Request(origin="file")), native, bridged) == ["refused"]


@pytest.mark.parametrize("body", ["the other", None])
def test_the_length_of_a_head_follows_from_the_body(body: str | None) -> None:
    two = plan(Request(), Request(method="HEAD"))
    native = run(asked("one"), asked("", ("content-length", "3")))
    again = native if body else run(asked("two"), asked("", ("content-length", "3")))
    bridged = run(asked(body or "three"), asked("", ("content-length", "5")))
    assert kinds(two, native, bridged, again=again) == (["body"] if body else [])


def log(text: str, logger: str = "shop") -> dict[str, Any]:
    return {"at": "log", "logger": logger, "level": "WARNING", "text": text, "error": ""}


def test_logs() -> None:
    native, bridged = run(asked(), events=(log("a"),)), run(asked(), events=(log("a"), log("b"), log("c")))
    (finding,) = verdict(ONE, native, bridged).findings
    assert (finding.kind, finding.subject) == ("log", "shop")
    assert (finding.native, finding.bridged) == ("nothing", "WARNING b and 1 more")
    assert kinds(ONE, bridged, native) == ["log"]
    assert kinds(ONE, native, bridged, confirmed=native) == []
    assert kinds(ONE, native, native, again=run(asked())) == []


LOOP_BOUND = {"at": "loop-bound", "number": None, "name": "state['pool']", "kind": "asyncpg.Pool"}
GLOBAL = {
    "at": "global",
    "number": None,
    "name": "shop.visits",
    "where": "shop, line 1, in f()",
    "what": "rebound",
}


def test_risks_are_those_of_the_direction() -> None:
    bad = run(asked(record=Record(status=200, ended=True, after=0.2)), events=(LOOP_BOUND, GLOBAL))
    asgi = plan(Request(), kind="asgi")
    assert kinds(asgi, bad, bad) == ["loop-bound", "after"]
    assert kinds(plan(Request(), kind="asgi", one_loop=True), bad, bad) == []
    assert kinds(ONE, bad, bad) == ["global"]


def test_work_after_the_response_is_there_in_each_run() -> None:
    asgi = plan(Request(), kind="asgi")
    busy, idle = (run(asked(record=Record(status=200, ended=True, after=after))) for after in (0.2, 0.0))
    assert kinds(asgi, busy, idle) == kinds(asgi, idle, busy) == kinds(asgi, busy, busy, again=idle) == []


def test_websockets() -> None:
    route = Route(path="/ticker", websocket=True)
    assert kinds(plan(Request(), kind="asgi", routes=(route,)), run(asked()), run(asked())) == ["websocket"]
    gained = verdict(plan(Request(), routes=(route,)), run(asked()), run(asked()))
    assert gained.findings == []
    assert any("/ticker" in note for note in gained.notes)


def measures(*files: int) -> tuple[dict[str, Any], ...]:
    labels = ("before 0", "between 0", "after 0")
    return tuple(
        {"at": "measure", "label": label, "cpu": (0.0, 0.0), "threads": 5, "files": count}
        for label, count in zip(labels, files, strict=True)
    )


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ((5, 5, 5), []),
        ((5, 5 + REPEATS, 5 + REPEATS), []),  # a pool that fills
        ((5, 5 + REPEATS, 5 + 2 * REPEATS), ["leak"]),
        ((5, 6, 7), []),
    ],
)
def test_what_is_left_behind(files: tuple[int, ...], found: list[str]) -> None:
    native, bridged = run(asked(), events=measures(5, 5, 5)), run(asked(), events=measures(*files))
    assert kinds(ONE, native, bridged) == found


BROKEN_OFF = Request(break_off=True)


@pytest.mark.parametrize(
    ("statuses", "has_none"),
    [((500, 503), True), ((500, 0), True), ((0, 0), True), ((500, 404), False), ((500, 200), False)],
)
def test_an_app_that_answers_nothing_but_errors(statuses: tuple[int, int], has_none: bool) -> None:
    two = plan(Request(), Request(target="/a"), BROKEN_OFF)
    failing = run(*(asked(status=status) for status in statuses), asked(status=0, complete=False))
    assert bool(only_errors(two, failing)) == has_none


def test_why_it_answers_nothing_else() -> None:
    raised = Record(raised="LookupError: no table", status=0)
    said = only_errors(ONE, run(asked(status=500, record=raised)))
    assert said.endswith("GET /: 500, LookupError: no table")
    # Frameworks answer for it, and log it.
    logged = {**log("failed"), "error": "KeyError: 'x'"}
    assert only_errors(ONE, run(asked(status=503), events=(logged,))).endswith("GET /: 503, KeyError: 'x'")
    assert only_errors(plan(BROKEN_OFF), run(asked(status=0))) == ""
