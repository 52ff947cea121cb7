"""The README tells the truth: its snippets run, its commands exist, its links lead somewhere, as those of docs/ do."""

import inspect
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from bridge import AsgiToWsgi, WsgiToAsgi
from tests.conftest import StartServer
from tests.support.servers import REPOSITORY, RunningServer, ServerKind, free_port
from tests.support.versions import NO_CONTROL_SOCKET

README = (REPOSITORY / "README.md").read_text()


def snippets(language: str, text: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def shell_lines(text: str) -> list[str]:
    """Without their comments."""
    return [re.sub(r"\s+#.*", "", line) for block in snippets("sh", text) for line in block.splitlines()]


SHELL = shell_lines(README)
CONTRIBUTING = shell_lines((REPOSITORY / "CONTRIBUTING.md").read_text())


def serve(number: int, *, kind: str, start_server: StartServer, directory: Path) -> RunningServer:
    """The Python snippet of this number, as a module of its own, on a real server."""
    name = f"readme_snippet_{number}"
    (directory / f"{name}.py").write_text(snippets("python")[number])
    return start_server(kind, f"{name}:app", environ={"PYTHONPATH": f"{directory}:{REPOSITORY}"})


def test_a_reader_is_through_it_soon() -> None:
    assert len(README.splitlines()) <= 150


def test_there_are_three_python_snippets() -> None:
    assert len(snippets("python")) == 3


def test_the_flask_snippet(start_server: StartServer, tmp_path: Path) -> None:
    server = serve(0, kind="uvicorn-h11", start_server=start_server, directory=tmp_path)
    with server.client() as client:
        assert client.post("/size", content=iter([b"x" * 100_000, b"y"])).json() == {"size": 100_001}


def test_the_fastapi_snippet(start_server: StartServer, tmp_path: Path) -> None:
    server = serve(1, kind="gunicorn-sync", start_server=start_server, directory=tmp_path)
    with server.client() as client:
        assert client.get("/").json() == {"hello": "world"}


@pytest.mark.parametrize("kind", ["uvicorn-h11", "gunicorn-sync"])
def test_the_dispatcher_snippet(kind: str, start_server: StartServer, tmp_path: Path) -> None:
    server = serve(2, kind=kind, start_server=start_server, directory=tmp_path)
    with server.client() as client:
        assert client.get("/").text == "the old page"
        assert client.get("/api/items").json() == ["from the new API"]


@pytest.mark.parametrize("adapter", [WsgiToAsgi, AsgiToWsgi])
def test_the_options_are_those_of_the_signatures(adapter: type) -> None:
    table = (
        (REPOSITORY / "docs/options.md")
        .read_text()
        .split(f"\n`{adapter.__name__}(app, ...)`")[1]
        .split("\n\n")[1]
    )
    documented = dict(re.findall(r"^\| `(\w+)` \| `(.*?)` \|", table, re.MULTILINE))
    options = [
        option
        for option in inspect.signature(adapter).parameters.values()
        if option.kind is option.KEYWORD_ONLY
    ]
    assert documented == {option.name: repr(option.default) for option in options}


@pytest.mark.parametrize("line", [line for line in SHELL if line.startswith("bridge ")])
def test_the_bridge_commands_serve_the_app(line: str, tmp_path: Path) -> None:
    """Each as it is written, on a port of its own; at the end nothing of it is left."""
    words = shlex.split(line)
    port = free_port()
    # The server's own options are behind --.
    own = words.index("--") if "--" in words else len(words)
    quiet = ["--", *NO_CONTROL_SOCKET] if "gunicorn" in words else []
    command = [sys.executable, "-m", *words[:own], "--port", str(port), *words[own:], *quiet]
    log_path = tmp_path / "log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            command, cwd=REPOSITORY, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    kind = ServerKind("bridge-serve", "asgi", tuple(command), tcp=())
    server = RunningServer(kind, words[2], "127.0.0.1", port, None, log_path, process)
    try:
        server.wait_until_accepting()
        with server.client() as client:
            answer = client.get("/").raise_for_status()
        assert ("Hello from the lifespan" if "fastapi" in words[2] else "A Flask app") in answer.text
    finally:
        server.stop()


def test_the_make_lines_are_targets() -> None:
    assert {line for line in SHELL if line.startswith("make ")} <= set(CONTRIBUTING)
    lines = [shlex.split(line) for line in CONTRIBUTING]
    listed = subprocess.run(["make"], cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=True)
    targets = [line.split()[0] for line in listed.stdout.splitlines() if line.startswith("  ")]
    # What make lists for itself, but for the list and what only cleans up.
    assert [target for _, target in lines] == [name for name in targets if name not in {"help", "clean"}]
    for _, target in lines:
        # Asks for a target without making it: 0 or 1, up to date or not; 2: there is none.
        done = subprocess.run(
            ["make", "--question", target],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode in {0, 1}, done.stderr


def test_what_pip_installs_is_this_package_with_an_extra_that_it_has() -> None:
    (line,) = [line for line in SHELL if line.startswith("pip ")]
    requirement = Requirement(shlex.split(line)[-1])
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert requirement.name == project["name"]
    assert requirement.extras <= project["optional-dependencies"].keys()


def test_every_shell_line_is_checked() -> None:
    assert {line.split()[0] for line in SHELL} == {"bridge", "make", "pip"}


PAGES = [
    REPOSITORY / "README.md",
    REPOSITORY / "CONTRIBUTING.md",
    *sorted((REPOSITORY / "docs").rglob("*.md")),
]


def headings(path: Path) -> set[str]:
    return {
        re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_links_lead_to_files(page: Path) -> None:
    for link in re.findall(r"\]\((?!http)([^)]+)\)", page.read_text()):
        target, _, heading = link.partition("#")
        path = page.parent / target if target else page
        assert path.is_file(), link
        assert not heading or heading in headings(path), link


def test_every_example_is_linked() -> None:
    paths = [*(REPOSITORY / "examples").glob("*.py"), *(REPOSITORY / "examples").glob("*/site.py")]
    assert {path.relative_to(REPOSITORY).as_posix() for path in paths} == set(
        re.findall(r"\]\((examples/[^)]+)\)", README)
    )
