"""The pages of debuggers, through the bridge as at home: the same frames, none of the bridge, and no more of a request.

Django's page and mail are in ``test_secrets``. Pages and consoles are for development: they show what the app has, to
whom its author lets see them.
"""

import importlib
import io
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from rich.console import Console
from rich.traceback import Traceback
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from werkzeug.debug import DebuggedApplication

from bridge import AsgiToWsgi, WsgiToAsgi
from bridge.types import Environ
from tests.security.secret_request import SECRET
from tests.security.test_frames import PACKAGE, asgi_fails, fails_at_once, serve, take
from tests.support.asgi import http_scope, request
from tests.support.served import call as serve_http
from tests.support.wsgi import call, environ_for

pytestmark = pytest.mark.usefixtures("no_bridge_threads")

COOKIE, TOKEN = f"sessionid={SECRET}", f"Bearer {SECRET}"
HEADERS = [(b"host", b"localhost"), (b"cookie", COOKIE.encode()), (b"authorization", TOKEN.encode())]
KEYS: dict[str, Any] = {"HTTP_HOST": "localhost", "HTTP_COOKIE": COOKIE, "HTTP_AUTHORIZATION": TOKEN}


# Werkzeug's, which is Flask's.


def fails(environ: Environ, start_response: Any) -> Iterable[bytes]:
    if environ["PATH_INFO"] == "/streams":
        return stream(start_response)
    raise LookupError("the app's")


def stream(start_response: Any) -> Iterator[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Set-Cookie", COOKIE)])
    yield b"some"
    raise LookupError("the app's")


def debugged(*, evalex: bool) -> DebuggedApplication:
    return DebuggedApplication(fails, evalex=evalex, pin_security=False)


@pytest.mark.parametrize("evalex", [False, True], ids=["page", "console"])
def test_werkzeugs_page(evalex: bool) -> None:
    def page(text: str) -> tuple[list[str], list[str]]:
        assert SECRET not in text
        return re.findall(r'File <cite class="filename">"(.*?)"', text), re.findall("EVALEX = [a-z]+", text)

    at_home = call(debugged(evalex=evalex), environ_for("/", **KEYS), validate=False)
    bridged = serve_http(debugged(evalex=evalex), headers=HEADERS)
    assert at_home.status.startswith("500 ")
    assert bridged.status == 500
    files, switched = page(bridged.body.decode())
    assert (files, switched) == page(at_home.body.decode())
    assert files
    assert switched == [f"EVALEX = {str(evalex).lower()}"]


@pytest.mark.parametrize("host", ["localhost", "evil.example"])
@pytest.mark.parametrize("known", [True, False], ids=["its own secret", "another"])
def test_werkzeugs_console(host: str, known: bool) -> None:
    """It takes commands from who has the page's secret, at a host that is trusted: as at home."""
    outcomes = []
    for bridged in (False, True):
        app = debugged(evalex=True)

        def ask(
            query: str = "", *, app: DebuggedApplication = app, bridged: bool = bridged
        ) -> tuple[int, str]:
            if bridged:
                exchange = serve_http(app, query=query.encode(), headers=[(b"host", host.encode())])
                return exchange.status, exchange.body.decode()
            answer = call(app, environ_for("/", query=query, HTTP_HOST=host), validate=False)
            return int(answer.status[:3]), answer.body.decode()

        assert ask()[0] == 500
        frame = next(iter(app.frames))
        secret = app.secret if known else "another"
        status, text = ask(f"__debugger__=yes&cmd=6*7*1000&frm={frame}&s={secret}")
        outcomes.append((status, "42000" in text))
    at_home, through_the_bridge = outcomes
    assert through_the_bridge == at_home
    assert at_home[1] == (known and host == "localhost")


def test_werkzeugs_page_after_the_start() -> None:
    """The response is cut off, and its log has the traceback; no page is in the body."""
    app = debugged(evalex=False)
    errors = io.StringIO()

    def with_errors(environ: Environ, start_response: Any) -> Any:
        environ["wsgi.errors"] = errors
        return app(environ, start_response)

    exchange = serve_http(with_errors, path="/streams", headers=HEADERS)
    assert exchange.body.startswith(b"some")
    assert SECRET.encode() not in exchange.body
    assert "LookupError: the app's" in errors.getvalue()
    assert SECRET not in errors.getvalue()


# Starlette's, which is FastAPI's.


@pytest.mark.parametrize("loop", ["request", "shared"])
@pytest.mark.parametrize("accept", ["text/html", "text/plain"])
def test_starlettes_page(loop: Any, accept: str, caplog: pytest.LogCaptureFixture) -> None:
    async def view(request: Request) -> Response:
        await request.body()
        raise LookupError("the app's")

    app = Starlette(debug=True, routes=[Route("/", view)])
    with AsgiToWsgi(app, loop=loop) as adapter:
        answer = call(adapter, environ_for("/", HTTP_ACCEPT=accept, **KEYS))
    text = answer.body.decode()
    assert answer.status.startswith("500 ")
    assert "LookupError" in text
    assert SECRET not in text
    assert PACKAGE not in text, "a frame of the bridge"
    (record,) = (record for record in caplog.records if record.exc_info)
    assert SECRET not in record.getMessage()


# Who prints the variables of each frame, those of the bridge among them.


def errors() -> list[BaseException]:
    """One of each direction."""
    scope = http_scope("POST", "/", headers=HEADERS, query=f"token={SECRET}".encode())
    with AsgiToWsgi(asgi_fails, lifespan="off") as adapter, pytest.raises(LookupError) as caught:
        take(adapter)
    return [serve(WsgiToAsgi(fails_at_once), scope, request(b"body")), caught.value]


def by_rich(error: BaseException) -> str:
    """Without its bounds, which would hide by chance."""
    out = io.StringIO()
    shown = Traceback.from_exception(
        type(error),
        error,
        error.__traceback__,
        show_locals=True,
        locals_max_length=sys.maxsize,
        locals_max_string=sys.maxsize,
    )
    Console(file=out, width=300).print(shown)
    return out.getvalue()


def by_cgitb(error: BaseException) -> str:
    with warnings.catch_warnings(action="ignore"):
        # By name: a checker of types that has a newer Python in mind knows no such module.
        cgitb = importlib.import_module("cgitb")
    assert error.__traceback__ is not None
    text: str = cgitb.text((type(error), error, error.__traceback__), context=3)
    # It looks attributes up as well. gunicorn's frame that calls the app shows the environ, too.
    return re.sub(r"^self\._environ = .*$", "", text, flags=re.MULTILINE)


printers = [
    by_rich,
    pytest.param(
        by_cgitb,
        marks=pytest.mark.skipif(sys.version_info >= (3, 13), reason="cgitb went with Python 3.13"),
    ),
]


@pytest.mark.parametrize("printer", printers)
def test_who_prints_the_variables_of_each_frame(printer: Callable[[BaseException], str]) -> None:
    """Only the app's own, and those of the test that is the server, have the request."""
    of_wsgi, of_asgi = map(printer, errors())
    for text in (of_wsgi, of_asgi):
        assert "LookupError" in text
        assert PACKAGE in text
        parts = re.split(r"\n(?=\S*\s*/\S+\.py\b)|\n(?=[│ ]*/\S+\.py:\d+)", text)
        assert len(parts) > 4
        assert [part for part in parts if SECRET in part and PACKAGE in part.splitlines()[0]] == []
