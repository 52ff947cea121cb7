"""WSGI apps that the tests of ``WsgiToAsgi`` share; those that wait are released by the test."""

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from bridge import WsgiToAsgi
from bridge.types import Environ, StartResponse
from tests.support.asgi import HANG, Exchange, http_scope, request

__all__ = ["TEXT", "Body", "Download", "Visitor", "echo", "get", "hello", "kinds", "respond"]

TEXT = [("Content-Type", "text/plain")]


def hello(environ: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"hello"]


def echo(environ: Environ, start_response: StartResponse) -> list[bytes]:
    body = environ["wsgi.input"].read()
    start_response("200 OK", TEXT)
    return [environ.get("CONTENT_LENGTH", "none").encode(), b"|", body]


class Visitor:
    """An app at which requests arrive and wait until they are let go."""

    def __init__(self) -> None:
        self.arrived = threading.Semaphore(0)
        self.go = threading.Semaphore(0)
        self._lock = threading.Lock()
        self.inside = 0
        self.most_inside = 0
        self.served = 0

    def __call__(self, environ: Environ, start_response: StartResponse) -> list[bytes]:
        with self._lock:
            self.inside += 1
            self.most_inside = max(self.inside, self.most_inside)
        self.arrived.release()
        try:
            assert self.go.acquire(timeout=HANG)
            start_response("200 OK", TEXT)
            return [b"done"]
        finally:
            with self._lock:
                self.inside -= 1
                self.served += 1

    async def wait_for_arrival(self) -> None:
        assert await asyncio.to_thread(self.arrived.acquire, timeout=HANG)


class Download:
    """A body without end; says when it was closed, how often, and on which thread."""

    def __init__(self, block: bytes = b"x" * 1000) -> None:
        self.block = block
        self.made = 0
        self.closes: list[int] = []
        self.closed = threading.Event()
        self.iterated: set[int] = set()

    def __call__(self, environ: Environ, start_response: StartResponse) -> "Download":
        start_response("200 OK", TEXT)
        return self

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        self.iterated.add(threading.get_ident())
        self.made += len(self.block)
        return self.block

    def close(self) -> None:
        self.closes.append(threading.get_ident())
        self.closed.set()


def get(adapter: WsgiToAsgi, path: str = "/", **scope: Any) -> Exchange:
    """Return a GET request to the adapter, not yet under way."""
    return Exchange(adapter, http_scope(path=path, **scope), [request()])


class Body:
    """An iterable that counts its ``close()`` and knows on which thread it was used."""

    def __init__(self, steps: Iterable[bytes | BaseException | Callable[[], object]]) -> None:
        self._steps = iter(steps)
        self.closed = 0
        self.threads: set[int] = set()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        self.threads.add(threading.get_ident())
        step = next(self._steps)
        if isinstance(step, BaseException):
            raise step
        if isinstance(step, bytes):
            return step
        step()
        return b""

    def close(self) -> None:
        self.threads.add(threading.get_ident())
        self.closed += 1


def respond(body: Any, *headers: tuple[str, str], status: str = "200 OK") -> Any:
    """Return an app that answers so."""

    def app(environ: Environ, start_response: StartResponse) -> Any:
        start_response(status, list(headers))
        return body

    return app


def kinds(exchange: Exchange) -> list[str]:
    """Return the types of what was sent, without their ``http.response.``."""
    return [message["type"].removeprefix("http.response.") for message in exchange.messages]
