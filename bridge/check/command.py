"""The command ``bridge check``."""

import argparse
import contextlib
import importlib.util
import io
import json
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import FrameType
from typing import IO, Any, NoReturn, cast

from ..cli.asked import Asked
from ..cli.errors import UsageError
from ..cli.folders import module_words
from ..cli.serve import prepared
from ..cli.servers import SERVERS, Server
from ..cli.sources import asked_for, from_environment, from_pyproject, from_words
from ..cli.target import Target
from ..kind import Kind
from .child import ENDINGS, child
from .costs import costs
from .judge import differing, judge, only_errors
from .model import Plan, Request, Route, Run
from .parser import ORDER, check_parser
from .recorded import from_har, from_lines
from .requests import BUILT_IN, of_routes
from .serving import CannotRunError, run_on

__all__ = ["run"]

#: What is said of the app alone, not of its server. "host" is another thing here.
_OF_THE_APP = ("app", "kind", "factory", "app_dir", "env_file", "loop")

#: Seconds for the import of the app: as many as a server has to start.
_IMPORT = 30.0
#: Seconds in which a process that has answered may do what it does at its end.
_LEAVING = 2.0


class _EndedError(KeyboardInterrupt):
    """A signal of ``ENDINGS`` has come."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.status = 128 + number


def _end(number: int, _: FrameType | None) -> NoReturn:
    raise _EndedError(number)


def run(words: list[str]) -> int:
    """Run the command; return its exit status: 0, 1 if there are findings, 2 if it couldn't run, 128 and the signal's
    number if one has ended it."""
    missing = [name for name in ("rich", "h11") if importlib.util.find_spec(name) is None]
    if missing:
        return _refuse(
            f"bridge check needs {' and '.join(missing)}: python -m pip install 'asgi-wsgi-bridge[check]'"
        )
    # All as Ctrl-C, so that the servers end first: they are in sessions of their own, which no terminal ends. Ctrl-C by
    # an exception of our own, too: where Python's own passes a string that is executed, as for a dataclass, the process
    # ends by the signal later, whatever its exit status.
    before = {number: signal.getsignal(number) for number in ENDINGS}
    for number, handler in before.items():
        if handler in {signal.SIG_DFL, signal.default_int_handler}:  # nohup ignores one
            signal.signal(number, _end)
    try:
        return _check(check_parser().parse_args(words))
    except (UsageError, CannotRunError) as exc:
        return _refuse(str(exc))
    except _EndedError as exc:
        return exc.status
    except Exception:  # noqa: BLE001  # with Python's own status, 1, it would pass for a finding
        traceback.print_exc()
        return _refuse(
            "bridge check itself failed, so nothing is known of the app; please report the traceback above"
        )
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _refuse(message: str) -> int:
    print(f"bridge: error: {message}", file=sys.stderr)
    return 2


def _check(options: argparse.Namespace) -> int:
    from rich.console import Console

    from .documents import as_html, as_json
    from .report import headline, print_report

    if options.html and not Path(options.html).resolve().parent.is_dir():
        raise UsageError(f"--html {options.html}: there is no such directory")
    asked = _asked(options)
    looked = _look(asked)
    if looked is None:
        return 2
    plan = _plan(options, asked, looked)
    host = options.host or looked["host"]
    interface = SERVERS[plan.bridged].interface
    with _progress(headline(plan), len(plan.requests)) as step:
        one, bridged, two, confirmed = _runs(plan, host, step)
    verdict = judge(plan, interface, one, bridged, two, confirmed)
    cost = costs(plan, one, bridged)
    with _standard_output():
        if options.json:
            print(as_json(plan, verdict, cost))
        else:
            print_report(Console(highlight=False), plan, verdict, cost)
    if options.html:
        _write(options.html, as_html(plan, verdict, cost))
    return 1 if verdict.findings else 0


@contextlib.contextmanager
def _standard_output() -> Iterator[None]:
    """What is printed has gone out, or a ``UsageError`` says why not: a disk that is full, a reader that has left.

    What the output's encoding has not is written as Python writes it on standard error: the report's marks in an older
    locale, half a surrogate pair of a file's name in the app's log anywhere.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        yield
        sys.stdout.flush()
    except (OSError, SystemExit) as exc:  # rich makes SystemExit(1) of a pipe that nobody reads
        # Python tries the rest of it once more when it exits, and has a status of its own for that.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        why = getattr(exc, "strerror", None) or "Broken pipe"
        raise UsageError(f"the report can't be written to standard output: {why}") from None


def _write(name: str, text: str) -> None:
    try:
        Path(name).write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as exc:
        raise UsageError(f"--html {name}: {exc.strerror}") from None


def _runs(
    plan: Plan, host: str, step: Callable[[str], Callable[[], None]]
) -> tuple[Run, Run, Run, Run | None]:
    """Natively before and after the bridged run: what only drifts with time differs between those two as well."""
    one = _run(plan, plan.native, host, step, measured=True)
    if errors := only_errors(plan, one):
        raise CannotRunError(f"{plan.app} on {plan.native}: {errors}")
    bridged = _run(plan, plan.bridged, host, step, measured=True)
    two = _run(plan, plan.native, host, step, measured=False)
    confirmed = None
    if differing(plan, one, bridged, two):
        confirmed = _run(plan, plan.bridged, host, step, measured=False)
    return one, bridged, two, confirmed


def _run(
    plan: Plan, server: str, host: str, step: Callable[[str], Callable[[], None]], *, measured: bool
) -> Run:
    try:
        return run_on(plan, server, host, step(server), measured=measured)
    except CannotRunError as exc:
        raise CannotRunError(f"{plan.app} on {server}: {exc}") from exc


@contextlib.contextmanager
def _progress(title: str, count: int) -> Iterator[Callable[[str], Callable[[], None]]]:
    """A bar on the terminal; nothing where standard error is none."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description:<12}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        bar.console.print(title) if console.is_terminal else None

        def begin(server: str) -> Callable[[], None]:
            task = bar.add_task(server, total=count)
            return partial(bar.advance, task)

        yield begin


# --- what is to be checked ----------------------------------------------------------------------------------


def _asked(options: argparse.Namespace) -> Asked:
    """What is said of the app: what is no word is taken from where ``bridge serve`` takes it."""
    words = {name: said for name, said in vars(options).items() if name in _OF_THE_APP}
    asked = asked_for([from_words(words), from_environment(os.environ), from_pyproject(Path.cwd())], ())
    if asked.mount:
        raise UsageError("one app is checked at a time: say which of those mounted, as APP")
    return prepared(asked, "wsgi")


def _look(asked: Asked) -> dict[str, Any] | None:
    """Look at the app in a process of its own; None if something is wrong, which it has said."""
    command = [sys.executable, *module_words("bridge.check.look")]
    app = asked.app or ""
    target = Target(
        app=app,
        kind=asked.kind,
        factory=bool(asked.factory),
        app_dir=asked.app_dir or "",
        interface="wsgi",
    )
    environment = target.environment(os.environ)
    is_late = threading.Event()
    # In a session of its own, so that what the app starts at its import ends with it, such as a reloader's process.
    with child(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:

        def give_up() -> None:
            is_late.set()
            process.kill()

        timer = threading.Timer(_IMPORT, give_up)
        timer.start()
        try:
            with cast("IO[bytes]", process.stdout) as answer:
                line = answer.read()  # ends with the process, or when it has answered
            with contextlib.suppress(subprocess.TimeoutExpired):  # a thread of the app may keep it
                process.wait(_LEAVING)
        finally:
            timer.cancel()
    if line:
        found: dict[str, Any] = json.loads(line)
        return found
    if process.returncode == 2:
        return None  # it has said why
    if is_late.is_set():
        raise CannotRunError(
            f"{app}: importing it takes more than {_IMPORT:.0f} seconds. Does the module start a server, or wait for "
            'something? Put that under if __name__ == "__main__"'
        )
    raise CannotRunError(f"{app}: importing it ended the process (status {process.returncode})")


def _plan(options: argparse.Namespace, asked: Asked, looked: dict[str, Any]) -> Plan:
    kind, loop = looked["kind"], asked.adapter.get("loop")
    first: Kind = "asgi" if kind == "both" else kind
    second: Kind = "wsgi" if first == "asgi" else "asgi"
    routes = [Route(**{**route, "methods": tuple(route["methods"])}) for route in looked["routes"]]
    own = of_routes(routes, all_methods=options.all_methods)
    there = {(request.method, request.target, request.note) for request in own}
    requests = [
        request for request in BUILT_IN if (request.method, request.target, request.note) not in there
    ]
    recorded, cookies = _recorded(options)
    requests += own + recorded
    return Plan(
        app=asked.app or "",
        factory=bool(asked.factory),
        app_dir=asked.app_dir or "",
        kind=kind,
        native=_server(options.native, first, "--native").name,
        bridged=_server(options.bridged, second, "--bridged").name,
        requests=requests,
        routes=routes,
        loop=loop,
        one_loop=(loop or looked["loop"]) == "shared",
        directory=str(Path.cwd()),
        cookies=cookies,
    )


def _recorded(options: argparse.Namespace) -> tuple[list[Request], dict[str, str]]:
    """The requests of the files that were named, and the cookies that they begin with."""
    requests: list[Request] = []
    cookies: dict[str, str] = {}
    for option, name in (("--requests", options.requests), ("--har", options.har)):
        if name is None:
            continue
        path = Path(name)
        try:
            text = path.read_text(encoding="utf-8-sig")
            if option == "--requests":
                requests += from_lines(text, path.parent)
            else:
                found, cookies = from_har(text)
                requests += found
        except OSError as exc:
            raise UsageError(f"{option}: {exc.filename or name}: {exc.strerror}") from None
        except ValueError as exc:
            raise UsageError(f"{option} {name}: {exc}") from None
    return requests, cookies


def _server(asked: str | None, interface: Kind, option: str) -> Server:
    """The server that was asked for, or the first one of this kind that is installed."""
    if asked is None:
        installed = [SERVERS[name] for name in ORDER[interface] if SERVERS[name].installed]
        if not installed:
            requirement = SERVERS[ORDER[interface][0]].requirement
            raise UsageError(
                f"no {interface.upper()} server is installed: python -m pip install {requirement}"
            )
        return installed[0]
    server = SERVERS[asked]
    if server.interface != interface:
        able = ", ".join(ORDER[interface])
        raise UsageError(
            f"{option} {asked}: it calls {server.interface.upper()} apps; here it has to be one of {able}"
        )
    if not server.installed:
        raise UsageError(f"{asked} is not installed: python -m pip install {server.requirement}")
    return server
