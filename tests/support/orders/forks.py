"""What a child made by ``fork()`` has of an object that another thread is at work on."""

import copy
from collections import deque
from typing import Any, TypeVar

from .scheduler import Order
from .stand_ins import Gate, Lock

__all__ = ["at_each_touch", "forked"]

T = TypeVar("T")


def forked(thing: T) -> T:
    """Return it as it is now. Nobody in the child gives a lock back that is taken."""
    child = copy.copy(thing)
    fields = vars(child)
    fields.update({name: _copied(value) for name, value in fields.items()})
    return child


def _copied(value: Any) -> Any:
    if isinstance(value, Gate):
        gate = copy.copy(value)
        gate._items = value._items[:]
        return gate  # the thread that sleeps there is the parent's
    if isinstance(value, (list, deque)):
        return type(value)(map(_copied, value))
    return copy.copy(value) if isinstance(value, (Lock, dict, set)) else value


def at_each_touch(kind: type[T], order: Order) -> type[T]:
    """Return ``kind`` with a step at each touch of a field, under its lock too: the process may fork there."""

    class Touched(kind):  # type: ignore[valid-type,misc]  # a class that is a parameter
        def __getattribute__(self, name: str) -> Any:
            if name in object.__getattribute__(self, "__dict__"):
                order.pause()
            return object.__getattribute__(self, name)

        def __setattr__(self, name: str, value: Any) -> None:
            order.pause()
            super().__setattr__(name, value)

    return Touched
