"""Where the microseconds of one request go, in each direction: processor time.

What can be measured alone is: the floor below the adapter, the mapping, the app, and the caller, who stands for the
server. The rest of the whole is the adapter's own: the objects of a request, the rules of PEP 3333 and ASGI, sending.
Beside the whole stands the same app by asyncio's own means, which map nothing and promise nothing.

The floor is taken by the package's own means with nothing to do in them: a job without work, and a task that stops its
loop once. A request enters its loop twice, because what an app does after its response comes after it.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from typing import Any, NamedTuple

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from bridge import AsgiToWsgi, WsgiToAsgi
from bridge.mapping.environ import build_environ
from bridge.mapping.headers import response_head, start_of_response
from bridge.mapping.scope import build_scope
from bridge.threads.jobs import run_in
from bridge.threads.mailbox import Mailbox
from bridge.threads.pool import ThreadPool
from bridge.to_wsgi.loops.pool import LoopPool
from bridge.types import Environ, Message, Receive, Scope, Send, StartResponse

from . import apps
from .bare import ENVIRON, SCOPE, KeptLoops, bare_executor, bare_loop, start_response
from .in_process import call, request
from .measure import Settings

__all__ = ["Account", "measure", "print_accounts"]

#: Requests that are measured together: a clock of processes is coarse.
_TOGETHER = 512
#: Requests of a WSGI app that are under way at once; a divisor of _TOGETHER.
_AT_ONCE = 32


@dataclass(frozen=True)
class Account:
    """A request's parts and their microseconds of processor time; the last one is what is left of the whole."""

    title: str
    parts: dict[str, float]
    #: What is no part of it, to compare the whole with.
    beside: dict[str, float]

    @property
    def whole(self) -> float:
        return sum(self.parts.values())


class _Runs(NamedTuple):
    """What makes so many requests, or so many of a part of one, by its name."""

    parts: dict[str, Callable[[int], object]]
    whole: Callable[[int], object]
    beside: dict[str, Callable[[int], object]]


def measure(settings: Settings, progress: Progress) -> list[Account]:
    """Both directions, in turn with their parts.

    Of the rounds the lower quartile counts: what else the machine does only adds to a round, and what is left of the
    whole would have all of that.
    """
    with ExitStack() as stack:
        runner = stack.enter_context(asyncio.Runner())
        accounts = {
            "a WSGI app on an ASGI server": _wsgi(stack, runner, 1),
            f"a WSGI app on an ASGI server, {_AT_ONCE} at once": _wsgi(stack, runner, _AT_ONCE),
            "an ASGI app on a WSGI server": _asgi(stack),
        }
        turns = [
            (title, name, run)
            for title, runs in accounts.items()
            for name, run in (*runs.parts.items(), ("", runs.whole), *runs.beside.items())
        ]
        figures: dict[tuple[str, str], list[float]] = {(title, name): [] for title, name, _ in turns}
        rounds = settings.rounds * 4 + 1
        bar = progress.add_task("account", total=rounds * len(turns))
        stack.callback(progress.remove_task, bar)
        # Round 0 warms up.
        for round_number in range(rounds):
            for title, name, run in turns:
                begun = time.process_time()
                run(_TOGETHER)
                each = (time.process_time() - begun) / _TOGETHER * 1e6
                if round_number:
                    figures[title, name].append(each)
                progress.advance(bar)
    each_of = {key: statistics.quantiles(values, n=4)[0] for key, values in figures.items()}
    return [
        _account(
            title,
            each_of[title, ""],
            {name: each_of[title, name] for name in runs.parts},
            {name: each_of[title, name] for name in runs.beside},
        )
        for title, runs in accounts.items()
    ]


def _account(title: str, whole: float, parts: dict[str, float], beside: dict[str, float]) -> Account:
    return Account(title, parts | {"the adapter's own": whole - sum(parts.values())}, beside)


def _repeated(function: Callable[[], object], count: int) -> None:
    for _ in range(count):
        function()


def _wsgi(stack: ExitStack, runner: asyncio.Runner, at_once: int) -> _Runs:
    adapter = WsgiToAsgi(apps.wsgi_hello, threads=apps.THREADS)
    pool = ThreadPool(apps.THREADS, at_once, name="benchmark")
    stack.callback(pool.drain, _nothing)
    executor = stack.enter_context(ThreadPoolExecutor(apps.THREADS))
    bare = bare_executor(apps.wsgi_hello, executor, ENVIRON)
    mailbox = Mailbox(runner.get_loop())
    headers = [("Content-Type", "text/plain"), ("Content-Length", "13")]

    def repeated(once: Callable[[], Awaitable[object]]) -> Callable[[int], object]:
        async def some(count: int) -> None:
            for _ in range(count):
                await once()

        async def all_of_them(count: int) -> None:
            await asyncio.gather(*(some(count // at_once) for _ in range(at_once)))

        return lambda count: runner.run(all_of_them(count))

    wake_up = "one wake-up of the loop" if at_once == 1 else "a share of a wake-up of the loop"
    return _Runs(
        {
            f"one hand-over to a thread, {wake_up}": repeated(lambda: run_in(pool, mailbox, _nothing)),
            "mapping the scope to an environ": partial(_repeated, lambda: build_environ(SCOPE)),
            "mapping status and headers": partial(_repeated, lambda: start_of_response("200 OK", headers)),
            "the app": partial(_repeated, lambda: apps.wsgi_hello(ENVIRON, start_response)),
            "the caller": repeated(lambda: request(_answers, "/", len(apps.HELLO))),
        },
        repeated(lambda: request(adapter, "/", len(apps.HELLO))),
        {"run_in_executor": repeated(lambda: request(bare, "/", len(apps.HELLO)))},
    )


def _asgi(stack: ExitStack) -> _Runs:
    adapter = stack.enter_context(AsgiToWsgi(apps.asgi_hello, lifespan="off"))
    loops, kept_loops = LoopPool(None), KeptLoops()
    stack.callback(loops.close)
    stack.callback(kept_loops.close)
    bare = bare_loop(apps.asgi_hello, kept_loops.run)
    environ = ENVIRON | {"wsgi.input": BytesIO(), "wsgi.errors": None}
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"13")]

    def enter_twice() -> None:
        kept = loops.take()
        task = kept.begin(_stops_once(kept.loop))
        while not task.done():
            kept.run_ready(task)
        loops.give_back(kept)

    def app_alone() -> None:
        coroutine: Any = apps.asgi_hello(SCOPE, _receive, _send)
        try:
            coroutine.send(None)
        except StopIteration:
            return
        raise RuntimeError("the app waits")

    return _Runs(
        {
            "a task, a loop entered twice without a poll": partial(_repeated, enter_twice),
            "mapping the environ to a scope": partial(_repeated, lambda: build_scope(environ, {})),
            "mapping status and headers": partial(_repeated, lambda: response_head(200, headers)),
            "the app": partial(_repeated, app_alone),
            "the caller": partial(_repeated, lambda: call(_answers_at_once, "/", len(apps.HELLO))),
        },
        partial(_repeated, lambda: call(adapter, "/", len(apps.HELLO))),
        {"run_until_complete on a kept loop": partial(_repeated, lambda: call(bare, "/", len(apps.HELLO)))},
    )


def _nothing() -> None:
    pass


async def _stops_once(loop: asyncio.AbstractEventLoop) -> None:
    loop.stop()
    await asyncio.sleep(0)


async def _answers(scope: Scope, receive: Receive, send: Send) -> None:
    """What a caller of an ASGI app has to do alone."""
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": apps.HELLO})


def _answers_at_once(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """The same of a WSGI app."""
    start_response("200 OK", [])
    return [apps.HELLO]


async def _receive() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _send(message: Message) -> None:
    pass


def print_accounts(console: Console, accounts: list[Account]) -> None:
    for account in accounts:
        table = Table(
            title=f"account: {account.title}, CPU us of a request", title_justify="left", min_width=100
        )
        table.add_column("part")
        table.add_column("us", justify="right")
        table.add_column("share", justify="right")
        for name, each in account.parts.items():
            table.add_row(name, f"{each:.1f}", f"{each / account.whole:.0%}")
        table.add_row("the whole request", f"{account.whole:.1f}", "")
        for name, each in account.beside.items():
            table.add_row(f"beside it: {name}", f"{each:.1f}", f"{each / account.whole:.0%}")
        console.print(table)
    console.print()
