"""Who waits for what in an exchange: several tasks of one app that wait in ``send()`` and ``receive()`` at once."""

import asyncio
import threading
from typing import Any

import pytest

from bridge.to_wsgi.loops.mode import LoopMode
from bridge.to_wsgi.response import UNSENT_LIMIT
from bridge.types import Receive, Scope, Send
from tests.support.wsgi import environ_for, started
from tests.to_wsgi.apps import START, last, part


async def rounds() -> None:
    """Let the other tasks run to where they wait."""
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.mark.parametrize("cancelled", [(), (0,), (1,), (0, 1)], ids=["nobody", "first", "second", "both"])
def test_tasks_that_wait_for_the_server_go_on(adapt: Any, mode: LoopMode, cancelled: tuple[int, ...]) -> None:
    """Also where one of them is cancelled meanwhile: it is the first one's future that both wait for."""
    ended: list[bool] = []
    waiting = threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        tasks = [asyncio.ensure_future(send(part(letter * UNSENT_LIMIT))) for letter in (b"a", b"b")]
        # One round, at whose end the server is in turn: both wait for it now.
        await asyncio.sleep(0)
        assert not any(task.done() for task in tasks)
        for number in cancelled:
            tasks[number].cancel()
        if mode == "shared":
            await rounds()  # the others' requests go on, before the server takes anything
        waiting.set()
        await asyncio.wait(tasks)
        ended.extend(task.cancelled() for task in tasks)
        await send(part(b"c" * UNSENT_LIMIT))
        await send(last())

    with started(adapt(app), environ_for()) as (_, body):
        assert waiting.wait(30)
        assert b"".join(body) == b"".join(letter * UNSENT_LIMIT for letter in (b"a", b"b", b"c"))
    assert ended == [number in cancelled for number in range(2)]


@pytest.mark.parametrize("cancelled", [False, True], ids=["nobody", "first"])
def test_tasks_that_listen_learn_of_the_end(adapt: Any, cancelled: bool) -> None:
    ended: list[str] = []
    done = threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["body"] == b""
        tasks = [asyncio.ensure_future(receive()) for _ in range(2)]
        await rounds()
        if cancelled:
            tasks[0].cancel()
        await send(START)
        await send(last(b"end"))
        await asyncio.wait(tasks)
        ended.extend("cancelled" if task.cancelled() else task.result()["type"] for task in tasks)
        done.set()

    with started(adapt(app), environ_for()) as (_, body):
        assert b"".join(body) == b"end"
    assert done.wait(30)
    assert ended == ["cancelled" if cancelled else "http.disconnect", "http.disconnect"]


def test_a_client_that_leaves_lets_all_who_wait_go_on(adapt: Any, mode: LoopMode) -> None:
    ended: list[str] = []
    done = threading.Event()
    waiting = threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(START)
        await send(part(b"a"))
        tasks = [
            asyncio.ensure_future(receive()),
            asyncio.ensure_future(send(part(b"b" * UNSENT_LIMIT))),
            asyncio.ensure_future(send(part(b"c" * UNSENT_LIMIT))),
        ]
        await asyncio.sleep(0)
        waiting.set()
        await asyncio.wait(tasks)
        ended.extend("left" if task.exception() else "went on" for task in tasks)
        done.set()

    with started(adapt(app), environ_for()) as (_, body):
        if mode == "request":
            # It is run by the server's asking.
            chunks = iter(body)
            assert [next(chunks)[:1], next(chunks)[:1]] == [b"a", b"b"]
        assert waiting.wait(30)
    assert done.wait(30)
    assert ended == ["went on"] * 3
