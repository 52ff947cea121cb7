"""``to_wsgi.app_call``: the app's own mark, from which anything in the process can tell whom it works for."""

import asyncio
import gc
import threading
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from asgiref.sync import SyncToAsync, ThreadSensitiveContext, sync_to_async

from bridge.to_wsgi.app_call import call_app, of_no_request, raised, work_for, works_for
from bridge.types import Message, Receive, Scope, Send


class Owner:
    """Whom a request is for."""


class Caller:
    """Who runs an app."""

    context: Any = None


async def nothing_to_receive() -> Message:
    raise AssertionError


async def nothing_to_send(message: Message) -> None:
    raise AssertionError


def run(body: Callable[[], Awaitable[object]], owner: object, caller: Caller | None = None) -> Any:
    """Run ``body`` as an app of ``owner``. Returns its task, which has ended."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await body()

    async def main() -> asyncio.Task[BaseException | None]:
        coro = call_app(app, {}, nothing_to_receive, nothing_to_send, owner, caller or Caller())
        task = asyncio.ensure_future(coro)
        await asyncio.wait([task])
        return task

    return asyncio.run(main())


def test_an_app_its_tasks_and_its_threads_work_for_their_owner_and_for_nobody_else() -> None:
    owner, other = Owner(), Owner()
    seen: list[tuple[bool, bool]] = []

    def look() -> None:
        seen.append((works_for(owner), works_for(other)))

    async def child() -> None:
        look()

    async def body() -> None:
        look()
        await asyncio.create_task(child())
        await asyncio.to_thread(look)
        await sync_to_async(look)()
        async with ThreadSensitiveContext():
            look()
            await sync_to_async(look)()

    run(body, owner).result()
    assert seen == [(True, False)] * 6
    assert not works_for(owner)


def test_a_request_within_a_request_works_for_both() -> None:
    outer, inner = Owner(), Owner()
    seen: list[tuple[bool, bool]] = []

    def look() -> None:
        seen.append((works_for(outer), works_for(inner)))

    async def within() -> None:
        look()

    async def body() -> None:
        # As a view does that calls the adapter of another app.
        await asyncio.to_thread(run, within, inner)
        look()

    run(body, outer).result()
    assert seen == [(True, True), (True, False)]


def test_what_outlives_its_request_works_for_nobody() -> None:
    owner = Owner()
    over, answers = threading.Event(), []

    def later() -> None:
        assert over.wait(30)
        answers.append(works_for(owner))

    async def body() -> None:
        threads.append(asyncio.get_running_loop().run_in_executor(None, later))
        threads.append(asyncio.create_task(asyncio.to_thread(later)))
        await asyncio.sleep(0)

    threads: list[Any] = []

    async def main() -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await body()

        await call_app(app, {}, nothing_to_receive, nothing_to_send, owner, Caller())
        over.set()
        await asyncio.gather(*threads)

    asyncio.run(main())
    assert answers == [False, False]


def test_work_that_is_no_request_has_a_mark_of_its_own() -> None:
    owner = Owner()
    seen: list[object] = []

    async def startup() -> None:
        seen.append(works_for(owner))
        # asgiref's thread is that of the rest of the process.
        seen.append(SyncToAsync.thread_sensitive_context.get(None))

    async def main() -> None:
        await asyncio.create_task(work_for(owner, startup()))
        seen.append(works_for(owner))

    asyncio.run(main())
    assert seen == [True, None, False]


def test_a_startup_in_a_request_works_for_it_and_has_nothing_else_of_it() -> None:
    owner, started = Owner(), Owner()
    seen: list[tuple[bool, bool]] = []
    variables: list[object] = []

    async def startup() -> None:
        seen.append((works_for(owner), works_for(started)))
        variables.append(SyncToAsync.thread_sensitive_context.get(None))

    async def body() -> None:
        await of_no_request().run(asyncio.create_task, work_for(started, startup()))
        seen.append((works_for(owner), works_for(started)))

    run(body, owner).result()
    assert seen == [(True, True), (True, False)]
    assert variables == [None]


@pytest.mark.parametrize("uses", [True, False], ids=["sync code", "none"])
@pytest.mark.parametrize("fails", [None, ValueError, asyncio.CancelledError, SystemExit])
def test_the_thread_of_its_sync_code_ends_with_the_request(uses: bool, fails: Any) -> None:
    threads: list[threading.Thread] = []
    executors = len(SyncToAsync.context_to_thread_executor)

    async def body() -> None:
        if uses:
            threads.append(await sync_to_async(threading.current_thread)())
            threads.append(await sync_to_async(threading.current_thread)())
        if fails is not None:
            raise fails

    task = run(body, Owner())
    assert len(SyncToAsync.context_to_thread_executor) == executors
    assert len(set(threads)) == uses
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    if fails is asyncio.CancelledError:
        assert task.cancelled()
    else:
        assert fails is None or isinstance(raised(task), fails)


@pytest.mark.parametrize("uses", [True, False], ids=["sync code", "none"])
def test_the_mark_goes_with_the_request(uses: bool) -> None:
    marks: list[weakref.ref[object]] = []

    async def body() -> None:
        if uses:
            await sync_to_async(int)()
        marks.append(weakref.ref(SyncToAsync.thread_sensitive_context.get()))

    gc.disable()
    try:
        run(body, Owner())
        assert marks[0]() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("kind", [ValueError, SystemExit, KeyboardInterrupt])
def test_the_context_at_an_error_is_kept(kind: type[BaseException]) -> None:
    async def body() -> None:
        raise kind("meant")

    caller = Caller()
    task = run(body, Owner(), caller)
    assert isinstance(raised(task), kind)
    assert caller.context is not None
    # What ends a process is returned: as an error it would end the loop as well.
    assert (task.exception() is None) == (kind is not ValueError)
