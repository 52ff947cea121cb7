"""No text of an application's becomes a header, or a response, of its own: RFC 9110, section 5.5.

Each place where an application's text goes to a server, in both directions. With a line break it would end its line,
and write the next one; NUL and other control characters are read in different ways. All of it is refused, and nothing
of it is in the error's message, which may be read by who may not read a cookie.
"""

from collections.abc import Callable
from typing import Any

import pytest

from bridge import ApplicationError, AsgiToWsgi, Dispatcher, WsgiToAsgi
from bridge.types import Environ, Receive, Scope, Send, StartResponse
from tests.support.served import call as serve_http
from tests.support.served import fail
from tests.support.websockets import handler, serve
from tests.support.wsgi import call, environ_for
from tests.to_wsgi.apps import START, last

pytestmark = pytest.mark.usefixtures("no_bridge_threads")

SECRET = "s3cr3t"
BREAKS = ("\r\n", "\n", "\r", "\0", "\x0b", "\x7f", "\x1b")
#: Where a header's text may break its line.
HEADERS = [
    *[("X-Value", f"{SECRET}{broken}Set-Cookie: a=b") for broken in BREAKS],
    *[(f"X-Name{broken}Set-Cookie", "a=b") for broken in BREAKS],
    ("X-End", f"{SECRET}\n"),
    ("\nX-Begin", "a"),
    # Not of the header's type, or of none.
    ("X Name", "a"),
    ("X-Name:", "a"),
    ("X-N\xe4me", "a"),
    ("", "a"),
]
#: What separates lines to Python's ``splitlines()``, and to no HTTP: they are a value's own.
HARMLESS = ("\x85", "\xa0", "\t")


def hello(
    environ: Environ, start_response: StartResponse, headers: Any, status: str = "200 OK"
) -> list[bytes]:
    start_response(status, headers)
    return [b"hello"]


def refused(error: BaseException, messages: list[Any]) -> None:
    assert SECRET not in str(error)
    assert messages == []


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("again", [False, True], ids=["first", "exc_info"])
def test_headers_of_a_wsgi_app(header: tuple[str, str], again: bool) -> None:
    """Of the first start, and of the one that an error puts in its place."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        if not again:
            return hello(environ, start_response, [header])
        start_response("200 OK", [("Content-Type", "text/plain")])
        try:
            raise LookupError("the app's")
        except LookupError as exc:
            start_response("500 Internal Server Error", [header], (type(exc), exc, exc.__traceback__))
        return [b"hello"]

    exchange, error = fail(app, ApplicationError)
    refused(error, exchange.messages)


@pytest.mark.parametrize("broken", BREAKS)
def test_the_status_of_a_wsgi_app(broken: str) -> None:
    for status in (f"200 OK{broken}Set-Cookie: a=b", f"200{broken}OK", f"{broken}200 OK"):
        exchange, error = fail(lambda e, s, status=status: hello(e, s, [], status), ApplicationError)  # type: ignore[misc]
        refused(error, exchange.messages)


@pytest.mark.parametrize(
    "pair", [("Set-Cookie", SECRET.encode()), (b"Set-Cookie", SECRET), f"Set-Cookie: {SECRET}"]
)
def test_a_header_of_another_type_does_not_show_its_value(pair: Any) -> None:
    exchange, error = fail(lambda e, s: hello(e, s, [pair]), ApplicationError)
    refused(error, exchange.messages)
    assert "Set-Cookie" in str(error)


@pytest.mark.parametrize("value", HARMLESS)
def test_what_ends_no_line_is_a_value(value: str) -> None:
    exchange = serve_http(lambda e, s: hello(e, s, [("X", f"a{value}b")]))
    assert exchange.header(b"x") == f"a{value}b".encode("latin-1")


def asgi_app(*messages: Any) -> Callable[..., Any]:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    return app


def refused_by_wsgi(loop: Any, *messages: Any) -> None:
    started: list[object] = []

    def start_response(*args: object) -> Any:
        started.append(args)

    environ = environ_for() | {"wsgi.early_hints": started.append}
    app = asgi_app(*messages)
    with AsgiToWsgi(app, loop=loop, lifespan="off") as adapter, pytest.raises(ApplicationError) as caught:
        Dispatcher({"/": adapter})(environ, start_response)
    refused(caught.value, started)


loops = pytest.mark.parametrize("loop", ["request", "shared"])


@loops
@pytest.mark.parametrize("header", HEADERS)
def test_headers_of_an_asgi_app(loop: str, header: tuple[str, str]) -> None:
    name, value = (text.encode("latin-1") for text in header)
    refused_by_wsgi(loop, {**START, "headers": [(name, value)]}, last())


@loops
@pytest.mark.parametrize("broken", BREAKS)
def test_early_hints_of_an_asgi_app(loop: str, broken: str) -> None:
    """A server may pass them on as they are."""
    link = f"</{SECRET}>{broken}Set-Cookie: a=b".encode()
    refused_by_wsgi(loop, {"type": "http.response.early_hint", "links": [b"</a>", link]}, START, last())


@loops
@pytest.mark.parametrize(
    "message",
    [
        {"status": 200, "headers": [(b"set-cookie", SECRET.encode())]},
        {"body": SECRET.encode()},
        [SECRET],
        SECRET,
    ],
)
def test_a_message_that_is_none_does_not_show_its_contents(loop: str, message: Any) -> None:
    refused_by_wsgi(loop, message)


@loops
def test_a_header_of_another_type_of_an_asgi_app_does_not_show_its_value(loop: str) -> None:
    refused_by_wsgi(loop, {**START, "headers": [("set-cookie", SECRET.encode())]}, last())
    refused_by_wsgi(loop, {**START, "headers": [(b"set-cookie", SECRET)]}, last())
    refused_by_wsgi(loop, {**START, "headers": [(b"set-cookie", SECRET.encode(), 1)]}, last())


@loops
@pytest.mark.parametrize("header", HEADERS)
def test_headers_in_a_chain_of_both_adapters(loop: Any, header: tuple[str, str]) -> None:
    app = WsgiToAsgi(lambda e, s: hello(e, s, [header]))
    with AsgiToWsgi(app, loop=loop) as chain, pytest.raises(ApplicationError) as caught:
        call(chain, environ_for(), validate=False)
    refused(caught.value, [])


# WebSocket.


@pytest.mark.parametrize("header", HEADERS)
def test_headers_of_an_accept(header: tuple[str, str]) -> None:
    with pytest.raises(ApplicationError) as caught:
        serve(handler(lambda websocket: websocket.accept(headers=[header])))
    refused(caught.value, [])


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("denial", [True, False])
def test_headers_of_a_response_that_denies(header: tuple[str, str], denial: bool) -> None:
    with pytest.raises(ApplicationError) as caught:
        serve(lambda e, s: hello(e, s, [header], "403 Forbidden"), denial=denial)
    refused(caught.value, [])


@pytest.mark.parametrize("broken", BREAKS)
def test_a_subprotocol_that_the_client_does_not_offer(broken: str) -> None:
    """Some clients put their token among those that they offer: it is not in the message."""
    with pytest.raises(ApplicationError) as caught:
        serve(handler(lambda websocket: websocket.accept(f"v1{broken}")), subprotocols=["v1", SECRET])
    refused(caught.value, [])
