"""Who may touch which field of an object, as its module says; in every order that is explored.

Without that, a step could not go from one lock to the next: a field that two threads touch without a lock would be seen
in between. And it is what a build without the GIL needs.
"""

from dataclasses import dataclass, field
from typing import Any, TypeVar

from .scheduler import Order

__all__ = ["Fields", "guarded"]


@dataclass(frozen=True)
class Fields:
    """The fields of a class. Those that are not here are guarded by the lock in the field ``lock``."""

    lock: str
    #: By a thread's name: its own.
    owned: dict[str, frozenset[str]] = field(default_factory=dict)
    #: Set before any other thread has the object.
    constant: frozenset[str] = frozenset()
    #: Touched with and without the lock. Without it, to touch one is a step.
    free: frozenset[str] = frozenset()
    #: As ``free``, and those that do so without the lock only read it.
    read: frozenset[str] = frozenset()


T = TypeVar("T")


def guarded(kind: type[T], fields: Fields, order: Order) -> type[T]:
    """Return ``kind`` with each field watched: to touch one without the right fails."""
    owner = {name: thread for thread, names in fields.owned.items() for name in names}
    names = {name for base in kind.__mro__ for name in getattr(base, "__slots__", ())}

    def look(self: Any, name: str, *, writes: bool) -> None:
        actor = order.actor()
        if actor is None or order.over or order.looking or name in fields.constant or name == fields.lock:
            return
        if not object.__getattribute__(self, "_guarded_from_here"):
            return
        if name in owner:
            if actor.name != owner[name]:
                order.fail(f"{actor.name} touches {name}, which is of {owner[name]}")
            return
        lock = object.__getattribute__(self, fields.lock)
        if getattr(lock, "lock", lock).holder is actor:
            return
        if name in fields.free or (name in fields.read and not writes):
            order.pause()
            return
        order.fail(f"{actor.name} touches {name} without {fields.lock}")

    class Guarded(kind):  # type: ignore[valid-type,misc]  # a class that is a parameter
        # No other thread has it before it is made.
        _guarded_from_here = False

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            object.__setattr__(self, "_guarded_from_here", True)

        def __getattribute__(self, name: str) -> Any:
            value = object.__getattribute__(self, name)
            if name in names or (not names and name in object.__getattribute__(self, "__dict__")):
                look(self, name, writes=False)
                value = object.__getattribute__(self, name)
            return value

        def __setattr__(self, name: str, value: Any) -> None:
            look(self, name, writes=True)
            super().__setattr__(name, value)

    Guarded.__name__ = Guarded.__qualname__ = kind.__name__
    return Guarded
