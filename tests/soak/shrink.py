"""Making a failure smaller: fewer scenarios that still fail."""

from collections.abc import Callable, Sequence
from typing import TypeVar

__all__ = ["shrink"]

T = TypeVar("T")


def shrink(items: Sequence[T], fails: Callable[[Sequence[T]], bool], tries: int) -> list[T]:
    """A part of ``items`` that still fails, by leaving out halves, then quarters, and so on.

    Args:
        items: what fails.
        fails: whether a part of it does. It is never asked about all of them.
        tries: how often it is asked at most. A failure that comes by chance may be missed; the part is no smaller
            then than it could be, and never one that was not seen to fail.
    """
    left = list(items)
    size = len(left) // 2
    while size and tries:
        smaller = False
        for offset in range(0, len(left), size):
            if not tries:
                break
            part = left[:offset] + left[offset + size :]
            if not part:
                continue
            tries -= 1
            if fails(part):
                left, smaller = part, True
                break
        if not smaller:
            size //= 2
        size = min(size, len(left) // 2)
    return left
