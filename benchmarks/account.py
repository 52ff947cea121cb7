"""Where the microseconds of one request go, in each direction: processor time, one request at a time.

What can be measured alone is: the floor below any adapter, the mapping, and the app. The rest of the whole is the
adapter's own: the objects of a request, the rules of PEP 3333 and ASGI, and sending.
"""

import asyncio
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from bridge import AsgiToWsgi, WsgiToAsgi
from bridge.mapping.environ import build_environ
from bridge.mapping.headers import response_head
from bridge.mapping.scope import build_scope
from bridge.threads.jobs import run_in
from bridge.threads.mailbox import Mailbox
from bridge.threads.pool import ThreadPool
from bridge.types import Message

from . import apps
from .bare import ENVIRON, SCOPE, start_response
from .in_process import call, request
from .measure import Settings

__all__ = ["Account", "measure", "print_accounts"]

#: Requests that are measured together: a clock of processes is coarse.
_TOGETHER = 500


@dataclass(frozen=True)
class Account:
    """A request's parts and their microseconds of processor time; the last one is what is left of the whole."""

    title: str
    parts: dict[str, float]

    @property
    def whole(self) -> float:
        return sum(self.parts.values())


def measure(settings: Settings, progress: Progress) -> list[Account]:
    """Both directions, in turn with their parts: medians of the rounds."""
    with ExitStack() as stack:
        runner = stack.enter_context(asyncio.Runner())
        accounts = {
            "a WSGI app on an ASGI server": _wsgi(stack, runner),
            "an ASGI app on a WSGI server": _asgi(stack),
        }
        figures: dict[str, dict[str, list[float]]] = {title: {} for title in accounts}
        bar = progress.add_task("account", total=(settings.rounds * 4 + 1) * sum(map(len, accounts.values())))
        stack.callback(progress.remove_task, bar)
        # Round 0 warms up.
        for round_number in range(settings.rounds * 4 + 1):
            for title, parts in accounts.items():
                for name, run in parts.items():
                    begun = time.process_time()
                    run(_TOGETHER)
                    each = (time.process_time() - begun) / _TOGETHER * 1e6
                    if round_number:
                        figures[title].setdefault(name, []).append(each)
                    progress.advance(bar)
    return [_account(title, measured) for title, measured in figures.items()]


def _account(title: str, figures: dict[str, list[float]]) -> Account:
    medians = {name: statistics.median(values) for name, values in figures.items()}
    whole = medians.pop("whole")
    return Account(title, medians | {"the adapter's own": whole - sum(medians.values())})


def _repeated(function: Callable[[], object], count: int) -> None:
    for _ in range(count):
        function()


def _wsgi(stack: ExitStack, runner: asyncio.Runner) -> dict[str, Callable[[int], object]]:
    adapter = WsgiToAsgi(apps.wsgi_hello)
    pool = ThreadPool(1, 1, name="benchmark")

    async def whole(count: int) -> None:
        for _ in range(count):
            await request(adapter, "/", len(apps.HELLO))

    async def floor(count: int) -> None:
        mailbox = Mailbox(asyncio.get_running_loop())
        for _ in range(count):
            await run_in(pool, mailbox, _nothing)

    stack.callback(pool.drain, _nothing)
    return {
        "one hand-over to a thread, one wake-up of the loop": lambda count: runner.run(floor(count)),
        "mapping the scope to an environ": partial(_repeated, lambda: build_environ(SCOPE)),
        "the app": partial(_repeated, lambda: apps.wsgi_hello(ENVIRON, start_response)),
        "whole": lambda count: runner.run(whole(count)),
    }


def _asgi(stack: ExitStack) -> dict[str, Callable[[int], object]]:
    adapter = stack.enter_context(AsgiToWsgi(apps.asgi_hello, lifespan="off"))
    loop = asyncio.new_event_loop()
    stack.callback(loop.close)
    environ = ENVIRON | {"wsgi.input": BytesIO(), "wsgi.errors": None}
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"13")]

    def app_alone() -> None:
        coroutine: Any = apps.asgi_hello(SCOPE, _receive, _send)
        try:
            coroutine.send(None)
        except StopIteration:
            return
        raise RuntimeError("the app waits")

    return {
        "one run of a loop": partial(_repeated, lambda: loop.run_until_complete(_nothing_async())),
        "mapping the environ to a scope": partial(_repeated, lambda: build_scope(environ, {})),
        "mapping status and headers": partial(_repeated, lambda: response_head(200, headers)),
        "the app": partial(_repeated, app_alone),
        "whole": partial(_repeated, lambda: call(adapter, "/", len(apps.HELLO))),
    }


def _nothing() -> None:
    pass


async def _nothing_async() -> None:
    pass


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
        console.print(table)
    console.print()
