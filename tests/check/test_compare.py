"""What counts as a difference, and what doesn't."""

import gzip
import json
import zlib

import pytest

from bridge.check.compare import LEAVING, SERVERS_OWN, Asked, agrees, differences, unread
from bridge.check.model import Record, Request
from tests.check.builders import asked

JSON = ("content-type", "application/json")


def what(native: Asked, bridged: Asked, again: Asked | None = None) -> list[str]:
    """What differs, by name."""
    return [each.what for each in differences(Request(), native, again or native, bridged)]


def test_equal_answers_do_not_differ() -> None:
    assert what(asked("a", ("x-a", "1")), asked("a", ("X-A", "1"))) == []


def test_a_status_and_what_the_app_raised() -> None:
    failed = asked(status=500, record=Record(raised="KeyError: 'x'", status=0))
    (difference,) = differences(Request(), asked(), asked(), failed)
    assert (difference.what, difference.native, difference.bridged) == (
        "status",
        "200",
        "500 (KeyError: 'x')",
    )


def test_the_servers_own_error_page_is_not_compared() -> None:
    def failed(page: str) -> Asked:
        return asked(
            page, ("content-type", page), status=500, record=Record(raised="KeyError: 'x'", ended=True)
        )

    assert what(failed("a page"), failed("plain text")) == []
    late = asked("text", status=500, record=Record(raised="KeyError: 'x'", status=200, ended=True))
    assert what(failed("a page"), late) == [], "it had begun, but nothing was out"
    # A page that the app has made itself is.
    assert what(asked("a page", status=500), asked("plain text", status=500)) == ["body"]


@pytest.mark.parametrize("name", sorted(SERVERS_OWN))
def test_what_servers_add_is_not_compared(name: str) -> None:
    assert what(asked("a", (name, "one")), asked("a", (name, "other"))) == []
    assert what(asked("a", (name, "one")), asked("a")) == []


def test_a_length_counts_where_both_sides_say_it() -> None:
    length = ("content-length", "1")
    assert what(asked("a", length), asked("a")) == []
    assert what(asked("a"), asked("a", length)) == []
    assert what(asked("", length), asked("", ("content-length", "2"))) == ["header content-length"]
    # With another body there is nothing new in it.
    assert what(asked("a", length), asked("bb", ("content-length", "2"))) == ["body"]


def test_the_length_of_what_varies() -> None:
    one, two = asked("now 1.25", ("content-length", "8")), asked("now 1.75", ("content-length", "8"))
    assert what(one, asked("now 1.5", ("content-length", "7")), two) == []


def test_headers() -> None:
    assert what(asked("a", ("x-a", "1")), asked("a", ("x-a", "2"))) == ["header x-a"]
    assert what(asked("a", ("x-a", "1")), asked("a")) == ["header x-a"]
    assert what(asked("a"), asked("a", ("x-a", "1"))) == ["header x-a"]
    assert what(asked("a", ("x-a", "1"), ("x-a", "2")), asked("a", ("x-a", "1, 2"))) == ["header x-a"]
    assert what(asked("a", ("allow", "GET, HEAD")), asked("a", ("allow", "HEAD, GET"))) == []


def test_each_cookie_is_compared_for_itself() -> None:
    def cookies(*values: str) -> Asked:
        return asked("a", *(("set-cookie", value) for value in values))

    one = cookies("session=abc.1; Path=/", "side=old")
    two = cookies("session=xyz.2; Path=/", "side=old")
    assert what(one, cookies("session=fgh.3; Path=/", "side=old"), two) == []
    assert what(one, cookies("session=fgh.3; Path=/", "side=new"), two) == ["cookie side"]
    assert what(one, cookies("session=fgh.3; Path=/; Secure", "side=old"), two) == []
    assert what(one, cookies("side=old"), two) == ["cookie session"]


def test_what_varies_natively_is_left_out_and_the_rest_is_not() -> None:
    one, two = "now 10:00:01, hello", "now 10:00:02, hello"
    assert agrees(one, two, "now 10:00:03, hello")
    assert not agrees(one, two, "now 10:00:03, goodbye")
    assert not agrees("one", "one", "two")
    # Other lengths of what varies: then by lines.
    assert agrees("token a\nhello", "token a-b-c\nhello", "token a-b\nhello")
    assert not agrees("token a\nhello", "token a-b-c\nhello", "token a-b\ngoodbye")


def test_json_is_compared_by_its_places() -> None:
    def answer(**values: object) -> Asked:
        return asked(json.dumps(values), JSON)

    one, two = answer(token="a-b", name="x", list=[1, 2]), answer(token="c", name="x", list=[1, 2])
    assert what(one, answer(token="d-e-f", name="x", list=[1, 2]), two) == []
    assert what(one, answer(token="d-e-f", name="y", list=[1, 2]), two) == ["body"]
    assert what(one, answer(token="d-e-f", name="x", list=[1]), two) == ["body"]
    assert what(one, answer(token="d", name="x", list=[1, 2], more=0), two) == ["body"]
    assert what(one, answer(token="d", name="x", list=[1, True]), two) == ["body"]
    # Places that come and go natively say nothing.
    one, two = answer(name="x", a=1), answer(name="x", b=1)
    assert what(one, answer(name="x", c=1), two) == []


def test_where_bodies_differ_is_shown_past_what_varies() -> None:
    one, two, other = (
        asked(f"{now} {'word ' * 30}{tail}") for now, tail in ((1, "old"), (2, "old"), (3, "new"))
    )
    (difference,) = differences(Request(), one, two, other)
    assert difference.native == "155 bytes: ...word word word word old"
    assert difference.bridged == "155 bytes: ...word word word word new"


def test_bytes() -> None:
    assert what(asked(b"\xff\x00"), asked(b"\xff\x01")) == ["body"]
    assert what(asked(b"\xff\x00"), asked(b"\xff\x02"), asked(b"\xff\x01")) == []


def test_packed_bodies_are_compared_unpacked() -> None:
    packed = ("content-encoding", "gzip")
    one, two = (asked(gzip.compress(b"the same", mtime=time), packed) for time in (1, 2))
    assert what(one, two) == []
    assert what(one, asked(gzip.compress(b"another", mtime=0), packed)) == ["body"]
    # What is not packed as it says is compared as it came.
    assert what(asked("a", packed), asked("b", packed)) == ["body"]


DEFLATE, GZIP = ("content-encoding", "deflate"), ("content-encoding", "gzip")


@pytest.mark.parametrize(
    ("body", "headers", "is_not"),
    [
        (b'{"a": 1}', (JSON,), ""),
        (b"null", (JSON,), ""),
        (b"", (JSON,), ""),
        (b"{", (JSON,), "JSON"),
        (b'"\xff"', (JSON,), "JSON"),
        (b"[" * 100_000 + b"]" * 100_000, (JSON,), "JSON"),
        (b"9" * 5_000, (JSON,), "JSON"),
        (gzip.compress(b"{}", mtime=0), (JSON, GZIP), ""),
        (gzip.compress(b"{", mtime=0), (JSON, GZIP), "JSON"),
        (b"plain", (GZIP,), "gzip"),
        (gzip.compress(b"plain", mtime=0)[:-4], (GZIP,), "gzip"),
        (gzip.compress(b"plain", mtime=0)[:12] + b"xxxxxxxxxxxxx", (GZIP,), "gzip"),
        (zlib.compress(b"plain"), (DEFLATE,), ""),
        (b"plain", (DEFLATE,), "deflate"),
    ],
)
def test_a_body_that_is_not_what_it_is_said_to_be_is_compared_as_it_came(
    body: bytes, headers: tuple[tuple[str, str], ...], is_not: str
) -> None:
    native = asked(body, *headers)
    assert unread(native.answer) == is_not
    assert what(native, asked(body, *headers)) == []
    assert what(native, asked(b"more " + body, *headers)) == ["body"]


def test_json_that_is_nested_deeply() -> None:
    def nested(inner: str) -> Asked:
        return asked("[" * 900 + inner + "]" * 900, JSON)

    assert what(nested("1, 2"), nested("1, 3"), nested("1, 4")) == []
    assert what(nested("1, 2"), nested("5, 3"), nested("1, 4")) == ["body"]


def test_what_differs_natively_says_nothing() -> None:
    assert what(asked(status=200), asked(status=500), asked(status=429)) == []


def test_no_answer() -> None:
    nothing = asked(status=0, complete=False)
    nothing.answer.error = "no answer in time"
    assert what(asked(), nothing) == ["answer"]
    assert what(nothing, asked()) == ["answer"]
    assert what(nothing, nothing) == []


def test_a_request_that_one_side_refuses() -> None:
    assert what(asked(), asked(status=400, reached=False)) == ["refused"]
    assert what(asked(status=400, reached=False), asked()) == ["refused"]
    # Both say the same, or the servers answer both times.
    assert what(asked(status=400), asked(status=400, reached=False)) == []
    assert what(asked(status=400, reached=False), asked(status=431, reached=False)) == []


def test_ends() -> None:
    broken = asked("half", complete=False)
    assert what(asked("half"), broken) == ["cut"]
    assert what(broken, asked("half")) == ["whole"]
    assert what(broken, broken) == []
    left = asked("half", complete=False, left="time")
    assert what(left, asked("half and more")) == []


def test_a_failure_is_one_whether_something_was_out_or_not() -> None:
    raised = Record(status=200, raised="KeyError: 'x'", ended=True)
    cut, refused = asked("half", complete=False, record=raised), asked("error", status=500, record=raised)
    nothing = asked(status=0, complete=False, record=raised)
    assert what(cut, refused) == what(refused, cut) == what(cut, nothing) == what(nothing, refused) == []
    assert what(cut, asked("half", record=raised)) == ["whole"], "nobody told the client"
    assert what(asked("half", record=raised), cut) == [], "nobody told it natively"


def streaming(first_at: float | None, *, made: tuple[float, float] = (1.0, 2.0), left: str = "") -> Asked:
    record = Record(status=200, first_made=made[0], last_made=made[1], ended=True)
    return asked("piece", record=record, first_at=first_at, left=left, complete=not left)


def test_streams() -> None:
    as_it_is_made, at_the_end = streaming(1.01), streaming(2.01)
    assert what(as_it_is_made, as_it_is_made) == []
    assert what(as_it_is_made, at_the_end) == ["stream"]
    assert what(at_the_end, as_it_is_made) == [], "better than at home"
    assert what(as_it_is_made, at_the_end, at_the_end) == []
    # Made at once: there is nothing to stream.
    assert what(streaming(1.05, made=(1.0, 1.01)), streaming(1.0, made=(1.0, 1.01))) == []
    # An endless one: nothing came of it for as long as the client stayed.
    endless = streaming(1.01, left="time")
    assert what(endless, endless) == []
    assert what(endless, streaming(None, left="time")) == ["stream"]


def test_a_stream_that_the_app_itself_makes_at_once_on_the_other_side() -> None:
    gathered = streaming(3.0, made=(3.0, 3.0))
    assert what(streaming(1.01), gathered) == ["stream"]
    quick = streaming(0.01, made=(0.01, 0.01))
    assert what(streaming(1.01), quick) == [], "it had nothing to wait for"


def test_a_client_that_leaves() -> None:
    ended = asked("x", complete=False, left="time")
    goes_on = asked("x", complete=False, left="time", record=Record(status=200))
    assert what(ended, ended) == []
    assert what(ended, goes_on) == ["left"]
    # By chance other requests took long, so that it has come to its end.
    late = asked(
        "x", complete=False, left="time", record=Record(status=200, ended=True, ended_at=LEAVING + 1)
    )
    assert what(ended, late) == ["left"]
    assert what(goes_on, goes_on) == []
    assert what(goes_on, ended) == []


def test_nobody_waits_for_the_answer_of_an_upload_that_breaks_off() -> None:
    request = Request(method="POST", body=b"abc", break_off=True)
    assert differences(request, asked(), asked(), asked(status=500)) == []
