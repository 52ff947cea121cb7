"""The least that it takes to run an ASGI app under WSGI: no adapter, but what there is to compare one with."""

import asyncio
import threading
from collections.abc import Callable, Iterable
from typing import Any

from bridge.types import ASGIApp, Environ, Message, Scope, StartResponse, WSGIApp

__all__ = ["SCOPE", "KeptLoops", "bare_loop"]

SCOPE: Scope = {
    "type": "http",
    "asgi": {"version": "3.0", "spec_version": "2.4"},
    "http_version": "1.1",
    "method": "GET",
    "scheme": "http",
    "path": "/",
    "raw_path": b"/",
    "query_string": b"",
    "root_path": "",
    "headers": [
        (b"host", b"127.0.0.1:8000"),
        (b"user-agent", b"benchmark/1.0"),
        (b"accept", b"*/*"),
        (b"accept-encoding", b"gzip, deflate"),
    ],
    "client": ("127.0.0.1", 50000),
    "server": ("127.0.0.1", 8000),
}


class _Recorder:
    """``receive`` and ``send`` for a bare loop."""

    __slots__ = ("body", "status")

    def __init__(self) -> None:
        self.status = 0
        self.body: list[bytes] = []

    async def receive(self) -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        else:
            self.body.append(message.get("body", b""))


def bare_loop(app: ASGIApp, run: Callable[[Any], object], headers: Iterable[tuple[str, str]] = ()) -> WSGIApp:
    """An app on a loop and nothing else: a constant scope, constant headers, no mapping, no streaming."""

    def adapted(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        recorder = _Recorder()
        run(app(dict(SCOPE), recorder.receive, recorder.send))
        start_response(f"{recorder.status} OK", list(headers))
        return recorder.body

    return adapted


class KeptLoops:
    """``run_until_complete`` on a loop that each thread keeps."""

    def __init__(self) -> None:
        self.local = threading.local()
        self.loops: list[asyncio.AbstractEventLoop] = []

    def run(self, coroutine: Any) -> None:
        try:
            loop = self.local.loop
        except AttributeError:
            loop = self.local.loop = asyncio.new_event_loop()
            self.loops.append(loop)
        loop.run_until_complete(coroutine)

    def close(self) -> None:
        for loop in self.loops:
            loop.close()
