"""What a server started by ``bridge serve`` serves: found, wrapped and put under its root path.

Servers, their worker processes and their reloaders import an app by a string. That string is always
``bridge._serve_target:app``, and what it stands for is a ``Target``, which the command line leaves in the
environment variable ``BRIDGE_SERVE`` as JSON. Every process inherits the environment, whether it was forked,
spawned or executed anew, so each of them finds the same target without a file, an argument or a hook of the
server's.

Run as ``python -m bridge._target``, this module tries the target out: see ``main``.
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
from typing import ClassVar, cast

from bridge import _importing
from bridge._importing import AppNotFoundError, Kind, UnknownKindError, find_app, guess_kind, is_async
from bridge._root_path import asgi_under, wsgi_under
from bridge._types import ASGIApp, Receive, Scope, Send, WSGIApp

__all__ = ["Target"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """An app, and what is to be done with it before a server of kind ``interface`` gets it."""

    VARIABLE: ClassVar[str] = "BRIDGE_SERVE"

    app: str
    """Where the app is, as ``find_app`` takes it."""
    interface: Kind
    """What the server calls."""
    kind: Kind | None = None
    """What the app is; None has it guessed."""
    threads: int | None = None
    """``threads=`` of ``WsgiToAsgi``; None for its default. Only where it is what wraps the app."""
    root_path: str = ""
    """The prefix of all the app's URLs: "" or "/prefix"."""
    sigterm_interrupts: bool = False
    """Make SIGTERM end the process as Ctrl-C does, for a server that leaves the signal to its default."""

    @classmethod
    def from_environment(cls) -> "Target":
        value = os.environ.get(cls.VARIABLE)
        if value is None:
            raise RuntimeError(
                f"{cls.VARIABLE} is not set: this module is for processes started by 'bridge serve'"
            )
        return cls(**json.loads(value))

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """``base`` with this target in it."""
        return {**base, self.VARIABLE: json.dumps(dataclasses.asdict(self))}

    def with_kind(self, kind: Kind) -> "Target":
        """This target, with the app's kind settled, so that no server process guesses again."""
        return dataclasses.replace(self, kind=kind)

    def load(self) -> tuple[object, Kind]:
        """Return what the server is to call, and the kind of the app inside it.

        Raises what ``find_app`` and ``guess_kind`` raise, and what the user's module raises.
        """
        # First on the path, as python -m has it: PYTHONSAFEPATH leaves it out, granian puts one before.
        here = str(Path.cwd())
        if sys.path[0] not in {"", here}:
            sys.path.insert(0, here)
        app = find_app(self.app)
        kind = self.kind if self.kind is not None and callable(app) else guess_kind(app)
        if self.interface == "asgi":
            return self._for_asgi(app, kind), kind
        return self._for_wsgi(app, kind), kind

    def _for_asgi(self, app: object, kind: Kind) -> ASGIApp:
        if kind == "asgi":
            served = cast("ASGIApp", app)
        else:
            from bridge.to_asgi import WsgiToAsgi

            wsgi = cast("WSGIApp", app)
            served = WsgiToAsgi(wsgi) if self.threads is None else WsgiToAsgi(wsgi, threads=self.threads)
        if self.root_path:
            return asgi_under(self.root_path, served)
        if is_async(served):
            return served
        # A class, or a function that returns an awaitable: ASGI, but daphne and granian tell ASGI by
        # coroutine functions.
        return _as_coroutine_function(served)

    def _for_wsgi(self, app: object, kind: Kind) -> WSGIApp:
        if kind == "wsgi":
            served = cast("WSGIApp", app)
        else:
            from bridge.to_wsgi import AsgiToWsgi

            served = AsgiToWsgi(cast("ASGIApp", app))
        return wsgi_under(self.root_path, served) if self.root_path else served


def _as_coroutine_function(app: ASGIApp) -> ASGIApp:
    async def coroutine_function(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, send)

    return coroutine_function


# --- trying it out ------------------------------------------------------------------------------------------


def main() -> int:
    """Load the target as a server will: the app's kind goes to stdout, or what is wrong with it to stderr.

    The command line runs this in a process of its own before it becomes the server. So a mistake is told in
    one line, the same for every server and before any worker starts; and whatever the user's module does when
    it is imported (change directory or environment, start threads and processes, register exit functions) is
    over when the server imports it.

    Exit status: 0; 2 for a target that can't be served; 130 if interrupted.
    """
    answer = os.dup(1)
    os.dup2(2, 1)  # what the user's module prints must not end up in the answer
    target = Target.from_environment()
    try:
        _, kind = target.load()
    except KeyboardInterrupt:
        return 130
    except UnknownKindError as exc:
        return _refuse(f"{target.app}: {exc}; say --kind wsgi or --kind asgi")
    except (AppNotFoundError, TypeError) as exc:
        if _user_frames(exc) is None:
            return _refuse(f"{target.app}: {exc}")
        return _refuse_with_traceback(target, exc)
    # SystemExit: a script without "if __name__ == ..." that ends itself is no app either.
    except (Exception, SystemExit) as exc:  # noqa: BLE001 - told to the user, whatever it is
        return _refuse_with_traceback(target, exc)
    os.write(answer, kind.encode())
    return 0


def _refuse(message: str) -> int:
    print(f"bridge: error: {message}", file=sys.stderr)
    return 2


def _refuse_with_traceback(target: Target, exc: BaseException) -> int:
    traceback.print_exception(type(exc), exc, _user_frames(exc))
    return _refuse(f"{target.app}: {type(exc).__name__} was raised, with the traceback above")


def _user_frames(exc: BaseException) -> TracebackType | None:
    """The traceback without its beginning in bridge and the import system; None if it all happened there."""
    own = {__file__, _importing.__file__, importlib.__file__}
    frames = exc.__traceback__
    while frames is not None:
        file = frames.tb_frame.f_code.co_filename
        if file not in own and not file.startswith("<frozen importlib"):
            return frames
        frames = frames.tb_next
    return None


if __name__ == "__main__":
    sys.exit(main())
