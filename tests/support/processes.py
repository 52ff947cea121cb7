"""Processes that a test, or a library in it, has started."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

from .servers import REPOSITORY

__all__ = ["alive", "ended_while_it_begins", "with_temporary_files"]

#: ``main()`` of a module, which gets SIGTERM when the process of its server is there, and its object is not yet.
_BEGINS = """
import importlib, os, signal, subprocess, sys

module, server, *arguments = sys.argv[1:]

class Popen(subprocess.Popen):
    def __init__(self, command, *args, **kwargs):
        super().__init__(command, *args, **kwargs)
        if server in command:
            print("begun", flush=True)
            os.kill(os.getpid(), signal.SIGTERM)

subprocess.Popen = Popen
sys.exit(importlib.import_module(module).main(arguments))
"""


def alive(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Those that run still; one that has ended and that nobody has waited for does not."""
    living = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                living.append(process)
    return living


def with_temporary_files(meant: Callable[[str], bool]) -> list[psutil.Process]:
    """Those whose ``TMPDIR`` is one that is meant."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if meant(process.environ().get("TMPDIR", "")):
                found.append(process)
    return found


def ended_while_it_begins(
    module: str, server: str, *arguments: str, directory: Path
) -> tuple[subprocess.CompletedProcess[str], list[psutil.Process]]:
    """Run ``main()`` of the module; it gets SIGTERM when it has begun the ``server``, and does not hold it yet.

    Returns what it said, and what it has left; that is ended. ``directory`` is for its temporary files.
    """
    done = subprocess.run(
        [sys.executable, "-c", _BEGINS, module, server, *arguments],
        cwd=REPOSITORY,
        # Without setpriv, by which the kernel ends the tests' servers with what began them, on some systems.
        env=os.environ | {"TMPDIR": str(directory), "PATH": str(Path(sys.executable).parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=90,
        check=False,
    )
    left = with_temporary_files(lambda place: Path(place).is_relative_to(directory))
    for process in left:
        process.kill()
    return done, left
