"""``WsgiToAsgi`` and the memory of a request with a body; see ``test_memory``."""

import asyncio
import tempfile
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from bridge import WsgiToAsgi
from bridge.types import Environ, Message, StartResponse
from tests.support.asgi import http_scope, request
from tests.support.memory import App, Client, before, failing, leaves_nothing, middle, served
from tests.support.wsgi_apps import hello

pytestmark = pytest.mark.usefixtures("no_bridge_threads")


def reads(environ: Environ, start_response: StartResponse) -> Any:
    environ["wsgi.input"].read()
    return hello(environ, start_response)


def upload(*blocks: bytes, whole: bool = True) -> list[Message]:
    messages = [request(block, more_body=True) for block in blocks]
    if whole:
        messages.append(request(b""))
    return messages


@pytest.mark.parametrize("act", [reads, middle, before])
@pytest.mark.parametrize("mode", ["buffer", "stream"])
def test_a_large_upload(act: Callable[..., Any], mode: str) -> None:
    async def visit(adapter: WsgiToAsgi) -> None:
        with suppress(LookupError):
            await served(adapter, Client(*upload(b"a" * 50, b"b" * 50, b"c" * 50)), http_scope("POST"))

    leaves_nothing(App(act), visit, request_body=mode, request_buffer=40)


@pytest.mark.parametrize("mode", ["buffer", "stream"])
def test_a_broken_upload(mode: str) -> None:
    async def visit(adapter: WsgiToAsgi) -> None:
        client = Client(*upload(b"a" * 50, whole=False), {"type": "http.disconnect"})
        await served(adapter, client, http_scope("POST"))

    app = App(reads)
    if mode == "stream":
        leaves_nothing(app, visit, request_body=mode, request_buffer=40)
    else:
        leaves_nothing(reads, visit, request_body=mode, request_buffer=40)


def test_an_upload_whose_receive_raises() -> None:
    class Broken(Client):
        async def receive(self) -> Message:
            if self.events.empty():
                raise OSError("gone")
            return await super().receive()

    async def visit(adapter: WsgiToAsgi) -> None:
        await failing(adapter, Broken(*upload(b"a" * 50, whole=False)), http_scope("POST"))

    leaves_nothing(reads, visit, request_buffer=40)


def test_a_streamed_upload_that_is_too_large() -> None:
    async def visit(adapter: WsgiToAsgi) -> None:
        client = Client(*upload(b"a" * 50, b"b" * 50, b"c" * 50))
        await served(adapter, client, http_scope("POST"))
        assert client.types == ["http.response.start", "http.response.body"]

    leaves_nothing(App(reads), visit, request_body="stream", request_buffer=40, max_body_size=120)


def test_a_disk_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def write(self, data: bytes) -> int:
            raise OSError("gone: no space is left")

        def close(self) -> None:
            """Nothing was opened."""

    async def visit(adapter: WsgiToAsgi) -> None:
        with monkeypatch.context() as patches:
            patches.setattr(tempfile, "TemporaryFile", lambda **_: Full())
            client = Client(*upload(b"a" * 50, b"b" * 50))
            await served(adapter, client, http_scope("POST"))
            assert client.types == ["http.response.start", "http.response.body"]

    leaves_nothing(reads, visit, request_buffer=40)


def test_an_upload_that_is_cancelled_while_it_is_written() -> None:
    async def visit(adapter: WsgiToAsgi) -> None:
        client = Client(*upload(b"a" * 50, b"b" * 50, whole=False))
        task = asyncio.create_task(served(adapter, client, http_scope("POST")))
        while not client.events.empty():  # noqa: ASYNC110  # the adapter takes them
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    leaves_nothing(reads, visit, request_buffer=40)
