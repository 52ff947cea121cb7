"""Both adapters in a row are the identity for HTTP: any request reaches the app, and any response the server, as
without them.

Hypothesis makes the requests and responses. One pair of adapters serves all of a test's, as it would in a
server.
"""

import asyncio
import contextlib
import io
import string
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Literal
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge import AsgiToWsgi, WsgiToAsgi
from bridge.types import ASGIApp, Environ, Message, Receive, Scope, Send, StartResponse, WSGIApp
from tests.support.asgi import Exchange, http_scope, request
from tests.support.wsgi import call, environ_for

pytestmark = pytest.mark.usefixtures("no_bridge_threads")

Headers = list[tuple[str, str]]
LoopMode = Literal["request", "shared"]

# Of a connection, not of a message: servers make them, and adapters don't pass them on. Proxy is dropped (HTTP_PROXY).
NOT_PASSED_ON = {
    *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "trailers"),
    *("transfer-encoding", "upgrade", "proxy", "proxy-connection", "content-length", "content-type", "host"),
    *("cookie", "expect"),
}
NAMES = st.text(string.ascii_lowercase + string.digits + "-", min_size=1, max_size=12).filter(
    lambda name: name not in NOT_PASSED_ON
)
# What HTTP allows (RFC 9110, section 5.5), without the space around it that belongs to the line.
VALUES = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_categories=["Cc"]), max_size=12
).map(lambda value: value.strip(" "))
CHUNKS = st.lists(st.binary(max_size=40) | st.sampled_from([b"", b"x" * 70_000]), max_size=5)
# Every character of a path may come in a target, as it is or quoted.
PATHS = st.text(string.ascii_letters + string.digits + "-._~!$&'()*+,;=:@/", max_size=12) | st.binary(
    max_size=6
).map(lambda raw: "".join(f"%{byte:02X}" for byte in raw))
QUERIES = st.text(string.ascii_letters + string.digits + "-._~%&=+;/?:@", max_size=12)


@dataclass
class Planned:
    """What an app is to answer."""

    status: int
    headers: Headers
    chunks: list[bytes]
    #: Make the chunks one by one: a generator, or a turn of the loop between them.
    waits: bool

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)


@dataclass
class Asked:
    """What a client asks."""

    method: str
    target: str
    query: str
    headers: Headers
    body: bytes


@dataclass
class Case:
    """An app that does as planned and notes what it saw."""

    planned: Planned = field(default_factory=lambda: Planned(200, [], [], False))
    seen: dict[str, Any] = field(default_factory=dict)


@st.composite
def planned(draw: st.DrawFn) -> Planned:
    status = draw(st.sampled_from([status.value for status in HTTPStatus if status >= 200]))
    headers = draw(st.lists(st.tuples(NAMES, VALUES), max_size=5))
    chunks = draw(CHUNKS)
    if status not in (204, 304):
        headers.append(("content-type", draw(st.sampled_from(["text/plain", "application/json"]))))
        if draw(st.booleans()):
            headers.append(("content-length", str(len(b"".join(chunks)))))
    return Planned(status, headers, chunks, draw(st.booleans()))


@st.composite
def asked(draw: st.DrawFn) -> Asked:
    method = draw(st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PROPFIND"]))
    headers = draw(st.lists(st.tuples(NAMES, VALUES), max_size=5, unique_by=lambda pair: pair[0]))
    body = draw(st.binary(max_size=40) | st.sampled_from([b"", b"y" * 70_000]))
    return Asked(method, "/" + draw(PATHS), draw(QUERIES), headers, body)


@pytest.mark.parametrize("loop", ["request", "shared"])
def test_wsgi_app_through_both(loop: LoopMode) -> None:
    """``AsgiToWsgi(WsgiToAsgi(app))`` on a WSGI server."""
    case = Case()
    app = _wsgi_app(case)

    @_many_times
    @given(asked(), planned())
    def check(asks: Asked, answers: Planned) -> None:
        case.planned = answers
        direct, direct_seen = call(app, _environ(asks), validate=False), case.seen
        bridged, bridged_seen = call(adapter, _environ(asks), validate=False), case.seen
        assert bridged_seen == direct_seen
        assert bridged.status.partition(" ")[0] == direct.status.partition(" ")[0]
        assert _fields(bridged.headers, answers) == _fields(direct.headers, answers)
        assert bridged.body == _carried(asks.method, answers)

    with AsgiToWsgi(WsgiToAsgi(app), loop=loop, lifespan="on") as adapter:
        check()


@pytest.mark.parametrize("loop", ["request", "shared"])
def test_asgi_app_through_both(loop: LoopMode) -> None:
    """``WsgiToAsgi(AsgiToWsgi(app))`` on an ASGI server."""
    case = Case()
    app = _asgi_app(case)
    with AsgiToWsgi(app, loop=loop) as inner, asyncio.Runner() as runner:
        adapter = WsgiToAsgi(inner)

        @_many_times
        @given(asked(), planned())
        def check(asks: Asked, answers: Planned) -> None:
            case.planned = answers
            direct, direct_seen = runner.run(_call(app, asks)), case.seen
            bridged, bridged_seen = runner.run(_call(adapter, asks)), case.seen
            assert bridged_seen == direct_seen
            assert bridged.status == direct.status
            assert _fields(_text(bridged.headers), answers) == _fields(_text(direct.headers), answers)
            assert bridged.body == _carried(asks.method, answers)
            assert bridged.complete

        with _drained(adapter, runner):
            check()


_many_times = settings(
    max_examples=300, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def _carried(method: str, answers: Planned) -> bytes:
    """Return the body that HTTP carries: none to HEAD, and none with 204 and 304 (RFC 9110, section 6.4.1)."""
    return b"" if method == "HEAD" or answers.status in (204, 304) else answers.body


def _fields(headers: Iterable[tuple[str, str]], answers: Planned) -> Headers:
    """Return the headers as HTTP knows them: the case of names means nothing, the order of equal ones all.

    A Content-Length that the app left out may be put in by who has the whole body; it has to be right.
    """
    fields = sorted(((name.lower(), value) for name, value in headers), key=lambda pair: pair[0])
    if "content-length" not in dict(answers.headers):
        added = [value for name, value in fields if name == "content-length"]
        assert added in ([], [str(len(answers.body))])
        fields = [pair for pair in fields if pair[0] != "content-length"]
    return fields


def _text(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]


# The apps.


def _wsgi_app(case: Case) -> WSGIApp:
    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        keys = (
            "REQUEST_METHOD",
            "SCRIPT_NAME",
            "PATH_INFO",
            "QUERY_STRING",
            "CONTENT_TYPE",
            "CONTENT_LENGTH",
        )
        server = (
            "SERVER_NAME",
            "SERVER_PORT",
            "SERVER_PROTOCOL",
            "REMOTE_ADDR",
            "REQUEST_URI",
            "wsgi.url_scheme",
        )
        case.seen = {key: environ.get(key, "") for key in (*keys, *server)}
        case.seen |= {key: value for key, value in environ.items() if key.startswith("HTTP_")}
        case.seen["body"] = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        answers = case.planned
        start_response(f"{answers.status} Reason", list(answers.headers))
        return iter(answers.chunks) if answers.waits else answers.chunks

    return app


def _asgi_app(case: Case) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        keys = ("method", "root_path", "path", "raw_path", "query_string", "http_version", "scheme")
        seen: dict[str, Any] = {key: scope[key] for key in keys}
        seen |= {"client": tuple(scope["client"]), "server": tuple(scope["server"]), "body": b""}
        # An environ keeps no order among names.
        seen["headers"] = sorted((bytes(name), bytes(value)) for name, value in scope["headers"])
        more = True
        while more:
            message = await receive()
            seen["body"] += message.get("body", b"")
            more = message.get("more_body", False)
        case.seen = seen
        answers = case.planned
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answers.headers]
        await send({"type": "http.response.start", "status": answers.status, "headers": headers})
        for chunk in answers.chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            if answers.waits:
                await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b""})

    return app


# The servers.


def _environ(asks: Asked) -> Environ:
    path = unquote_to_bytes(asks.target).decode("latin-1")
    target = asks.target + ("?" + asks.query if asks.query else "")
    headers = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in asks.headers}
    return environ_for(method=asks.method, body=asks.body, query=asks.query) | {
        "PATH_INFO": path,
        "REQUEST_URI": target,
        "CONTENT_TYPE": "text/x-test",
        "wsgi.input": io.BytesIO(asks.body),
        **headers,
    }


async def _call(app: ASGIApp, asks: Asked) -> Exchange:
    path = unquote_to_bytes(asks.target).decode("utf-8", "replace")  # as uvicorn does
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in asks.headers]
    headers += [(b"host", b"127.0.0.1:8000"), (b"content-type", b"text/x-test")]
    headers.append((b"content-length", b"%d" % len(asks.body)))
    scope = http_scope(
        asks.method, path, query=asks.query.encode(), raw_path=asks.target.encode(), headers=headers
    )
    half = len(asks.body) // 2
    events: list[Message] = [request(asks.body[:half], more_body=True), request(asks.body[half:])]
    return await Exchange(app, scope, events).run()


@contextlib.contextmanager
def _drained(adapter: WsgiToAsgi, runner: asyncio.Runner) -> Iterator[None]:
    """Run the adapter's lifespan around the block, so that its threads end with it."""

    async def end() -> None:
        events: list[Message] = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
        await Exchange(adapter, {"type": "lifespan"}, events).run()

    try:
        yield
    finally:
        runner.run(end())
