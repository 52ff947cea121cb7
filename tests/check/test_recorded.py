"""Requests of files: lines as curl takes them, and archives of browsers."""

import json
from pathlib import Path
from typing import Any

import pytest

from bridge.check.model import Request
from bridge.check.recorded import RecordedError, from_har, from_lines

FORM = ("Content-Type", "application/x-www-form-urlencoded")
JSON = ("Content-Type", "application/json")


def request(method: str, target: str, *headers: tuple[str, str], body: bytes = b"") -> Request:
    return Request(method=method, target=target, headers=headers, body=body, origin="file")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("/", request("GET", "/")),
        ("GET /a?b=c", request("GET", "/a?b=c")),
        ("DELETE /a", request("DELETE", "/a")),
        ("curl http://127.0.0.1:8000", request("GET", "/")),
        ("curl 'https://shop.example/a b?q=é#part'", request("GET", "/a%20b?q=%C3%A9")),
        ("curl -sSi -XPUT shop.example/a", request("PUT", "/a")),
        ("curl --request=PATCH /a", request("PATCH", "/a")),
        ("curl -I /a", request("HEAD", "/a")),
        ("curl /a -d x=1 -d y=2", request("POST", "/a", FORM, body=b"x=1&y=2")),
        ("curl /a -d ''", request("POST", "/a", FORM)),
        ("GET /a -H 'X-A: 1 €'", request("GET", "/a", ("X-A", "1 \xe2\x82\xac"))),
        ("curl /a -G -d x=1", request("GET", "/a?x=1")),
        ("curl '/a?y=2' --get --data-urlencode 'x=a b'", request("GET", "/a?y=2&x=a%20b")),
        ("POST /a -d @data", request("POST", "/a", FORM, body=b"onetwo")),
        ("POST /a --data-binary @data", request("POST", "/a", FORM, body=b"one\ntwo\n")),
        ("POST /a --data-raw @data", request("POST", "/a", FORM, body=b"@data")),
        ("curl /a --json '{}'", request("POST", "/a", JSON, body=b"{}")),
        (
            "PUT /a -H 'content-type: text/plain' -d x",
            request("PUT", "/a", ("content-type", "text/plain"), body=b"x"),
        ),
        ("GET /a -H 'Host: other' -H 'X-A:1'", request("GET", "/a", ("X-A", "1"))),
        ("GET /a -b 'a=1'", request("GET", "/a", ("Cookie", "a=1"))),
        ("GET /a -A me -u a:b", request("GET", "/a", ("User-Agent", "me"), ("Authorization", "Basic YTpi"))),
        ("curl --compressed -o /dev/null /a", request("GET", "/a")),
    ],
)
def test_a_line(line: str, expected: Request, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("one\ntwo\n")
    assert from_lines(line, tmp_path) == [expected]


def test_comments_and_lines_that_go_on(tmp_path: Path) -> None:
    text = "# the shop\n\n/a\ncurl '/b' \\\n  -H 'X-A: 1' \\\n  --compressed\n  /c\n"
    assert [each.target for each in from_lines(text, tmp_path)] == ["/a", "/b", "/c"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("/a\ncurl -F file=@x /b", "line 2: unrecognized arguments: -F"),
        ("curl -X", "line 1: argument -X/--request: expected one argument"),
        ("GET /a /b", "line 1: there is to be one URL"),
        ("curl", "line 1: there is to be one URL, not none"),
        ("GET /a -H nothing", "line 1: argument -H/--header: 'nothing' is no header"),
        ("curl -X 'A B' /a", "line 1: 'A B' is no method"),
        ("GET '/a", "line 1: No closing quotation"),
        ("GET /a \\", "line 1: it goes on behind the file's end"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(RecordedError) as error:
        from_lines(text, tmp_path)
    assert str(error.value).startswith(words)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        from_lines("/a -d @nowhere", tmp_path)


def har(*requests: dict[str, Any]) -> str:
    return json.dumps({"log": {"version": "1.2", "entries": [{"request": each} for each in requests]}})


def test_an_archive() -> None:
    text = har(
        {
            "method": "GET",
            "url": "https://shop.example/a?b=c",
            "headers": [
                {"name": ":authority", "value": "shop.example"},
                {"name": "Host", "value": "shop.example"},
                {"name": "Cookie", "value": "session=1"},
                {"name": "Accept", "value": "*/*"},
            ],
            "cookies": [{"name": "session", "value": "1"}],
        },
        {"method": "GET", "url": "https://fonts.example/font"},
        {"method": "POST", "url": "https://shop.example/b", "postData": {"mimeType": "x", "text": "é"}},
        {
            "method": "POST",
            "url": "https://shop.example/c",
            "postData": {"params": [{"name": "a", "value": "1 2"}]},
        },
        {
            "method": "PUT",
            "url": "https://shop.example/d",
            "postData": {"text": "/wA=", "encoding": "base64"},
        },
        {"method": "GET", "url": "wss://shop.example/ticker"},
    )
    requests, cookies = from_har(text)
    assert cookies == {"session": "1"}
    assert requests == [
        request("GET", "/a?b=c", ("Accept", "*/*")),
        request("POST", "/b", body="é".encode()),
        request("POST", "/c", body=b"a=1+2"),
        request("PUT", "/d", body=b"\xff\x00"),
    ]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"log": {"entries": [{}]}}', '{"log": {"entries": 1}}'])
def test_what_is_no_archive(text: str) -> None:
    with pytest.raises(RecordedError, match="no HTTP archive"):
        from_har(text)


def test_an_empty_archive() -> None:
    assert from_har(har()) == ([], {})
