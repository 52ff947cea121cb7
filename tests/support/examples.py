"""An example as a user runs it: by the command lines in its docstring."""

import ast
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from tests.conftest import StartServer

from .servers import REPOSITORY, RunningServer

__all__ = ["Example", "lines_of"]

# The servers' command lines in the examples, without the app, as rows of the harness's table.
_KINDS = {
    "uvicorn": "uvicorn-httptools",
    "gunicorn": "gunicorn-sync",
    "gunicorn --worker-class gthread --threads 8": "gunicorn-gthread",
}


def lines_of(example: Path) -> list[str]:
    """The command lines of an example: what it needs, its server, its clients."""
    docstring = ast.get_docstring(ast.parse(example.read_text()))
    assert docstring is not None
    return [line.strip() for line in docstring.splitlines() if line.startswith("    ")]


class Example:
    """An example, its server started, and the lines of its clients."""

    def __init__(self, name: str, start_server: StartServer, environ: dict[str, str] | None = None) -> None:
        _, serve, *self.lines = lines_of(REPOSITORY / "examples" / f"{name}.py")
        command, _, app = serve.rpartition(" ")
        assert app.startswith(f"examples.{name}:")
        self.server: RunningServer = start_server(_KINDS[command], app, environ=environ or {})

    def run(self, line: str, *options: str, directory: Path = REPOSITORY) -> str:
        """What the client prints: ``line`` against this server, with ``options`` added, run in ``directory``."""
        done = subprocess.run(
            self._command(line, *options),
            cwd=directory,
            env=_environ(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def run_until(self, line: str, end: str) -> str:
        """What the client prints up to the line ``end``. Its own ``--max-time`` may be too short for a slow machine."""
        command = self._command(re.sub(r"--max-time \d+", "--max-time 60", line))
        with subprocess.Popen(command, env=_environ(), stdout=subprocess.PIPE, text=True) as client:
            assert client.stdout is not None
            try:
                lines = []
                while end not in lines and (printed := client.stdout.readline()):
                    lines.append(printed)
            finally:
                client.kill()
        return "".join(lines)

    def _command(self, line: str, *options: str) -> list[str]:
        command, *words = shlex.split(line.replace("http://127.0.0.1:8000", self.server.url))
        if command == "curl":
            options = ("--silent", "--show-error", "--noproxy", "*", *options)
        return [command, *options, *words]


def _environ() -> dict[str, str]:
    """A program of a Python package is beside the interpreter that runs the tests."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return os.environ | {"PATH": path}
