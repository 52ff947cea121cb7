"""Which writes to a module's globals two threads can lose."""

from textwrap import dedent

import pytest

from bridge.check.source import shared_writes


def writes(source: str) -> set[tuple[str, str]]:
    return {(write.name, write.what) for write in shared_writes(dedent(source))}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("def f():\n global n\n n += 1", ("n", "rebound")),
        ("def f():\n global n\n n = n + 1", ("n", "rebound")),
        ("async def f():\n if x:\n  global n\n  n = x", ("n", "rebound")),
        ("class A:\n def f(self):\n  global n\n  n: int = 1", ("n", "rebound")),
        ("counts = {}\ndef f():\n counts['a'] += 1", ("counts", "changed")),
        ("site = Site()\ndef f():\n site.visits += 1", ("site", "changed")),
    ],
)
def test_what_is_a_write(source: str, found: tuple[str, str]) -> None:
    assert writes(source) == {found}


@pytest.mark.parametrize(
    "source",
    [
        "n = 0\nn += 1",
        "n = 0\ndef f():\n n = 1",
        "n = 0\ndef f():\n global n\n with lock:\n  n += 1",
        "n = 0\nasync def f():\n global n\n async with lock:\n  n += 1",
        "def f():\n global n\n return n",
        "cache = {}\ndef f():\n cache['a'] = 1",
        "rows = []\ndef f():\n rows.append(1)",
        "counts = {}\ndef f():\n counts = {}\n counts['a'] += 1",
        "counts = {}\ndef f(counts):\n counts['a'] += 1",
        "counts = {}\ndef f():\n with lock:\n  counts['a'] += 1",
        "def f():\n self.n += 1",
        "this is not Python",
    ],
)
def test_what_is_none(source: str) -> None:
    assert writes(source) == set()


def test_where() -> None:
    (write,) = shared_writes("n = 0\n\ndef f():\n    global n\n    n += 1\n")
    assert (write.function, write.line) == ("f", 5)
