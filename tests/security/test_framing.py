"""Where a request's body ends: RFC 9112, section 6.3. What a lenient server lets through, reaches no app.

``tests/integration/test_security_framing.py`` has the same with real servers.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from bridge import AsgiToWsgi, ClientDisconnected, Dispatcher, WsgiToAsgi
from bridge.types import Environ, Message, Receive, Scope, Send, StartResponse
from tests.support.asgi import Exchange, http_scope, request
from tests.support.served import Served
from tests.support.wsgi import call, environ_for
from tests.to_wsgi.apps import START, last, read_body

pytestmark = pytest.mark.usefixtures("no_bridge_threads")

#: What is no number of bytes, though Python's int() takes some of them: RFC 9110, section 8.6.
NO_LENGTHS = (
    *("+5", "-5", "5.0", "5_0", "0x5", "5 5", "5,", ",5", "5, 6", "five", "\u0665", "\xb2", "5\xa0", "\x0b5"),
    *("5\x85, 5", "9" * 5000),
)
#: Not chunked, or more than that: RFC 9112, section 6.1.
CODINGS = (
    *("gzip", "identity", "gzip, chunked", "chunked, identity", "chunked, chunked", "xchunked", '"chunked"'),
    *("chunked;q=1", "\x0bchunked", "chunked\xa0", ""),
)

seen: list[object] = []


@pytest.fixture(autouse=True)
def nothing_seen() -> None:
    seen.clear()


async def asgi_app(scope: Scope, receive: Receive, send: Send) -> None:
    names = sorted(name.decode() for name, _ in scope["headers"] if name != b"host")
    body, messages = await read_body(receive)
    seen.append((names, body, messages[-1]["type"]))
    await send(START)
    await send(last())


def wsgi_app(environ: Environ, start_response: StartResponse) -> list[bytes]:
    length = environ.get("CONTENT_LENGTH")
    seen.append((length, environ["wsgi.input"].read(), "HTTP_TRANSFER_ENCODING" in environ))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return []


def through(app: Callable[..., Any], environ: Environ) -> str:
    return call(app, environ, validate=False).status


def status_on_asgi(headers: list[tuple[bytes, bytes]], *events: Message, **options: Any) -> int:
    async def main() -> int:
        async with Served(wsgi_app, **options) as adapter:
            scope = http_scope("POST", headers=headers)
            return (await Exchange(Dispatcher({"/": adapter}), scope, events).run()).status

    return asyncio.run(main())


@pytest.fixture(params=["request", "shared"])
def bridged(request: pytest.FixtureRequest) -> Any:
    """An ASGI app on a WSGI server, below a Dispatcher."""
    with AsgiToWsgi(asgi_app, loop=request.param, lifespan="off") as adapter:
        yield Dispatcher({"/": adapter})


@pytest.mark.parametrize("length", NO_LENGTHS)
def test_a_length_that_is_no_number_reaches_no_app(bridged: Any, length: str) -> None:
    assert through(bridged, environ_for(method="POST", body=b"12345") | {"CONTENT_LENGTH": length}) == (
        "400 Bad Request"
    )
    assert seen == []


@pytest.mark.parametrize("length", NO_LENGTHS)
def test_a_length_that_is_no_number_reaches_no_app_on_an_asgi_server(length: str) -> None:
    assert status_on_asgi([(b"content-length", length.encode())], request(b"12345")) == 400
    assert seen == []


@pytest.mark.parametrize("coding", CODINGS)
def test_a_coding_other_than_chunked_reaches_no_app(bridged: Any, coding: str) -> None:
    environ = environ_for(method="POST", body=b"x", HTTP_TRANSFER_ENCODING=coding, CONTENT_LENGTH=None)
    for more in ({}, {"wsgi.input_terminated": True}, {"CONTENT_LENGTH": "1"}, {"uwsgi.version": b"2"}):
        assert through(bridged, environ | more) == "501 Not Implemented"
    assert seen == []


@pytest.mark.parametrize("coding", CODINGS)
def test_a_coding_other_than_chunked_reaches_no_app_on_an_asgi_server(coding: str) -> None:
    headers = [(b"transfer-encoding", coding.encode("latin-1"))]
    assert status_on_asgi(headers, request(b"x")) == 501
    assert (
        status_on_asgi(headers, request(b"x" * 9, more_body=True), request_body="stream", request_buffer=4)
        == 501
    )
    assert seen == []


@pytest.mark.parametrize(
    ("more", "status"),
    [
        # Nobody says that the server has joined the chunks: they may be what wsgi.input has.
        ({}, "400 Bad Request"),
        ({"uwsgi.version": b"2"}, "400 Bad Request"),
        # A server that takes chunks in HTTP/1.0 for a body (waitress).
        ({"SERVER_PROTOCOL": "HTTP/1.0", "wsgi.input_terminated": True}, "400 Bad Request"),
        # It has, and a length beside them says nothing.
        ({"wsgi.input_terminated": True}, "200 OK"),
    ],
)
def test_chunks_beside_a_length(bridged: Any, more: dict[str, Any], status: str) -> None:
    environ = environ_for(method="POST", body=b"whole", HTTP_TRANSFER_ENCODING="chunked", CONTENT_LENGTH="2")
    assert through(bridged, environ | more) == status
    # An app that goes by it would take a large body for a small one.
    assert seen == ([(["transfer-encoding"], b"whole", "http.request")] if status == "200 OK" else [])


def test_chunks_that_a_server_in_front_has_joined(bridged: Any) -> None:
    """As uWSGI has it from nginx by ``uwsgi_pass``: the length is what nginx has counted."""
    environ = environ_for(method="POST", body=b"whole", HTTP_TRANSFER_ENCODING="chunked")
    environ |= {
        "uwsgi.version": b"2.0.31",
        "DOCUMENT_ROOT": "/usr/share/nginx/html",
        "REQUEST_SCHEME": "http",
    }
    assert through(bridged, environ) == "200 OK"
    assert seen == [(["transfer-encoding"], b"whole", "http.request")]


@pytest.mark.parametrize("mode", ["buffer", "stream"])
def test_chunks_beside_a_length_on_an_asgi_server(mode: str) -> None:
    headers = [(b"transfer-encoding", b"chunked"), (b"content-length", b"2")]
    events = [request(b"whole", more_body=True), request(b" body")]
    assert status_on_asgi(headers, *events, request_body=mode, request_buffer=4) == 200
    # As counted; or none, where it isn't known yet.
    assert seen == [("10", b"whole body", False) if mode == "buffer" else (None, b"whole body", True)]


def test_a_body_longer_than_its_length_on_a_wsgi_server(bridged: Any) -> None:
    """No more of it is read: what follows may be another request."""
    environ = environ_for(method="POST", body=b"12345GET /admin") | {"CONTENT_LENGTH": "5"}
    assert through(bridged, environ) == "200 OK"
    assert seen == [(["content-length"], b"12345", "http.request")]
    assert environ["wsgi.input"].read() == b"GET /admin"


def test_a_body_longer_than_its_length_on_an_asgi_server() -> None:
    """It is as long as it is: the app is told so."""
    assert status_on_asgi([(b"content-length", b"5")], request(b"1234567")) == 200
    assert seen == [("7", b"1234567", False)]


def test_a_body_longer_than_its_length_in_stream_mode() -> None:
    """The app has been told its length before, and must not take what came for the whole."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        stream = environ["wsgi.input"]
        assert stream.read(5) == b"12345"
        with pytest.raises(ClientDisconnected, match="has 9 bytes, Content-Length says 5"):
            stream.read()
        return wsgi_app({**environ, "wsgi.input": open_none()}, start_response)

    async def main() -> int:
        async with Served(app, request_body="stream", request_buffer=4) as adapter:
            scope = http_scope("POST", headers=[(b"content-length", b"5")])
            events = [request(b"12345", more_body=True), request(b"6789")]
            return (await Exchange(adapter, scope, events).run()).status

    assert asyncio.run(main()) == 200
    assert seen == [("5", b"", False)]


def open_none() -> Any:
    return environ_for()["wsgi.input"]


@pytest.mark.parametrize("terminated", [True, False])
def test_in_a_chain_of_both_adapters(terminated: bool) -> None:
    """The inner app has one length, whatever the outer server was told."""
    with AsgiToWsgi(WsgiToAsgi(wsgi_app), loop="shared") as chain:
        environ = environ_for(
            method="POST", body=b"whole", HTTP_TRANSFER_ENCODING="chunked", CONTENT_LENGTH="2"
        )
        status = through(chain, environ | {"wsgi.input_terminated": terminated})
    assert status == ("200 OK" if terminated else "400 Bad Request")
    assert seen == ([("5", b"whole", False)] if terminated else [])
