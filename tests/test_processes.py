"""Whether other processes serve the app, as this process knows it; with real servers in tests/integration."""

import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from bridge import processes
from bridge.mapping.environ import build_environ
from tests.support.asgi import http_scope


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is known yet, and it is a process of no server."""
    for name, value in (("_declared", None), ("_forked", False), ("_answer", None)):
        monkeypatch.setattr(processes, name, value)
    monkeypatch.delenv("SERVER_SOFTWARE", raising=False)
    monkeypatch.setitem(sys.modules, "multiprocessing.process", None)


def asked() -> bool:
    known = processes.is_one_of_several()
    assert build_environ(http_scope())["wsgi.multiprocess"] is known
    return bool(known)


def child_with(monkeypatch: pytest.MonkeyPatch, **arguments: Any) -> None:
    """This process is a child of ``multiprocessing``, with such arguments."""
    child = SimpleNamespace(_kwargs=arguments)
    process = SimpleNamespace(parent_process=object, current_process=lambda: child)
    monkeypatch.setitem(sys.modules, "multiprocessing.process", process)


def test_a_process_that_nobody_has_made_for_the_purpose_serves_alone() -> None:
    assert asked() is False


@pytest.mark.parametrize(
    ("config", "several"),
    [
        ({"workers": 1}, False),
        ({"workers": 2}, True),
        ({"workers": 0}, False),
        ({"workers": 4, "should_reload": True}, False),
        ({"workers": None}, True),
        ({}, True),
    ],
)
def test_a_child_has_the_servers_configuration(
    monkeypatch: pytest.MonkeyPatch, config: dict[str, Any], several: bool
) -> None:
    child_with(monkeypatch, config=SimpleNamespace(**config))
    assert asked() is several


def test_a_child_that_is_told_nothing_can_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    child_with(monkeypatch)
    assert asked() is True


def test_gunicorns_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVER_SOFTWARE", "gunicorn/23.0.0")
    assert asked() is True


@pytest.mark.parametrize("several", [True, False])
def test_who_knows_says_it_before_or_after_the_first_request(
    monkeypatch: pytest.MonkeyPatch, several: bool
) -> None:
    child_with(monkeypatch, config=SimpleNamespace(workers=1 if several else 2))
    assert asked() is not several
    processes.declare(several)
    assert asked() is several


def test_it_is_found_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked() is False
    monkeypatch.setattr(processes, "_find_out", None)  # an error, were it called
    assert asked() is False


FORKING = """
import os, sys
from bridge import processes

assert processes.is_one_of_several() is False
if sys.argv[1:]:
    processes.declare(False)
if (child := os.fork()) == 0:
    os._exit(10 if processes.is_one_of_several() else 11)
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
assert processes.is_one_of_several() is False
sys.exit(status)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize(("declared", "status"), [([], 10), (["declared"], 11)])
def test_a_fork_is_another_process_unless_it_is_known_better(declared: list[str], status: int) -> None:
    done = subprocess.run([sys.executable, "-c", FORKING, *declared], timeout=60, check=False)
    assert done.returncode == status
