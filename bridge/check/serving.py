"""Running the app on a server, and sending it the requests: one run of the check.

The server is a process of its own, started by ``bridge serve``, on a port of 127.0.0.1. At the end of a run
nothing of it is left: the server is told to end, and its process group is killed if it doesn't.
"""

import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..cli.folders import module_words
from ..cli.servers import SERVERS, Server
from ..errors import BridgeError
from .child import child
from .compare import LEAVING
from .exchange import Cookies, ask
from .model import Plan, Record, Request, Run
from .target import Checked

__all__ = ["CannotRunError", "Served", "run_on", "serving"]

_HOST = "127.0.0.1"
_START = 30.0
_INTERVAL = 0.02
#: How often each request of ``repeated()`` is sent, in a row.
REPEATS = 6
_MOST_REPEATED = 12


class CannotRunError(BridgeError, RuntimeError):
    """A server does not start, or ends by itself; the message has the end of its log."""


class Served:
    """A server that runs the app."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int, directory: Path, token: str) -> None:
        self.process = process
        self.address = (_HOST, port)
        self.token = token
        self.events_file = directory / "events"
        self.log_file = directory / "log"

    def events(self) -> list[dict[str, Any]]:
        """What the probe has written until now."""
        lines = self.events_file.read_bytes().splitlines(keepends=True) if self.events_file.exists() else []
        return [json.loads(line) for line in lines if line.endswith(b"\n")]

    def log(self) -> str:
        """All that the server has printed."""
        return self.log_file.read_text(errors="replace")

    def measure(self, label: str) -> None:
        """Have the probe write down what the process has now."""
        answer = ask(
            self.address, Request(), host="localhost", mark=f"{self.token}:{label}", cookies=Cookies()
        )
        if answer.status != 204:
            raise CannotRunError(
                self._what_happened("the app can't be reached through the server", answer.error)
            )

    def _what_happened(self, what: str, error: str = "") -> str:
        tail = "\n".join(self.log().splitlines()[-30:])
        return f"{what}{f' ({error})' if error else ''}; its log ends with:\n{tail}"

    def wait(self) -> None:
        """Return when it accepts connections. Raises ``CannotRunError`` if it ends, or doesn't in time."""
        deadline = time.monotonic() + _START
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise CannotRunError(self._what_happened(f"it ended with status {self.process.returncode}"))
            with contextlib.suppress(OSError), socket.create_connection(self.address, timeout=1):
                return
            time.sleep(_INTERVAL)
        raise CannotRunError(self._what_happened(f"it does not listen after {_START:.0f} seconds"))


@contextlib.contextmanager
def serving(plan: Plan, name: str) -> Iterator[Served]:
    """The app of the plan on the server of this name, as it is or through the bridge, as its kind asks for."""
    server = SERVERS[name]
    port, token = free_port(), secrets.token_hex(8)
    with tempfile.TemporaryDirectory(prefix="bridge-check-") as place:
        directory = Path(place)
        checked = Checked(
            app=plan.app,
            factory=plan.factory,
            app_dir=plan.app_dir,
            kind=plan.kind,
            interface=server.interface,
            loop=plan.loop,
            port=port,
            file=str(directory / "events"),
            token=token,
        )
        environment = checked.environment(os.environ)
        environment["PYTHONUNBUFFERED"] = "1"
        # What an app makes from a set has the same order in all runs.
        environment.setdefault("PYTHONHASHSEED", "0")
        with (
            (directory / "log").open("wb") as log,
            child(
                [sys.executable, *module_words("bridge.check.start"), *_words(server, port)],
                cwd=plan.directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            ) as process,
        ):
            served = Served(process, port, directory, token)
            served.wait()
            yield served


def _words(server: Server, port: int) -> list[str]:
    """The words of ``bridge serve``: one process, with threads as in production where the server has its own."""
    words = ["bridge.check.served:app", "--kind", server.interface, "--server", server.name]
    words += ["--host", _HOST, "--port", str(port)]
    words += ["--workers", "1"] if server.workers else []
    words += ["--threads", "8"] if server.threads else []
    # gunicorn's control socket, since 25.1, is one file for all gunicorns of a user.
    return (
        [*words, "--", "--no-control-socket"]
        if server.name == "gunicorn" and _has_control_socket()
        else words
    )


def run_on(plan: Plan, name: str, host: str, progress: Callable[[], None], *, measured: bool) -> Run:
    """Serve the app on this server, send all requests of the plan in their order, and return what came of it.

    ``measured``: at the end, send the quick ones again and again, for time, CPU, and what is left behind.

    Raises ``CannotRunError``.
    """
    found = Run(server=name)
    with serving(plan, name) as served:
        served.measure("begin")
        cookies = Cookies(plan.cookies)
        for number, request in enumerate(plan.requests):
            mark = f"{served.token}:{number}"
            found.answers.append(ask(served.address, request, host=host, mark=mark, cookies=cookies))
            progress()
        _wait_for_ends(served)
        if measured:
            for number in repeated(plan, found):
                found.times[number] = _repeat(served, number, plan.requests[number], host, cookies)
        served.measure("end")
        for event in served.events():
            _sort(event, found)
    return found


def repeated(plan: Plan, found: Run) -> list[int]:
    """The numbers of the requests that are sent again: safe ones that were answered well and quickly."""
    good = [
        number
        for number, (request, answer) in enumerate(zip(plan.requests, found.answers, strict=True))
        if request.method == "GET" and request.note == "" and answer.complete and answer.status < 400
        if answer.ended_at - answer.sent_at < 0.1
    ]
    own = [number for number in good if plan.requests[number].origin != "built-in"]
    return (own or good)[:_MOST_REPEATED]


def _repeat(served: Served, number: int, request: Request, host: str, cookies: Cookies) -> list[float]:
    times: list[float] = []
    mark = f"{served.token}:{number + AGAIN}"
    served.measure(f"before {number}")
    for part in ("between", "after"):
        for _ in range(REPEATS):
            answer = ask(served.address, request, host=host, mark=mark, cookies=cookies)
            times.append(answer.ended_at - answer.sent_at)
        served.measure(f"{part} {number}")
    return times


#: Added to a request's number where it is sent again.
AGAIN = 1_000_000


def _wait_for_ends(served: Served) -> None:
    """Wait for the apps that have yet to notice that their client left."""
    deadline = time.monotonic() + LEAVING
    while time.monotonic() < deadline:
        events = served.events()
        begun = sum(event["at"] == "begin" for event in events)
        if begun == sum(event["at"] == "end" for event in events):
            return
        time.sleep(_INTERVAL * 5)


def _sort(event: dict[str, Any], found: Run) -> None:
    at = event.pop("at")
    if at == "begin" and event["number"] < AGAIN:
        found.records[event["number"]] = Record(peer=event["peer"], scheme=event["scheme"])
    elif at == "end" and event["number"] < AGAIN:
        record = found.records[event.pop("number")]
        record.ended = True
        for name, value in event.items():
            setattr(record, name, value)
    elif at not in {"begin", "end"}:
        found.events.append({"at": at, **event})


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listens on right now."""
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _has_control_socket() -> bool:
    import gunicorn

    return tuple(gunicorn.version_info) >= (25, 1)
