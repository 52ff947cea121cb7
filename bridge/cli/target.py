"""What a server started by ``bridge serve`` serves: found, wrapped, mounted, and put under its root path.

Servers, their worker processes and their reloaders import an app by a string. That string is always
``bridge.cli.served:app``, and what it stands for is a ``Target``, which the command line leaves in the environment
variable ``BRIDGE_TARGET`` as JSON. Every process inherits the environment, whether it was forked, spawned or executed
anew, so each of them finds the same target without a file, an argument or a hook of the server's.
"""

import dataclasses
import json
import os
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, TypeAlias, cast

from ..kind import Kind, check_kind, guess_kind, is_async, is_both
from ..types import ASGIApp, Receive, Scope, Send, WSGIApp
from .asked import MountPoint
from .errors import UsageError
from .find_app import AppNotFoundError, find_app
from .proxy import Trusted, asgi_behind, wsgi_behind
from .root_path import asgi_under, wsgi_under

__all__ = ["AppKind", "Target", "kind_of"]

AppKind: TypeAlias = Kind | Literal["both"]
"""What an app is; a ``Dispatcher`` is both."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """An app, and what is to be done with it before a server of kind ``interface`` gets it."""

    VARIABLE: ClassVar[str] = "BRIDGE_TARGET"

    app: str = ""
    """Where the app is, as ``find_app`` takes it. Empty: there are ``mounts``."""
    mounts: tuple[MountPoint, ...] = ()
    """What a ``Dispatcher`` is to be made of."""
    interface: Kind
    """What the server calls."""
    server: str = "uvicorn"
    """Its name, of those in ``SERVERS``."""
    kind: AppKind | None = None
    """What the app is; None has it guessed."""
    factory: bool = False
    """What is named makes the app."""
    app_dir: str = ""
    """Where it is looked for, besides the current directory."""
    to_asgi: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Parameters of ``WsgiToAsgi``, where it is what wraps an app."""
    to_wsgi: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Parameters of ``AsgiToWsgi``; ``loop_factory`` by its name."""
    root_path: str = ""
    """The prefix of all the app's URLs: "" or "/prefix"."""
    trusted: str = ""
    """Proxies whose headers count, as ``Trusted`` takes them. Empty: the headers are the server's affair."""
    workers: int | None = None
    """Processes that serve it; None: unknown."""
    threads: int | None = None
    """A WSGI server's own threads; None: unknown."""
    log_level: str = ""
    """Empty: the server's."""
    loads_in_main_process: bool = False
    """The server loads the app in its main process too, which does not serve, to learn which files to watch."""
    sigterm_interrupts: bool = False
    """Make SIGTERM end the process as Ctrl-C does, for a server that leaves the signal to its default."""

    @classmethod
    def from_environment(cls) -> "Target":
        value = os.environ.get(cls.VARIABLE)
        if value is None:
            raise RuntimeError(
                f"{cls.VARIABLE} is not set: this module is for processes started by 'bridge serve'"
            )
        fields = json.loads(value)
        return cls(**{**fields, "mounts": tuple(MountPoint(**mount) for mount in fields["mounts"])})

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """``base`` with this target in it."""
        return {**base, self.VARIABLE: json.dumps(dataclasses.asdict(self))}

    @property
    def names(self) -> list[str]:
        """Where the apps are."""
        return [mount.app for mount in self.mounts] or [self.app]

    def find(self, name: str) -> object:
        """Return the app of that name. Raises what ``find_app`` raises, and what the user's module raises."""
        return find_app(name, factory=self.factory, app_dir=self.app_dir)

    def assemble(self, apps: list[object]) -> tuple[object, list[AppKind]]:
        """Return what the server is to call, and the kind of each app, of those in ``names``.

        Raises what ``guess_kind`` raises, ``ValueError`` for mounts that don't go together, and ``UsageError`` for an
        option that names nothing.
        """
        if self.mounts:
            site, kinds = self._mounted(apps)
            return self._behind(site), kinds
        (app,) = apps
        kind = kind_of(app) if self.kind is None else self.kind
        if kind != "both":
            check_kind(app, kind, f"--kind {kind}", "leave the option out")
        behind = self._behind(self._adapted(app, kind))
        if self.interface == "asgi" and not is_async(behind):
            # A class, or a function that returns an awaitable: ASGI, but daphne and granian tell ASGI by
            # coroutine functions.
            return _as_coroutine_function(cast("ASGIApp", behind)), [kind]
        return behind, [kind]

    def _adapted(self, app: object, kind: AppKind) -> object:
        """The app as it is, where it is of the server's kind."""
        if kind in {self.interface, "both"}:
            return app
        if kind == "wsgi":
            from ..to_asgi.adapter import WsgiToAsgi

            return WsgiToAsgi(cast("WSGIApp", app), **self.to_asgi)
        from ..to_wsgi.adapter import AsgiToWsgi

        parameters = dict(self.to_wsgi)
        if "loop_factory" in parameters:
            try:
                parameters["loop_factory"] = find_app(parameters["loop_factory"], app_dir=self.app_dir)
            except AppNotFoundError as exc:
                raise UsageError(f"--loop-factory {parameters['loop_factory']}: {exc}") from None
        return AsgiToWsgi(cast("ASGIApp", app), **parameters)

    def _mounted(self, apps: list[object]) -> tuple[object, list[AppKind]]:
        from ..dispatch.dispatcher import App, Dispatcher, Mount

        def site_of(apps: list[App]) -> Any:
            at: dict[str, list[App]] = {}
            for mount, app in zip(self.mounts, apps, strict=True):
                at.setdefault(mount.prefix, []).append(app)
            fall_back = {mount.prefix for mount in self.mounts if mount.fallback}
            return Dispatcher(
                {
                    prefix: Mount(here[0], fallback=prefix in fall_back) if len(here) == 1 else here
                    for prefix, here in at.items()
                }
            )

        # Checks it all, and names the prefix that is wrong.
        site = site_of([cast("App", app) for app in apps])
        kinds = [kind_of(app) for app in apps]
        if self.to_asgi or self.to_wsgi:
            adapted = [self._adapted(app, kind) for app, kind in zip(apps, kinds, strict=True)]
            site = site_of([cast("App", app) for app in adapted])
        return site, kinds

    def _behind(self, app: object) -> object:
        """The app under its root path and behind its proxies."""
        if self.interface == "asgi":
            asgi = cast("ASGIApp", app)
            if self.root_path:
                asgi = asgi_under(self.root_path, asgi)
            return asgi_behind(Trusted(self.trusted), asgi) if self.trusted else asgi
        wsgi = cast("WSGIApp", app)
        if self.root_path:
            wsgi = wsgi_under(self.root_path, wsgi)
        return wsgi_behind(Trusted(self.trusted), wsgi) if self.trusted else wsgi


def kind_of(app: object) -> AppKind:
    """Return what an app is. Raises what ``guess_kind`` raises."""
    return "both" if is_both(app) else guess_kind(app)


def _as_coroutine_function(app: ASGIApp) -> ASGIApp:
    async def coroutine_function(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, send)

    return coroutine_function
