"""The types of the two interfaces, in the form in which the rest of the package uses them.

ASGI messages and scopes are plain dictionaries on the hot path: servers add keys, leave optional ones out, and the
typed dictionaries of asgiref say neither. What callers may pass is therefore as wide as what the adapters accept, and
an application typed with asgiref's, Starlette's or wsgiref's own types fits.

The other way about, servers, clients and frameworks have types of their own for what they call. ``AnyScope``,
``AnyReceive``, ``AnySend`` and ``AnyStartResponse`` are for the methods that they call: with them an adapter fits
asgiref's ``ASGI3Application`` and ``wsgiref.types.WSGIApplication``. ``tests/typing`` has programs that need it.
"""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from types import TracebackType
from typing import Any, Protocol, TypeAlias

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
AnyScope: TypeAlias = Any
AnyReceive: TypeAlias = Callable[[], Awaitable[Any]]
AnySend: TypeAlias = Callable[[Any], Awaitable[None]]
# Any: Starlette, asgiref and Django each have types of their own for the three arguments.
ASGIApp: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]

Environ: TypeAlias = dict[str, Any]
AnyStartResponse: TypeAlias = Callable[..., Any]
ExcInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType | None]
Headers: TypeAlias = list[tuple[str, str]]
Write: TypeAlias = Callable[[bytes], object]
# Any: an app may be typed with wsgiref's StartResponse, with werkzeug's, or not at all.
WSGIApp: TypeAlias = Callable[[Any, Any], Iterable[bytes]]


class StartResponse(Protocol):
    """PEP 3333, "The start_response() Callable"."""

    def __call__(self, status: str, headers: Headers, exc_info: ExcInfo | None = None, /) -> Write: ...
