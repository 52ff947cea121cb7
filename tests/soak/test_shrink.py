"""A failure is made smaller, within a number of tries."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from tests.soak.shrink import shrink


@given(
    st.integers(1, 200).flatmap(
        lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1), min_size=1, max_size=4))
    )
)
def test_with_enough_tries_what_it_takes_is_left_and_nothing_else(case: tuple[int, set[int]]) -> None:
    size, guilty = case

    def fails(items: Sequence[int]) -> bool:
        return guilty <= set(items)

    assert shrink(range(size), fails, 10_000) == sorted(guilty)


def test_what_was_not_seen_to_fail_is_not_left_out() -> None:
    assert shrink(range(5), lambda items: False, 100) == [0, 1, 2, 3, 4]
    assert shrink([1], lambda items: True, 100) == [1]


def test_it_ends_after_so_many_tries() -> None:
    asked: list[int] = []

    def fails(items: Sequence[int]) -> bool:
        asked.append(len(items))
        return 77 in items

    left = shrink(range(100), fails, 3)
    assert len(asked) == 3
    assert 77 in left
    assert len(left) < 100
