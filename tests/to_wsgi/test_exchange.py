"""Who waits for what in an exchange: several tasks of one app that wait in ``send()`` and ``receive()`` at once."""

import asyncio
import contextlib
import io
import threading
from typing import Any

import pytest

from bridge.errors import ApplicationError
from bridge.to_wsgi.loops.mode import LoopMode
from bridge.to_wsgi.response import UNSENT_LIMIT
from bridge.types import Receive, Scope, Send
from tests.support.asgi import HANG
from tests.support.wsgi import environ_for, started
from tests.to_wsgi.apps import START, last, part, until


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


def test_who_listens_learns_of_the_end_after_who_has_sent_it(adapt: Any) -> None:
    """It may cancel that task, as many apps do: on an ASGI server ``send()`` has returned there by then."""
    seen: list[str] = []
    done = threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def listen(respond: asyncio.Task[None]) -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            seen.append("disconnect")
            respond.cancel()

        async def respond() -> None:
            await rounds()  # who listens does
            await send(START)
            await send(last(b"x"))
            seen.append("sent")

        task = asyncio.create_task(respond())
        await asyncio.wait({task, asyncio.create_task(listen(task))})
        done.set()

    with started(adapt(app), environ_for()) as (_, body):
        assert b"".join(body) == b"x"
    assert done.wait(HANG)
    assert seen == ["sent", "disconnect"]


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


@pytest.mark.parametrize("taken", [True, False], ids=["taken", "closed"])
@pytest.mark.parametrize("mode", ["shared"])
def test_one_that_waits_goes_on_when_another_one_has_ended_the_response(adapt: Any, taken: bool) -> None:
    """The server gets all of it at once, or closes it without having taken the rest."""
    reading, go, complete, done = (threading.Event() for _ in range(4))

    class Held(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            reading.set()
            assert go.wait(HANG)
            return super().read(size)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        asked = asyncio.ensure_future(receive())
        await send(START)
        if taken:
            await until(reading.is_set)
        else:
            await asked
            await send(part(b"a"))
            await until(complete.is_set)
        waiting = asyncio.ensure_future(send(part(b"b" * UNSENT_LIMIT)))
        await rounds()
        await send(last(b"c"))
        assert not waiting.done()
        complete.clear()
        go.set()
        await waiting
        await asked
        done.set()

    environ = environ_for(method="POST", body=b"x") | {"wsgi.input": Held(b"x")}
    if not taken:
        go.set()
    with started(adapt(app), environ) as (_, body):
        chunks = iter(body)
        if taken:
            assert b"".join(chunks) == b"b" * UNSENT_LIMIT + b"c"
        else:
            assert next(chunks) == b"a"
            complete.set()
            while complete.is_set():
                reading.wait(0.001)
    assert done.wait(HANG)


def test_tasks_that_an_app_leaves_waiting_go_on_when_the_server_is_done(adapt: Any) -> None:
    """The app itself has returned before its response was complete."""
    ended: set[str] = set()
    done = threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def ends(name: str, waits: Any) -> None:
            try:
                with contextlib.suppress(OSError):
                    await waits
            finally:
                ended.add(name)
                if len(ended) == 2:
                    done.set()

        await receive()
        await send(START)
        await send(part(b"a" * UNSENT_LIMIT))
        tasks.append(asyncio.ensure_future(ends("listens", receive())))
        tasks.append(asyncio.ensure_future(ends("sends", send(part(b"b" * UNSENT_LIMIT)))))
        await rounds()

    tasks: list[asyncio.Task[None]] = []
    with started(adapt(app), environ_for(), validate=False) as (_, body):
        chunks = iter(body)
        assert next(chunks)[:1] == b"a"
        with pytest.raises(ApplicationError):
            b"".join(chunks)
    assert done.wait(HANG)
