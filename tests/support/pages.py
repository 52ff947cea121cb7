"""Reads a page of docs/, and does what it says: files are written, servers started, clients run, and what they print
compared.

The rules of a page:

- A block of Python with a title is a file of that name. One without goes on where the file before it ended.
- A shell block is a server's command line, which ends the server before it; or ``pytest`` of a file; or a
  ``pip install``, whose names ``tests/docs`` looks at.
- A console block has a client's command lines (``$ curl ...``), each with what it then prints; or ``$ bridge check``
  with its report, in which times may be others.
- A text block is a drawing, or what can't run here; nothing runs it.
- A configuration (``nginx``, ``ini``, ``docker``, ``apache``, ``yaml``) is for another program: ``tests/docs`` has a
  test with that program.

Servers are said to be on port 8000; here each has a port of its own.
"""

import ast
import os
import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tests.support.servers import REPOSITORY, RunningServer, ServerKind, free_port
from tests.support.versions import NO_CONTROL_SOCKET

__all__ = ["DOCS", "Block", "Page", "blocks", "functions_of"]

DOCS = REPOSITORY / "docs"
PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
#: Blocks for programs that have a test of their own.
CONFIGURATIONS = {"apache", "docker", "ini", "nginx", "yaml"}
#: Where a server's command line takes a port.
PORT = {
    "uvicorn": ("--port", "{port}"),
    "hypercorn": ("--bind", "127.0.0.1:{port}"),
    "granian": ("--port", "{port}"),
    "gunicorn": ("--bind", "127.0.0.1:{port}", *NO_CONTROL_SOCKET),
    "bridge": ("--port", "{port}"),
    "uwsgi": ("--http-socket", "127.0.0.1:{port}"),
}


class Block(NamedTuple):
    language: str
    title: str
    text: str


def blocks(path: Path) -> list[Block]:
    found = re.findall(
        r'^```(\w*)(?: title="(.+?)")?\n(.*?)^```$', path.read_text(), re.MULTILINE | re.DOTALL
    )
    return [Block(*block) for block in found]


@cache
def functions_of(path: Path) -> set[str]:
    """The names of a file's functions: pages name tests."""
    return {
        node.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


class Page:
    """A page that is worked through, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environ = {**os.environ, "PATH": PATH, "PYTHONPATH": f"{folder}:{REPOSITORY}"}
        self.server: RunningServer | None = None
        self.file: Path | None = None

    def stop(self) -> None:
        if self.server is not None:
            server, self.server = self.server, None
            server.stop()

    def work(self, block: Block) -> None:
        if block.language == "python":
            self._python(block)
        elif block.language == "sh":
            for line in block.text.splitlines():
                self._shell(line)
        elif block.language == "console":
            self._console(block.text)
        elif block.language == "text" or block.language in CONFIGURATIONS:
            pass
        else:
            raise AssertionError(f"a block of {block.language!r}: nothing here runs it")

    def _python(self, block: Block) -> None:
        if block.title:
            self.file = self.folder / block.title
            self.file.write_text(block.text)
        else:
            assert self.file is not None, "it goes on where nothing has begun"
            self.file.write_text(f"{self.file.read_text()}\n\n{block.text}")
        self._run([sys.executable, self.file.name])

    def work_all(self, path: Path) -> None:
        for block in blocks(path):
            self.work(block)

    def _shell(self, line: str) -> None:
        words = shlex.split(line)
        if words[:2] == ["pip", "install"]:
            assert all(re.fullmatch(r"asgi-wsgi-bridge(\[[\w,]+\])?|[\w-]+", word) for word in words[2:])
            return
        if words[0] == "pytest":
            self._run(
                [sys.executable, "-m", "pytest", "--rootdir", ".", "-p", "no:cacheprovider", *words[1:]]
            )
            return
        self.serve(words)

    def serve(self, words: list[str]) -> RunningServer:
        """Start the server of this command line, on a port of its own, in the place of the one before."""
        self.stop()
        port = free_port()
        options = [option.format(port=port) for option in PORT[words[0]]]
        # bridge's own options are behind the app, and a server's own behind --.
        place = 1 if words[0] != "bridge" else words.index("--") if "--" in words else len(words)
        command = [*words[:place], *options, *words[place:]]
        log_path = self.folder / f"server-{port}.log"
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        kind = ServerKind(words[0], "asgi", tuple(command), tcp=())
        self.server = RunningServer(kind, shlex.join(words), "127.0.0.1", port, None, log_path, process)
        self.server.wait_until_accepting()
        return self.server

    def _console(self, text: str) -> None:
        for session in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
            line, _, expected = session.partition("\n")
            if line.startswith("bridge check "):
                # rich fills lines up with spaces, and its tables go by the width of a terminal.
                printed = self._run(shlex.split(line), COLUMNS="80", exit_status=1)
                assert _report(printed) == _report(expected), line
                continue
            assert self.server is not None, f"{line}: no server runs"
            command, *words = shlex.split(line.replace("http://127.0.0.1:8000", self.server.url))
            assert command == "curl", line
            printed = self._run([command, "--silent", "--show-error", "--noproxy", "*", *words])
            assert printed.rstrip("\n") == expected.rstrip("\n"), line

    def _run(self, command: list[str], exit_status: int = 0, **environ: str) -> str:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environ | environ,
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
        assert done.returncode == exit_status, done.stdout + done.stderr
        return done.stdout


def _report(text: str) -> list[str]:
    """The lines of a report, without the milliseconds, and the spaces before them."""
    return [re.sub(r" +\d+\.\d\b", " TIME", line).rstrip() for line in text.rstrip().splitlines()]
