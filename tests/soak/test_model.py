"""The model says what an answer must be, and sees each way in which one is wrong."""

from dataclasses import replace

import pytest

from tests.soak.model import ENDING, WORKER, Expected, Loss, Outcome, Seen, expected, judge
from tests.soak.scenarios import App, Client, Place, Scenario, Work, content, draw

_PLACES = (
    Place("wsgi", websockets=True),
    Place("wsgi", http2=True, websockets=True),
    Place("asgi", websockets=True),
)


def scenario(
    app: App, client: Client = Client.CLOSE, *, up: int = 0, down: int = 100, chunked: bool = False
) -> Scenario:
    return Scenario(Work(app, 7, up, down, piece=10), client, chunked, at=0.5)


def lost(what: Scenario, seen: Seen, place: Place = _PLACES[0], *, disturbed: bool = False) -> Loss | None:
    right = expected(what, place, disturbed=disturbed)
    complaint = judge(what, with_head(seen, right), right)
    return None if complaint is None else complaint.loss


def with_head(seen: Seen, right: Expected) -> Seen:
    """The same with the head that its status wants."""
    head = right.heads.get(seen.status, right.heads[None])
    return replace(seen, headers=head.headers, reason=head.reason or "")


def whole(status: int, body: bytes) -> Seen:
    return Seen(status, body, complete=True)


RIGHT = content(7, 100)


@pytest.mark.parametrize(
    ("seen", "loss"),
    [
        (whole(200, RIGHT), None),
        (whole(200, RIGHT[:-1] + b"x"), Loss.WRONG_BYTES),
        (whole(200, content(8, 100)), Loss.WRONG_BYTES),
        (whole(200, RIGHT[:50]), Loss.WRONG_BYTES),
        (whole(201, RIGHT), Loss.WRONG_BYTES),
        (Seen(200, RIGHT[:50]), Loss.NO_ANSWER),
        (Seen(None), Loss.NO_ANSWER),
        (whole(500, b""), Loss.WRONG_ERROR),
        (whole(503, b""), Loss.WRONG_ERROR),
        (whole(400, b""), Loss.WRONG_ERROR),
        (Seen(200, RIGHT, timed_out=True), Loss.HANGS),
    ],
)
def test_there_is_one_right_answer(seen: Seen, loss: Loss | None) -> None:
    assert lost(scenario(App.PLAIN), seen) is loss


@pytest.mark.parametrize(
    ("seen", "loss"),
    [
        (Seen(200, RIGHT), None),
        (Seen(200, RIGHT[:50]), None),
        (whole(500, b"Internal Server Error"), None),
        (whole(200, RIGHT), Loss.LOOKS_WHOLE),
        (whole(200, b""), Loss.LOOKS_WHOLE),
        (Seen(200, b"x"), Loss.WRONG_BYTES),
        (Seen(None), Loss.NO_ANSWER),
    ],
)
def test_an_error_in_the_middle_never_looks_whole(seen: Seen, loss: Loss | None) -> None:
    assert lost(scenario(App.FAIL_MIDDLE), seen) is loss


def test_an_error_before_the_head_is_a_whole_500() -> None:
    assert lost(scenario(App.FAIL_BEFORE), whole(500, b"")) is None
    assert lost(scenario(App.FAIL_BEFORE), Seen(500, b"Internal Ser")) is Loss.NO_ANSWER
    assert lost(scenario(App.FAIL_BEFORE), Seen(200, b"")) is Loss.NO_ANSWER
    assert lost(scenario(App.FAIL_BEFORE), whole(200, b"")) is Loss.LOOKS_WHOLE
    assert lost(scenario(App.FAIL_BEFORE), Seen(None)) is Loss.NO_ANSWER


def test_a_server_that_is_disturbed_may_answer_or_not_but_not_wrongly() -> None:
    for seen in (whole(200, RIGHT), Seen(200, RIGHT[:9]), Seen(None), whole(503, b"")):
        assert lost(scenario(App.SIZED), seen, disturbed=True) is None
    assert lost(scenario(App.SIZED), whole(200, RIGHT[:9]), disturbed=True) is Loss.WRONG_BYTES
    assert lost(scenario(App.SIZED), Seen(200, b"x"), disturbed=True) is Loss.WRONG_BYTES
    # What can't become whole can't by that either.
    assert lost(scenario(App.SHORT), whole(200, RIGHT), disturbed=True) is Loss.LOOKS_WHOLE
    assert lost(scenario(App.SHORT), Seen(None, timed_out=True), disturbed=True) is Loss.HANGS


def test_an_end_that_is_never_seen_is_a_servers_fault_where_its_row_says_so() -> None:
    place = replace(_PLACES[1], faults=frozenset({WORKER}))
    kept = Seen(None, timed_out=True)
    assert lost(scenario(App.SIZED), kept, place, disturbed=True) is None
    assert lost(scenario(App.SIZED), kept, place) is Loss.HANGS
    assert lost(scenario(App.SIZED), kept, disturbed=True) is Loss.HANGS
    assert (
        lost(scenario(App.SIZED), Seen(200, RIGHT[:9], timed_out=True), place, disturbed=True) is Loss.HANGS
    )
    place = replace(_PLACES[1], faults=frozenset({ENDING}))
    begun = Seen(500, b"", timed_out=True)
    assert lost(scenario(App.SIZED), begun, place, disturbed=True) is None
    assert lost(scenario(App.SIZED), begun, place) is Loss.HANGS
    assert lost(scenario(App.SIZED), begun, disturbed=True) is Loss.HANGS
    assert lost(scenario(App.SIZED), Seen(500, b"x", timed_out=True), place, disturbed=True) is Loss.HANGS


def test_an_upload_that_ends_in_garbage_is_never_read_whole() -> None:
    broken = scenario(App.ECHO, Client.GARBAGE_CHUNK, up=1000, chunked=True)
    assert lost(broken, whole(400, b"")) is None
    assert lost(broken, Seen(None)) is None
    assert lost(broken, whole(200, content(7, 1000))) is Loss.LOOKS_WHOLE
    assert lost(broken, whole(200, content(7, 500))) is Loss.LOOKS_WHOLE


@pytest.mark.parametrize("place", _PLACES, ids=lambda place: f"{place.direction}-{place.http2}")
def test_each_scenario_has_an_answer_that_is_allowed(place: Place) -> None:
    for what in draw(1, range(2000), place):
        right = expected(what, place)
        assert right.outcomes, what
        if right.outcomes & Outcome.RIGHT:
            assert judge(what, with_head(whole(right.status, right.body), right), right) is None, what
        if right.outcomes & Outcome.ERROR:
            assert judge(what, with_head(whole(500, b"an error"), right), right) is None, what
        assert judge(what, with_head(whole(200, b"\0"), right), right) is not None, what


def test_a_scenario_depends_on_its_seed_and_index_alone() -> None:
    place = _PLACES[0]
    assert draw(3, range(50), place)[40] == draw(3, [40], place)[0]
    assert draw(3, range(50), place) != draw(4, range(50), place)


@pytest.mark.parametrize("place", _PLACES, ids=lambda place: f"{place.direction}-{place.http2}")
def test_all_that_is_possible_is_drawn(place: Place) -> None:
    drawn = draw(5, range(4000), place)
    apps = {what.work.app for what in drawn}
    clients = {what.client for what in drawn}
    assert apps >= {App.PLAIN, App.ENDLESS, App.FAIL_MIDDLE, App.LEFT_BEHIND, App.ECHO}
    assert (App.SOCKET_ECHO in apps) is place.websockets
    assert (App.FORGOTTEN in apps) is (place.direction == "asgi")
    assert (App.WRITE in apps) is (place.direction == "wsgi")
    assert (Client.GARBAGE in clients) is not place.http2
    assert clients >= {
        Client.KEEP,
        Client.STALL,
        Client.LEAVE_IN_REQUEST,
        Client.RESET_IN_ANSWER,
        Client.PIPELINE,
    }


def test_an_app_gets_its_work_by_the_query() -> None:
    for what in draw(6, range(200), _PLACES[2]):
        assert Work.parse(what.work.target.partition("?")[2]) == what.work
