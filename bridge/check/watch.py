"""What is looked at inside the served process: what an app keeps between requests, and where it blocks.

All of it is looked at from outside: modules' globals after each request, Python's audit events. The watched values are
compared, never changed. Requests of the check come one at a time, so that what changes during one is its own.
"""

import asyncio
import contextlib
import gc
import inspect
import os
import socket
import stat
import sys
import sysconfig
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

from .probe_asgi import in_request
from .recorder import LOGS_OF_SERVERS, Recorder
from .source import Write, shared_writes

__all__ = ["Watch", "bound_to_a_loop", "early_locals"]

_MOST_MODULES = 300
_MOST_ITEMS = 1000
_NOT_USERS = [Path(sysconfig.get_path("stdlib")).resolve(), Path(__file__).resolve().parents[1]]

#: What belongs to the loop that first uses it: the package it is from, and its class.
_LOOP_BOUND = {
    *(("asyncio", name) for name in ("Lock", "Event", "Condition", "Semaphore", "BoundedSemaphore", "Queue")),
    *(("asyncio", name) for name in ("PriorityQueue", "LifoQueue", "Future", "Barrier")),
    *((package, "AsyncClient") for package in ("httpx", "httpx2", "elasticsearch")),
    *((package, "Pool") for package in ("asyncpg", "aiomysql", "aiopg")),
    *(("anyio", name) for name in ("Lock", "Event", "Condition", "Semaphore", "CapacityLimiter")),
    *(
        ("aiohttp", "ClientSession"),
        ("asyncpg", "Connection"),
        ("redis", "Redis"),
        ("redis", "ConnectionPool"),
    ),
    *(("sqlalchemy", "AsyncEngine"), ("psycopg_pool", "AsyncConnectionPool"), ("aiosqlite", "Connection")),
    *(
        ("motor", "AsyncIOMotorClient"),
        ("pymongo", "AsyncMongoClient"),
        ("grpc", "Channel"),
        ("nats", "Client"),
    ),
}
#: Of these packages, only what is in such a module is async.
_ASYNC_PART = {"redis": "redis.asyncio", "grpc": "grpc.aio"}


class Watch:
    """Of one served process.

    Requests of the check call ``look()`` and ``measure()``: one after another, but for those whose client has left,
    which may end at any time, on any thread. So a lock is held around what ``look()`` keeps; the rest is written before
    the first request.
    """

    def __init__(self, recorder: Recorder, port: int, *, blocking: bool) -> None:
        self._recorder = recorder
        self._port = port
        self._writes: dict[tuple[str, str], Write] = {}
        self._seen: dict[tuple[str, str], object] = {}
        self._changes: dict[tuple[str, str], int] = {}
        self._roots: dict[str, Any] = {}
        self._lock = threading.Lock()
        if blocking:
            sys.addaudithook(self._audit)
            if sys.version_info < (3, 13):
                _audit_sleep()

    def begin(self) -> None:
        """The app is imported: find what is to be watched."""
        for module in _users_modules():
            with contextlib.suppress(OSError, TypeError, UnicodeDecodeError):
                for write in shared_writes(inspect.getsource(module)):
                    self._writes.setdefault((module.__name__, write.name), write)
        self._seen = {key: _state(key) for key in self._writes}
        for name in early_locals(_globals()):
            self._recorder.write_once("early-local", name=name)

    def started(self, state: Mapping[str, Any], tasks: "set[asyncio.Task[Any]]") -> None:
        """The lifespan's startup is complete."""
        self._roots |= {f"state[{name!r}]": value for name, value in state.items()}
        for task in tasks:
            if _is_apps(task):
                self._recorder.write_once(
                    "task", name=getattr(task.get_coro(), "__qualname__", task.get_name())
                )
        for name in early_locals(_globals()):
            self._recorder.write_once("early-local", name=name)

    def look(self) -> None:
        """A request is over."""
        with self._lock:
            self._look()

    def _look(self) -> None:
        for key, write in self._writes.items():
            now = _state(key)
            if not _same(now, self._seen[key]):
                self._seen[key] = now
                self._changes[key] = self._changes.get(key, 0) + 1
                # The first change may be what is made once, at its first use.
                if self._changes[key] == 2:
                    module, name = key
                    where = f"{module}, line {write.line}, in {write.function}()"
                    self._recorder.write_once("global", name=f"{module}.{name}", where=where, what=write.what)

    def measure(self, label: str) -> None:
        """Write down what the process has now."""
        if label == "end":
            for name, kind in bound_to_a_loop({**dict(_globals()), **self._roots}):
                self._recorder.write_once("loop-bound", name=name, kind=kind)
        # The collector's own work is between the two.
        before = time.process_time()
        gc.collect()
        self._recorder.write(
            "measure",
            label=label,
            cpu=(before, time.process_time()),
            threads=threading.active_count(),
            files=_open_files(self._port),
        )

    def _audit(self, event: str, args: tuple[Any, ...]) -> None:
        """Python's audit hook: may be called anywhere, by any thread, and has to be quick."""
        if event not in _BLOCKING or not in_request.get(False):
            return
        if event == "time.sleep" and not args[0]:
            return
        if event == "socket.connect" and args[0].gettimeout() == 0:
            return
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return
        frames = list(_frames(sys._getframe(1)))
        if event == "subprocess.Popen" and not any(
            frame.f_code.co_name in {"run", "call", "check_call", "check_output"}
            and frame.f_globals.get("__name__") == "subprocess"
            for frame in frames
        ):
            return
        users = (frame for frame in frames if _is_users(frame.f_code.co_filename))
        frame = next(users, None)
        if frame is None:
            return  # a library's own affair
        where = f"{Path(frame.f_code.co_filename).name}, line {frame.f_lineno}, in {frame.f_code.co_name}()"
        self._recorder.write_once("blocking", call=_BLOCKING[event], where=where)


#: Audit events of calls that wait, and how people call them.
_BLOCKING = {
    "time.sleep": "time.sleep()",
    "socket.connect": "a blocking connection",
    "subprocess.Popen": "subprocess.run()",
    "os.system": "os.system()",
}


def _frames(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _is_users(file: str | None) -> bool:
    if not file or file.startswith("<") or _installed(file):
        return False
    path = Path(file).resolve()
    return not any(place in path.parents for place in _NOT_USERS)


def _installed(file: str) -> str:
    """The package or module of those that were installed that the file is of; empty: it is of none.

    What a folder above is called says nothing: a project or a user may have any name. An installer may link to files
    that are elsewhere, and the folder may be reached by a link.
    """
    for place in map(Path, sys.path):
        if place.name in {"site-packages", "dist-packages"}:  # the latter is Debian's
            path = Path(file)
            if place not in path.parents:
                path, place = path.resolve(), place.resolve()
            if place in path.parents:
                return path.relative_to(place).parts[0].removesuffix(".py")
    return ""


def _is_apps(task: "asyncio.Task[Any]") -> bool:
    """Whether a task is of the app or a library of it: not of the server, which may start some meanwhile."""
    code = getattr(task.get_coro(), "cr_code", None)
    if code is None:
        return False
    package = _installed(code.co_filename)
    return _is_users(code.co_filename) or bool(package and package not in LOGS_OF_SERVERS)


def _users_modules() -> list[ModuleType]:
    found = [module for module in list(sys.modules.values()) if _is_users(getattr(module, "__file__", None))]
    return found[:_MOST_MODULES]


def _globals() -> Iterator[tuple[str, Any]]:
    for module in _users_modules():
        for name, value in list(vars(module).items()):
            if not name.startswith("__"):
                yield f"{module.__name__}.{name}", value


def _state(key: tuple[str, str]) -> list[Any]:
    """What a global is bound to, and what is in it if it holds few things."""
    value: Any = vars(sys.modules[key[0]]).get(key[1])
    try:
        if type(value) in {dict, list, set} and len(value) <= _MOST_ITEMS:
            return [value, *(value.items() if type(value) is dict else value)]
        return [value, *_attributes(value).items()]
    except RuntimeError:  # another thread changes it right now
        return [value]


def _attributes(value: object) -> dict[str, Any]:
    """An object's own attributes; nothing of its class is called, which may stand for another (``LocalProxy``)."""
    if issubclass(type(value), type | ModuleType):
        return {}
    try:
        found = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return {}
    return found if type(found) is dict else {}


def _same(one: Any, other: Any) -> bool:
    """Whether two states are of the same things; nothing of the user's is called for it."""
    if len(one) != len(other):
        return False
    return all(_is_same(left, right) for left, right in zip(one, other, strict=True))


def _is_same(left: Any, right: Any) -> bool:
    if left is right:
        return True
    if type(left) is tuple and type(right) is tuple and len(left) == len(right):
        return all(_is_same(one, other) for one, other in zip(left, right, strict=True))
    plain = (int, float, str, bytes, type(None))
    return type(left) is type(right) and type(left) in plain and left == right


def early_locals(named: Iterable[tuple[str, Any]]) -> Iterator[str]:
    """The ``threading.local`` objects that hold something in this very thread, which serves no requests.

    A class with an ``__init__`` of its own fills them for each thread.
    """
    for name, value in named:
        if (
            isinstance(value, threading.local)
            and type(value).__init__ is threading.local.__init__
            and vars(value)
        ):
            yield f"{name} ({', '.join(sorted(vars(value)))})"


def bound_to_a_loop(named: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Name and class of what belongs to one event loop, among these, in their attributes, and in what they hold."""
    seen: set[int] = set()
    todo = [(name, value, 0) for name, value in named.items()]
    while todo:
        name, value, depth = todo.pop()
        if id(value) in seen or issubclass(type(value), type | ModuleType):
            continue
        seen.add(id(value))
        if kind := _loop_bound_kind(value):
            yield name, kind
        elif depth < 2:
            todo += [(f"{name}{inner}", part, depth + 1) for inner, part in _parts(value)]


def _loop_bound_kind(value: object) -> str:
    for base in type(value).__mro__:
        package = base.__module__.partition(".")[0]
        if (package, base.__name__) in _LOOP_BOUND and base.__module__.startswith(
            _ASYNC_PART.get(package, package)
        ):
            return f"{package}.{base.__name__}"
    return ""


def _parts(value: Any) -> list[tuple[str, Any]]:
    if type(value) is dict:
        return [(f"[{key!r}]", part) for key, part in list(value.items())[:_MOST_ITEMS]]
    if type(value) in {list, tuple}:
        return [(f"[{number}]", part) for number, part in enumerate(list(value[:_MOST_ITEMS]))]
    own = _attributes(value)
    # A framework's app has its state there (Starlette, FastAPI, Quart); other objects are looked into if they are of
    # the user's own classes.
    if type(state := own.get("state")).__name__ == "State":
        return [(f".state.{key}", part) for key, part in _attributes(state).get("_state", {}).items()]
    if _is_users(getattr(sys.modules.get(type(value).__module__), "__file__", None)):
        return [(f".{key}", part) for key, part in list(own.items())]
    return []


def _open_files(port: int) -> int | None:
    """How many files and sockets are open; None where the system doesn't say.

    Those of the server's own port don't count: some servers keep a connection for a while when its client has left.
    """
    for place in ("/proc/self/fd", "/dev/fd"):
        with contextlib.suppress(OSError):
            numbers = [int(name) for name in os.listdir(place)]  # noqa: PTH208 - names alone
            return sum(not _is_servers(number, port) for number in numbers)
    return None


def _is_servers(number: int, port: int) -> bool:
    with contextlib.suppress(OSError):  # it was the listing's own
        if stat.S_ISSOCK(os.fstat(number).st_mode):
            with socket.socket(fileno=os.dup(number)) as copy:
                name = copy.getsockname()
                return type(name) is tuple and name[1] == port
    return False


def _audit_sleep() -> None:
    """Have ``time.sleep()`` raise its audit event, as it does from Python 3.13 on. The app is not imported yet."""
    sleep = time.sleep

    def audited(seconds: Any, /) -> None:
        sys.audit("time.sleep", seconds)
        sleep(seconds)

    time.sleep = audited
