"""What a client sends much of costs in proportion, and no more: headers, cookies, parameters, proxies, path segments.

Counted are calls of functions, not seconds. ``tests/mapping/test_linear.py`` has the fields of requests and responses,
``tests/mapping/test_environ.py`` the bytes of equal fields, ``tests/mapping/test_learnt.py`` what is kept of their
names. Memory is counted too, where a body waits that comes byte by byte.
"""

import asyncio
import threading
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from bridge import Dispatcher
from bridge.cli.proxy import Trusted
from bridge.mapping.environ import build_environ
from bridge.mapping.headers import parse_content_length
from bridge.mapping.prefixes import split_path, under_prefix
from bridge.mapping.scope import build_scope
from bridge.to_asgi.body import BLOCK
from bridge.types import Environ, Message, StartResponse
from tests.mapping.test_linear import calls_of
from tests.support.asgi import HANG, Exchange, disconnect, http_scope, request
from tests.support.served import Served
from tests.support.wsgi import Answer, environ_for
from tests.support.wsgi_apps import hello

FEW, MANY = 50, 5000


def cookies(count: int) -> Callable[[], object]:
    fields = [(b"cookie", b"name-%d=value" % number) for number in range(count)]
    return lambda: build_environ(http_scope(headers=fields))


def pairs_of_a_cookie(count: int) -> Callable[[], object]:
    value = "; ".join(f"name-{number}=value" for number in range(count))
    return lambda: (
        build_environ(http_scope(headers=[(b"cookie", value.encode())])),
        build_scope(environ_for(HTTP_COOKIE=value), {}),
    )


def parameters(count: int) -> Callable[[], object]:
    query = "&".join(f"name-{number}=value" for number in range(count))
    return lambda: (
        build_environ(http_scope(query=query.encode())),
        build_scope(environ_for(query=query), {}),
    )


def segments(count: int) -> Callable[[], object]:
    path = "/a" * count + "/" * count + "/.." * count + "\xe9" * count
    scope = http_scope(path=path, raw_path=path.encode(), root_path="/a")
    site = Dispatcher({"/a": hello, "/": hello})

    def act() -> None:
        under_prefix(scope, "/a", *split_path(scope))
        build_environ(scope)
        build_scope(environ_for(path), {})
        site(environ_for(path), Answer().start_response)

    return act


def proxies(count: int) -> Callable[[], object]:
    header = ", ".join(f"10.0.{number // 256 % 256}.{number % 256}:80" for number in range(count))
    trusted = Trusted("10.0.0.0/8,192.168.0.0/16")
    return lambda: trusted.client(header)


def lengths(count: int) -> Callable[[], object]:
    return lambda: parse_content_length({"CONTENT_LENGTH": ",".join(["5"] * count)})


def names_that_are_none(count: int) -> Callable[[], object]:
    headers = [(b"x-%d" % number, b"") for number in range(count)] + [(b"x y", b"")]

    def act() -> None:
        with pytest.raises(ValueError, match="field name"):
            build_environ(http_scope(headers=headers))

    return act


@pytest.mark.parametrize(
    "flood", [cookies, pairs_of_a_cookie, parameters, segments, proxies, lengths, names_that_are_none]
)
def test_it_costs_in_proportion(flood: Callable[[int], Callable[[], Any]]) -> None:
    few, many = flood(FEW), flood(MANY)
    few()  # what is learnt once
    many()
    assert calls_of(many) <= calls_of(few) * MANY / FEW + 100


@pytest.mark.parametrize("mode", ["buffer", "stream"])
def test_a_body_that_comes_byte_by_byte_costs_its_bytes(mode: str) -> None:
    """hypercorn hands each chunk of a body on by itself: six bytes on the wire for one of the body."""
    buffer = 16384
    goes_on = threading.Event()

    def waits(environ: Environ, start_response: StartResponse) -> list[bytes]:
        environ["wsgi.input"].read(buffer)
        goes_on.wait(HANG)
        return hello(environ, start_response)

    class Trickle(Exchange):
        """A client that sends two buffers and a half, and then no more until it leaves."""

        left = buffer * 5 // 2

        async def receive(self) -> Message:
            if self.left:
                self.left -= 1
                return request(bytes([self.left % 256]), more_body=True)
            return await super().receive()

    async def main() -> int:
        async with Served(waits, request_body=mode, request_buffer=buffer) as adapter:
            client = Trickle(adapter, http_scope("POST", headers=[(b"transfer-encoding", b"chunked")]))
            before = tracemalloc.get_traced_memory()[0]
            async with client:
                # In stream mode the app has the first buffer, and the second one is full.
                left = buffer // 2 if mode == "stream" else 0
                async with asyncio.timeout(HANG):
                    while client.left > left:  # noqa: ASYNC110  # the adapter takes them
                        await asyncio.sleep(0)
                held = tracemalloc.get_traced_memory()[0] - before
                goes_on.set()
                client.left = 0
                client.feed(disconnect())
        return held

    tracemalloc.start()
    try:
        # The app's reader has 64 KiB of its own.
        assert asyncio.run(main()) < BLOCK + 8 * buffer
    finally:
        tracemalloc.stop()
