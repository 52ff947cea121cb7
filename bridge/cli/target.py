"""What a server started by ``bridge serve`` serves: found, wrapped, mounted, and put under its root path.

Servers, their worker processes and their reloaders import an app by a string. That string is always
``bridge.cli.served:app``, and what it stands for is a ``Target``, which the command line leaves in the
environment variable ``BRIDGE_SERVE`` as JSON. Every process inherits the environment, whether it was forked,
spawned or executed anew, so each of them finds the same target without a file, an argument or a hook of the
server's.

Run as ``python -m bridge.cli.target``, this module tries the target out: see ``main``.
"""

import dataclasses
import importlib
import json
import os
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Literal, TypeAlias, cast

from bridge.cli.find_app import AppNotFoundError, find_app
from bridge.cli.root_path import asgi_under, wsgi_under
from bridge.kind import Kind, UnknownKindError, check_kind, guess_kind, is_async, is_both
from bridge.types import ASGIApp, Receive, Scope, Send, WSGIApp

__all__ = ["AppKind", "MountPoint", "Target"]

AppKind: TypeAlias = Kind | Literal["both"]
"""What an app is; a ``Dispatcher`` is both."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MountPoint:
    """An app under a prefix, for ``Dispatcher``."""

    prefix: str
    app: str
    fallback: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """An app, and what is to be done with it before a server of kind ``interface`` gets it."""

    VARIABLE: ClassVar[str] = "BRIDGE_SERVE"

    app: str = ""
    """Where the app is, as ``find_app`` takes it. Empty: there are ``mounts``."""
    mounts: tuple[MountPoint, ...] = ()
    """What a ``Dispatcher`` is to be made of."""
    interface: Kind
    """What the server calls."""
    kind: AppKind | None = None
    """What the app is; None has it guessed."""
    threads: int | None = None
    """``threads=`` of ``WsgiToAsgi``; None for its default. Only where it is what wraps an app."""
    root_path: str = ""
    """The prefix of all the app's URLs: "" or "/prefix"."""
    workers: int | None = None
    """Processes that serve it; None: unknown."""
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

    def with_kind(self, kind: AppKind) -> "Target":
        """This target, with the app's kind settled, so that no server process guesses again."""
        return dataclasses.replace(self, kind=kind)

    @property
    def names(self) -> list[str]:
        """Where the apps are."""
        return [mount.app for mount in self.mounts] or [self.app]

    def load(self) -> object:
        """Return what the server is to call. Raises what ``find()`` and ``assemble()`` raise."""
        return self.assemble([self.find(name) for name in self.names])[0]

    def find(self, name: str) -> object:
        """Return the app of that name. Raises what ``find_app`` raises, and what the user's module raises."""
        # First on the path, as python -m has it: PYTHONSAFEPATH leaves it out, granian puts one before.
        here = str(Path.cwd())
        if sys.path[0] not in {"", here}:
            sys.path.insert(0, here)
        return find_app(name)

    def assemble(self, apps: list[object]) -> tuple[object, list[AppKind]]:
        """Return what the server is to call, and the kind of each app, of those in ``names``.

        Raises what ``guess_kind`` raises, and ``ValueError`` for mounts that don't go together.
        """
        if self.mounts:
            return self._mounted(apps)
        (app,) = apps
        kind = _kind_of(app) if self.kind is None else self.kind
        if kind != "both":
            check_kind(app, kind, f"--kind {kind}", "leave the option out")
        served = self._for_asgi(app, kind) if self.interface == "asgi" else self._for_wsgi(app, kind)
        return served, [kind]

    def _mounted(self, apps: list[object]) -> tuple[object, list[AppKind]]:
        from bridge.dispatch.dispatcher import App, Dispatcher, Mount
        from bridge.to_asgi.adapter import WsgiToAsgi

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

        found = [cast("App", app) for app in apps]
        # Checks it all, and names the prefix that is wrong.
        site = site_of(found)
        kinds = [_kind_of(app) for app in apps]
        if self.threads is not None:
            site = site_of(
                [
                    WsgiToAsgi(cast("WSGIApp", app), threads=self.threads) if kind == "wsgi" else app
                    for app, kind in zip(found, kinds, strict=True)
                ]
            )
        if self.root_path:
            site = (
                asgi_under(self.root_path, site)
                if self.interface == "asgi"
                else wsgi_under(self.root_path, site)
            )
        return site, kinds

    def _for_asgi(self, app: object, kind: AppKind) -> ASGIApp:
        if kind != "wsgi":
            served = cast("ASGIApp", app)
        else:
            from bridge.to_asgi.adapter import WsgiToAsgi

            wsgi = cast("WSGIApp", app)
            served = WsgiToAsgi(wsgi) if self.threads is None else WsgiToAsgi(wsgi, threads=self.threads)
        if self.root_path:
            return asgi_under(self.root_path, served)
        if is_async(served):
            return served
        # A class, or a function that returns an awaitable: ASGI, but daphne and granian tell ASGI by
        # coroutine functions.
        return _as_coroutine_function(served)

    def _for_wsgi(self, app: object, kind: AppKind) -> WSGIApp:
        if kind != "asgi":
            served = cast("WSGIApp", app)
        else:
            from bridge.to_wsgi.adapter import AsgiToWsgi

            served = AsgiToWsgi(cast("ASGIApp", app))
        return wsgi_under(self.root_path, served) if self.root_path else served


def _kind_of(app: object) -> AppKind:
    return "both" if is_both(app) else guess_kind(app)


def _as_coroutine_function(app: ASGIApp) -> ASGIApp:
    async def coroutine_function(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, send)

    return coroutine_function


# --- trying it out ------------------------------------------------------------------------------------------


def main() -> int:
    """Load the target as a server will: the apps' kinds go to stdout, or what is wrong with one to stderr.

    The command line runs this in a process of its own before it becomes the server. So a mistake is told in
    one line, the same for every server and before any worker starts; and whatever the user's module does when
    it is imported (change directory or environment, start threads and processes, register exit functions) is
    over when the server imports it.

    Exit status: 0; 2 for a target that can't be served; 130 if interrupted.
    """
    answer = os.dup(1)
    os.dup2(2, 1)  # what the user's module prints must not end up in the answer
    target = Target.from_environment()
    name = ""
    try:
        apps: list[object] = []
        for name in target.names:
            apps.append(target.find(name))
        _, kinds = target.assemble(apps)
    except KeyboardInterrupt:
        return 130
    # SystemExit: a script without "if __name__ == ..." that ends itself is no app either.
    except (Exception, SystemExit) as exc:  # noqa: BLE001 - told to the user, whatever it is
        told_whole = isinstance(exc, (AppNotFoundError, TypeError, ValueError)) and _user_frames(exc) is None
        return _refuse(_what_is_wrong(target, name, exc)) if told_whole else _refuse_with_traceback(name, exc)
    os.write(answer, " ".join(kinds).encode())
    return 0


def _what_is_wrong(target: Target, name: str, exc: BaseException) -> str:
    if target.mounts and not isinstance(exc, AppNotFoundError):
        return str(exc)  # it says where the app is mounted
    hint = "; say --kind wsgi or --kind asgi" if isinstance(exc, UnknownKindError) else ""
    return f"{name}: {exc}{hint}"


def _refuse(message: str) -> int:
    print(f"bridge: error: {message}", file=sys.stderr)
    return 2


def _refuse_with_traceback(name: str, exc: BaseException) -> int:
    traceback.print_exception(type(exc), exc, _user_frames(exc))
    return _refuse(f"{name}: {type(exc).__name__} was raised, with the traceback above")


def _user_frames(exc: BaseException) -> TracebackType | None:
    """The traceback without its beginning in bridge and the import system; None if it all happened there."""
    own = Path(__file__).parents[1]
    frames = exc.__traceback__
    while frames is not None:
        file = frames.tb_frame.f_code.co_filename
        if (
            own not in Path(file).parents
            and file != importlib.__file__
            and not file.startswith("<frozen importlib")
        ):
            return frames
        frames = frames.tb_next
    return None


if __name__ == "__main__":
    sys.exit(main())
