"""What the bridge adds to an environ or a scope, without showing it to who prints that.

Error pages and mails print the environ; they know which of its keys are secrets, such as ``HTTP_COOKIE``. In a scope
that is a value of it they know nothing: Django (5.2) replaces what it hides by key, opens each ``dict``, ``list`` and
``tuple``, and prints what it finds. The session cookie and the bearer token would be in the mail. So ``asgi.scope``
and ``wsgi_environ`` are no dicts, but views of one: they work as it does, and print nothing of it.

Local variables. Some print those of each frame that an error has led through: Sentry by default, rich, loguru. A scope
or an environ in a frame of the bridge would be one more there than at home, and on an ASGI server the only scope that
the error of a WSGI app meets. So a frame that calls an app has let go of them when an error leaves it, in its
``finally``, or before the call. The tools read the variables after that. A parameter gets another value, and is not
deleted: ``inspect.formatargvalues()``, and so ``cgitb``, fails where one is missing. An object's ``repr()`` shows
nothing of a request either.
"""

from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

__all__ = ["Hidden"]


class Hidden(MutableMapping[str, Any]):
    """A dict that shows nothing of its contents in ``repr()``, ``pprint``, and what trackers of errors send.

    It is a view: what is set here is set in the dict itself. It compares as the dict, unpacks (``**``), and can be
    copied (``copy()`` gives a plain dict) and pickled. It is no ``dict`` (``isinstance()``): see the module's text.
    """

    __slots__ = ("_dict",)

    __hash__ = None  # type: ignore[assignment] # as a dict

    def __init__(self, contents: MutableMapping[str, Any]) -> None:
        self._dict = contents

    def __repr__(self) -> str:
        return f"<{len(self._dict)} keys, not shown>"

    def __sentry_repr__(self) -> str:
        """What Sentry's serializer takes in place of opening a mapping."""
        return repr(self)

    def __getitem__(self, key: str) -> Any:
        return self._dict[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._dict[key] = value

    def __delitem__(self, key: str) -> None:
        del self._dict[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._dict)

    def __len__(self) -> int:
        return len(self._dict)

    def __contains__(self, key: object) -> bool:
        return key in self._dict

    def __eq__(self, other: object) -> bool:
        return bool(self._dict == (other._dict if isinstance(other, Hidden) else other))

    def __or__(self, other: Mapping[str, Any]) -> dict[str, Any]:
        return {**self._dict, **other}

    def __ror__(self, other: Mapping[str, Any]) -> dict[str, Any]:
        return {**other, **self._dict}

    def __copy__(self) -> dict[str, Any]:
        return {**self._dict}

    def copy(self) -> dict[str, Any]:
        """A plain dict, as ``dict.copy()`` gives."""
        return {**self._dict}
