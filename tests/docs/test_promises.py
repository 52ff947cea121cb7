"""Each promise of the page names the tests that hold it, and these are there."""

import re

import pytest

from tests.support.pages import DOCS, functions_of
from tests.support.servers import REPOSITORY

#: A point, and the names of its tests: a comment, which a reader of the page does not see.
POINTS = [
    (point, re.findall(r"^ +(?:<!-- )?(tests/\S+)::(test_\w+)(?: -->)?$", point, re.MULTILINE))
    for point in re.findall(
        r"^- .*?(?=^- |^#|\Z)", (DOCS / "promises.md").read_text(), re.MULTILINE | re.DOTALL
    )
]


def test_there_are_points() -> None:
    assert len(POINTS) > 20


@pytest.mark.parametrize(("point", "tests"), POINTS, ids=[point[2:40] for point, _ in POINTS])
def test_a_promise_is_held_by_tests_that_exist(point: str, tests: list[tuple[str, str]]) -> None:
    assert tests, f"no test is named: {point}"
    assert len(tests) == point.count("tests/"), f"a line that names no test: {point}"
    for path, name in tests:
        assert name in functions_of(REPOSITORY / path), f"{path} has no {name}"
