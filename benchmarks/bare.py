"""The least that it takes to run an app under the other interface: no adapters, but what to compare one with."""

import asyncio
import tempfile
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from typing import IO, Any

from bridge.types import ASGIApp, Environ, Message, Receive, Scope, Send, StartResponse, WSGIApp

__all__ = ["ENVIRON", "SCOPE", "KeptLoops", "bare_executor", "bare_loop", "bare_spool", "start_response"]

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


ENVIRON: Environ = {
    "REQUEST_METHOD": "GET",
    "SCRIPT_NAME": "",
    "PATH_INFO": "/",
    "RAW_URI": "/",
    "QUERY_STRING": "",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "SERVER_NAME": "127.0.0.1",
    "SERVER_PORT": "8000",
    "REMOTE_ADDR": "127.0.0.1",
    "REMOTE_PORT": "50000",
    "HTTP_HOST": "127.0.0.1:8000",
    "HTTP_USER_AGENT": "benchmark/1.0",
    "HTTP_ACCEPT": "*/*",
    "HTTP_ACCEPT_ENCODING": "gzip, deflate",
    "wsgi.version": (1, 0),
    "wsgi.url_scheme": "http",
    "wsgi.multithread": True,
    "wsgi.multiprocess": False,
    "wsgi.run_once": False,
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


def bare_executor(
    app: WSGIApp, executor: Executor, environ: Environ, headers: Iterable[tuple[bytes, bytes]] = ()
) -> ASGIApp:
    """The least that a bridge can do with asyncio's own means: no mapping, no streaming, no second wake-up."""

    async def adapted(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise ValueError(f"no {scope['type']} here")  # a server takes it as "no lifespan"
        await receive()
        body = await asyncio.get_running_loop().run_in_executor(executor, _call_wsgi, app, environ)
        await send({"type": "http.response.start", "status": 200, "headers": list(headers)})
        await send({"type": "http.response.body", "body": body})

    return adapted


def _call_wsgi(app: WSGIApp, environ: Environ) -> bytes:
    return b"".join(app(environ, start_response))


def start_response(status: str, headers: Any, exc_info: Any = None) -> Callable[[bytes], object]:
    if exc_info is not None:
        raise exc_info[1]
    if not status.startswith("200"):
        raise RuntimeError(f"status {status}")
    return _write


def _write(data: bytes) -> object:
    raise NotImplementedError("no app here uses write()")


def bare_spool(executor: Executor) -> ASGIApp:
    """The least that a buffered upload takes: it goes to a temporary file, and is read from there by a thread."""

    async def adapted(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise ValueError(f"no {scope['type']} here")  # a server takes it as "no lifespan"
        with tempfile.TemporaryFile() as file:
            more = True
            while more:
                message = await receive()
                file.write(message["body"])
                more = message["more_body"]
            file.seek(0)
            size = await asyncio.get_running_loop().run_in_executor(executor, _count, file)
        body = str(size).encode()
        head = [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": body})

    return adapted


def _count(file: IO[bytes]) -> int:
    size = 0
    while block := file.read(65536):
        size += len(block)
    return size


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
