"""What ``Dispatcher`` is given, checked, and made into what either interface calls.

An app that is WSGI gets a ``WsgiToAsgi`` for the ASGI side, and one that is ASGI an ``AsgiToWsgi`` for the WSGI side.
They hold nothing until they are called, so that the one that is never called costs nothing.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from ._kind import UnknownKindError, guess_kind, is_both
from ._lifespan import LifespanMode
from ._prefixes import PrefixTable, normal_prefix, wire
from ._types import ASGIApp, WSGIApp
from .to_asgi import WsgiToAsgi
from .to_wsgi import AsgiToWsgi

__all__ = ["App", "Mount", "Part", "make_parts"]

#: What can be mounted: an app of either kind, as it is or in an adapter, or another ``Dispatcher``.
App: TypeAlias = ASGIApp | WSGIApp


@dataclass(frozen=True, slots=True)
class Mount:
    """An app with options of its mounting, for ``Dispatcher``.

    Args:
        app: as for ``Dispatcher``.
        fallback: where this app answers 404 or 405, the request goes to the app that would have it without this mount,
            as if this one had never been asked: with its body from the beginning, and its own ``root_path``. So a
            route moves from an old app to a new one when it is written there. It is the status alone that tells: a 404
            that means a row that isn't there is passed on as well, and then the old app's answer counts.

            What is dropped is thrown away, and the app runs on to its end: beside the next one on an ASGI server,
            before it on a WSGI server. A WebSocket is handed on where the app denies it with 404 or 405, or closes it,
            with code 1000, before it is accepted: so do routers with what they have no route for.

            The body that has been read is kept, up to 128 KiB in memory, then in a temporary file. An answer that is
            not dropped is passed through as it comes.
    """

    app: App
    fallback: bool = False


@dataclass(slots=True)
class Part:
    """An app where it is mounted, as both interfaces call it."""

    prefix: str
    #: The prefix as a native string of WSGI.
    wire: str
    asgi: ASGIApp
    wsgi: WSGIApp
    #: A ``Dispatcher`` itself, which knows its parts' states.
    nested: bool
    #: Whether the app has a lifespan, where it is an ASGI app.
    lifespan: LifespanMode = "auto"
    #: The next one to ask where this one answers 404.
    fallback: "Part | None" = None

    def chain(self) -> "Iterator[Part]":
        """This one, and those to ask after it."""
        part: Part | None = self
        while part is not None:
            yield part
            part = part.fallback


def make_parts(mounts: Mapping[str, App | Mount]) -> dict[str, Part]:
    """Normal prefix -> part. Raises ``TypeError`` and ``ValueError`` as ``Dispatcher`` says."""
    if not isinstance(mounts, Mapping):
        raise TypeError(
            f'Dispatcher wants a mapping of prefixes to apps, such as {{"/api": app}}, not {type(mounts).__name__}'
        )
    if not mounts:
        raise ValueError("Dispatcher has nothing to dispatch to: no app is mounted")
    options: dict[str, Mount] = {}
    for prefix, value in mounts.items():
        normal = normal_prefix(prefix)
        if normal in options:
            raise ValueError(
                f"two apps are mounted at {normal or '/'!r}; a slash at the end makes no difference"
            )
        options[normal] = value if isinstance(value, Mount) else Mount(value)
    adapters = _Adapters(mount.app for mount in options.values())
    parts = {normal: adapters.part(normal, mount.app) for normal, mount in options.items()}
    for normal, mount in options.items():
        if mount.fallback:
            parts[normal].fallback = _above(normal, parts)
    return parts


def _above(prefix: str, parts: Mapping[str, Part]) -> Part:
    """The part with the longest prefix that ``prefix`` itself is under."""
    others = PrefixTable({other: part for other, part in parts.items() if other != prefix})
    above = others.find(prefix) if prefix else None
    if above is None:
        raise ValueError(
            f"the mount at {prefix or '/'!r} has fallback=True, and no other mount has a prefix above it: there is "
            "nothing to fall back to"
        )
    return above


class _Adapters:
    """The adapters of one dispatcher: an app that is mounted twice has one, the user's if there is one."""

    def __init__(self, apps: Iterable[object]) -> None:
        self._of: dict[int, WsgiToAsgi | AsgiToWsgi] = {}
        for app in apps:
            if isinstance(app, (WsgiToAsgi, AsgiToWsgi)):
                self._of.setdefault(id(app.app), app)

    def part(self, prefix: str, app: object) -> Part:
        nested = is_both(app)
        both: Any = app
        asgi, wsgi = (both, both) if nested else self._both(prefix or "/", app)
        return Part(prefix, wire(prefix), asgi, wsgi, nested, self._lifespan_of(asgi))

    def _lifespan_of(self, asgi: object) -> LifespanMode:
        """What the user's adapter says, also where the app itself is mounted a second time."""
        adapter = self._of.get(id(asgi))
        return adapter.lifespan if isinstance(adapter, AsgiToWsgi) else "auto"

    def _both(self, prefix: str, app: object) -> tuple[ASGIApp, WSGIApp]:
        """The app as ASGI and as WSGI."""
        if isinstance(app, WsgiToAsgi):
            return app, app.app
        if isinstance(app, AsgiToWsgi):
            return app.app, app
        try:
            kind = guess_kind(app)
        except UnknownKindError as exc:
            raise UnknownKindError(f"{prefix}: {exc}; WsgiToAsgi(app) or AsgiToWsgi(app) says it") from None
        except TypeError as exc:
            raise TypeError(f"{prefix}: {exc}") from None
        adapter = self._of.get(id(app))
        if kind == "wsgi":
            wsgi = cast("WSGIApp", app)
            if not isinstance(adapter, WsgiToAsgi):
                adapter = self._of[id(app)] = WsgiToAsgi(wsgi)
            return adapter, wsgi
        asgi = cast("ASGIApp", app)
        if not isinstance(adapter, AsgiToWsgi):
            adapter = self._of[id(app)] = AsgiToWsgi(asgi)
        return asgi, adapter
