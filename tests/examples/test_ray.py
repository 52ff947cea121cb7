"""``examples/ray_serve.py`` on Ray Serve, on this machine: two replicas of each app, and one that is drained.

Ray is not in the tests' environment; ``make test-ray`` has it.
"""

import importlib
import sys
import threading
import types
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import websockets.sync.client

from bridge import Dispatcher, WsgiToAsgi
from tests.support.examples import lines_of
from tests.support.pages import DOCS, blocks
from tests.support.processes import alive
from tests.support.servers import REPOSITORY, free_port, poll

pytestmark = [
    pytest.mark.skipif(
        find_spec("ray") is None,
        reason="Ray is not installed, or has no wheel for this Python: make test-ray",
    ),
    # Ray and what it imports leave descriptors to the garbage collector, and use what is deprecated.
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.timeout(300),
]

#: Seconds, against hanging: Ray starts a process for each replica.
PATIENCE = 120


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Ray's proxy, with the two apps of the example behind it; nothing of Ray is left at the end."""
    import ray
    from ray import serve

    before = set(psutil.Process().children(recursive=True))
    port = free_port()
    ray.init(
        # A replica asks for one processor: there have to be enough, in number alone.
        num_cpus=8,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": str(REPOSITORY)}},
    )
    try:
        serve.start(http_options={"host": "127.0.0.1", "port": port})
        deploy("shop", "/shop")
        deploy("site", "/")
        yield f"http://127.0.0.1:{port}"
    finally:
        started = set(psutil.Process().children(recursive=True)) - before
        serve.shutdown()
        ray.shutdown()
    poll(lambda: not alive(started), PATIENCE, lambda: f"left of Ray: {alive(started)}")


def load_example() -> types.ModuleType:
    """The example, by the name by which the replicas import it."""
    return importlib.import_module("examples.ray_serve")


def deploy(name: str, prefix: str) -> None:
    from ray import serve

    serve.run(getattr(load_example(), name), name=name, route_prefix=prefix)


def answers(url: str, path: str, key: str, wanted: int) -> set[Any]:
    """What ``key`` is in the answers until there are ``wanted`` different ones, each asked for on a new connection."""
    seen: set[Any] = set()

    def all_seen() -> bool:
        answer = httpx.get(f"{url}{path}", timeout=PATIENCE, trust_env=False)
        seen.add(answer.raise_for_status().json()[key])
        return len(seen) >= wanted

    poll(all_seen, PATIENCE, lambda: f"{key}: {seen}")
    return seen


def states(name: str) -> dict[str, int]:
    """How many replicas of the app's deployment are in which state."""
    from ray import serve

    (deployment,) = serve.status().applications[name].deployments.values()
    return {str(getattr(state, "value", state)): count for state, count in deployment.replica_states.items()}


def command_lines() -> list[list[str]]:
    """Those of the example's first lines that start it."""
    lines = lines_of(REPOSITORY / "examples/ray_serve.py")
    return [line.split() for line in lines if line.startswith("serve run ")]


def test_its_first_lines_serve_what_it_has() -> None:
    from ray.serve import Application

    example = load_example()
    assert command_lines() == [["serve", "run", f"examples.ray_serve:{name}"] for name in ("shop", "site")]
    assert isinstance(example.shop, Application)
    assert isinstance(example.site, Application)
    assert isinstance(example.make_shop(), WsgiToAsgi)
    assert isinstance(example.make_site(), Dispatcher)


def test_the_guide_s_code_makes_deployments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it says beside the example: with the example's apps in the place of the reader's."""
    from ray.serve import Application, Deployment

    page = blocks(DOCS / "guides/ray.md")
    files = {
        "shop": "from examples.ray_serve import flask_app",
        "new_api": "from examples.ray_serve import api",
        "guide_of_ray": "\n".join(block.text for block in page if block.language == "python"),
    }
    monkeypatch.syspath_prepend(tmp_path)
    for name, text in files.items():
        (tmp_path / f"{name}.py").write_text(text)
        # So that they are taken away again.
        monkeypatch.setitem(sys.modules, name, importlib.import_module(name))
    made = vars(sys.modules["guide_of_ray"])
    assert isinstance(made["shop"], Application)
    assert isinstance(made["site"], Application)
    assert isinstance(made["ScaledShop"], Deployment)
    assert made["ScaledShop"].options(graceful_shutdown_timeout_s=40, graceful_shutdown_wait_loop_s=2)
    (shell,) = [block.text for block in page if block.language == "sh"]
    assert [line.split() for line in shell.splitlines()] == command_lines()


def test_both_replicas_of_the_flask_app_answer_each_with_a_state_of_its_own(url: str) -> None:
    assert len(answers(url, "/shop/", "process", 2)) == 2
    assert len(answers(url, "/shop/", "replica", 2)) == 2
    assert answers(url, "/shop/", "multiprocess", 1) == {False}, "docs/guides/ray.md says so"
    assert states("shop") == {"RUNNING": 2}
    # A worker of the bridge's, not Ray's own thread; and the counts of the two are apart.
    with httpx.Client(base_url=f"{url}/shop", timeout=PATIENCE, trust_env=False) as client:
        last: dict[str, int] = {}
        for _ in range(10):
            answer = client.get("/").raise_for_status().json()
            assert answer["thread"].startswith("bridge")
            assert answer["visits"] == last.get(answer["replica"], answer["visits"] - 1) + 1
            last[answer["replica"]] = answer["visits"]


def test_a_stream_and_an_upload_pass(url: str) -> None:
    with httpx.Client(base_url=f"{url}/shop", timeout=PATIENCE, trust_env=False) as client:
        assert client.get("/countdown").text == "3\n2\n1\nLift-off!\n"
        assert client.post("/size", content=b"x" * 1_000_000).json() == {"size": 1_000_000}


def test_the_dispatcher_has_both_its_apps_on_both_replicas(url: str) -> None:
    assert len(answers(url, "/", "process", 2)) == 2
    # The lifespan ran once in each.
    assert len(answers(url, "/api/", "opened", 2)) == 2
    assert answers(url, "/api/", "replica", 2) == answers(url, "/", "replica", 2)


def test_a_replica_that_is_replaced_ends_when_its_last_request_has(url: str) -> None:
    """A WebSocket holds it, so that the test says when that is."""
    before = answers(url, "/shop/", "replica", 2)
    replacing = threading.Thread(target=deploy, args=("shop", "/shop"))
    with websockets.sync.client.connect(
        f"ws{url.removeprefix('http')}/shop/echo", open_timeout=PATIENCE, proxy=None
    ) as socket:
        socket.send("before")
        replica, _, word = str(socket.recv(timeout=PATIENCE)).partition(": ")
        assert (replica in before, word) == (True, "before")
        replacing.start()
        # The two new ones run, and of the old ones that which has the WebSocket is left.
        poll(lambda: states("shop") == {"RUNNING": 2, "STOPPING": 1}, PATIENCE, lambda: str(states("shop")))
        assert not before & answers(url, "/shop/", "replica", 2)
        socket.send("in between")
        assert str(socket.recv(timeout=PATIENCE)) == f"{replica}: in between"
    replacing.join(PATIENCE)
    assert not replacing.is_alive()
    poll(lambda: states("shop") == {"RUNNING": 2}, PATIENCE, lambda: str(states("shop")))
