"""``bridge check`` as its user runs it: on sound apps it finds nothing, and each planted fault is found."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from textwrap import dedent
from typing import Any

import psutil
import pytest

from bridge.check.findings import KINDS
from tests.support.servers import REPOSITORY, poll

APPS = "tests.check.apps"
#: Name -> the words after ``bridge check``; they run two at a time.
#: In the order in which the tests ask for them: none waits for one that only a later test asks for.
CHECKS = {
    "Flask": (
        *(f"{APPS}.sound_flask:app", "--native", "waitress", "--bridged", "hypercorn", "--all-methods"),
        *("--requests", "requests", "--html", "report.html"),
    ),
    "Django": (f"{APPS}.sound_django:wsgi_app",),
    "Django, ASGI": (f"{APPS}.sound_django:asgi_app",),
    # With a Starlette app mounted in it.
    "FastAPI": (f"{APPS}.sound_fastapi:app", "--all-methods"),
    "wsgi faults": (f"{APPS}.wsgi_faults:app", "--requests", "big"),
    "asgi faults": (f"{APPS}.asgi_faults:app",),
    "shop": ("examples.migration.shop:shop",),
}
SOUND = ("Flask", "Django", "Django, ASGI", "FastAPI")


class Done:
    """A check that has ended."""

    def __init__(self, status: int, output: str, errors: str, directory: Path) -> None:
        self.directory = directory
        self.status = status
        self.errors = errors
        self.report: dict[str, Any] = json.loads(output) if output.startswith("{") else {}

    def found(self) -> list[tuple[str, str, str]]:
        """Each finding's kind, its subject, and where it was first seen."""
        return [
            (finding["kind"], finding["subject"], (finding["where"] or [""])[0])
            for finding in self.report["findings"]
        ]


@contextlib.contextmanager
def nothing_left(directory: Path) -> Iterator[dict[str, str]]:
    """An environment for processes of the test; at the end none of them is there, nor a file."""
    name = uuid.uuid4().hex
    directory.mkdir()
    yield os.environ | {"BRIDGE_TEST": name, "TMPDIR": str(directory)}

    def left() -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("BRIDGE_TEST") == name:
                    found.append(process)
        return found

    poll(lambda: not left(), 20, lambda: f"still there: {left()}")
    assert list(directory.iterdir()) == []


REQUESTS = "POST /form -d a=1\ncurl -X PUT http://127.0.0.1/body --json '{}'\n"


def check(directory: Path, *words: str) -> Done:
    """``bridge check``, in a directory of its own."""
    directory.mkdir(exist_ok=True)
    (directory / "requests").write_text(REQUESTS)
    (directory / "big").write_text(f"GET /big -H 'X-Token: {'v' * 9000}'")  # more than gunicorn takes
    with nothing_left(directory / "temporary") as environment:
        done = subprocess.run(
            [sys.executable, "-m", "bridge", "check", *words],
            cwd=directory,
            env=environment | {"PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            text=True,
            check=False,
            timeout=110,
        )
    return Done(done.returncode, done.stdout, done.stderr, directory)


@pytest.fixture(scope="module")
def checks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, "Future[Done]"]]:
    directory = tmp_path_factory.mktemp("checks")
    with ThreadPoolExecutor(2) as threads:
        yield {
            name: threads.submit(check, directory / str(number), *words, "--json")
            for number, (name, words) in enumerate(CHECKS.items())
        }


@pytest.mark.parametrize("name", SOUND)
def test_in_a_sound_app_nothing_is_found(name: str, checks: dict[str, "Future[Done]"]) -> None:
    done = checks[name].result()
    assert done.found() == [], done.report["findings"]
    assert done.status == 0
    assert done.report["requests"] > 50
    assert done.report["costs"], "some were repeated"
    assert done.report["verdict"].startswith("No difference in")


WSGI_FAULTS = {
    ("status", "", "GET /status"),
    ("status", "", "GET /raises"),
    ("answer", "", "GET /no-answer"),
    ("refused", "", "GET /big"),
    ("left", "", "GET /runs-on"),
    ("header", "x-multiprocess", "GET /header"),
    ("cookie", "side", "GET /cookie"),
    ("body", "", "GET /body"),
    ("stream", "", "GET /held-back"),
    ("whole", "", "GET /looks-whole"),
    ("cut", "", "GET /cut"),
    ("proxy", "body", "GET /proxied (from a proxy)"),
    ("log", "shop.orders", ""),
    ("log", f"{APPS}.wsgi_faults", ""),
    ("rule-wsgi", "Content-Length is 20, the body has 9 bytes", "GET /rules/length"),
    ("rule-wsgi", "start_response: Names may not end in '-' or '_': 'X-'", "GET /rules/header"),
    ("early-local", f"{APPS}.wsgi_faults.local (user)", ""),
    ("global", f"{APPS}.wsgi_faults.visits", f"{APPS}.wsgi_faults, line 158, in globals_()"),
    ("global", f"{APPS}.wsgi_faults.totals", f"{APPS}.wsgi_faults, line 159, in globals_()"),
    ("leak", "threads", "GET /leaves-a-thread"),
    ("leak", "files", "GET /leaves-a-file"),
}


def test_each_fault_of_a_wsgi_app_is_found_and_nothing_else(checks: dict[str, "Future[Done]"]) -> None:
    done = checks["wsgi faults"].result()
    assert set(done.found()) == WSGI_FAULTS
    assert len(done.found()) == len(WSGI_FAULTS)
    assert done.status == 1


ASGI_FAULTS = {
    ("body", "", "GET /where"),
    (
        "rule-asgi",
        "the value of the header x-padded has line breaks, NUL, or spaces at its ends",
        "GET /rules",
    ),
    ("task", "tick", ""),
    ("blocking", "time.sleep()", "asgi_faults.py, line 37, in blocks()"),
    ("blocking", "subprocess.run()", "asgi_faults.py, line 42, in runs()"),
    ("loop-bound", "state['client'] (httpx.AsyncClient)", ""),
    ("loop-bound", f"{APPS}.asgi_faults.app.state.queue (asyncio.Queue)", ""),
    ("loop-bound", f"{APPS}.asgi_faults.lock_of_the_module (asyncio.Lock)", ""),
    ("websocket", "", "/ticker"),
    ("after", "", "GET /goes-on"),
}


def test_each_kind_was_planted() -> None:
    assert {kind for kind, _, _ in WSGI_FAULTS | ASGI_FAULTS} == KINDS.keys()


def test_each_fault_of_an_asgi_app_is_found_and_nothing_else(checks: dict[str, "Future[Done]"]) -> None:
    done = checks["asgi faults"].result()
    assert set(done.found()) == ASGI_FAULTS
    assert len(done.found()) == len(ASGI_FAULTS)
    assert done.status == 1


def test_the_shop_says_on_which_side_it_is_and_that_is_all(checks: dict[str, "Future[Done]"]) -> None:
    done = checks["shop"].result()
    # Which thread has served it differs from request to request, so perhaps between the two, or behind a proxy.
    kept = [each for each in done.report["findings"] if not each["subject"].endswith("server-timing")]
    assert [(each["kind"], each["subject"]) for each in kept] == [("header", "x-served-by"), ("body", "")]
    header, body = kept
    assert (header["native"], header["bridged"]) == ("Flask, WSGI directly", "Flask, WSGI through WsgiToAsgi")
    assert body["native"] != body["bridged"]
    assert any("WebSocket routes (/ticker) work on the ASGI server" in note for note in done.report["notes"])


def test_requests_of_files_other_servers_and_the_report_as_a_page(checks: dict[str, "Future[Done]"]) -> None:
    done = checks["Flask"].result()
    assert (done.report["native"], done.report["bridged"]) == ("waitress", "hypercorn")
    html = (done.directory / "report.html").read_text()
    assert "2 of files" in html
    assert "No difference" in html


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(number: signal.Signals, tmp_path: Path) -> None:
    with nothing_left(tmp_path / "files") as environment:
        process = subprocess.Popen(
            [sys.executable, "-m", "bridge", "check", f"{APPS}.sound_flask:app"],
            cwd=REPOSITORY,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        with process:
            try:
                events = (tmp_path / "files").glob("bridge-check-*/events")
                poll(
                    lambda: any((tmp_path / "files").glob("bridge-check-*/events")),
                    60,
                    lambda: f"none of {events}",
                )
                process.send_signal(number)
                assert process.wait(30) == 128 + number
            finally:
                process.kill()


BROKEN = """
import sys
from bridge import WsgiToAsgi

def app(environ, start_response):
    return []

if "bridge.check.served" in sys.modules:
    raise LookupError("not in a server")
"""


FAILING = """
import flask

app = flask.Flask(__name__)

@app.before_request
def connect():
    raise LookupError("no table 'orders'")

@app.get("/orders")
def orders():
    return "none"
"""


def test_an_app_that_answers_nothing_but_errors_was_not_checked(tmp_path: Path) -> None:
    (tmp_path / "failing.py").write_text(FAILING)
    done = check(tmp_path / "files", f"{tmp_path / 'failing.py'}:app", "--json")
    assert (done.status, done.report) == (2, {})
    assert "on gunicorn: it answers none of " in done.errors
    assert "GET /: 500, LookupError: no table 'orders'" in done.errors


def test_a_server_that_cannot_start(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(BROKEN)
    done = check(tmp_path / "files", f"{tmp_path / 'broken.py'}:app")
    assert done.status == 2
    assert "on gunicorn: " in done.errors
    assert "LookupError: not in a server" in done.errors


STORE = """
    import os

    async def application(scope, receive, send):
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": os.environ["GREETING"].encode()})

    def make():
        return application
    """
PROJECT = """
    [tool.bridge.serve]
    app = "store:make"
    app-dir = "src"
    factory = true
    env-file = ".env"
    loop = "shared"
    max-body-size = 100
    ssl-certfile = "not there yet"
    """


@pytest.mark.parametrize("where", ["words", "pyproject.toml"])
def test_the_app_is_found_where_bridge_serve_finds_it(where: str, tmp_path: Path) -> None:
    """And what else is said to ``bridge serve``, of its server and its adapter, stops no check."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "store.py").write_text(dedent(STORE))
    (tmp_path / ".env").write_text("GREETING=hello")
    words = ["store:make", "--app-dir", "src", "--factory", "--env-file", ".env", "--loop", "shared"]
    if where == "pyproject.toml":
        (tmp_path / "pyproject.toml").write_text(dedent(PROJECT))
        words = []
    done = check(tmp_path, *words, "--json")
    assert (done.status, done.errors, done.report["findings"]) == (0, "", [])
    assert (done.report["app"], done.report["kind"]) == ("store:make", "asgi")
