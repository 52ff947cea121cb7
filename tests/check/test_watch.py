"""What is looked at in the served process."""

import asyncio
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import FunctionType, SimpleNamespace
from typing import Any

import httpx
import pytest
from starlette.datastructures import State
from werkzeug.local import LocalProxy

import bridge
from bridge.check.watch import _is_apps, _is_users, bound_to_a_loop, early_locals


class Keeper:
    """A class of the user's: what it holds is looked into."""

    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)


class OwnLock(asyncio.Lock):
    """A subclass of the user's is one, too."""


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (asyncio.Lock(), ("name", "asyncio.Lock")),
        (OwnLock(), ("name", "asyncio.Lock")),
        (asyncio.PriorityQueue(), ("name", "asyncio.PriorityQueue")),
        (httpx.AsyncClient(), ("name", "httpx.AsyncClient")),
        ({"a": [asyncio.Event()]}, ("name['a'][0]", "asyncio.Event")),
        (Keeper(queue=asyncio.Queue()), ("name.queue", "asyncio.Queue")),
        (SimpleNamespace(state=State({"lock": asyncio.Lock()})), ("name.state.lock", "asyncio.Lock")),
    ],
)
def test_what_belongs_to_a_loop(value: object, found: tuple[str, str]) -> None:
    assert list(bound_to_a_loop({"name": value})) == [found]


def unbound() -> Any:
    raise RuntimeError("outside of a request")


@pytest.mark.parametrize(
    "value",
    [
        None,
        1,
        threading.Lock(),
        httpx.Client(),
        asyncio,
        asyncio.Lock,
        {"a": {"settings": [1, 2, 3]}},
        Keeper(settings={}),
    ],
)
def test_what_belongs_to_none(value: object) -> None:
    assert list(bound_to_a_loop({"name": value})) == []


def test_what_stands_for_something_that_is_not_there() -> None:
    assert list(bound_to_a_loop({"name": LocalProxy(unbound)})) == []


def test_a_structure_that_holds_itself() -> None:
    value: dict[str, Any] = {"lock": asyncio.Lock()}
    value["again"] = [value]
    assert list(bound_to_a_loop({"name": value})) == [("name['lock']", "asyncio.Lock")]


class Filled(threading.local):
    def __init__(self) -> None:
        self.user = "nobody"


def test_thread_locals_that_are_filled_early() -> None:
    early, late = threading.local(), threading.local()
    early.user = "nobody"
    thread = threading.Thread(target=lambda: setattr(late, "user", "somebody"))
    thread.start()
    thread.join()
    named = {"early": early, "late": late, "filled": Filled(), "proxy": LocalProxy(unbound), "other": {}}
    assert list(early_locals(named.items())) == ["early (user)"]


async def tick() -> None:
    await asyncio.Event().wait()


def test_a_task_is_the_apps_unless_it_is_a_servers() -> None:
    async def seen() -> list[bool]:
        # Of the user's, of a library, of the standard library, as servers have them.
        limit = httpx.AsyncClient().aclose()
        tasks = [asyncio.create_task(each) for each in (tick(), limit, asyncio.Event().wait())]
        found = [_is_apps(task) for task in tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return found

    assert asyncio.run(seen()) == [True, True, False]


@pytest.mark.parametrize(
    ("file", "apps"),
    [("httpx/_client.py", True), ("six.py", True), ("uvicorn/main.py", False), ("bridge/lifespan.py", False)],
)
@pytest.mark.parametrize("folder", ["site-packages", "dist-packages"])
def test_a_task_is_the_apps_whatever_the_folders_above_are_called(
    folder: str, file: str, apps: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = Path("/home/daphne/bridge/.venv/lib") / folder
    monkeypatch.syspath_prepend(library)
    assert is_apps_from(str(library / file)) is apps


def test_a_task_of_no_file_is_no_librarys() -> None:
    assert not is_apps_from("<string>")


def is_apps_from(file: str) -> bool:
    """What is said of a task whose code is from there."""
    code = tick.__code__.replace(co_filename=file)

    async def seen() -> bool:
        task = asyncio.create_task(FunctionType(code, globals())())
        found = _is_apps(task)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return found

    return asyncio.run(seen())


@pytest.mark.parametrize("folder", ["site-packages", "dist-packages"])
def test_what_is_installed_is_not_the_users(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A project below a folder of such a name is: Python doesn't look for its modules there."""
    installed, stored = tmp_path / "venv" / folder, tmp_path / "stored.py"
    installed.mkdir(parents=True)
    stored.touch()
    (installed / "linked.py").symlink_to(stored)  # as installers do that save the space
    (tmp_path / "other").symlink_to(tmp_path / "venv")
    monkeypatch.setattr(sys, "path", [str(installed), *sys.path])
    assert not _is_users(str(installed / "linked.py"))
    assert not _is_users(str(tmp_path / "other" / folder / "library" / "__init__.py"))
    assert _is_users(str(tmp_path / folder / "project" / "app.py"))


def test_the_bridge_is_not_the_users_where_a_link_leads_to_it(tmp_path: Path) -> None:
    (tmp_path / "bridge").symlink_to(Path(bridge.__file__).parent)
    code = (
        "import bridge; from bridge.check.watch import _is_users\n"
        "print(bridge.__file__, _is_users(bridge.__file__), _is_users('app.py'))"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == f"{tmp_path / 'bridge' / '__init__.py'} False True\n"
