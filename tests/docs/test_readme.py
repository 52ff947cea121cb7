"""The README tells the truth: its snippets run, its commands exist, its links lead somewhere, as those of docs/ do."""

import inspect
import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from bridge import AsgiToWsgi, WsgiToAsgi
from tests.support.pages import Page, blocks
from tests.support.servers import REPOSITORY

README = (REPOSITORY / "README.md").read_text()


def shell_lines(name: str) -> list[str]:
    """Without their comments."""
    return [
        re.sub(r"\s+#.*", "", line)
        for block in blocks(REPOSITORY / name)
        if block.language == "sh"
        for line in block.text.splitlines()
    ]


SHELL = shell_lines("README.md")
CONTRIBUTING = shell_lines("CONTRIBUTING.md")


def test_a_reader_is_through_it_soon() -> None:
    assert len(README.splitlines()) <= 150


def test_it_does_what_it_says(page: Page) -> None:
    """By the rules of a page: its files, each on the server of the line below it, and what curl prints."""
    page.work_all(REPOSITORY / "README.md")


@pytest.mark.parametrize("server", ["uvicorn", "gunicorn"])
def test_the_site_of_both_apps_is_served_by_either_kind(server: str, page: Page) -> None:
    for block in blocks(REPOSITORY / "README.md"):
        if block.language == "python":
            page.work(block)
    with page.serve([server, "site_app:app"]).client() as client:
        assert client.get("/api/items").json() == ["a lamp"]
        assert client.post("/size", content=iter([b"x" * 100_000, b"y"])).json() == {"size": 100_001}
    assert 'prints `["a lamp"]` again' in README


@pytest.mark.parametrize("adapter", [WsgiToAsgi, AsgiToWsgi])
def test_the_options_are_those_of_the_signatures(adapter: type) -> None:
    table = (
        (REPOSITORY / "docs/options.md")
        .read_text()
        .split(f"\n## `{adapter.__name__}(app, ...)`")[1]
        .split("\n\n")[1]
    )
    documented = dict(re.findall(r"^\| `(\w+)` \| `(.*?)` \|", table, re.MULTILINE))
    options = [
        option
        for option in inspect.signature(adapter).parameters.values()
        if option.kind is option.KEYWORD_ONLY
    ]
    assert documented == {option.name: repr(option.default) for option in options}


def test_contributing_has_each_target() -> None:
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
    _, _, name, *others = shlex.split(line)
    requirement = Requirement(name)
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert requirement.name == project["name"]
    assert requirement.extras <= project["optional-dependencies"].keys()
    # All that the snippets import beside it.
    imports = set(re.findall(r"^from (\w+) import", "".join(snippets("python")), re.MULTILINE))
    assert set(others) == imports - {"bridge", "shop", "api"}
    # In a clone there is the same extra.
    assert f"`'.[{','.join(requirement.extras)}]'`" in README


def snippets(language: str) -> list[str]:
    return [block.text for block in blocks(REPOSITORY / "README.md") if block.language == language]


def test_every_shell_line_is_checked() -> None:
    assert {line.split()[0] for line in SHELL} == {"bridge", "gunicorn", "pip", "uvicorn"}


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
