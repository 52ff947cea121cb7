"""Without one of asyncio's private names the bridge runs loops in asyncio's public way, and all works."""

import ast
import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest

from bridge import AsgiToWsgi
from bridge.to_wsgi.loops import asyncio_names
from bridge.to_wsgi.loops.asyncio_names import _HANDLE as HANDLE
from bridge.to_wsgi.loops.asyncio_names import _MODULE as MODULE
from bridge.to_wsgi.loops.asyncio_names import _TASK as TASK
from bridge.to_wsgi.loops.asyncio_names import LOOP, missing_names
from bridge.to_wsgi.loops.kept import new_kept_loop
from bridge.to_wsgi.loops.other_loop import OtherLoop
from bridge.to_wsgi.loops.request_loop import RequestLoop
from bridge.types import Receive, Scope, Send
from tests.support.wsgi import call, environ_for
from tests.to_wsgi.apps import START, last, part

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def looked_for_again() -> Iterator[None]:
    missing_names.cache_clear()
    yield
    missing_names.cache_clear()


class Without:
    """A loop or timer as of another Python: without one name, or with another thing under it."""

    def __init__(self, thing: Any, name: str, *instead: object) -> None:
        self._thing, self._name, self._instead = thing, name, instead

    def __getattr__(self, name: str) -> Any:
        if name == self._name:
            if self._instead:
                return self._instead[0]
            raise AttributeError(name)
        return getattr(self._thing, name)

    def call_later(self, *args: Any) -> "Without":
        return Without(self._thing.call_later(*args), self._name, *self._instead)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Read, wait, use a thread, and stream."""
    message = await receive()
    async with asyncio.timeout(60):
        await asyncio.sleep(0.001)
    await send(START)
    await send(part(message["body"]))
    await asyncio.to_thread(int)
    await asyncio.sleep(0)  # a thread that is quick is not waited for, from 3.14 on
    await send(last(type(asyncio.get_running_loop()).__name__.encode()))


def served_on() -> bytes:
    with AsgiToWsgi(app, lifespan="off") as adapter:
        answers = [call(adapter, environ_for(method="POST", body=b"in ")).chunks for _ in range(3)]
    assert [answer[0] for answer in answers] == [b"in "] * 3
    return answers[0][1]


def test_this_python_has_them() -> None:
    assert missing_names() == ()
    assert served_on() == b"RequestLoop"


@pytest.mark.parametrize("instead", [[], [object()]], ids=["missing", "other"])
@pytest.mark.parametrize("name", [*LOOP, "_run", "_cancelled"])
def test_without_a_name_of_loops_and_handles(
    name: str, instead: list[object], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(asyncio_names, "sample", lambda: Without(asyncio.SelectorEventLoop(), name, *instead))
    assert served_on() != b"RequestLoop"
    assert set(missing_names()) == {name}
    assert [record.getMessage() for record in caplog.records if name in record.getMessage()] != []


@pytest.mark.parametrize("name", MODULE)
def test_without_a_name_of_the_module(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(asyncio, name)
    assert served_on() != b"RequestLoop"
    assert missing_names() == (name,)


def test_no_other_private_name_is_used() -> None:
    """Of the base class ``RequestLoop`` declares what it uses: mypy would know no other."""
    assert {name for name in RequestLoop.__annotations__ if name.startswith("_")} <= LOOP.keys()
    package = Path(asyncio_names.__file__).parents[2]
    trees = [ast.parse(path.read_text()) for path in package.rglob("*.py")]
    private = [
        node
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and re.match(r"_[a-z]", node.attr)
    ]
    of_module = {node.attr for node in private if ast.unparse(node.value) == "asyncio"}
    assert of_module <= set(MODULE)
    of_others = {node.attr for node in private if ast.unparse(node.value) in ("handle", "timer")}
    assert of_others == HANDLE.keys()
    of_tasks = {node.attr for node in private if ast.unparse(node.value).endswith("task")}
    assert of_tasks == set(TASK)


def test_they_are_compared_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[None] = []
    original = asyncio_names.sample

    def sample() -> Any:
        looked.append(None)
        return original()

    monkeypatch.setattr(asyncio_names, "sample", sample)
    for _ in range(3):
        kept = new_kept_loop(None)
        assert isinstance(kept, RequestLoop)
        kept.close()
    assert len(looked) == 1


def test_a_factorys_loop_needs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio_names, "sample", pytest.fail)
    kept = new_kept_loop(asyncio.new_event_loop)
    assert isinstance(kept, OtherLoop)
    kept.loop.close()


def add_one(number: int) -> int:
    return number + 1


async def sync_part(scope: Scope, receive: Receive, send: Send) -> None:
    """As FastAPI runs a sync view."""
    number = await anyio.to_thread.run_sync(add_one, 1)
    await send(START)
    await send(last(b"%d" % number))


@pytest.mark.parametrize(
    ("where", "instead"), [("_TASK", ("_gone",)), ("_MARK", "_gone"), ("_AT_EXIT", "_gone")]
)
def test_without_what_a_root_task_needs(where: str, instead: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio_names, where, instead)
    with AsgiToWsgi(sync_part, lifespan="off") as adapter:
        assert [call(adapter, environ_for()).body for _ in range(3)] == [b"2"] * 3


@pytest.mark.parametrize(
    "gone", ["asyncio._get_running_loop", "asyncio._set_running_loop", "threading._register_atexit"]
)
def test_names_that_are_gone_when_the_bridge_is_imported(gone: str) -> None:
    """The interpreter ends, though a thread of anyio's was used."""
    script = """
import asyncio, threading
import anyio._backends._asyncio, concurrent.futures.thread
del GONE
from bridge import AsgiToWsgi
from tests.support.wsgi import call, environ_for
from tests.to_wsgi.loops.test_asyncio_names import sync_part

adapter = AsgiToWsgi(sync_part, lifespan="off")
for _ in range(3):
    print(call(adapter, environ_for()).body)
""".replace("GONE", gone)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        cwd=REPOSITORY,
        check=True,
        timeout=60,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert done.stdout == "b'2'\n" * 3
