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
from tests.layers import LAYERS, MODULES, PACKAGE, circles, imports_of, reach_of, unit_of


def test_each_module_is_in_a_layer() -> None:
    assert set().union(*LAYERS) == {unit_of(module) for module in MODULES}
    assert sum(map(len, LAYERS)) == len(set().union(*LAYERS)), "and in one alone"
    for unit in set().union(*LAYERS) - {"__init__", "__main__"}:
        assert re.search(rf"^{unit}\b|^[\w, ]*, {unit}\b", bridge.__doc__ or "", re.MULTILINE), (
            f"{unit}: the package doesn't say"
        )


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_from_lower_layers_and_its_own_folder_alone(module: str) -> None:
    own = next(layer for layer, units in enumerate(LAYERS) if unit_of(module) in units)
    allowed = {unit_of(module)}.union(*LAYERS[:own])
    assert {unit_of(other) for other in imports_of(module)} <= allowed


def test_nothing_goes_round_in_a_circle() -> None:
    assert not circles()


def test_the_adapters_never_import_each_other() -> None:
    of_asgi, of_wsgi = reach_of("to_asgi.adapter"), reach_of("to_wsgi.adapter")
    assert "to_wsgi" not in {unit_of(module) for module in of_asgi}
    assert "to_asgi" not in {unit_of(module) for module in of_wsgi}
    assert "errors" in of_asgi & of_wsgi, "the search finds what there is to find"


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
    assert ast.get_docstring(ast.parse(MODULES[module].read_text()))
    if module in {"cli.served", "check.served"}:
        return  # for the processes of ``bridge serve`` and ``check`` alone; they say so when imported elsewhere
    loaded = importlib.import_module(f"bridge.{module}".removesuffix(".__init__"))
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


#: Modules without a test file of their own name, and the one that shows what they do. The others are mirrored.
TESTED_ELSEWHERE = {
    # No more than names, constants, and the shapes of data.
    "errors": "test_package",
    "types": "typing/programs",
    "to_asgi.websocket.codes": "to_asgi/websocket/test_session_ends",
    "cli.errors": "cli/test_main",
    "cli.asked": "cli/test_sources",
    "check.model": "check/test_judge",
    # For the processes of servers.
    "cli.served": "integration/test_cli_servers",
    "cli.gunicorn": "integration/test_cli_servers",
    "check.served": "integration/test_check",
    "check.serving": "integration/test_check",
    "check.target": "integration/test_check",
    "check.look": "check/test_command",
    "check.parser": "check/test_command",
    "check.start": "integration/test_check",
    "check.inside": "integration/test_check",
    # Parts of one craft, which one file shows.
    "check.costs": "check/test_report",
    # What both loops run by, and what drives it: one test, each kind of loop.
    "to_wsgi.loop_run": "to_wsgi/test_own_loop",
    "to_wsgi.shared_loop": "to_wsgi/test_runtime",
}


@pytest.mark.parametrize("module", MODULES)
def test_each_module_has_its_test_file(module: str) -> None:
    """In the folder of ``tests/`` that mirrors its own: ``test_NAME.py``, or several ``test_NAME_*.py``."""
    tests = Path(__file__).parent
    folder, name = tests.joinpath(*module.split(".")[:-1]), module.rpartition(".")[2]
    if name.startswith("__"):
        return
    own = [folder / f"test_{name}.py", *folder.glob(f"test_{name}_*.py")]
    has_own = any(path.is_file() for path in own)
    elsewhere = TESTED_ELSEWHERE.get(module)
    assert has_own is (elsewhere is None)
    assert elsewhere is None or (tests / f"{elsewhere}.py").is_file()
