"""What the page on hosting platforms says of Passenger, on Passenger itself: in Apache, as Debian has the two."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from tests.support.apache import apache
from tests.support.mod_wsgi import MODULES
from tests.support.pages import DOCS, blocks
from tests.support.servers import RunningServer, free_port, poll

BLOCKS = {block.title: block.text for block in blocks(DOCS / "guides/hosting.md") if block.title}
LOADER = Path("/usr/share/passenger/helper-scripts/wsgi-loader.py")

#: Beside what the page has: a folder of its own, one process, and no questions to anybody for updates.
AROUND = """\
PassengerRoot /usr/lib/ruby/vendor_ruby/phusion_passenger/locations.ini
PassengerInstanceRegistryDir "{registry}"
PassengerUserSwitching off
PassengerDefaultUser "{user}"
PassengerDisableSecurityUpdateCheck on
PassengerDisableAnonymousTelemetry on
PassengerMaxPoolSize 1
"""

#: The page's app, with what only Passenger shows: its lifespan, a stream, and an error in the middle of one.
MORE = """
import asyncio, contextlib, os.path, pathlib
from fastapi.responses import StreamingResponse

@contextlib.asynccontextmanager
async def lifespan(app):
    log = pathlib.Path("lifespan")
    log.write_text("startup")
    yield
    log.write_text("shutdown")

fastapi_app.router.lifespan_context = lifespan

@fastapi_app.get("/events")
async def events():
    async def lines():
        yield "data: 1\\n\\n"
        while not os.path.exists("told"):
            await asyncio.sleep(0.01)
        yield "data: 2\\n\\n"
    return StreamingResponse(lines(), media_type="text/event-stream")

@fastapi_app.get("/broken")
async def broken():
    async def lines():
        yield "half"
        await asyncio.sleep(0.1)
        raise ValueError("in the middle")
    return StreamingResponse(lines())
"""


def missing() -> str | None:
    """Why it can't be run here; None: it can."""
    if shutil.which("apache2") is None or not (MODULES / "mod_passenger.so").exists() or not LOADER.exists():
        return "Debian's packages apache2-bin and libapache2-mod-passenger are not installed"
    if sys.version_info >= (3, 12) and "imp," in LOADER.read_text():
        return "the loader of this Passenger imports imp, which Python has no longer"
    return None


pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))


@pytest.fixture
def registry() -> Iterator[str]:
    """Where Passenger has its sockets, whose paths can't be long."""
    with tempfile.TemporaryDirectory(prefix="p-") as path:
        yield path


@pytest.fixture
def passenger(tmp_path: Path, registry: str) -> Iterator[RunningServer]:
    """The page's files and its configuration, in Apache with Passenger; at the end no process of it is there."""
    folder, port = tmp_path, free_port()
    (folder / "public").mkdir()
    (folder / "api.py").write_text(BLOCKS["api.py"] + MORE)
    (folder / "passenger_wsgi.py").write_text(BLOCKS["passenger_wsgi.py"])
    site = BLOCKS["shop.conf"].replace("*:80", f"127.0.0.1:{port}")
    # A path of this checkout's may have a blank in it.
    (folder / ".venv").symlink_to(sys.prefix)
    site = site.replace("/srv/shop", str(folder))
    around = AROUND.format(registry=registry, user=psutil.Process().username())
    others: list[psutil.Process] = []
    with apache(folder, port, ("passenger",), around + site) as running:
        yield running
        if running.process.poll() is None:
            # Passenger's own processes are in another session than Apache's.
            others = psutil.Process(running.process.pid).children(recursive=True)

    def left() -> list[str]:
        # What it has in the registry goes when all else has ended.
        return [repr(one) for one in others if alive(one)] + [one.name for one in Path(registry).iterdir()]

    poll(lambda: not left(), 30, lambda: f"still there: {left()}; {running.log()}")


def alive(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def test_the_page_s_app_answers(passenger: RunningServer) -> None:
    with passenger.client() as client:
        assert client.get("/").json() == {"hello": "world"}
        assert client.post("/size", content=b"x" * 100_000).json() == {"size": 100_000}
        # Passenger takes the whole upload first, so that it has a length.
        assert client.post("/size", content=iter([b"x" * 100_000, b"y"])).json() == {"size": 100_001}


def test_each_event_of_a_stream_leaves_at_once_and_the_next_request_waits_for_its_end(
    passenger: RunningServer, registry: str, tmp_path: Path
) -> None:
    def status() -> str:
        done = subprocess.run(
            ["passenger-status", "--no-header"],
            env=os.environ | {"PASSENGER_INSTANCE_REGISTRY_DIR": registry},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.stdout + done.stderr

    with passenger.client() as client, passenger.client() as other, ThreadPoolExecutor(1) as threads:
        with client.stream("GET", "/events") as response:
            lines = response.iter_lines()
            assert next(lines) == "data: 1"
            waiting = threads.submit(other.get, "/")
            poll(lambda: "Requests in queue: 1" in status(), 40, status)
            (tmp_path / "told").touch()
            assert [line for line in lines if line] == ["data: 2"]
        assert waiting.result(30).json() == {"hello": "world"}


def test_the_lifespan_begins_with_the_first_request_and_ends_with_the_process(
    passenger: RunningServer, tmp_path: Path
) -> None:
    assert not (tmp_path / "lifespan").exists()
    with passenger.client() as client:
        assert client.get("/").status_code == 200
    assert (tmp_path / "lifespan").read_text() == "startup"
    passenger.stop()
    poll(lambda: (tmp_path / "lifespan").read_text() == "shutdown", 20, passenger.log)


def test_an_error_in_the_middle_ends_like_a_whole_response(passenger: RunningServer) -> None:
    """Natively as well: the loader closes its socket after an error as after the end."""
    with passenger.client() as client:
        assert client.get("/broken").text == "half"
    passenger.wait_for_log("in the middle")
