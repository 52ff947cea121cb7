"""What is worked out once for a name and then looked up: names of header fields, statuses, sets of keys.

Servers and applications use few names. Clients, and some applications, make names up: so no cache may grow with them,
keep what is long, or stop being one.
"""

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

__all__ = ["Learnt"]

_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V")


class Learnt(dict[_K, _V]):
    """``learnt[key]`` is what ``work_out(key)`` returns, or raises; a result is kept, an error is not.

    When it is full, it is emptied. So a client that fills it with made-up names costs the others little: each of
    their names is worked out once more. Several threads may add to it at once. If it is the same key, they add the
    same value; if it is full, it may exceed its bound by one entry for each of them.

    Args:
        work_out: a pure function.
        entries: how many are kept at most.
        longest: the size of a key that is kept.
        size: the size of a key; its length, unless it is made of others.
    """

    def __init__(
        self,
        work_out: Callable[[_K], _V],
        *,
        entries: int = 1024,
        longest: int = 64,
        size: Callable[[Any], int] = len,
    ) -> None:
        self.work_out = work_out
        self.entries = entries
        self.longest = longest
        self.size = size

    def __missing__(self, key: _K) -> _V:
        value = self.work_out(key)
        if self.size(key) <= self.longest:
            if len(self) >= self.entries:
                self.clear()
            self[key] = value
        return value
