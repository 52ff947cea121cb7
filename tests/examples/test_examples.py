"""Each example runs as its own first lines say: the server of its command line, then each client's line."""

import ast
import hashlib
import json
import shlex
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import StartServer
from tests.support.examples import Example, lines_of
from tests.support.servers import REPOSITORY

EXAMPLES = sorted({*(REPOSITORY / "examples").glob("*.py"), REPOSITORY / "examples/migration/site.py"})
INSTALL = "pip install '.[serve]' "
#: Has a section of its own on what it needs, for it is in no environment of the tests.
APART = {"ray_serve"}


def imported(path: Path) -> set[str]:
    """Top-level modules that a file, or one of the same package beside it, imports from elsewhere."""
    names: set[str] = set()
    beside = path.parent.glob("*.py") if (path.parent / "__init__.py").exists() else [path]
    for file in beside:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                names |= {name.name.partition(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module is not None:
                names.add(node.module.partition(".")[0])
    return names - set(sys.stdlib_module_names) - {"bridge"}


def installed_by(words: list[str]) -> set[str]:
    """The distributions that these need as well, themselves included, as far as they are installed here."""
    found: set[str] = set()
    waiting = [canonicalize_name(word) for word in words]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        try:
            requirements = [Requirement(text) for text in metadata.requires(name) or ()]
        except metadata.PackageNotFoundError:
            continue
        waiting += [
            canonicalize_name(requirement.name)
            for requirement in requirements
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        ]
    return found


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_it_says_what_it_needs(path: Path) -> None:
    if path.stem in APART:
        assert "pip install" in path.read_text()
        return
    install, *_ = lines_of(path)
    assert install.startswith(INSTALL)
    there = installed_by(shlex.split(install.removeprefix(INSTALL)))
    distributions = metadata.packages_distributions()
    for module in imported(path):
        assert there & {canonicalize_name(name) for name in distributions[module]}, module


LICENSE = (REPOSITORY / "LICENSE").read_bytes()
LICENSE_DIGEST = hashlib.sha256(LICENSE).hexdigest()


def test_sse(start_server: StartServer) -> None:
    example = Example("sse", start_server)
    (line,) = example.lines
    events = example.run_until(line, "id: 2\n").split("\n\n")
    assert [event.split("\n")[0] for event in events] == ["id: 0", "id: 1", "id: 2"]
    example.server.wait_for_log("a client has left the events")


def test_upload(start_server: StartServer, tmp_path: Path) -> None:
    example = Example("upload", start_server)
    (line,) = example.lines
    assert json.loads(example.run(line)) == {
        "name": "LICENSE",
        "size": len(LICENSE),
        "sha256": LICENSE_DIGEST,
    }
    large = tmp_path / "LICENSE"
    large.write_bytes(b"0123456789abcdef" * 2**20)
    answer = json.loads(example.run(line, "--header", "Transfer-Encoding: chunked", directory=tmp_path))
    assert answer["sha256"] == hashlib.sha256(large.read_bytes()).hexdigest()


def test_django(start_server: StartServer, tmp_path: Path) -> None:
    example = Example("django_app", start_server, {"DJANGO_DATABASE": str(tmp_path / "sessions.sqlite3")})
    (line,) = example.lines
    example.run(line, directory=tmp_path)
    rows = (tmp_path / "numbers.csv").read_text().splitlines()
    assert (len(rows), rows[0], rows[-1]) == (100_001, "number,square", "99999,9999800001")

    with example.server.client() as client:
        assert "None yet." in client.get("/").text
        assert client.post("/", data={"text": "without the token"}).status_code == 403
        for text in ("first", "sécond"):
            form = {"text": text, "csrfmiddlewaretoken": client.cookies["csrftoken"]}
            assert client.post("/", data=form).status_code == 302
        page = client.get("/").text
        assert "<li>first</li><li>sécond</li>" in page
    with example.server.client() as other:
        assert "None yet." in other.get("/").text


def test_fastapi(start_server: StartServer) -> None:
    example = Example("fastapi_app", start_server)
    index, countdown, upload = example.lines
    assert json.loads(example.run(index)) == {"greeting": "Hello from the lifespan"}
    example.server.wait_for_log("after the response")
    assert example.run(countdown) == "3\n2\n1\nLift-off!\n"
    assert json.loads(example.run(upload)) == {
        "name": "LICENSE",
        "size": len(LICENSE),
        "sha256": LICENSE_DIGEST,
    }
    example.server.stop()
    assert "the lifespan has ended" in example.server.log()


def test_django_asgi(start_server: StartServer) -> None:
    example = Example("django_asgi", start_server)
    index, together, countdown, sync = example.lines
    asynchronous, synchronous = json.loads(example.run(index)), json.loads(example.run(sync))
    assert asynchronous["request"] == synchronous["request"] == "ASGIRequest"
    assert asynchronous["thread"] != synchronous["thread"]
    assert json.loads(example.run(together)) == {"as they came": ["third", "second", "first"]}
    assert example.run(countdown) == "3\n2\n1\nLift-off!\n"
