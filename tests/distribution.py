"""What is released, as its users get it: ``python -m tests.distribution DIRECTORY``, which has one sdist and one wheel.

- The wheel has each file of ``bridge/``, and nothing beside it; the sdist has each file of the repository.
- The wheel that is made of the sdist has the same files, byte for byte.
- Each is installed into an empty environment. asgiref alone comes with it. There both directions answer, by the
  standard library's server, and what needs an extra says which.

Run by ``make dist-check``, which builds both. Versions are those of ``requirements/``.
"""

import os
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path
from urllib.request import urlopen

from bridge import __version__
from tests.support.servers import REPOSITORY, free_port, poll

__all__ = ["main"]

PACKAGE = REPOSITORY / "bridge"

APP = """
def wsgi(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"from WSGI"]

async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        raise NotImplementedError
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"from ASGI"})
"""

TRY = """
import asyncio, importlib.metadata, importlib.resources
from bridge import AsgiToWsgi, Dispatcher, WsgiToAsgi, __version__
from app import asgi, wsgi

names = sorted(each.name for each in importlib.metadata.distributions())
assert names == ["asgi-wsgi-bridge", "asgiref"], names
assert importlib.metadata.version("asgi-wsgi-bridge") == __version__
assert (importlib.resources.files("bridge") / "py.typed").is_file()
AsgiToWsgi(asgi)

async def main():
    sent = []
    async def receive():
        return {"type": "http.request"}
    async def send(message):
        sent.append(message.get("body", b""))
    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "server": ("x", 80)}
    await WsgiToAsgi(wsgi)(scope, receive, send)
    assert b"".join(sent) == b"from WSGI", sent

asyncio.run(main())
"""


def main(directory: Path) -> None:
    """Raises ``AssertionError`` with what is wrong, or ``CalledProcessError`` with the command that failed."""
    (wheel,), (sdist,) = directory.glob("*.whl"), directory.glob("*.tar.gz")
    assert wheel.name == f"asgi_wsgi_bridge-{__version__}-py3-none-any.whl", wheel
    assert f"\n## [{__version__}]" in (REPOSITORY / "CHANGELOG.md").read_text(), (
        "the changelog has this version"
    )
    with tempfile.TemporaryDirectory(prefix="bridge-dist-") as place:
        temporary = Path(place)
        constraints = temporary / "constraints.txt"
        constraints.write_text(pins())
        files = of_wheel(wheel)
        check_files(files, sdist)
        _pip(constraints, "wheel", "--no-deps", "--wheel-dir", place, str(sdist))
        assert of_wheel(temporary / wheel.name) == files, "the sdist makes another wheel"
        for released in (wheel, sdist):
            environment = temporary / f"in-{released.suffix.strip('.')}"
            venv.create(environment, with_pip=False)
            _pip(constraints, "install", str(released), python=environment / "bin" / "python")
            try_out(environment)
            print(f"{released.name}: installed and tried")


def pins() -> str:
    """The versions of the lock, without what it says of files: as constraints."""
    lines = (REPOSITORY / "requirements" / "test.txt").read_text().splitlines()
    return "\n".join(line.removesuffix("\\") for line in lines if line[:1].isalnum())


def of_wheel(wheel: Path) -> dict[str, bytes]:
    """Its files by name, without those that say what is in it."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if not name.endswith("/RECORD")}


def check_files(wheel: dict[str, bytes], sdist: Path) -> None:
    """Nothing is missing, and nothing is there that nobody has asked for."""
    own = {
        path.relative_to(REPOSITORY).as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    beside = f"asgi_wsgi_bridge-{__version__}.dist-info/"
    there = {name for name in wheel if not name.startswith(beside)}
    assert there == own, f"missing in the wheel: {own - there}; not of the package: {there - own}"
    assert {f"{beside}METADATA", f"{beside}entry_points.txt", f"{beside}licenses/LICENSE"} <= set(wheel)
    git = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    tracked = subprocess.run(git, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    expected = set(tracked.splitlines())
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert names - {"PKG-INFO"} == expected, f"the sdist differs from the repository: {names ^ expected}"


def _pip(constraints: Path, command: str, *words: str, python: Path | None = None) -> None:
    """The pip of this environment, for that of ``python``. It builds in isolation, as that of users does."""
    pip = [sys.executable, "-m", "pip", *(["--python", str(python)] if python else []), command]
    pip += ["--quiet", "--disable-pip-version-check"]
    pip += ["--constraint", str(constraints), "--build-constraint", str(constraints)]
    subprocess.run([*pip, *words], check=True, timeout=120)


def try_out(environment: Path) -> None:
    """What a user does first, in a directory of his own."""
    commands = environment / "bin"
    (environment / "app.py").write_text(APP)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}

    def run(*words: str) -> tuple[int, str]:
        done = subprocess.run(
            [str(commands / words[0]), *words[1:]],
            cwd=environment,
            env=clean,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout

    status, output = run("python", "-c", TRY)
    assert status == 0, output
    for command in ("bridge", "asgi-wsgi-bridge"):
        status, output = run(command, "--help")
        assert status == 0, output
        assert "serve" in output, output
    status, output = run("bridge", "check", "app:wsgi")
    assert status == 2, output
    assert "python -m pip install 'asgi-wsgi-bridge[check]'" in output, output
    for name in ("wsgi", "asgi"):
        _serve(commands / "bridge", name, environment, clean)


def _serve(command: Path, name: str, directory: Path, environ: dict[str, str]) -> None:
    """The app of this name on wsgiref: one answer, and an end."""
    port = free_port()
    words = [str(command), "serve", f"app:{name}", "--server", "wsgiref", "--port", str(port)]
    with (directory / "log").open("w+") as log:
        process = subprocess.Popen(words, cwd=directory, env=environ, stdout=log, stderr=log)
        try:
            poll(lambda: process.poll() is not None or _accepts(port), 30, lambda: f"{words}: no answer")
            assert process.poll() is None, (directory / "log").read_text()
            with urlopen(f"http://127.0.0.1:{port}/", timeout=30) as answer:
                assert answer.read() == f"from {name.upper()}".encode()
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) in {0, -signal.SIGTERM}, (directory / "log").read_text()
        finally:
            process.kill()
            process.wait()


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main(Path(sys.argv[1]))
