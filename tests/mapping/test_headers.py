"""A response's status and headers, from either interface to the other; and the request's Content-Length."""

import http
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import ApplicationError
from bridge.mapping import headers as module
from bridge.mapping.headers import (
    BODYLESS,
    HOP_BY_HOP,
    parse_content_length,
    response_head,
    start_of_response,
)


def fields(*headers: tuple[str, str], status: str = "200 OK") -> list[tuple[bytes, bytes]]:
    result: list[tuple[bytes, bytes]] = start_of_response(status, list(headers)).message["headers"]
    return result


def test_a_plain_start() -> None:
    start = start_of_response(
        "200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5"), ("X-A", "b")]
    )
    assert start.message == {
        "type": "http.response.start",
        "status": 200,
        "headers": [(b"content-type", b"text/plain"), (b"content-length", b"5"), (b"x-a", b"b")],
    }
    assert start.status == 200
    assert start.content_length == 5
    assert start_of_response("200 OK", []).content_length is None


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("200 OK", 200),
        ("200", 200),
        ("200 ", 200),
        ("999 x", 999),
        ("404 Not  Found", 404),
        ("200 \xe4", 200),
    ],
)
def test_statuses(status: str, code: int) -> None:
    for _ in range(2):  # learnt, and from the cache
        assert start_of_response(status, []).status == code


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (200, "wants a string"),
        (None, "wants a string"),
        (b"200 OK", "wants a string"),
        ("", "three digits"),
        ("2", "three digits"),
        ("20 OK", "three digits"),
        ("2000", "three digits"),
        (" 200", "three digits"),
        ("abc", "three digits"),
        ("\u0662\u0660\u0660 OK", "three digits"),
        ("200\tOK", "three digits"),
        ("200 O\r\nK", "control character"),
        ("200 O\x00K", "control character"),
        ("200 O\x7fK", "control character"),
        ("100 Continue", "not a response"),
        ("101 Switching Protocols", "not a response"),
        ("000 x", "not a response"),
    ],
)
def test_statuses_of_the_wrong_form(status: Any, message: str) -> None:
    for _ in range(2):
        with pytest.raises(ApplicationError, match=message):
            start_of_response(status, [])


def test_a_subclass_of_str_is_a_string() -> None:
    """Django's lazy strings, markupsafe's Markup."""

    class Text(str):
        __slots__ = ()

    assert start_of_response(Text("201 Made"), [(Text("X-A"), Text("b"))]).message == {
        "type": "http.response.start",
        "status": 201,
        "headers": [(b"x-a", b"b")],
    }


def test_names_are_in_lower_case_and_order_is_kept() -> None:
    assert fields(("Set-Cookie", "a=1"), ("X-B", "2"), ("SET-COOKIE", "c=3")) == [
        (b"set-cookie", b"a=1"),
        (b"x-b", b"2"),
        (b"set-cookie", b"c=3"),
    ]


@pytest.mark.parametrize("name", sorted(HOP_BY_HOP))
def test_hop_by_hop_fields_are_left_out(name: str) -> None:
    from wsgiref.util import is_hop_by_hop

    assert is_hop_by_hop(name)
    for spelling in (name, name.upper(), name.title()):
        assert fields((spelling, "x"), ("X-A", "b")) == [(b"x-a", b"b")]


@pytest.mark.parametrize(
    "name", ["", " ", "a b", "a:", "a\r\nb", "a\0", "\xe4", "\u20ac", "a(b)", 'a"', "a,b", "a\n"]
)
def test_names_that_are_no_token(name: str) -> None:
    for _ in range(2):
        with pytest.raises(ApplicationError, match="not a field name"):
            fields((name, "x"))


@pytest.mark.parametrize("code", [*range(0x20), 0x7F])
@pytest.mark.parametrize("place", ["{}x", "x{}x", "x{}"])
def test_control_characters_in_values(code: int, place: str) -> None:
    """RFC 9110, section 5.5: none but the tab."""
    value = place.format(chr(code))
    if chr(code) == "\t":
        assert fields(("X-A", value)) == [(b"x-a", value.strip("\t").encode())]
        return
    with pytest.raises(ApplicationError, match="control character"):
        fields(("X-A", value))


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        ("", b""),
        (" ", b""),
        (" a ", b"a"),
        ("\ta b\t ", b"a b"),
        ("a \t b", b"a \t b"),
        ("\xe4\xff\x80\x9f\xa0\xad", b"\xe4\xff\x80\x9f\xa0\xad"),
        ("\xa0a\xa0", b"\xa0a\xa0"),
    ],
)
def test_values(value: str, encoded: bytes) -> None:
    assert fields(("X-A", value)) == [(b"x-a", encoded)]


@pytest.mark.parametrize("value", ["\u20ac", "a\u0100", "\U0001f600", "\ud800"])
def test_values_that_are_not_latin_1(value: str) -> None:
    with pytest.raises(ApplicationError, match="not latin-1"):
        fields(("X-A", value))


@given(st.lists(st.tuples(st.text(), st.text())))
def test_no_header_can_write_another(headers: list[tuple[str, str]]) -> None:
    """Whatever is let through, is one name and one value for any parser."""
    try:
        passed = fields(*headers)
    except ApplicationError:
        return
    for name, value in passed:
        assert module._TOKEN.fullmatch(name.decode("ascii"))
        assert name == name.lower()
        assert not set(value) & set(b"\r\n\0")
        assert value == value.strip(b" \t")


@pytest.mark.parametrize(
    "headers",
    [
        None,
        5,
        "X: y",
        b"X: y",
        {"X": "y"},
        [("X",)],
        [("X", "y", "z")],
        [5],
        [None],
        [("X", 5)],
        [(b"X", "y")],
        ["abc"],
        ["ab"],
    ],
    ids=repr,
)
def test_headers_of_the_wrong_type(headers: Any) -> None:
    with pytest.raises(ApplicationError, match="PEP 3333 wants"):
        start_of_response("200 OK", headers)


def test_headers_may_be_another_iterable_of_pairs() -> None:
    expected = [(b"x", b"y")]
    for headers in ((("X", "y"),), iter([("X", "y")]), [["X", "y"]], {"X": "y"}.items()):
        assert start_of_response("200 OK", headers).message["headers"] == expected


# Content-Length of the response.


@pytest.mark.parametrize(
    "value", ["", "-1", "+1", "1.0", "0x1", "1 2", "1,1", "five", "\xb2", "\u0661", "9" * 5000]
)
def test_a_content_length_that_is_no_number(value: str) -> None:
    with pytest.raises(ApplicationError):
        fields(("Content-Length", value))


def test_several_content_lengths() -> None:
    assert fields(("Content-Length", "5"), ("content-length", "5")) == [(b"content-length", b"5")]
    with pytest.raises(ApplicationError, match="two Content-Length headers, 5 and 6"):
        fields(("Content-Length", "5"), ("Content-Length", "6"))


@pytest.mark.parametrize("code", sorted(BODYLESS))
def test_a_bodyless_status_has_no_content_length(code: int) -> None:
    start = start_of_response(f"{code} x", [("Content-Length", "5"), ("X-A", "b")])
    assert start.message["headers"] == [(b"x-a", b"b")]


# The way back: an ASGI message's status and headers, for start_response().


class TestHead:
    def test_status_and_headers(self) -> None:
        head = response_head(200, [(b"content-type", b"text/plain"), (b"X-Mixed", b"\xe9")])
        assert head.status == "200 OK"
        assert head.headers == [("content-type", "text/plain"), ("X-Mixed", "\xe9")]
        assert head.content_length is None
        assert not head.bodyless

    @pytest.mark.parametrize(
        ("status", "line"),
        [(http.HTTPStatus.NOT_FOUND, "404 Not Found"), (299, "299 Unknown"), (999, "999 Unknown")],
    )
    def test_unusual_statuses(self, status: int, line: str) -> None:
        assert response_head(status, []).status == line

    @pytest.mark.parametrize("status", [None, "200", True, 99, 101, 1000, 200.0])
    def test_what_is_no_status(self, status: object) -> None:
        with pytest.raises(ApplicationError, match=r"status .*ASGI wants an integer"):
            response_head(status, [])

    @pytest.mark.parametrize(
        "name",
        [
            b"Connection",
            b"keep-alive",
            b"transfer-encoding",
            b"TE",
            b"upgrade",
            b"Trailers",
            b"proxy-authenticate",
        ],
    )
    def test_hop_by_hop_headers_are_kept_from_the_server(self, name: bytes) -> None:
        assert response_head(200, [(name, b"x"), (b"a", b"b")]).headers == [("a", "b")]

    @pytest.mark.parametrize("value", [b"a\r\nb: c", b"a\nb", b"a\x00", b"\x7f"])
    def test_a_value_with_a_control_character_is_refused(self, value: bytes) -> None:
        with pytest.raises(ApplicationError, match="control character"):
            response_head(200, [(b"x", value)])

    @pytest.mark.parametrize("value", [b"a\tb", b"\xa0", b"\x85", b""])
    def test_other_values_are_not(self, value: bytes) -> None:
        assert response_head(200, [(b"x", value)]).headers == [("x", value.decode("latin-1"))]

    @pytest.mark.parametrize("name", [b"", b"a b", b"a:", b"a\r\n", b"\xe9"])
    def test_what_is_no_name(self, name: bytes) -> None:
        with pytest.raises(ApplicationError, match="not a field name"):
            response_head(200, [(name, b"x")])

    @pytest.mark.parametrize(
        "pair", [("a", "b"), (b"a", "b"), (b"a",), b"ab", None, (b"a", b"b", b"c"), [1, 2]]
    )
    def test_what_is_no_header(self, pair: object) -> None:
        with pytest.raises(ApplicationError, match="pair of byte strings"):
            response_head(200, [pair])

    @pytest.mark.parametrize("headers", [None, b"ab", {"a": "b"}, 5])
    def test_what_are_no_headers(self, headers: object) -> None:
        with pytest.raises(ApplicationError, match=r"ASGI wants \(name, value\) pairs"):
            response_head(200, headers)

    def test_any_iterable_of_lists_will_do(self) -> None:
        assert response_head(200, iter([[b"a", b"b"]])).headers == [("a", "b")]

    def test_content_length(self) -> None:
        head = response_head(200, [(b"Content-Length", b"5"), (b"content-length", b"5")])
        assert head.content_length == 5
        assert head.headers == [("Content-Length", "5")]

    @pytest.mark.parametrize("status", [204, 304])
    def test_no_content_length_without_content(self, status: int) -> None:
        head = response_head(status, [(b"content-length", b"5")])
        assert head.headers == []
        assert head.bodyless

    @pytest.mark.parametrize("value", [b"", b"-1", b"five", b"5, 5", b"9" * 5000])
    def test_what_is_no_content_length(self, value: bytes) -> None:
        with pytest.raises(ApplicationError, match="Content-Length"):
            response_head(200, [(b"content-length", value)])

    def test_two_that_differ(self) -> None:
        with pytest.raises(ApplicationError, match="two Content-Length headers, 5 and 6"):
            response_head(200, [(b"content-length", b"5"), (b"content-length", b"6")])


# Content-Length of the request.


@pytest.mark.parametrize(
    ("text", "length"),
    [(None, None), ("", None), ("0", 0), ("5", 5), ("005", 5), ("5,5", 5), ("5, 5 ,5", 5), (" 5", 5)],
)
def test_the_requests_content_length(text: str | None, length: int | None) -> None:
    environ = {} if text is None else {"CONTENT_LENGTH": text}
    assert parse_content_length(environ) == length
    if text and not text.isdigit():
        assert environ["CONTENT_LENGTH"] == str(length), "one number for whoever reads it next"


@pytest.mark.parametrize(
    "text", ["-1", "+1", "5,6", "5,", ",", "1 2", "1_0", "0x5", "five", "\xb2", "\u0665", "1.0"]
)
def test_a_requests_content_length_that_is_no_number(text: str) -> None:
    with pytest.raises(ValueError, match="Content-Length is"):
        parse_content_length({"CONTENT_LENGTH": text})


# Caches.


def test_what_apps_make_up_does_not_fill_the_memory() -> None:
    for number in range(3000):
        assert fields((f"X-Made-Up-{number}", "x"), status=f"200 made up {number}") == [
            (f"x-made-up-{number}".encode(), b"x")
        ]
        name = f"X-Made-Up-{number}"
        assert response_head(200, [(name.encode(), b"x")]).headers == [(name, "x")]
    for learnt in (module._lower_names, module._native_names, module._codes):
        assert 0 < len(learnt) <= learnt.entries
