"""The package as a whole: its names, its layers, what it starts, and what it needs."""

import ast
import importlib
import pickle
import re
import subprocess
import sys
from pathlib import Path

import cloudpickle
import pytest

import bridge
from bridge import errors

PACKAGE = Path(bridge.__file__).parent
MODULES = sorted(path.stem for path in PACKAGE.glob("*.py") if not path.stem.startswith("__"))


def layers() -> dict[str, int]:
    """Module -> layer, as the table in the package's docstring says."""
    table: dict[str, int] = {}
    layer = -1
    for line in (bridge.__doc__ or "").splitlines():
        match = re.match(r"(\d+| ) {2}((?:\w+(?:, )?)+)", line)
        if not match:
            continue
        if match[1] != " ":
            layer = int(match[1])
        for name in match[2].split(", "):
            table[name] = layer
    return table


def imports_of(module: str) -> set[str]:
    """The modules of bridge that ``module`` imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse((PACKAGE / f"{module}.py").read_text())):
        if isinstance(node, ast.ImportFrom):
            if node.level == 0 and (node.module or "").split(".")[0] != "bridge":
                continue
            name = (node.module or "").removeprefix("bridge").lstrip(".")
            found |= {name} if name else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {
                alias.name.partition(".")[2] for alias in node.names if alias.name.startswith("bridge.")
            }
    return found & set(MODULES)


def reach_of(module: str) -> set[str]:
    """All that is imported with ``module``, over any number of steps."""
    seen: set[str] = set()
    todo = {module}
    while todo:
        name = todo.pop()
        seen.add(name)
        todo |= imports_of(name) - seen
    return seen - {module}


def test_the_table_of_layers_is_complete() -> None:
    assert sorted(layers()) == MODULES


@pytest.mark.parametrize("module", MODULES)
def test_lower_modules_never_import_higher_ones(module: str) -> None:
    table = layers()
    higher = {name for name in imports_of(module) if table[name] > table[module]}
    assert not higher
    assert module not in {name for other in imports_of(module) for name in reach_of(other)}, "a circle"


def test_the_adapters_never_import_each_other() -> None:
    assert "to_wsgi" in MODULES
    assert "to_wsgi" not in reach_of("to_asgi")
    assert "to_asgi" not in reach_of("to_wsgi")
    shared = reach_of("to_asgi") & reach_of("to_wsgi")
    assert "errors" in shared, "the search finds what there is to find"
    assert max(layers()[name] for name in shared) < layers()["to_asgi"]


def test_the_exports() -> None:
    assert sorted(bridge.__all__) == bridge.__all__
    assert set(errors.__all__) | {"WsgiToAsgi", "AsgiToWsgi"} <= set(bridge.__all__)
    namespace: dict[str, object] = {}
    exec("from bridge import *", namespace)  # what a user gets
    for name in bridge.__all__:
        assert namespace[name] is getattr(bridge, name)
        assert getattr(bridge, name).__doc__
    assert re.fullmatch(r"\d+\.\d+\.\d+\w*", bridge.__version__)


@pytest.mark.parametrize("module", MODULES)
def test_each_module_says_what_it_is_and_what_it_gives(module: str) -> None:
    assert ast.get_docstring(ast.parse((PACKAGE / f"{module}.py").read_text()))
    if module == "_serve_target":
        return  # it is for the processes of ``bridge serve``, and says so when it is imported elsewhere
    loaded = importlib.import_module(f"bridge.{module}")
    for name in getattr(loaded, "__all__", []):
        assert hasattr(loaded, name)


def test_the_package_is_typed() -> None:
    assert (PACKAGE / "py.typed").is_file()


@pytest.mark.parametrize("name", errors.__all__)
def test_every_error_is_a_bridge_error_and_pickles(name: str) -> None:
    kind = getattr(errors, name)
    assert issubclass(kind, bridge.BridgeError)
    error = kind(4000, "what happened") if kind is bridge.ConnectionClosed else kind("what happened")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert str(copy) == str(error)
    assert "what happened" in str(copy)
    assert vars(copy) == vars(error)


def test_errors_are_what_frameworks_expect() -> None:
    assert issubclass(bridge.ClientDisconnected, ConnectionError)
    assert issubclass(bridge.RequestBodyTooLarge, OSError)
    assert issubclass(bridge.ApplicationError, RuntimeError)
    assert issubclass(bridge.ApplicationExit, bridge.ApplicationError)


START = """
import asyncio, sys, threading

def record(event, args):
    if event in {"socket.bind", "socket.connect", "subprocess.Popen", "os.fork", "tempfile.mkstemp"}:
        raise SystemExit(f"{event} {args}")

sys.addaudithook(record)
asyncio.new_event_loop = lambda: sys.exit("a loop was made")
import bridge
threads = threading.enumerate()
bridge.WsgiToAsgi(lambda environ, start_response: [])

async def app(scope, receive, send):
    pass

bridge.AsgiToWsgi(app)
bridge.AsgiToWsgi(app, loop="shared")
assert threading.enumerate() == threads == [threading.main_thread()], threading.enumerate()
unwanted = {"uvicorn", "gunicorn", "hypercorn", "concurrent.futures.process", "multiprocessing", "django", "bridge.cli"}
assert not unwanted & set(sys.modules), unwanted & set(sys.modules)
print("well")
"""


def test_import_and_construction_start_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-c", START],
        cwd=PACKAGE.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "well\n"), done.stderr


def test_the_adapters_pickle() -> None:
    def wsgi_app(environ: object, start_response: object) -> list[bytes]:
        return []

    async def asgi_app(scope: object, receive: object, send: object) -> None:
        pass

    to_asgi = pickle.loads(cloudpickle.dumps(bridge.WsgiToAsgi(wsgi_app, threads=3, request_body="stream")))
    assert (to_asgi.threads, to_asgi.request_body) == (3, "stream")
    assert to_asgi.app({}, None) == []
    for mode in ("request", "shared"):
        to_wsgi = pickle.loads(cloudpickle.dumps(bridge.AsgiToWsgi(asgi_app, loop=mode)))
        assert isinstance(to_wsgi, bridge.AsgiToWsgi)
