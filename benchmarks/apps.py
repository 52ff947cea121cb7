"""The same small app twice, as WSGI and as ASGI, and a module attribute for each way of serving it.

Paths: ``/`` says hello; ``/chunks/N`` yields N chunks of 100 bytes; ``/download/N`` yields N bytes in blocks of 64 KiB;
``/rows/N`` yields N rows of CSV, each as a chunk; ``/upload`` reads the whole body and answers with its length;
``/slow-upload`` does so with a pause for each MiB.
``/echo`` echoes the messages of a WebSocket, and ``/library-echo`` does so by simple-websocket.

A server imports ``benchmarks.apps:NAME`` with a name of ``SERVED``; the adapter is made then, and no other one.
"""

import asyncio
import csv
import io
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from bridge import AsgiToWsgi, WsgiToAsgi
from bridge.to_asgi import channel as channel_module
from bridge.types import ASGIApp, Environ, Receive, Scope, Send, StartResponse, WSGIApp

from .bare import ENVIRON, KeptLoops, bare_executor, bare_loop, bare_spool

__all__ = [
    "AHEAD",
    "HELLO",
    "SERVED",
    "THREADS",
    "asgi_app",
    "asgi_chunks",
    "asgi_hello",
    "wsgi_app",
    "wsgi_chunks",
]
__all__ += ["wsgi_hello"]

#: Worker threads, of each adapter and server that has a number of them.
THREADS = 10
HELLO = b"Hello, world!"
CHUNK = b"x" * 100
BLOCK = b"x" * 65536
#: Seconds that ``/slow-upload`` pauses for each MiB: long enough for a loop's clock, which counts milliseconds.
PAUSE = 0.005
MIB = 1 << 20

#: What is tried as the most that an app may be ahead of its client: chunks, and bytes.
AHEAD = (
    *((chunks, 262144) for chunks in (10**9, 1024, 512, 256, 128, 64, 32, 16)),
    *((10**9, size) for size in (65536, 16384)),
    (128, 65536),
)

_WSGI_PLAIN = ("Content-Type", "text/plain")
_HELLO_HEADERS = [_WSGI_PLAIN, ("Content-Length", "13")]
_ASGI_PLAIN = (b"content-type", b"text/plain")


def _wsgi_answer(start_response: StartResponse, body: bytes) -> Iterable[bytes]:
    start_response("200 OK", [_WSGI_PLAIN, ("Content-Length", str(len(body)))])
    return [body]


def wsgi_hello(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", _HELLO_HEADERS.copy())
    return [HELLO]


def wsgi_chunks(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    count = _number(environ["PATH_INFO"])
    start_response("200 OK", [_WSGI_PLAIN])
    return _repeated(CHUNK, count)


def _repeated(chunk: bytes, count: int) -> Iterator[bytes]:
    for _ in range(count):
        yield chunk


def wsgi_download(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    size = _number(environ["PATH_INFO"])
    start_response("200 OK", [_WSGI_PLAIN, ("Content-Length", str(size))])
    return _repeated(BLOCK, size // len(BLOCK))


def wsgi_rows(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    count = _number(environ["PATH_INFO"])
    start_response("200 OK", [("Content-Type", "text/csv")])
    return _rows(count)


def _rows(count: int) -> Iterator[bytes]:
    """As an export makes them: a writer's line at a time."""
    line = io.StringIO()
    writer = csv.writer(line)
    for number in range(count):
        writer.writerow((number, f"customer {number}", number * 7, "paid", "some words"))
        yield line.getvalue().encode()
        line.seek(0)
        line.truncate()


def wsgi_upload(environ: Environ, start_response: StartResponse, pause: float = 0.0) -> Iterable[bytes]:
    read = environ["wsgi.input"].read
    # uvicorn's old middleware and a2wsgi know no wsgi.input_terminated: what PEP 3333 allows is Content-Length bytes.
    missing = int(environ["CONTENT_LENGTH"])
    size = 0
    while missing > 0 and (block := read(min(missing, 65536))):
        if pause and (size + len(block)) // MIB > size // MIB:
            time.sleep(pause)
        size += len(block)
        missing -= len(block)
    return _wsgi_answer(start_response, str(size).encode())


def wsgi_app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    if path == "/":
        return wsgi_hello(environ, start_response)
    if path == "/upload":
        return wsgi_upload(environ, start_response)
    if path == "/slow-upload":
        return wsgi_upload(environ, start_response, PAUSE)
    if path.startswith("/chunks/"):
        return wsgi_chunks(environ, start_response)
    if path.startswith("/rows/"):
        return wsgi_rows(environ, start_response)
    if path == "/echo":
        for message in environ["wsgi.websocket"]:
            environ["wsgi.websocket"].send(message)
        return []
    if path == "/library-echo":
        return _library_echo(environ)
    return wsgi_download(environ, start_response)


def _library_echo(environ: Environ) -> Iterable[bytes]:
    from simple_websocket import ConnectionClosed, Server

    websocket = Server.accept(environ)
    try:
        while True:
            websocket.send(websocket.receive())
    except ConnectionClosed:
        return []


async def _asgi_answer(send: Send, body: bytes) -> None:
    headers = [_ASGI_PLAIN, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def asgi_hello(scope: Scope, receive: Receive, send: Send) -> None:
    _only_http(scope)
    headers = [_ASGI_PLAIN, (b"content-length", b"13")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": HELLO})


async def asgi_chunks(scope: Scope, receive: Receive, send: Send) -> None:
    _only_http(scope)
    await _asgi_repeated(send, [_ASGI_PLAIN], CHUNK, _number(scope["path"]))


async def _asgi_repeated(send: Send, headers: list[tuple[bytes, bytes]], chunk: bytes, count: int) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for _ in range(count):
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _asgi_upload(receive: Receive, send: Send, pause: float = 0.0) -> None:
    size = 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        block = len(message.get("body", b""))
        more = message.get("more_body", False)
        if pause and (size + block) // MIB > size // MIB:
            await asyncio.sleep(pause)
        size += block
    await _asgi_answer(send, str(size).encode())


async def asgi_app(scope: Scope, receive: Receive, send: Send) -> None:
    _only_http(scope)
    path = scope["path"]
    if path == "/":
        await asgi_hello(scope, receive, send)
    elif path == "/upload":
        await _asgi_upload(receive, send)
    elif path == "/slow-upload":
        await _asgi_upload(receive, send, PAUSE)
    elif path.startswith("/chunks/"):
        await asgi_chunks(scope, receive, send)
    else:
        size = _number(path)
        headers = [_ASGI_PLAIN, (b"content-length", b"%d" % size)]
        await _asgi_repeated(send, headers, BLOCK, size // len(BLOCK))


async def asgi_websocket(scope: Scope, receive: Receive, send: Send) -> None:
    """``asgi_app``, and an echo on any WebSocket."""
    if scope["type"] != "websocket":
        await asgi_app(scope, receive, send)
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


def _only_http(scope: Scope) -> None:
    if scope["type"] != "http":
        raise ValueError(f"no {scope['type']} here")  # a server takes it as "no lifespan"


def _number(path: str) -> int:
    return int(path.rpartition("/")[2])


def a2wsgi_for_wsgi(app: WSGIApp) -> ASGIApp:
    from a2wsgi import WSGIMiddleware

    adapted: ASGIApp = WSGIMiddleware(app, workers=THREADS)
    return adapted


def asgiref_for_wsgi(app: WSGIApp) -> ASGIApp:
    from asgiref.wsgi import WsgiToAsgi as Peer

    peer: Any = Peer  # it has no annotations
    adapted: ASGIApp = peer(app)
    return adapted


def uvicorn_for_wsgi(app: WSGIApp) -> ASGIApp:
    from uvicorn.middleware.wsgi import _WSGIMiddleware

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        # Any: it is typed with uvicorn's own environ, a plain dictionary all the same.
        peer: Any = _WSGIMiddleware
        adapted: ASGIApp = peer(app, workers=THREADS)
    return adapted


def a2wsgi_for_asgi(app: ASGIApp, loop: asyncio.AbstractEventLoop | None = None) -> WSGIApp:
    from a2wsgi import ASGIMiddleware

    # Any: a2wsgi's typed dictionaries for messages.
    untyped: Any = app
    adapted: WSGIApp = ASGIMiddleware(untyped, loop=loop)
    return adapted


def _ahead(chunks: int, size: int) -> ASGIApp:
    """The adapter with another bound for the app that is ahead of its client; the one for chunks is no option."""
    channel_module._ITEMS = chunks
    return WsgiToAsgi(wsgi_app, threads=THREADS, response_buffer=size)


SERVED: dict[str, Callable[[], Any]] = {
    "wsgi": lambda: wsgi_app,
    "asgi": lambda: asgi_app,
    "asgi_websocket": lambda: asgi_websocket,
    "wsgi_bridge": lambda: WsgiToAsgi(wsgi_app, threads=THREADS),
    "wsgi_bridge_stream": lambda: WsgiToAsgi(wsgi_app, threads=THREADS, request_body="stream"),
    "wsgi_a2wsgi": lambda: a2wsgi_for_wsgi(wsgi_app),
    "wsgi_asgiref": lambda: asgiref_for_wsgi(wsgi_app),
    "wsgi_uvicorn": lambda: uvicorn_for_wsgi(wsgi_app),
    "wsgi_bare_executor": lambda: bare_executor(
        wsgi_hello, ThreadPoolExecutor(THREADS), ENVIRON, [_ASGI_PLAIN, (b"content-length", b"13")]
    ),
    "wsgi_bare_spool": lambda: bare_spool(ThreadPoolExecutor(THREADS)),
    "asgi_bridge": lambda: AsgiToWsgi(asgi_app),
    "asgi_bridge_shared": lambda: AsgiToWsgi(asgi_app, loop="shared"),
    "asgi_a2wsgi": lambda: a2wsgi_for_asgi(asgi_app),
    "asgi_kept_loop": lambda: bare_loop(asgi_hello, KeptLoops().run, _HELLO_HEADERS),
    **{f"wsgi_ahead_{chunks}_{size}": partial(_ahead, chunks, size) for chunks, size in AHEAD},
}


def __getattr__(name: str) -> Any:
    if name not in SERVED:
        raise AttributeError(f"module {__name__} has no attribute {name!r}")
    globals()[name] = app = SERVED[name]()
    return app
