"""The tables of ``SECURITY.md`` and of the page on security name tests that exist, and name all tests of security."""

import re

import pytest

from tests.support.pages import functions_of
from tests.support.servers import REPOSITORY

PAGES = ("SECURITY.md", "docs/guides/security.md")
#: The headings of the tables with tests.
HEADS = {"| promise | test |", "| rule | who keeps it | test |"}
KEEPERS = {"server", "bridge", "app"}


def rows(page: str) -> list[list[str]]:
    """The cells of the table with tests, row by row."""
    lines = iter((REPOSITORY / page).read_text().splitlines())
    assert any(line in HEADS for line in lines)
    next(lines)
    found = []
    for line in lines:
        if not line.startswith("|"):
            break
        found.append([cell.strip() for cell in line.strip("|").split(" | ")])
    return found


def named(cell: str) -> list[str]:
    return re.findall(r"`(tests/[^`]+)`", cell)


@pytest.mark.parametrize("page", PAGES)
def test_each_row_names_tests_that_exist(page: str) -> None:
    assert len(rows(page)) > 10
    for row in rows(page):
        tests = named(row[-1])
        # A rule that is not the bridge's may be nobody's test.
        assert tests or (row[-1].startswith("none: ") and "bridge" not in row[-2]), row
        for test in tests:
            file, _, name = test.partition("::")
            path = REPOSITORY / file
            assert path.name.startswith("test_"), test
            assert path.is_file(), test
            assert not name or name in functions_of(path), test
            assert functions_of(path)


def test_each_rule_has_somebody_who_keeps_it() -> None:
    for rule, keepers, _ in rows("docs/guides/security.md"):
        assert set(keepers.split(", ")) <= KEEPERS, rule


def test_each_file_of_tests_of_security_is_named() -> None:
    files = [
        *(REPOSITORY / "tests/security").glob("test_*.py"),
        *(REPOSITORY / "tests/integration").glob("test_security_*.py"),
    ]
    assert len(files) > 6
    tests = {test.partition("::")[0] for row in rows("docs/guides/security.md") for test in named(row[-1])}
    assert {str(path.relative_to(REPOSITORY)) for path in files} <= tests
