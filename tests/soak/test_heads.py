"""The model sees each way in which the head of an answer is wrong, and knows what a server may add to it."""

import pytest

from tests.soak.heads import Headers, of_accept, of_app
from tests.soak.model import ACCEPT, DENIAL, UTF_8, Loss, Seen, expected, judge
from tests.soak.scenarios import App, Client, Place, Scenario, Work, content

ON_ASGI, ON_WSGI, HTTP_2 = Place("wsgi", websockets=True), Place("asgi"), Place("wsgi", http2=True)
BODY = content(7, 100)
RIGHT = of_app(7, 100)
#: Of a server.
ADDED = [("date", "today"), ("server", "one"), ("connection", "close")]


def wrong(
    headers: Headers, app: App = App.PLAIN, *, place: Place = ON_ASGI, status: int = 200, reason: str = "OK"
) -> str:
    """What the complaint says, if there is one, of a whole answer with such a head."""
    what = Scenario(Work(app, 7, 0, 100, 10), Client.CLOSE, chunked=False, at=0.5)
    right = expected(what, place)
    body = right.body if status < 500 else b"an error"
    complaint = judge(what, Seen(status, body, complete=True, headers=headers, reason=reason), right)
    if complaint is None:
        return ""
    assert complaint.loss is Loss.WRONG_HEAD, complaint
    return complaint.text


def test_what_a_server_adds_and_how_it_mixes_names_is_its_affair() -> None:
    assert not wrong(RIGHT)
    assert not wrong(ADDED + [(name.upper(), value) for name, value in RIGHT])
    assert not wrong([RIGHT[-1], *ADDED, *RIGHT[:-1]])
    # Where the app gives no length, a server frames the body.
    for framing in (("Transfer-Encoding", "chunked"), ("Content-Length", "100")):
        assert not wrong([*of_app(7), framing], App.CHUNKS)


@pytest.mark.parametrize("name", sorted({name for name, _ in RIGHT}))
def test_a_header_of_the_app_that_is_missing_or_changed(name: str) -> None:
    assert name.lower() in wrong([field for field in RIGHT if field[0] != name])
    assert name.lower() in wrong([(key, f"{value}." if key == name else value) for key, value in RIGHT])


def test_one_that_comes_once_more_or_belongs_to_another_request() -> None:
    for field in RIGHT:
        assert field[0].lower() in wrong([*RIGHT, field])
    assert wrong(of_app(8, 100))


def test_two_of_one_name_keep_their_order_and_are_not_made_one() -> None:
    first, second = (field for field in RIGHT if field[0] == "Set-Cookie")
    others = [field for field in RIGHT if field[0] != "Set-Cookie"]
    assert not wrong([first, *others, second])
    assert wrong([second, *others, first])
    assert wrong([*others, ("Set-Cookie", f"{first[1]}, {second[1]}")])
    assert wrong([*others, second])


@pytest.mark.parametrize("value", ["cafÃ©, 7", "caf?, 7", "caf", "café"])
def test_bytes_that_are_not_ascii_and_commas_stay(value: str) -> None:
    assert "x-soak" in wrong([(name, value if name == "X-Soak" else old) for name, old in RIGHT])


def test_what_nobody_has_sent() -> None:
    assert "x-other" in wrong([*RIGHT, ("X-Other", "1")])
    assert "date" in wrong([*RIGHT, *ADDED, ("Date", "tomorrow")])
    assert "upgrade" in wrong([*RIGHT, ("Upgrade", "websocket")])


def test_how_the_end_of_the_body_is_known() -> None:
    assert wrong([*RIGHT, ("Transfer-Encoding", "chunked")])
    for framing in (("Content-Length", "0"), ("Transfer-Encoding", "chunked")):
        assert wrong([*of_app(7), framing], App.EMPTY, status=204)
    assert not wrong(of_app(7), App.EMPTY, status=204)


def test_what_http_2_does_not_have() -> None:
    assert not wrong([*RIGHT, ("date", "today"), ("server", "one")], place=HTTP_2)
    assert wrong([*RIGHT, ("connection", "close")], place=HTTP_2)


def test_the_reason_is_the_bridges_where_it_serves_wsgi() -> None:
    assert wrong(RIGHT, place=ON_WSGI, reason="Fine")
    assert not wrong(RIGHT, place=ON_WSGI)
    assert not wrong(RIGHT, reason="")


@pytest.mark.parametrize("app", [App.FAIL_BEFORE, App.FAIL_STARTED, App.NO_ANSWER])
def test_an_error_has_nothing_of_the_app(app: App) -> None:
    own = [*ADDED, ("Content-Type", "text/html"), ("Content-Length", "8")]
    assert not wrong(own, app, status=500, reason="Internal Server Error")
    for field in of_accept(7):
        assert field[0].lower() in wrong([*own, field], app, status=500)
    assert "content-type" in wrong([*ADDED, RIGHT[0]], app, status=500)


def test_the_bridges_own_errors() -> None:
    own = [*ADDED, ("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", "8")]
    for headers, right in ((own, True), ([*own, *of_accept(7)], False), (ADDED, False)):
        assert (not wrong(headers, App.SOCKET_ECHO, place=ON_WSGI, status=501)) is right
    what = Scenario(Work(App.ECHO, 7, 100, 0, 10), Client.CLOSE, chunked=False, at=0.5)
    disturbed = expected(what, ON_ASGI, disturbed=True)
    for headers, right in ((own, True), ([*own, *of_accept(7)], False), (ADDED, False)):
        assert (judge(what, Seen(507, b"no room\n", True, headers=headers), disturbed) is None) is right


def test_what_accepts_a_handshake_and_what_refuses_one() -> None:
    accepts = [*ADDED, ("Upgrade", "websocket"), ("Sec-WebSocket-Accept", "x")]
    assert not wrong(accepts, App.SOCKET_ECHO, status=101)
    assert not wrong([*accepts, *of_accept(7)], App.SOCKET_FAIL, status=101)
    assert wrong(accepts, App.SOCKET_FAIL, status=101)
    assert wrong([*accepts, *of_accept(7)], App.SOCKET_ECHO, status=101)
    assert not wrong([*ADDED, *RIGHT], App.SOCKET_REFUSE, status=418)
    assert wrong([*accepts, *RIGHT], App.SOCKET_REFUSE, status=418)


def test_what_a_row_says_of_a_server_is_right_there() -> None:
    place = Place("wsgi", websockets=True, faults=frozenset({ACCEPT, DENIAL}))
    accepts = [("Upgrade", "websocket"), ("Sec-WebSocket-Accept", "x")]
    assert not wrong(accepts, App.SOCKET_FAIL, place=place, status=101)
    assert not wrong([*accepts, *RIGHT], App.SOCKET_REFUSE, place=place, status=418)
    assert wrong([*accepts, *RIGHT], place=place)
    place = Place("wsgi", websockets=True, faults=frozenset({UTF_8}))
    other = [(name, value.replace("\xe9", "\xc3\xa9")) for name, value in RIGHT]
    assert not wrong([*ADDED, *other], App.SOCKET_REFUSE, place=place, status=418)
    assert wrong([*ADDED, *other[:-1]], App.SOCKET_REFUSE, place=place, status=418)
    assert wrong([*ADDED, *other], place=place)


def test_half_an_answer_has_a_whole_head() -> None:
    what = Scenario(Work(App.FAIL_MIDDLE, 7, 0, 100, 10), Client.CLOSE, chunked=False, at=0.5)
    for headers, right in ((of_app(7), True), (RIGHT[1:], False), ([], False)):
        complaint = judge(what, Seen(200, BODY[:50], headers=headers), expected(what, ON_ASGI))
        assert (complaint is None) is right
