"""The command ``bridge``.

``bridge serve`` does three things: it checks what is asked for, it tries the app out in a process of its own
(``bridge.cli.target``), and then it becomes the server, by ``exec``. No process of bridge's stays between the
user and the server: signals, exit status, workers and reloading are the server's own.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NoReturn, cast

from bridge import __version__
from bridge.cli.servers import (
    SERVERS,
    Options,
    Server,
    UsageError,
    arguments,
    check,
    check_threads,
    url,
    workers,
)
from bridge.cli.target import AppKind, MountPoint, Target
from bridge.mapping.prefixes import normal_prefix

__all__ = ["main"]

_SERVE_HELP = """\
Serve a WSGI or an ASGI app on a server of either kind. bridge looks at the
app to tell its kind. Where the server is of the other kind, the app is
wrapped: in WsgiToAsgi for an ASGI server, in AsgiToWsgi for a WSGI server.

APP says where the app is:
  module:app             an attribute of a module, or deeper: module:site.app
  module:create_app()    what a factory returns; its arguments may be literals
  module                 its attribute "app", or else "application"
  path/to/file.py:app    a file in place of a module
Modules are found from the current directory.

--mount, given once for each app, serves several of either kind as one site. The
longest prefix that fits a path gets the request. An app with ",fallback" behind
it is passed over where it answers 404 or 405: the one with the next longest
prefix is asked. Apps that are given the same prefix are asked in turn, in the
same way."""


def main(argv: list[str] | None = None) -> int:
    """Run the command with the words of ``argv``, by default those of the process; return its exit status.

    ``serve`` returns only if it can't serve (2) or is interrupted before it does (130).
    """
    words = sys.argv[1:] if argv is None else argv
    # What follows the first "--" is the server's; argparse would not keep it apart.
    end = words.index("--") if "--" in words else len(words)
    parser = _parser()
    arguments_ = parser.parse_args(words[:end])
    if arguments_.command is None:
        parser.print_help()
        return 0
    try:
        return _serve(arguments_, tuple(words[end + 1 :]))
    except UsageError as exc:
        return _refuse(str(exc))
    except KeyboardInterrupt:
        return 130


def _refuse(message: str) -> int:
    print(f"bridge: error: {message}", file=sys.stderr)
    return 2


# --- serve --------------------------------------------------------------------------------------------------


def _serve(asked: argparse.Namespace, extra: tuple[str, ...]) -> int:
    server = SERVERS[asked.server]
    names = ("host", "port", "workers", "threads", "reload", "root_path")
    options = Options(**{name: getattr(asked, name) for name in names}, extra=extra)
    _check_apps(asked)
    check(server, options)
    target = Target(
        app=asked.app or "",
        mounts=tuple(asked.mount),
        kind=asked.kind,
        interface=server.interface,
        threads=options.threads if server.interface == "asgi" else None,
        root_path=options.root_path,
        workers=workers(options, os.environ),
        sigterm_interrupts=server.sigterm_interrupts,
    )
    kinds, status = _try_out(target)
    if kinds is None:
        return status
    check_threads(server, options, kinds)
    print(_start_line(server, options, target, kinds), file=sys.stderr)
    if not target.mounts:
        target = target.with_kind(kinds[0])
    return _become(arguments(server, options), target.environment(os.environ))


def _check_apps(asked: argparse.Namespace) -> None:
    if not asked.app and not asked.mount:
        raise UsageError(
            "there is no app to serve: say APP, or --mount /prefix=APP (see bridge serve --help)"
        )
    if asked.app and asked.mount:
        raise UsageError(
            f"{asked.app} and --mount: say APP, or mount all there is; to mount it too: --mount /={asked.app}"
        )
    _check_shared_prefixes(asked.mount)
    if asked.kind and asked.mount:
        raise UsageError(
            "--kind is for one APP; of mounted apps, WsgiToAsgi(app) or AsgiToWsgi(app) in the module says it"
        )


def _check_shared_prefixes(mounts: Sequence[MountPoint]) -> None:
    for number, mount in enumerate(mounts):
        others = [
            other for other in (*mounts[:number], *mounts[number + 1 :]) if other.prefix == mount.prefix
        ]
        if others and mount.fallback:
            raise UsageError(
                f"--mount: leave ,fallback out behind {mount.app}; apps at one prefix, here {mount.prefix!r}, are "
                "asked in turn without it"
            )
        if any(other.app == mount.app for other in others):
            raise UsageError(f"--mount: {mount.app} is mounted twice at {mount.prefix!r}")


def _try_out(target: Target) -> tuple[list[AppKind] | None, int]:
    """Load the target in a process of its own; return the apps' kinds, or None and the exit status.

    What is wrong is told by then.
    """
    command = [sys.executable, *_interpreter_options(), "-m", "bridge.cli.target"]
    environment = target.environment(os.environ)
    trial = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=False)  # noqa: S603 - ours
    answer = trial.stdout.decode().split(" ")
    if trial.returncode in {2, 130}:
        return None, trial.returncode
    if not {"wsgi", "asgi", "both"}.issuperset(answer):
        names = ", ".join(target.names)
        return None, _refuse(f"{names}: importing it ended the process (status {trial.returncode})")
    return cast("list[AppKind]", answer), 0


def _become(words: list[str], environment: Mapping[str, str]) -> NoReturn:
    command = [sys.executable, *_interpreter_options(), *words]
    sys.stdout.flush()
    sys.stderr.flush()
    if sys.platform == "win32":  # exec there starts a child and leaves the terminal to nobody
        sys.exit(subprocess.run(command, env=environment, check=False).returncode)  # noqa: S603 - see below
    os.execve(sys.executable, command, environment)  # noqa: S606 - what the user asked for, without a shell


def _interpreter_options() -> list[str]:
    """What stands between ``python`` and ``-m bridge``: ``-X dev`` and the like hold for the server too."""
    if not sys.argv[0].endswith("__main__.py") or "-m" not in sys.orig_argv:
        return []
    return sys.orig_argv[1 : sys.orig_argv.index("-m")]


def _start_line(server: Server, options: Options, target: Target, kinds: list[AppKind]) -> str:
    hows = [_how(server, options, kind) for kind in kinds]
    if target.mounts:
        prefixes = [mount.prefix for mount in target.mounts]
        what = ", ".join(
            f"{mount.prefix}={mount.app} ({_KINDS[kind]}, {how}"
            f"{', or the next' if mount.fallback or mount.prefix in prefixes[number:] else ''})"
            for number, (mount, kind, how) in enumerate(zip(target.mounts, kinds, hows, strict=True), 1)
        )
    else:
        what = f"{_KINDS[kinds[0]]} app {target.app}, {hows[0]}"
    processes = f", {options.workers} workers" if options.workers is not None and options.workers > 1 else ""
    threads = (
        f", {options.threads} threads" if server.interface == "wsgi" and options.threads is not None else ""
    )
    return f"bridge: {what}, on {server.name}{processes}{threads}: {url(server, options)}"


_KINDS: dict[AppKind, str] = {"wsgi": "WSGI", "asgi": "ASGI", "both": "WSGI and ASGI"}


def _how(server: Server, options: Options, kind: AppKind) -> str:
    if kind in {server.interface, "both"}:
        return "as it is"
    if server.interface == "asgi":
        number = f", threads={options.threads}" if options.threads is not None else ""
        return f"in WsgiToAsgi(app{number})"
    return "in AsgiToWsgi(app)"


# --- the parser ---------------------------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line, where argparse prints the usage first."""
        self.exit(2, f"bridge: error: {message} (see {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="bridge",
        description="WSGI apps on ASGI servers, ASGI apps on WSGI servers.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"bridge {__version__}")
    commands = parser.add_subparsers(
        dest="command", metavar="COMMAND", title="commands", parser_class=_Parser
    )
    serve = commands.add_parser(
        "serve",
        help="serve an app of either kind on a server of either kind",
        usage="bridge serve APP [options] [-- options of the server]\n"
        "       bridge serve --mount /PREFIX=APP [--mount ...] [options] [-- options]",
        description=_SERVE_HELP,
        epilog=_epilog(),
        formatter_class=partial(argparse.RawDescriptionHelpFormatter, max_help_position=23, width=80),
        allow_abbrev=False,
        add_help=False,
    )
    serve.add_argument("app", metavar="APP", nargs="?", help=argparse.SUPPRESS)
    _add_options(serve)
    return parser


def _add_options(serve: argparse.ArgumentParser) -> None:
    add = serve.add_argument_group("the app").add_argument
    add("--kind", choices=("wsgi", "asgi"), help="what APP is, where it does not show")
    add(
        "--mount",
        type=_mount,
        action="append",
        default=[],
        metavar="/PREFIX=APP",
        help="an app under a prefix, instead of APP; / is for all the rest; or /PREFIX=APP,fallback, see above",
    )
    add(
        "--threads",
        type=_positive,
        metavar="N",
        help="threads that run the app: WsgiToAsgi's for a WSGI app on an ASGI server (default 40), "
        "the server's own on gunicorn and waitress",
    )
    add(
        "--root-path",
        type=_root_path,
        default="",
        metavar="/PATH",
        help="prefix of the app's URLs, as root_path and SCRIPT_NAME; a proxy may cut it off or leave it",
    )
    add = serve.add_argument_group("the server").add_argument
    add(
        "--server",
        choices=tuple(SERVERS),
        default="uvicorn",
        metavar="NAME",
        help=f"{', '.join(list(SERVERS)[:-1])} or {list(SERVERS)[-1]} (default uvicorn)",
    )
    add(
        "--host",
        type=_host,
        metavar="ADDRESS",
        help="where to listen (default 127.0.0.1); 0.0.0.0 is everywhere",
    )
    add(
        "--port",
        type=_port,
        metavar="PORT",
        help="default 8000; 0 is a free one, which the server names",
    )
    add("--workers", type=_positive, metavar="N", help="worker processes")
    add("--reload", action="store_true", help="start anew when a source file changes")
    serve.add_argument_group("more").add_argument("-h", "--help", action="help", help="show this and end")


def _epilog() -> str:
    lines = ["what each server calls, and what it can do:"]
    for server in SERVERS.values():
        able = ["--workers"] if server.workers else []
        if server.reload != "no":
            able.append("--reload" if server.reload == "yes" else "--reload (one worker)")
        if server.threads or server.interface == "asgi":
            able.append("--threads" if server.threads else "--threads (WSGI apps)")
        what = ", ".join(able) or "one process, one request at a time"
        lines.append(f"  {server.name:<12} {server.interface.upper()}   {what}")
    return "\n".join(
        [
            *lines,
            "",
            "examples:",
            "  bridge serve shop.wsgi:application",
            "  bridge serve \"shop:create_app('production')\" --workers 4 --host 0.0.0.0",
            "  bridge serve api.main:app --server gunicorn --workers 4 --threads 8",
            "  bridge serve site/app.py --reload --port 8080",
            "  bridge serve --mount /api=new.main:app --mount /=old.app:app",
            "  bridge serve --mount /api=new.main:app,fallback --mount /=old.app:app",
            "  bridge serve --mount /=new.main:app --mount /=old.app:app",
            "  bridge serve shop:app --root-path /shop -- --uds /run/shop.sock",
            "",
            "exit status: the server's; 2, with one line that says why, if it can't start.",
        ]
    )


def _mount(text: str) -> MountPoint:
    prefix, equals, app = text.partition("=")
    fallback = app.endswith(",fallback")
    app = app.removesuffix(",fallback")
    if not equals or not app:
        raise argparse.ArgumentTypeError(f"{text!r} is not /prefix=APP, such as /api=new.main:app")
    app_itself, comma, word = app.rpartition(",")
    if comma and word.isidentifier() and "(" not in app_itself:
        raise argparse.ArgumentTypeError(f"{text!r} ends with ,{word}; what may be there is ,fallback")
    try:
        return MountPoint(prefix=normal_prefix(prefix) or "/", app=app, fallback=fallback)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from None


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 up")
    return int(text)


def _host(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("it is empty; 0.0.0.0 is everywhere")
    return text


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port, 0 to 65535")
    return int(text)


def _root_path(text: str) -> str:
    try:
        return normal_prefix(text) if text else ""
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from None
