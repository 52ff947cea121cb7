"""What is kept of names that clients and applications may make up."""

import threading
import tracemalloc

import pytest

from bridge.mapping.learnt import Learnt


def test_each_key_is_worked_out_once() -> None:
    asked: list[str] = []

    def upper(name: str) -> str:
        asked.append(name)
        return name.upper()

    learnt = Learnt(upper)
    assert [learnt[name] for name in ("a", "b", "a", "b")] == ["A", "B", "A", "B"]
    assert asked == ["a", "b"]


def test_an_error_is_raised_each_time_and_not_kept() -> None:
    learnt: Learnt[str, int] = Learnt(int)
    for _ in range(2):
        with pytest.raises(ValueError, match="invalid literal"):
            learnt["one"]
    assert not learnt


def test_what_is_empty_is_kept_as_well() -> None:
    asked: list[str] = []

    def nothing(name: str) -> str:
        asked.append(name)
        return ""

    learnt = Learnt(nothing)
    assert learnt["a"] == learnt["a"] == ""
    assert asked == ["a"]


def test_it_stays_within_its_bound_and_goes_on_learning() -> None:
    """A cache that takes nothing more when it is full is none for those who come after the one that filled it."""
    learnt = Learnt(str.upper, entries=10)
    for number in range(25):
        assert learnt[f"made-up-{number}"] == f"MADE-UP-{number}"
        assert len(learnt) <= 10
    assert "made-up-24" in learnt
    assert learnt["host"] == "HOST"
    assert "host" in learnt


def test_long_keys_are_not_kept() -> None:
    learnt = Learnt(str.upper, longest=4)
    assert (learnt["abcd"], learnt["abcde"]) == ("ABCD", "ABCDE")
    assert set(learnt) == {"abcd"}


def test_the_size_of_a_key_that_is_made_of_others() -> None:
    learnt: Learnt[tuple[str, ...], str] = Learnt(
        lambda keys: keys[0], longest=4, size=lambda keys: sum(map(len, keys))
    )
    assert learnt["ab", "cd"] == learnt["ab", "cde"] == "ab"
    assert set(learnt) == {("ab", "cd")}


def test_the_memory_of_made_up_keys_is_given_back() -> None:
    learnt = Learnt(str.upper, entries=100)
    tracemalloc.start()
    try:
        for number in range(1000):
            learnt[f"made-up-{number}"]
        first, _ = tracemalloc.get_traced_memory()
        for number in range(1000, 20_000):
            learnt[f"made-up-{number}"]
        last, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert last < first + 20_000


def test_threads_that_learn_at_once_get_the_same_and_pass_the_bound_by_their_number_at_most() -> None:
    together = threading.Barrier(8, timeout=30)
    inside = threading.Barrier(8, timeout=30)
    found: list[str] = []

    def upper(name: str) -> str:
        inside.wait()  # all have missed before the first one adds
        return name.upper()

    learnt = Learnt(upper, entries=4)

    def learn() -> None:
        together.wait()
        found.append(learnt["host"])

    threads = [threading.Thread(target=learn) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == ["HOST"] * 8
    assert len(learnt) <= 4 + 8
