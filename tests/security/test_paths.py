"""An app below a mount never sees a path outside of it, and never another one than the client sent.

For any target, at any depth of mounts, with each form of root path, in both directions: what the app has as its place
and as the rest is together what the server was asked for, and its place is where it is mounted. Nothing is normalised:
dots, empty segments, backslashes and what is percent-encoded twice reach the app as they are, as on a server of its own
kind. ``/api`` is no beginning of ``/apix``.
"""

import asyncio
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote_from_bytes, unquote, unquote_to_bytes

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridge import AsgiToWsgi, Dispatcher, WsgiToAsgi
from bridge.types import Environ, Receive, Scope, Send, StartResponse
from tests.support.asgi import Exchange, http_scope, request
from tests.support.threads import wait_for_no_bridge_threads
from tests.support.wsgi import Answer, environ_for
from tests.to_wsgi.apps import START, last

#: Where each app is mounted, and how deep: names that are beginnings of one another, and one that is not ASCII.
PLACES = ("/api", "/apix", "/api/v1", "/a b", "/caf\xe9", "")
DEPTHS = (1, 2, 3)
PIECES = st.sampled_from(
    [
        *("api", "apix", "v1", "a%20b", "caf%C3%A9", "%61pi", "%2561pi", "API", "ap", "x"),
        *(
            "",
            ".",
            "..",
            "%2e%2e",
            "%2E.",
            "%2f",
            "%2F..%2f",
            "%5c..%5c",
            "..;",
            "%00",
            "%0d%0a",
            "%ff",
            "%c0%ae",
            "%",
            "",
        ),
    ]
)
targets = st.lists(PIECES, max_size=7).map(lambda pieces: "/" + "/".join(pieces))
roots = st.sampled_from(["", "/root", "/root/", "root", "/api", "/", "//a//b/", "/caf\xe9"])

Seen = tuple[str, str, str]
seen: list[Seen] = []


def wsgi_app(name: str) -> Any:
    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        seen.append((name, environ["SCRIPT_NAME"], environ["PATH_INFO"]))
        start_response("200 OK", [("Content-Type", "text/plain")])
        return []

    return app


def asgi_app(name: str) -> Any:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        path, root = scope["path"], scope["root_path"]
        assert path.startswith(root)
        # raw_path says the same, as it came.
        assert unquote(scope["raw_path"].decode("latin-1"), errors="replace") == path
        seen.append((name, root, path[len(root) :]))
        await send(START)
        await send(last())

    return app


def site(kind: str, depth: int) -> Dispatcher:
    """The same places at each depth, one below the other; the innermost are apps."""
    make: Any = wsgi_app if kind == "wsgi" else asgi_app

    def level(depth: int, above: str) -> Dispatcher:
        return Dispatcher(
            {
                place or "/": make(above + place) if depth == 1 else level(depth - 1, above + place)
                for place in PLACES
            }
        )

    return level(depth, "")


SITES = {(kind, depth): site(kind, depth) for kind in ("wsgi", "asgi") for depth in DEPTHS}
ROOTED = Dispatcher({"/": wsgi_app("root")})


@pytest.fixture(autouse=True, scope="module")
def no_threads_left() -> Iterator[None]:
    """Their threads end with a lifespan, which no example has of its own: it would take the most of the time."""
    yield
    events = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    for each in (*SITES.values(), ROOTED):
        asyncio.run(
            Exchange(each, {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, events).run()
        )
    wait_for_no_bridge_threads()


def wire(text: str) -> str:
    return text.encode().decode("latin-1")


def expected(path: str, depth: int) -> tuple[str, str]:
    """The place of the app that has ``path``, and the rest: by the longest prefix, a level at a time."""
    place = ""
    for _ in range(depth):
        here = max((p for p in PLACES if path == p or path.startswith(f"{p}/")), key=len, default="")
        place, path = place + here, path[len(here) :]
    return place, path


def check(place: str, rest: str, root: str) -> None:
    (name, own_root, own_rest) = seen.pop()
    assert name == place
    assert (own_root, own_rest) == (root + place, rest)
    assert own_rest == "" or own_rest[0] == "/"
    assert not seen


many_targets = given(
    target=targets,
    depth=st.sampled_from(DEPTHS),
    kind=st.sampled_from(["wsgi", "asgi"]),
    root=st.sampled_from(["", "/root", "/caf\xe9"]),
)


@many_targets
@example(target="/api/../apix", depth=1, kind="wsgi", root="")
@example(target="/api%2f..%2fapix/%2561pi", depth=3, kind="asgi", root="/root")
def test_on_a_wsgi_server(target: str, depth: int, kind: str, root: str) -> None:
    path = unquote_to_bytes(target)
    environ = environ_for(
        SCRIPT_NAME=wire(root),
        PATH_INFO=path.decode("latin-1"),
        RAW_URI=quote_from_bytes(root.encode()) + target,
    )
    if kind == "asgi":
        # ASGI has text: what is no UTF-8 is U+FFFD there.
        place, rest = expected(path.decode("utf-8", "replace"), depth)
    else:
        place, rest = expected(path.decode("utf-8", "surrogateescape"), depth)
        rest = rest.encode("utf-8", "surrogateescape").decode("latin-1")
    answer = Answer()
    site = SITES[kind, depth]
    try:
        for _ in site(environ, answer.start_response):
            pass
    finally:
        site.close()
    assert answer.status == "200 OK"
    if kind == "wsgi":
        name, own_root, own_rest = seen.pop()
        assert (name, own_root, own_rest) == (place, wire(root + place), rest)
    else:
        check(place, rest, root)


@many_targets
@example(target="/api/../apix", depth=1, kind="asgi", root="")
@example(target="/api%2f..%2fapix/%2561pi", depth=3, kind="wsgi", root="/root")
def test_on_an_asgi_server(target: str, depth: int, kind: str, root: str) -> None:
    """uvicorn puts the root path in front of the path."""
    raw = quote_from_bytes(root.encode()) + target
    path = unquote(target, errors="replace")
    scope = http_scope(path=root + path, raw_path=raw.encode(), root_path=root)
    asyncio.run(Exchange(SITES[kind, depth], scope, [request()]).run())
    place, rest = expected(path, depth)
    if kind == "asgi":
        check(place, rest, root)
    else:
        name, own_root, own_rest = seen.pop()
        wire_rest = unquote_to_bytes(target).decode("latin-1")[len(wire(place)) :]
        assert (name, own_root, own_rest) == (place, wire(root + place), wire_rest)


@pytest.mark.parametrize("in_front", [True, False])
@given(target=targets, root=roots)
def test_below_a_root_path_of_any_form(in_front: bool, target: str, root: str) -> None:
    """It is cut once, at the end of a segment, whether the server has put it in front or not."""
    path = unquote(target, errors="replace")
    scope = http_scope(
        path=root + path if in_front else path,
        raw_path=root.encode() + target.encode() if in_front else target.encode(),
        root_path=root,
    )
    asyncio.run(Exchange(ROOTED, scope, [request()]).run())
    ((_, script_name, path_info),) = seen
    seen.clear()
    normal = "".join(f"/{segment}" for segment in root.split("/") if segment)
    assert script_name == wire(normal)
    sent = unquote_to_bytes(target).decode("latin-1")
    if in_front:
        assert path_info == sent
    elif path.startswith(f"{root}/"):
        # Nobody can tell it from a root path in front.
        assert path_info == sent[len(wire(root)) :]
    else:
        begins = sent == script_name or sent.startswith(f"{script_name}/")
        assert path_info == (sent[len(script_name) :] if begins and script_name else sent)


def test_the_innermost_app_of_a_chain_is_where_it_is_mounted() -> None:
    inner = Dispatcher({"/in": WsgiToAsgi(wsgi_app("in")), "/": WsgiToAsgi(wsgi_app("root"))})
    with AsgiToWsgi(inner, loop="request") as chain:
        outer = Dispatcher({"/out": chain})
        for target, place in (("/out/in/..%2f..", "/in"), ("/out/../in", "root"), ("/out%2Fin/x", "/in")):
            environ = environ_for(PATH_INFO=unquote(target), RAW_URI=target)
            list(outer(environ, Answer().start_response))
            name, script_name, path_info = seen.pop()
            assert name == place.lstrip("/")
            assert script_name.startswith("/out")
            assert script_name + path_info == unquote(target)
        environ = environ_for(PATH_INFO="/outx/in", RAW_URI="/outx/in")
        answer = Answer()
        list(outer(environ, answer.start_response))
        assert answer.status == "404 Not Found"
        assert not seen
