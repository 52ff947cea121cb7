"""A WSGI app that answers with the environ it saw, and makes every form of response that WSGI knows.

The table of ``test_raw_requests`` sends the same requests to it natively and behind bridge
(``echo_bridged``).
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from bridge.types import Environ, Headers, StartResponse
from tests.integration.apps.echo_responses import PLAIN, RESPONSES

__all__ = ["app"]

CGI_KEYS = (
    "CONTENT_LENGTH",
    "CONTENT_TYPE",
    "PATH_INFO",
    "QUERY_STRING",
    "REMOTE_ADDR",
    "REQUEST_METHOD",
    "SCRIPT_NAME",
    "SERVER_PROTOCOL",
)


def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Answer ``/r/NAME`` from ``RESPONSES``, and other paths with the environ, but for three."""
    kind, _, name = environ["PATH_INFO"].removeprefix("/").partition("/")
    if kind == "r" and name in RESPONSES:
        status, headers, body = RESPONSES[name]
        start_response(status, [*headers, _sent(headers)])
        return body()
    if kind == "write":
        write = start_response("200 OK", [PLAIN, _sent([PLAIN])])
        write(b"written ")
        return [b"returned"]
    if kind == "late":
        return _late(start_response)
    if kind == "unread":
        return _answer({"unread": True}, start_response)
    return _answer(_seen(environ), start_response)


def _late(start_response: StartResponse) -> Iterator[bytes]:
    start_response("200 OK", [PLAIN, _sent([PLAIN])])
    yield b"late"


def _seen(environ: Environ) -> dict[str, Any]:
    body: bytes = environ["wsgi.input"].read()
    cgi = {key: environ.get(key) for key in CGI_KEYS}
    # PEP 3333, "environ Variables": empty and absent mean the same.
    cgi = {key: value or "" for key, value in cgi.items()}
    http = {key: value for key, value in environ.items() if key.startswith("HTTP_")}
    return cgi | http | {"url_scheme": environ["wsgi.url_scheme"], "body": body.decode("latin-1")}


def _answer(content: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    body = json.dumps(content, sort_keys=True).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    start_response("200 OK", [*headers, _sent(headers)])
    return [body]


def _sent(headers: Headers) -> tuple[str, str]:
    """Name the headers that the app sent itself: what else a response has is the server's."""
    return ("X-App", ",".join(sorted({name.lower() for name, _ in headers})))
