"""Apps that fail, with Sentry, which is sent the local variables of each frame, as it is by default.

``VARIABLES`` is the file that each variable with a secret in it is written to: ``module:function:variable`` a line.
"""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import flask
import sentry_sdk
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bridge import AsgiToWsgi, Dispatcher, WsgiToAsgi

SECRET = "s3cr3t"
_file = Path(os.environ["VARIABLES"])


class Recording(Transport):
    """Writes what would be sent."""

    def capture_envelope(self, envelope: Envelope) -> None:
        event: Any = envelope.get_event()
        lines = [
            f"{frame['module']}:{frame['function']}:{name}\n"
            for error in event["exception"]["values"]
            for frame in error["stacktrace"]["frames"]
            for name, value in frame["vars"].items()
            if SECRET in json.dumps(value)
        ]
        with _file.open("a") as file:
            file.writelines([*lines, f"{event['exception']['values'][-1]['value']}\n"])


sentry_sdk.init(dsn="http://key@127.0.0.1/1", transport=Recording, auto_enabling_integrations=False)


def wsgi_app(environ: Any, start_response: Any) -> Iterable[bytes]:
    environ["wsgi.input"].read()
    raise LookupError("kaputt")


flask_app = flask.Flask(__name__)
flask_app.config["PROPAGATE_EXCEPTIONS"] = True


@flask_app.post("/")
def flask_fails() -> str:
    len(flask.request.get_data())
    raise LookupError("kaputt")


async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        raise ValueError("it has none")
    await receive()
    raise LookupError("kaputt")


async def starlette_fails(request: Request) -> Response:
    await request.body()
    raise LookupError("kaputt")


starlette_app = Starlette(routes=[Route("/", starlette_fails, methods=["POST"])])

loop: Any = os.environ.get("LOOP", "request")
wsgi_app_bridged = WsgiToAsgi(wsgi_app)
flask_app_bridged = WsgiToAsgi(flask_app)
asgi_app_bridged = AsgiToWsgi(asgi_app, loop=loop, lifespan="off")
starlette_app_bridged = AsgiToWsgi(starlette_app, loop=loop)
flask_site = Dispatcher({"/": flask_app})
starlette_site = Dispatcher({"/": starlette_app_bridged})
