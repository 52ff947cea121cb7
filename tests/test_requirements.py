"""The locks of requirements/: complete, verifiable, and in agreement with pyproject.toml."""

import os
import re
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

REPOSITORY = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
VERSIONS = [line.rpartition(" ")[2] for line in PROJECT["project"]["classifiers"] if "Python :: 3." in line]
GROUPS: dict[str, list[str | dict[str, str]]] = PROJECT["dependency-groups"]
EXTRAS: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]
INSTALLED = [*PROJECT["project"]["dependencies"], *EXTRAS["serve"], *EXTRAS["websocket"]]


def group(name: str) -> Iterator[str]:
    for entry in GROUPS[name]:
        if isinstance(entry, str):
            yield entry
        else:
            yield from group(entry["include-group"])


#: Lock -> what pyproject.toml says of it.
LOCKS = {
    "test": [*INSTALLED, *group("test")],
    "examples": [*INSTALLED, *group("examples")],
    "uv": [*group("lock")],
}


def text_of(lock: str) -> str:
    return (REPOSITORY / "requirements" / f"{lock}.txt").read_text()


def pins_of(lock: str, version: str) -> dict[str, str]:
    """Name -> version, of what is installed on CPython ``version`` on Linux."""
    pins: dict[str, str] = {}
    environment = {
        "python_version": version,
        "python_full_version": f"{version}.0",
        "sys_platform": "linux",
        "platform_python_implementation": "CPython",
        "implementation_name": "cpython",
    }
    for line in re.findall(r"^[^ #\n].*(?=\\$)", text_of(lock), re.MULTILINE):
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate(environment):
            (specifier,) = requirement.specifier
            assert specifier.operator == "=="
            assert requirement.name not in pins, f"{requirement.name} is pinned twice"
            pins[requirement.name] = specifier.version
    return pins


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_pins_what_pyproject_asks_for(lock: str, version: str) -> None:
    pins = pins_of(lock, version)
    asked = [Requirement(line) for line in LOCKS[lock]]
    assert asked
    for requirement in asked:
        name = canonicalize_name(requirement.name)
        assert requirement.specifier.contains(pins[name]), f"{requirement}: run make lock"


@pytest.mark.parametrize("version", VERSIONS)
def test_the_examples_run_on_what_was_tested(version: str) -> None:
    assert pins_of("examples", version).items() <= pins_of("test", version).items()


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_digests_and_no_index(lock: str) -> None:
    lines = [line for line in text_of(lock).splitlines() if not line.lstrip().startswith("#")]
    blocks = [block for block in "\n".join(lines).replace("\\\n", " ").splitlines() if block]
    assert len(blocks) == sum("==" in line for line in lines)
    for block in blocks:
        assert re.fullmatch(r"[a-z0-9.-]+==\S+( ; [^;]+?)?(\s+--hash=sha256:[0-9a-f]{64})+", block), block


BOUNDS = sorted(
    {
        *PROJECT["project"]["dependencies"],
        *(line for extra in EXTRAS.values() for line in extra),
        # Types are read by make check alone.
        *(line for line in group("test") if not line.startswith("types-")),
    }
)


@pytest.mark.parametrize("line", BOUNDS)
def test_a_requirement_has_a_lower_bound(line: str) -> None:
    assert lower_bound(Requirement(line)) is not None


@pytest.mark.skipif(
    os.environ.get("RESOLUTION") != "lowest-direct", reason="make test-oldest installs the lower bounds"
)
@pytest.mark.parametrize("line", BOUNDS)
def test_the_oldest_run_is_on_the_lower_bound(line: str) -> None:
    """Another requirement may ask for more: then nothing has been tried with what pyproject.toml says."""
    requirement = Requirement(line)
    if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
        pytest.skip("not for this machine")
    reached = Version(metadata.version(requirement.name))
    assert reached == lower_bound(requirement), f"raise the bound to {reached}, or let it be reached"


def lower_bound(requirement: Requirement) -> Version | None:
    """Return the version of ``>=``."""
    bounds = [Version(each.version) for each in requirement.specifier if each.operator == ">="]
    return max(bounds, default=None)


def test_make_knows_the_versions_of_python() -> None:
    makefile = (REPOSITORY / "Makefile").read_text()
    assert f"\nVERSIONS := {' '.join(VERSIONS)}\n" in makefile
    assert VERSIONS[0] == PROJECT["project"]["requires-python"].removeprefix(">=")
