"""Apps whose error their server logs itself, with Sentry; each app at home and bridged.

An app fails before its response (``/first``) and in the middle of it (``/middle``), after
it has bound ``request_id``, as structlog and OpenTelemetry bind an id to a log. Each log record begins with the id.
``/events`` has what Sentry was sent, and the id that a request finds.

``LOOP``: of ``AsgiToWsgi``. ``IGNORE``: a logger of which Sentry takes no events.
"""

import contextvars
import json
import logging
import os
from collections.abc import Iterable, Iterator
from typing import Any

import flask
import sentry_sdk
from sentry_sdk.envelope import Envelope
from sentry_sdk.integrations.asgi import SentryAsgiMiddleware
from sentry_sdk.integrations.logging import ignore_logger
from sentry_sdk.integrations.wsgi import SentryWsgiMiddleware
from sentry_sdk.transport import Transport

from bridge import AsgiToWsgi, Dispatcher, WsgiToAsgi

request_id = contextvars.ContextVar("request_id", default="none")
events: list[dict[str, Any]] = []
#: As much as goes to the client before the app goes on, in either loop mode.
_BLOCK = bytes(65536)


class Recording(Transport):
    """Keeps what would be sent."""

    def capture_envelope(self, envelope: Envelope) -> None:
        event: Any = envelope.get_event()
        if event is not None:
            request = event.get("request", {})
            values = event.get("exception", {}).get("values") or [{"value": event.get("logentry")}]
            events.append(
                {"what": str(values[-1]["value"]), "method": request.get("method"), "url": request.get("url")}
            )


sentry_sdk.init(dsn="http://key@127.0.0.1/1", transport=Recording)
if "IGNORE" in os.environ:
    ignore_logger(os.environ["IGNORE"])

_factory = logging.getLogRecordFactory()


def _record(*args: Any, **options: Any) -> logging.LogRecord:
    record = _factory(*args, **options)
    record.msg = f"<{request_id.get()}> {record.msg}"
    return record


logging.setLogRecordFactory(_record)


async def bare_asgi(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        raise ValueError("it has no lifespan")
    path = scope["path"]
    if path == "/first":
        request_id.set(path)
        raise ValueError(f"kaputt {path}")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if path == "/middle":
        await send({"type": "http.response.body", "body": _BLOCK, "more_body": True})
        request_id.set(path)
        raise ValueError(f"kaputt {path}")
    await send({"type": "http.response.body", "body": json.dumps([events, request_id.get()]).encode()})


def bare_wsgi(environ: Any, start_response: Any) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    if path == "/first":
        request_id.set(path)
        raise ValueError(f"kaputt {path}")
    start_response("200 OK", [])
    if path == "/middle":
        return _wsgi_parts(path)
    return [json.dumps([events, request_id.get()]).encode()]


def _wsgi_parts(path: str) -> Iterator[bytes]:
    yield _BLOCK
    request_id.set(path)
    raise ValueError(f"kaputt {path}")


flask_app = flask.Flask(__name__)


@flask_app.get("/first")
def flask_first() -> str:
    request_id.set("/first")
    raise ValueError("kaputt /first")


@flask_app.get("/middle")
def flask_middle() -> flask.Response:
    return flask.Response(_wsgi_parts("/middle"))


@flask_app.get("/events")
def flask_events() -> flask.Response:
    return flask.jsonify([events, request_id.get()])


asgi_middleware: Any = SentryAsgiMiddleware(bare_asgi)
wsgi_middleware: Any = SentryWsgiMiddleware(bare_wsgi)

wsgi_middleware_bridged = WsgiToAsgi(wsgi_middleware)
flask_app_bridged = WsgiToAsgi(flask_app)

loop: Any = os.environ.get("LOOP", "request")
asgi_middleware_bridged = AsgiToWsgi(asgi_middleware, loop=loop, lifespan="off")
# Sentry's middleware for ASGI takes a prefix twice into the URL, below any server: the app of this kind has none.
site = Dispatcher({"/wsgi": wsgi_middleware, "/": asgi_middleware_bridged})
