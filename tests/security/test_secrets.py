"""What the bridge adds to logs, errors, answers and error pages shows no secret: a cookie, a token, a body.

``tests/mapping/test_hidden.py`` has who prints the environ or the scope: ``repr()``, ``pprint``, Sentry, error pages.
Here an application fails, in each way and in both directions, with a request that is full of secrets, and everything is
looked at that the bridge says of it, at every level. ``test_frames`` has the local variables of the bridge's frames.
"""

import asyncio
import contextlib
import logging
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import django as django_package
import pytest
from django.apps import apps
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.test.utils import override_settings
from django.urls import path
from django.utils.log import AdminEmailHandler

from bridge import AsgiToWsgi, Dispatcher, WebSocket
from bridge.types import Environ, Receive, Scope, Send, StartResponse
from tests.security.secret_request import SECRET, secret_environ
from tests.security.test_frames import PACKAGE
from tests.support.asgi import Exchange, disconnect, http_scope, request
from tests.support.served import Served
from tests.support.websockets import handler, serve
from tests.support.wsgi import call
from tests.to_wsgi.apps import START, part

pytestmark = pytest.mark.usefixtures("no_bridge_threads")

HEADERS = [
    (b"host", b"testserver"),
    (b"cookie", b"sessionid=" + SECRET.encode()),
    (b"authorization", b"Bearer " + SECRET.encode()),
    (b"content-type", b"application/x-www-form-urlencoded"),
]
BODY = b"password=" + SECRET.encode()
SCOPE = http_scope(
    "POST", "/login", query=b"token=" + SECRET.encode(), headers=[*HEADERS, (b"content-length", b"15")]
)


def environ() -> Environ:
    return secret_environ("/login", BODY)


def assert_hidden(error: BaseException) -> None:
    """In what a log prints of an error: its own text, and that of those behind it."""
    lines = traceback.format_exception(error)
    # The lines of code between are this file's.
    assert not [line for line in lines if SECRET in line and not line.startswith("  File")]


@pytest.fixture
def everything_logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    caplog.set_level(logging.DEBUG)
    yield caplog
    for record in caplog.records:
        assert SECRET not in record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            assert_hidden(record.exc_info[1])


# A WSGI app on an ASGI server.


def serve_http(app: Any, events: Any, scope: Scope = SCOPE, **options: Any) -> Exchange:
    """Serve one request below a Dispatcher; raise what comes out."""

    async def main() -> Exchange:
        async with Served(app, **options) as adapter:
            return await Exchange(Dispatcher({"/": adapter}), scope, events).run()

    return asyncio.run(main())


def fails_at_once(environ: Environ, start_response: StartResponse) -> list[bytes]:
    environ["wsgi.input"].read()
    raise LookupError("the app's")


def fails_in_its_body(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    start_response("200 OK", [("Set-Cookie", f"sessionid={SECRET}")])
    yield BODY
    raise LookupError("the app's")


def breaks_a_rule(environ: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [("Set-Cookie", f"{SECRET}\n")])
    return []


def breaks_another(environ: Environ, start_response: StartResponse) -> list[Any]:
    start_response("200 OK", [("Set-Cookie", SECRET)])
    return [SECRET]


@pytest.mark.parametrize("app", [fails_at_once, fails_in_its_body, breaks_a_rule, breaks_another])
@pytest.mark.parametrize("mode", ["buffer", "stream"])
@pytest.mark.usefixtures("everything_logged")
def test_an_error_of_a_wsgi_app(app: Any, mode: Any) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011  # by each app another one
        serve_http(app, [request(BODY)], request_body=mode)
    assert_hidden(caught.value)


@pytest.mark.usefixtures("everything_logged")
def test_a_server_that_can_not_send() -> None:
    async def send(message: Any) -> None:
        raise ValueError("the server's")

    async def receive() -> Any:
        return request(BODY)

    async def main() -> None:
        async with Served(fails_in_its_body) as adapter:
            await adapter(SCOPE, receive, send)

    with pytest.raises(ValueError, match="the server's") as caught:
        asyncio.run(main())
    assert_hidden(caught.value)


@pytest.mark.usefixtures("everything_logged")
def test_a_disk_that_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    """However it ends: nothing of the body is said."""

    def no_file(**options: object) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", no_file)
    events = [request(BODY, more_body=True), request(BODY)]
    with contextlib.suppress(OSError):
        serve_http(fails_at_once, events, {**SCOPE, "headers": HEADERS}, request_buffer=1)


@pytest.mark.parametrize(
    "events", [[request(BODY, more_body=True), disconnect()], [request(b"short")], [request(b"")]]
)
@pytest.mark.parametrize("mode", ["buffer", "stream"])
def test_a_request_that_reaches_no_app(
    events: Any, mode: Any, everything_logged: pytest.LogCaptureFixture
) -> None:
    exchange = serve_http(fails_at_once, events, request_body=mode)
    assert SECRET not in str(exchange.messages)


def test_the_line_of_a_late_error_has_the_path_and_no_query(
    everything_logged: pytest.LogCaptureFixture,
) -> None:
    class Body:
        def __iter__(self) -> Iterator[bytes]:
            return iter([b"hello"])

        def close(self) -> None:
            raise LookupError("the app's")

    def app(environ: Environ, start_response: StartResponse) -> Any:
        start_response("200 OK", [])
        return Body()

    serve_http(app, [request(BODY)])
    (line,) = (record.getMessage() for record in everything_logged.records if record.name == "bridge")
    assert line.startswith("POST '/login': close() of the response raised an error")


@pytest.mark.usefixtures("everything_logged")
def test_an_error_of_an_app_with_a_websocket() -> None:
    def app(websocket: WebSocket) -> None:
        websocket.send(websocket.receive())
        raise LookupError("the app's")

    scope: dict[str, Any] = {
        "headers": HEADERS,
        "query_string": f"token={SECRET}".encode(),
        "subprotocols": [SECRET],
    }
    with pytest.raises(LookupError) as caught:
        serve(handler(app), {"type": "websocket.receive", "text": SECRET}, **scope)
    assert_hidden(caught.value)


# An ASGI app on a WSGI server.


async def fails(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    raise LookupError("the app's")


async def fails_in_the_middle(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({**START, "headers": [(b"set-cookie", SECRET.encode())]})
    await send(part(BODY))
    await asyncio.sleep(0.05)
    raise LookupError("the app's")


async def says_what_is_none(scope: Scope, receive: Receive, send: Send) -> None:
    await send({**START, "headers": [(b"set-cookie", f"{SECRET}\n".encode())]})


async def says_another(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"status": 200, "headers": [(b"set-cookie", SECRET.encode())]})


async def fails_late(scope: Scope, receive: Receive, send: Send) -> None:
    await send({**START, "headers": [(b"set-cookie", SECRET.encode())]})
    await send(part(BODY, more=False))
    raise LookupError("the app's")


def take(app: Callable[..., Any], keys: Environ) -> None:
    body: Any = app(keys, lambda *_: lambda _: None)
    try:
        for _ in body:
            pass
    finally:
        getattr(body, "close", lambda: None)()


@pytest.mark.parametrize("app", [fails, fails_in_the_middle, says_what_is_none, says_another])
@pytest.mark.parametrize("loop", ["request", "shared"])
@pytest.mark.usefixtures("everything_logged")
def test_an_error_of_an_asgi_app(app: Any, loop: Any) -> None:
    with AsgiToWsgi(app, loop=loop, lifespan="off") as adapter, pytest.raises(Exception) as caught:  # noqa: PT011
        take(Dispatcher({"/": adapter}), environ())
    assert_hidden(caught.value)


@pytest.mark.parametrize("loop", ["request", "shared"])
def test_a_late_error_of_an_asgi_app(loop: Any, everything_logged: pytest.LogCaptureFixture) -> None:
    with AsgiToWsgi(fails_late, loop=loop, lifespan="off") as adapter:
        take(adapter, environ())
    (record,) = (each for each in everything_logged.records if each.name == "bridge" and each.exc_info)
    assert record.getMessage().startswith("POST '/login': ")


@pytest.mark.parametrize("loop", ["request", "shared"])
@pytest.mark.parametrize(
    "keys", [{"HTTP_UPGRADE": "websocket"}, {"CONTENT_LENGTH": "99"}, {"CONTENT_LENGTH": "x"}]
)
def test_a_request_that_reaches_no_asgi_app(
    loop: Any, keys: dict[str, str], everything_logged: pytest.LogCaptureFixture
) -> None:
    answered: list[object] = []
    with AsgiToWsgi(fails, loop=loop, lifespan="off") as adapter, contextlib.suppress(LookupError):
        answered += adapter(environ() | keys, lambda *args: answered.append(args))
    assert SECRET not in str(answered)


def test_what_stands_for_a_request_in_a_debugger() -> None:
    """``repr()`` of each object of the bridge that an app can reach."""
    seen: list[str] = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        seen.extend(
            repr(value)
            for key, value in environ.items()
            if not key.startswith(("HTTP_", "QUERY", "RE", "RAW"))
        )
        seen.extend(repr(value.__self__) for value in environ.values() if hasattr(value, "__self__"))
        seen.append(repr(start_response.__self__))  # type: ignore[attr-defined]
        start_response("200 OK", [("Set-Cookie", SECRET)])
        return [BODY]

    serve_http(app, [request(BODY)])
    assert len(seen) > 10
    assert SECRET not in " ".join(seen)


# Django's own page and mail of an error in a view: they show the frames' variables, and what it knows of a request.

if not settings.configured:
    settings.configure(SECRET_KEY="test")
apps.populate(settings.INSTALLED_APPS)


def fails_in_django(request: HttpRequest) -> HttpResponse:
    len(request.body)
    raise LookupError("the view's")


urlpatterns = [path("login", fails_in_django)]


@contextlib.contextmanager
def django(*, debug: bool) -> Iterator[list[Any]]:
    """The mails that are sent."""
    logger, handler = logging.getLogger("django.request"), AdminEmailHandler(include_html=True)
    backend = "django.core.mail.backends.locmem.EmailBackend"
    mail: dict[str, Any] = {"ADMINS": [("ada", "ada@example.com")], "EMAIL_BACKEND": backend}
    if django_package.VERSION >= (6, 1):
        mail = {"ADMINS": ["ada@example.com"], "MAILERS": {"default": {"BACKEND": backend}}}
    with override_settings(DEBUG=debug, ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], **mail):
        logger.addHandler(handler)
        outbox: list[Any] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("django.core.mail.outbox", outbox, raising=False)
            try:
                yield outbox
            finally:
                logger.removeHandler(handler)


def texts(mails: list[Any]) -> str:
    return "".join(
        part for mail in mails for part in (mail.body, *(content for content, _ in mail.alternatives))
    )


#: As the client sends it, but for the token: Django shows the target of a request, at home too.
DJANGO_SCOPE = {**SCOPE, "query_string": b""}


@pytest.mark.parametrize("debug", [True, False], ids=["page", "mail"])
def test_an_error_in_django_on_an_asgi_server(debug: bool) -> None:
    with django(debug=debug) as mails:
        exchange = serve_http(get_wsgi_application(), [request(BODY)], DJANGO_SCOPE)
        told = exchange.body.decode() if debug else texts(mails)
    assert exchange.status == 500
    assert "LookupError" in told
    assert "asgi.scope" in told
    # The body is the view's to show, and cookies are shown beside the settings on the page: at home too.
    assert f"Bearer {SECRET}" not in told
    assert f"sessionid={SECRET}" not in told
    assert PACKAGE not in told, "a frame of the bridge"


@pytest.mark.parametrize("debug", [True, False], ids=["page", "mail"])
@pytest.mark.parametrize("loop", ["request", "shared"])
def test_an_error_in_django_on_a_wsgi_server(loop: Any, debug: bool) -> None:
    keys = {**environ(), "QUERY_STRING": "", "RAW_URI": "/login"}
    with django(debug=debug) as mails, AsgiToWsgi(get_asgi_application(), loop=loop) as adapter:
        answer = call(adapter, keys)
        told = answer.body.decode() if debug else texts(mails)
    assert answer.status == "500 Internal Server Error"
    assert "LookupError" in told
    assert f"Bearer {SECRET}" not in told
    assert f"sessionid={SECRET}" not in told
    assert PACKAGE not in told, "a frame of the bridge"
