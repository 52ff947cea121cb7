"""What is done to a server while it is played on: ended, reloaded, killed, left without descriptors or space.

``disturb()`` returns when the server is whole again: when it answers, and those of its processes that were to end have
ended. It runs on the thread that leads the soak; the clients' threads learn of it by the target's stamp.
"""

import contextlib
import enum
import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from tests.support.faults import known
from tests.support.servers import RunningServer, poll

from .checks import take_sample
from .model import Complaint, Loss
from .target import Target

__all__ = ["Chaos", "disturb", "end", "full_disk", "low_descriptors", "small_disk", "small_disk_missing"]

#: Seconds for a server to end in good order: more than its own graceful timeout.
_STOP = 30.0
#: Seconds for which there are no descriptors, or there is no space.
_NARROW = 1.5
#: Descriptors that may be opened yet.
_SPARE = 4


class Chaos(enum.Enum):
    """What is done to a server."""

    TERMINATE = "SIGTERM, and a new start"
    INTERRUPT = "SIGINT, and a new start"
    RELOAD = "SIGHUP"
    KILL = "SIGKILL to a worker"
    DESCRIPTORS = "no descriptors left"
    SPACE = "no temporary space left"


def disturb(
    target: Target, chaos: Chaos, restart: Callable[[], RunningServer], directory: Path
) -> list[Complaint]:
    """Do it. ``restart`` starts the server anew, where it has ended; ``directory`` is its temporary one."""
    with target.disturbing():
        if chaos is Chaos.TERMINATE:
            return _end_and_restart(target, signal.SIGTERM, restart)
        if chaos is Chaos.INTERRUPT:
            return _end_and_restart(target, signal.SIGINT, restart)
        if chaos is Chaos.RELOAD:
            return _reload(target)
        if chaos is Chaos.KILL:
            return _kill(target, restart)
        narrow = (
            low_descriptors(worker_of(target.server), _SPARE)
            if chaos is Chaos.DESCRIPTORS
            else full_disk(directory)
        )
        with narrow:
            time.sleep(_NARROW)
        return _until_whole(target, restart)


def _end_and_restart(
    target: Target, number: signal.Signals, restart: Callable[[], RunningServer]
) -> list[Complaint]:
    complaints = end(target.server, number)
    target.server = restart()
    return complaints


def end(server: RunningServer, number: signal.Signals = signal.SIGTERM) -> list[Complaint]:
    """End it by that signal; a complaint if it had to be killed, and that is no known fault of the server's."""
    if server.process.poll() is None:
        server.process.send_signal(number)
    with contextlib.suppress(subprocess.TimeoutExpired, AssertionError):
        server.process.wait(_STOP)
        poll(lambda: not server.processes(), _STOP, lambda: "")
    if server.ends_by_itself(1.0) or _may_hang(server.kind.name):
        return []
    return [Complaint(Loss.SERVER, f"{number.name} did not end it")]


def _may_hang(kind: str) -> bool:
    faults = ("shutdown beside an open connection", "shutdown beside a client that does not read")
    return any(known(name, kind.removesuffix("-h2c")) for name in (*faults, "two signals to a worker"))


def _reload(target: Target) -> list[Complaint]:
    before = worker_of(target.server)
    target.server.process.send_signal(signal.SIGHUP)
    try:
        poll(lambda: not before.is_running(), _STOP, lambda: f"{before} runs on after SIGHUP")
    except AssertionError as error:
        return [Complaint(Loss.SERVER, str(error))]
    return _until_answers(target)


def _kill(target: Target, restart: Callable[[], RunningServer]) -> list[Complaint]:
    worker = worker_of(target.server)
    worker.kill()
    gone = psutil.wait_procs([worker], _STOP)[0] if worker.pid != target.server.process.pid else [worker]
    assert gone, f"{worker} survives SIGKILL"
    return _until_whole(target, restart)


def _until_whole(target: Target, restart: Callable[[], RunningServer]) -> list[Complaint]:
    """Some servers go on by themselves, or have another worker; others have ended, or serve no more."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        target.server.process.wait(1.0)
    if target.server.process.poll() is None and not _until_answers(target):
        return []
    complaints = end(target.server)
    target.server = restart()
    return complaints


def _until_answers(target: Target) -> list[Complaint]:
    def answers() -> bool:
        try:
            take_sample(target)
        except (OSError, AssertionError):
            return False
        return True

    try:
        poll(answers, _STOP, lambda: "it does not answer any more")
    except AssertionError as error:
        return [Complaint(Loss.SERVER, str(error))]
    return []


def worker_of(server: RunningServer) -> psutil.Process:
    """The process that serves: the last child of the one that was started, or that one."""
    children = psutil.Process(server.process.pid).children(recursive=True)
    # Python's resource tracker is a child too, and serves nothing.
    serving = [child for child in children if "resource_tracker" not in " ".join(child.cmdline())]
    return serving[-1] if serving else psutil.Process(server.process.pid)


# Descriptors and space.


@contextlib.contextmanager
def low_descriptors(process: psutil.Process, spare: int) -> Iterator[None]:
    """The process may open ``spare`` more descriptors, and then none (RLIMIT_NOFILE), while the block runs."""
    before = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
    # The limit is about the numbers, and free ones below the highest are taken first.
    numbers = {int(name) for name in os.listdir(f"/proc/{process.pid}/fd")}  # noqa: PTH208
    free = [number for number in range(max(numbers) + spare + 2) if number not in numbers]
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (free[spare], before[1]))
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):  # it may not have survived
            resource.prlimit(process.pid, resource.RLIMIT_NOFILE, before)


def small_disk_missing() -> str | None:
    """Why no small file system can be made here; ``None``: one can."""
    return None if os.geteuid() == 0 else "a small tmpfs is mounted, which needs root"


@contextlib.contextmanager
def small_disk(directory: Path) -> Iterator[None]:
    """``directory`` is a file system of 64 MiB while the block runs."""
    directory.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "soak", str(directory)], check=True)
    try:
        yield
    finally:
        # Lazily: a process that is about to end may have a file there.
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


@contextlib.contextmanager
def full_disk(directory: Path) -> Iterator[None]:
    """The file system of ``directory``, a small one, has no room while the block runs."""
    filler = directory / "filler"
    try:
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(b"x" * 65_536):
                pass
        yield
    finally:
        filler.unlink(missing_ok=True)
