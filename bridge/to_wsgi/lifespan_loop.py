"""An app's lifespan on the loop where it runs: the shared one, or one of its own.

The loop of its own is for apps whose requests have a loop each. It runs in whichever thread starts the app, and in
the one that ends it; in between nobody runs it. The threads of a server's requests start it, so a startup can be told
to end by the thread that closes: see ``to_wsgi.attempts``.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from concurrent import futures
from typing import Any

from ..errors import ApplicationError
from ..lifespan import SHUTDOWN_LIMIT, Lifespan
from .app_call import of_no_request, work_for
from .attempts import Attempts, closed_while
from .client import GRACE
from .loops.asyncio_names import running_loop
from .loops.exit_and_fork import leave_alone
from .loops.kept import LoopFactory, close_loop, in_another_thread, make_loop, run_to_end
from .loops.shared import SharedLoop
from .shared_loop import SharedExchange

__all__ = ["shut_down_on_own", "shut_down_on_shared", "start_on_own", "start_on_shared"]

logger = logging.getLogger("bridge")

# Seconds for the end of all requests and of the lifespan, on the shared loop. Each of them has a limit of its own, but
# where something blocks the loop, none of these counts.
_LIMIT = 2 * SHUTDOWN_LIMIT
# Seconds that work after the response has when its adapter is closed, before it is cancelled.
_WORK_LIMIT = 5.0


def start_on_own(
    lifespan: Lifespan, factory: LoopFactory | None, attempts: Attempts, limit: float | None, owner: object
) -> tuple[asyncio.AbstractEventLoop, set[asyncio.Task[Any]]] | None:
    """Starts the app, and returns its loop and the tasks that the startup has left on it.

    ``None``: the app has no lifespan, and nothing is left of the loop. An app that has started when this fails is shut
    down.

    ``owner`` is whom it is done for: see ``works_for()``.

    Raises:
        LifespanError: the startup failed, or took more than ``limit`` seconds.
        RuntimeError: the adapter was closed meanwhile.
    """
    loop = make_loop(factory)
    complete = False
    try:
        startup = of_no_request().run(loop.create_task, work_for(owner, lifespan.startup(limit)))
        with attempts.cancelled_by(lambda: loop.call_soon_threadsafe(startup.cancel)):
            run_to_end(loop, startup)
        left = run_to_end(loop, lifespan.tasks_beside()) if lifespan.running else set()
        complete = True
    except asyncio.CancelledError:
        raise _cancelled(attempts) from None
    finally:
        if not lifespan.running:
            _close(lifespan, loop)
        elif not complete:
            shut_down_on_own(lifespan, loop)
    return (loop, left) if lifespan.running else None


def start_on_shared(
    lifespan: Lifespan, shared: SharedLoop, attempts: Attempts, limit: float | None, owner: object
) -> None:
    """As ``start_on_own()``."""
    startup = work_for(owner, lifespan.startup(limit))
    future = of_no_request().run(asyncio.run_coroutine_threadsafe, startup, shared.loop)
    try:
        with attempts.cancelled_by(future.cancel):
            future.result()
    except futures.CancelledError:
        raise _cancelled(attempts) from None
    except BaseException:
        future.cancel()
        raise


def _cancelled(attempts: Attempts) -> RuntimeError:
    """Why a startup was cancelled."""
    if attempts.progress()[0] == "trying":
        return ApplicationError("the application has cancelled the task that starts it")
    return closed_while("its application started")


def shut_down_on_own(lifespan: Lifespan, loop: asyncio.AbstractEventLoop) -> None:
    """Shuts the app down, and closes its loop."""
    if running_loop() is not None:
        in_another_thread(lambda: shut_down_on_own(lifespan, loop))
        return
    try:
        _insist(lambda: run_to_end(loop, lifespan.shutdown()))
    finally:
        _close(lifespan, loop)


def shut_down_on_shared(lifespan: Lifespan | None, shared: SharedLoop, running: set[SharedExchange]) -> None:
    """Ends the requests that are ``running``, and then shuts the app down."""
    _insist(lambda: _shut_down_on_shared(lifespan, shared, running))


def _insist(shut_down: Callable[[], object]) -> None:
    """Call ``shut_down``, and once more if the app has cancelled it: many cancel all tasks there are as they end."""
    for _ in range(2):
        with contextlib.suppress(asyncio.CancelledError, futures.CancelledError):
            shut_down()
            return
    logger.error("the application has cancelled its own shutdown")


def _shut_down_on_shared(lifespan: Lifespan | None, shared: SharedLoop, running: set[SharedExchange]) -> None:
    future = asyncio.run_coroutine_threadsafe(_shut_down(lifespan, running), shared.loop)
    if futures.wait([future], _LIMIT).done:
        future.result()
    else:
        future.cancel()
        logger.error("the shared event loop is blocked; the shutdown was given up after %s s", _LIMIT)


async def _shut_down(lifespan: Lifespan | None, running: set[SharedExchange]) -> None:
    await _end_all(running)
    if lifespan is not None:
        await lifespan.shutdown()


async def _end_all(running: set[SharedExchange]) -> None:
    """End the requests of an adapter: those that still respond are told, others may finish their work.

    One that can't be cancelled is left behind: what comes after this, the app's shutdown, does not wait for it.
    """
    for exchange in running:
        exchange.abandon()
    tasks = {exchange.task: exchange for exchange in running if exchange.task is not None}
    if not tasks:
        return
    _, pending = await asyncio.wait(tasks, timeout=_WORK_LIMIT)
    for task in pending:
        task.cancel()
    if pending:
        _, pending = await asyncio.wait(pending, timeout=GRACE)
    for task in pending:
        tasks[task].leave_behind()
        logger.error("%s: the application was cancelled, and runs on; it is left behind", tasks[task].name)


def _close(lifespan: Lifespan, loop: asyncio.AbstractEventLoop) -> None:
    if lifespan.left_behind:
        # To close the loop would be to wait for what does not end.
        leave_alone(loop)
    else:
        close_loop(loop)
