"""The README tells the truth: its snippets run, its options are the signatures', its commands exist."""

import inspect
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from bridge import AsgiToWsgi, WsgiToAsgi
from tests.conftest import StartServer
from tests.support.servers import REPOSITORY, RunningServer

README = (REPOSITORY / "README.md").read_text()


def snippets(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def serve(number: int, kind: str, start_server: StartServer, directory: Path) -> RunningServer:
    """The Python snippet of this number, as a module of its own, on a real server."""
    name = f"readme_snippet_{number}"
    (directory / f"{name}.py").write_text(snippets("python")[number])
    return start_server(kind, f"{name}:app", environ={"PYTHONPATH": f"{directory}:{REPOSITORY}"})


def test_there_are_two_python_snippets() -> None:
    assert len(snippets("python")) == 2


def test_the_flask_snippet(start_server: StartServer, tmp_path: Path) -> None:
    server = serve(0, "uvicorn-h11", start_server, tmp_path)
    with server.client() as client:
        assert client.post("/size", content=iter([b"x" * 100_000, b"y"])).json() == {"size": 100_001}


def test_the_fastapi_snippet(start_server: StartServer, tmp_path: Path) -> None:
    server = serve(1, "gunicorn-sync", start_server, tmp_path)
    with server.client() as client:
        assert client.get("/").json() == {"hello": "world"}


@pytest.mark.parametrize("adapter", [WsgiToAsgi, AsgiToWsgi])
def test_the_options_are_those_of_the_signatures(adapter: type) -> None:
    table = README.split(f"`{adapter.__name__}(app, ...)`:")[1].split("\n\n")[1]
    documented = dict(re.findall(r"^\| `(\w+)` \| `(.*?)` \|", table, re.MULTILINE))
    options = [
        option
        for option in inspect.signature(adapter).parameters.values()
        if option.kind is option.KEYWORD_ONLY
    ]
    assert documented == {option.name: repr(option.default) for option in options}


def test_the_bridge_commands_are_understood() -> None:
    """Each line of ``bridge serve`` with ``--help`` added: parsed by the program itself, up to there."""
    lines = [line for block in snippets("sh") for line in block.splitlines() if line.startswith("bridge ")]
    assert len(lines) == 3
    for line in lines:
        words = shlex.split(line, comments=True)
        command = [sys.executable, "-m", *words, "--help"]
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=True)
        assert "usage: bridge serve" in done.stdout


def test_the_make_targets_exist() -> None:
    targets = re.findall(r"^make ([\w-]+)", "\n".join(snippets("sh")), re.MULTILINE)
    assert targets == ["run", "test", "check", "test-all", "bench"]
    makefile = (REPOSITORY / "Makefile").read_text()
    assert [target for target in targets if f"\n{target}:" not in makefile] == []


def test_links_lead_to_files() -> None:
    for target in re.findall(r"\]\((?!http)([^)]+)\)", README):
        assert (REPOSITORY / target).is_file(), target
