"""The types of the two interfaces, in the form in which the rest of the package uses them.

ASGI messages and scopes are plain dictionaries on the hot path: servers add keys, leave optional ones out, and the
typed dictionaries of asgiref say neither. What callers may pass is therefore as wide as what the adapters accept, and
an application typed with asgiref's, Starlette's or wsgiref's own types fits.
"""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from types import TracebackType
from typing import Any, Protocol, TypeAlias

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
# Any: Starlette, asgiref and Django each have types of their own for the three arguments.
ASGIApp: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]

Environ: TypeAlias = dict[str, Any]
ExcInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType | None]
Headers: TypeAlias = list[tuple[str, str]]
Write: TypeAlias = Callable[[bytes], object]
# Any: an app may be typed with wsgiref's StartResponse, with werkzeug's, or not at all.
WSGIApp: TypeAlias = Callable[[Any, Any], Iterable[bytes]]


class StartResponse(Protocol):
    """PEP 3333, "The start_response() Callable"."""

    def __call__(self, status: str, headers: Headers, exc_info: ExcInfo | None = None, /) -> Write: ...
