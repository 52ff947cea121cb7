"""What ``Dispatcher`` is given, checked, and made into what either interface calls.

An app that is WSGI gets a ``WsgiToAsgi`` for the ASGI side, and one that is ASGI an ``AsgiToWsgi`` for the WSGI side.
They hold nothing until they are called, so that the one that is never called costs nothing.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from ..kind import UnknownKindError, guess_kind, is_both
from ..lifespan import LifespanMode
from ..mapping.environ import native_path
from ..mapping.prefixes import PrefixTable, normal_prefix
from ..to_asgi.adapter import WsgiToAsgi
from ..to_wsgi.adapter import AsgiToWsgi
from ..types import ASGIApp, WSGIApp

__all__ = ["App", "Mount", "Mounted", "Part", "make_parts"]

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
            before it on a WSGI server. Early hints that it has given before reach the client. A WebSocket is handed on
            where the app denies it with 404 or 405, or closes it, with code 1000, before it is accepted: so do routers
            with what they have no route for.

            The body that has been read is kept, up to 128 KiB in memory, then in a temporary file. An answer that is
            not dropped is passed through as it comes.
    """

    app: App
    fallback: bool = False


#: What stands at a prefix: an app, one with options, or several, which are asked in turn.
Mounted: TypeAlias = App | Mount | Sequence[App]


@dataclass(slots=True)
class Part:
    """An app where it is mounted, as both interfaces call it."""

    prefix: str
    #: For messages: empty, or which of several apps at this prefix it is.
    which: str
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

    @property
    def place(self) -> str:
        """Where it is, for messages."""
        return (self.prefix or "/") + self.which

    def chain(self) -> "Iterator[Part]":
        """This one, and those to ask after it."""
        part: Part | None = self
        while part is not None:
            yield part
            part = part.fallback


def make_parts(mounts: Mapping[str, Mounted]) -> tuple[dict[str, Part], list[Part]]:
    """Normal prefix -> the part that is asked first there; and all parts, in the order of ``mounts``.

    Raises ``TypeError`` and ``ValueError`` as ``Dispatcher`` says.
    """
    if not isinstance(mounts, Mapping):
        raise TypeError(
            f'Dispatcher wants a mapping of prefixes to apps, such as {{"/api": app}}, not {type(mounts).__name__}'
        )
    if not mounts:
        raise ValueError("Dispatcher has nothing to dispatch to: no app is mounted")
    fall_back: list[str] = []
    apps: dict[str, list[App]] = {}
    for prefix, value in mounts.items():
        normal = normal_prefix(prefix)
        if normal in apps:
            raise ValueError(
                f"two apps are mounted at {normal or '/'!r}; a slash at the end makes no difference: "
                f"{{{normal or '/'!r}: [first, second]}} has both there"
            )
        apps[normal] = _apps_at(normal or "/", value)
        if isinstance(value, Mount) and value.fallback:
            fall_back.append(normal)
    adapters = _Adapters(app for here in apps.values() for app in here)
    lists = {normal: adapters.parts(normal, here) for normal, here in apps.items()}
    firsts = {normal: here[0] for normal, here in lists.items()}
    for normal in fall_back:
        firsts[normal].fallback = _above(normal, firsts)
    return firsts, [part for here in lists.values() for part in here]


def _apps_at(prefix: str, value: Mounted) -> list[App]:
    if isinstance(value, Mount):
        if isinstance(value.app, (list, tuple)):
            raise TypeError(
                f"{prefix}: a Mount is of one app; several are given as a list alone: [first, second]"
            )
        return [value.app]
    if not isinstance(value, (list, tuple)):
        return [cast("App", value)]
    if not value:
        raise ValueError(f"{prefix}: the list of apps is empty")
    seen: set[int] = set()
    for app in value:
        if isinstance(app, Mount):
            raise TypeError(
                f"{prefix}: a Mount in a list of apps; they are asked in turn without it, each where the one before "
                "answers 404 or 405"
            )
        if isinstance(app, (list, tuple)):
            raise TypeError(f"{prefix}: a list in a list of apps; write one list")
        itself = id(app.app if isinstance(app, (WsgiToAsgi, AsgiToWsgi)) else app)
        if itself in seen:
            raise ValueError(f"{prefix}: the same app is twice in the list; it would answer the same again")
        seen.add(itself)
    return list(value)


def _above(prefix: str, parts: Mapping[str, Part]) -> Part:
    """The part with the longest prefix that ``prefix`` itself is under."""
    others = PrefixTable({other: part for other, part in parts.items() if other != prefix})
    above = others.find(prefix) if prefix else None
    if above is None:
        raise ValueError(
            f"the mount at {prefix or '/'!r} has fallback=True, and no other mount has a prefix above it: there is "
            f"nothing to fall back to; {{{prefix or '/'!r}: [first, second]}} asks one after the other at one prefix"
        )
    return above


class _Adapters:
    """The adapters of one dispatcher: an app that is mounted twice has one, the user's if there is one."""

    def __init__(self, apps: Iterable[object]) -> None:
        self._of: dict[int, WsgiToAsgi | AsgiToWsgi] = {}
        for app in apps:
            if isinstance(app, (WsgiToAsgi, AsgiToWsgi)):
                self._of.setdefault(id(app.app), app)

    def parts(self, prefix: str, apps: Sequence[object]) -> list[Part]:
        """Those at one prefix, each with the next one as its fallback."""
        parts: list[Part] = []
        for number, app in enumerate(apps, 1):
            which = f" (app {number} of {len(apps)})" if len(apps) > 1 else ""
            nested = is_both(app)
            both: Any = app
            asgi, wsgi = (both, both) if nested else self._both((prefix or "/") + which, app)
            part = Part(prefix, which, native_path(prefix), asgi, wsgi, nested, self._lifespan_of(asgi))
            if parts:
                parts[-1].fallback = part
            parts.append(part)
        return parts

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
