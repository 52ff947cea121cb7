"""The rules of WSGI and ASGI, as the check has them: what breaks one, and what frameworks do without breaking any."""

from typing import Any

import pytest

from bridge.check.rules import AsgiRules, WsgiRules

TEXT = [("Content-Type", "text/plain")]


def wsgi(
    status: Any = "200 OK",
    headers: Any = None,
    items: Any = (b"body",),
    *,
    method: str = "GET",
    result: Any = None,
) -> list[str]:
    """The rules that such a call breaks."""
    rules = WsgiRules(method)
    broken = rules.start(status, TEXT if headers is None else headers, None)
    broken += rules.result(items if result is None else result)
    for item in items:
        broken += rules.item(item)
    return broken + rules.end()


@pytest.mark.parametrize(
    "kept",
    [
        {},
        {"items": []},
        {"items": (b"", b"body", b"")},
        {"status": "204 No Content", "items": []},
        {"status": "204 No Content", "headers": TEXT, "items": [b""]},
        {"status": "304 Not Modified", "headers": [("Content-Length", "10")], "items": []},
        {"headers": [("Content-Length", "10")], "items": [], "method": "HEAD"},
        {"headers": [("Content-Length", "4")]},
        {"headers": []},
        {"headers": [("Set-Cookie", "a=1"), ("Set-Cookie", "b=\xe9")]},
        {"status": "200 "},
    ],
)
def test_what_keeps_the_rules_of_wsgi(kept: dict[str, Any]) -> None:
    assert wsgi(**kept) == []


@pytest.mark.parametrize(
    ("breaks", "words"),
    [
        ({"status": 200}, "start_response: Status"),
        ({"status": "20 OK"}, "three characters"),
        ({"status": "OK"}, "start_response"),
        ({"headers": tuple(TEXT)}, "must be of type list"),
        ({"headers": [["Content-Type", "text/plain"]]}, "must be of type tuple"),
        ({"headers": [("Content-Type", b"text/plain")]}, "Header value"),
        ({"headers": [("Status", "200")]}, "Status header"),
        ({"headers": [("X-A", "a\nb")]}, "Bad header value"),
        ({"headers": [("Connection", "close")]}, "hop-by-hop"),
        ({"headers": [("Content-Length", "5")]}, "the body has 4 bytes"),
        ({"headers": [("Content-Length", "3")]}, "the body has 4 bytes"),
        ({"status": "204 No Content"}, "a 204 has a body"),
        ({"items": ("text",)}, "is str, not bytes"),
        ({"result": b"body"}, "return a string"),
        ({"result": 5}, "not iterable"),
    ],
)
def test_what_breaks_a_rule_of_wsgi(breaks: dict[str, Any], words: str) -> None:
    broken = wsgi(**breaks)
    assert any(words in rule for rule in broken), broken


def test_the_order_of_start_response() -> None:
    rules = WsgiRules("GET")
    assert rules.item(b"") == []
    assert rules.item(b"early") == ["a piece of the body comes before start_response() is called"]
    assert WsgiRules("GET").end() == ["start_response() was not called"]
    rules = WsgiRules("GET")
    assert rules.start("200 OK", TEXT, None) == []
    assert rules.start("500 Oops", TEXT, (ValueError, ValueError(), None)) == []
    assert rules.start("500 Oops", TEXT, None) == [
        "start_response: it is called a second time without exc_info"
    ]


def start(status: Any = 200, *headers: Any) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": headers}


def body(data: Any = b"body", **values: Any) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, **values}


def asgi(*messages: Any, method: str = "GET", extensions: tuple[str, ...] = ()) -> list[str]:
    """The rules that such a call breaks."""
    rules = AsgiRules({"type": "http", "method": method, "extensions": {name: {} for name in extensions}})
    return [rule for message in messages for rule in rules.message(message)] + rules.end()


@pytest.mark.parametrize(
    "messages",
    [
        (start(), body()),
        (start(), body(b"", more_body=True), body(b"", more_body=False)),
        ({"type": "http.response.start", "status": 204}, {"type": "http.response.body"}),
        (start(200, [b"content-length", b"4"]), body()),
        (start(200, (b"set-cookie", b"a=1"), (b"set-cookie", b"b=1")), body()),
        (start(304, (b"content-length", b"4")), body(b"")),
    ],
)
def test_what_keeps_the_rules_of_asgi(messages: tuple[Any, ...]) -> None:
    assert asgi(*messages) == []


def test_an_app_that_was_told_that_its_client_left_owes_nobody_an_end() -> None:
    rules = AsgiRules({"type": "http", "method": "GET"})
    assert rules.end(disconnected=True) == []
    rules.message(start())
    assert rules.end(disconnected=True) == []
    assert rules.end() != []


def test_extensions_that_the_server_offers() -> None:
    path = {"type": "http.response.pathsend", "path": "/file"}
    length = (b"content-length", b"4")
    assert asgi(start(200, length), path, extensions=("http.response.pathsend",)) == []
    assert "does not offer" in asgi(start(200, length), path)[0]
    assert asgi({"type": "http.response.debug"}, start(), body(), extensions=("http.response.debug",)) == []


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ((), "without a response"),
        ((start(),), "before the last http.response.body"),
        ((start(), body(more_body=True)), "before the last http.response.body"),
        ((body(),), "before http.response.start"),
        ((start(), start(), body()), "a second time"),
        ((start(), body(), body()), "after the last one"),
        ((start("200"), body()), "not an int"),
        ((start(200, ("x-a", "1")), body()), "not bytes"),
        ((start(200, (b"x a", b"1")), body()), "no name of a header"),
        ((start(200, (b"x-a", b" 1")), body()), "spaces at its ends"),
        ((start(200, (b"x-a", b"1\r\nx-b: 2")), body()), "line breaks"),
        ((start(200, (b"x-a",)), body()), "not a pair"),
        ((start(200, (b"transfer-encoding", b"chunked")), body()), "the server's alone"),
        ((start(200, (b"content-length", b"5")), body()), "the body has 4 bytes"),
        ((start(204), body()), "a 204 has a body"),
        ((start(), body("text")), "is str, not bytes"),
        ((start(), body(more_body=0)), "not a bool"),
        ((start(), {"type": "websocket.send"}, body()), "of type 'websocket.send'"),
        ((start(), "text", body()), "of type None"),
    ],
)
def test_what_breaks_a_rule_of_asgi(messages: tuple[Any, ...], words: str) -> None:
    broken = asgi(*messages)
    assert any(words in rule for rule in broken), broken
