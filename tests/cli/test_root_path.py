"""The root path: one meaning for every server, whether a proxy cuts it off or leaves it in the path."""

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest

from bridge.cli.root_path import asgi_under, wsgi_under
from bridge.types import Message, Receive, Scope, Send, StartResponse


def scope_seen(root_path: str, scope: Scope) -> Scope:
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)

    async def receive() -> Message:
        raise AssertionError("not called")

    async def send(message: Message) -> None:
        raise AssertionError("not called")

    async def call() -> None:
        await asgi_under(root_path, app)(scope, receive, send)

    asyncio.run(call())
    return seen[0]


def environ_seen(root_path: str, environ: dict[str, Any]) -> dict[str, Any]:
    seen: list[dict[str, Any]] = []

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        seen.append(environ)
        return []

    wsgi_under(root_path, app)(environ, lambda *_: None)
    return seen[0]


# root path, path of the request, then what the app gets: path (ASGI, includes the root path), PATH_INFO
CASES = [
    ("/api", "/users", "/api/users", "/users"),
    ("/api", "/api/users", "/api/users", "/users"),
    ("/api", "/", "/api/", "/"),
    ("/api", "/api", "/api", ""),
    ("/api", "/api/", "/api/", "/"),
    ("/api", "/apis", "/api/apis", "/apis"),
    ("/a/b", "/a/b/c/", "/a/b/c/", "/c/"),
    ("/a/b", "/a/c", "/a/b/a/c", "/a/c"),
]


@pytest.mark.parametrize(("root_path", "path", "asgi_path", "path_info"), CASES)
@pytest.mark.parametrize("scope_type", ["http", "websocket"])
def test_a_scope_has_the_root_path_and_a_path_that_includes_it(
    scope_type: str, root_path: str, path: str, asgi_path: str, path_info: str
) -> None:
    sent: Scope = {"type": scope_type, "path": path, "raw_path": path.encode(), "root_path": "", "other": [1]}
    seen = scope_seen(root_path, sent)
    assert seen == {**sent, "path": asgi_path, "raw_path": asgi_path.encode(), "root_path": root_path}
    assert sent["path"] == path  # the server's scope is its own
    assert seen["path"].removeprefix(root_path) == path_info


def test_raw_path_is_quoted_and_may_be_missing() -> None:
    seen = scope_seen("/é", {"type": "http", "path": "/ü", "raw_path": b"/%C3%BC"})
    assert (seen["path"], seen["raw_path"]) == ("/é/ü", b"/%C3%A9/%C3%BC")
    assert "raw_path" not in scope_seen("/é", {"type": "http", "path": "/ü"})
    assert scope_seen("/é", {"type": "http", "path": "/ü", "raw_path": None})["raw_path"] is None


def test_what_has_no_path_is_left_alone() -> None:
    lifespan: Scope = {"type": "lifespan", "state": {}}
    assert scope_seen("/api", lifespan) is lifespan
    assert scope_seen("/api", {"type": "http", "path": "*"})["path"] == "*"


@pytest.mark.parametrize(("root_path", "path", "asgi_path", "path_info"), CASES)
def test_an_environ_has_script_name_and_path_info_without_it(
    root_path: str, path: str, asgi_path: str, path_info: str
) -> None:
    seen = environ_seen(root_path, {"PATH_INFO": path, "SCRIPT_NAME": "", "X": "y"})
    assert seen == {"PATH_INFO": path_info, "SCRIPT_NAME": root_path, "X": "y"}
    assert seen["SCRIPT_NAME"] + seen["PATH_INFO"] == asgi_path


def test_script_name_is_utf_8_in_latin_1() -> None:
    latin_1 = "/é".encode().decode("latin-1")
    seen = environ_seen("/é", {"PATH_INFO": f"{latin_1}/x"})
    assert seen == {"PATH_INFO": "/x", "SCRIPT_NAME": latin_1}
    assert environ_seen("/api", {}) == {"SCRIPT_NAME": "/api"}
