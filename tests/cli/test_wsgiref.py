"""wsgiref as ``bridge serve`` runs it: its address, its access log, and its two ways to end."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from wsgiref.simple_server import make_server
from wsgiref.types import WSGIApplication

import httpx
import pytest

from bridge.cli.wsgiref import _Handler, _QuietHandler
from bridge.types import Environ, StartResponse
from tests.support.raw import RawConnection
from tests.support.servers import REPOSITORY, free_port

APP = """\
import threading

held = threading.Event()

def app(environ, start_response):
    start_response("200 OK", [])
    if environ["PATH_INFO"] == "/slow":
        print("held", flush=True)
        held.wait(20)
    return [b"hello"]
"""


@contextmanager
def serving(directory: Path, *words: str) -> Iterator["subprocess.Popen[str]"]:
    (directory / "site_app.py").write_text(APP)
    process = subprocess.Popen(
        [sys.executable, "-m", "bridge", "serve", "site_app:app", "--server", "wsgiref", *words],
        cwd=directory,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if line.startswith("wsgiref listens"):
                break
        yield process
    finally:
        process.kill()
        process.communicate(timeout=20)


def ended(process: "subprocess.Popen[str]") -> tuple[int, str]:
    _, err = process.communicate(timeout=20)
    return process.returncode, err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("access_log", [True, False])
def test_it_serves_until_it_is_told_to_end(number: int, access_log: bool, tmp_path: Path) -> None:
    port = free_port()
    words = () if access_log else ("--no-access-log",)
    with serving(tmp_path, "-p", str(port), *words) as process:
        assert httpx.get(f"http://127.0.0.1:{port}/", timeout=30).text == "hello"
        process.send_signal(number)
        status, err = ended(process)
    assert status == 0
    assert ('"GET / HTTP/1.1" 200' in err) is access_log
    assert "Traceback" not in err


def test_a_second_signal_does_not_wait_for_the_running_request(tmp_path: Path) -> None:
    port = free_port()
    with (
        serving(tmp_path, "-p", str(port)) as process,
        socket.create_connection(("127.0.0.1", port)) as client,
    ):
        client.sendall(b"GET /slow HTTP/1.0\r\n\r\n")
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        process.send_signal(signal.SIGTERM)
        assert process.poll() is None
        # The first one has been followed when its handler has given SIGINT back its default.
        while process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
    assert process.returncode is not None


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
def test_an_address_of_ipv6(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            pytest.skip("this machine has no address of IPv6")
        port = probe.getsockname()[1]
    with serving(tmp_path, "--host", "::1", "-p", str(port)):
        assert httpx.get(f"http://[::1]:{port}/", timeout=30).text == "hello"


def test_a_name_with_an_underscore_passes_for_no_other_one() -> None:
    """``bridge serve --server wsgiref``, with an access log and without one."""
    seen: list[Environ] = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        seen.append(dict(environ))
        start_response("200 OK", [("Content-Length", "0")])
        return []

    served: WSGIApplication = app  # type: ignore[assignment]  # the standard library's types are narrower
    for handler in (_Handler, _QuietHandler):
        with make_server("127.0.0.1", 0, served, handler_class=handler) as server:
            thread = threading.Thread(target=server.handle_request)
            thread.start()
            with RawConnection(socket.create_connection(("127.0.0.1", server.server_port), 30)) as connection:
                lines = (
                    "X-User: proxy",
                    "X_User: evil",
                    "x_user: evil",
                    "Remote_User: evil",
                    "X_FORWARDED-FOR: evil",
                )
                connection.request("\r\n".join(["GET / HTTP/1.1", "Host: test", *lines, "", ""]).encode())
            thread.join(30)
        environ = seen.pop()
        assert environ["HTTP_X_USER"] == "proxy"
        assert "evil" not in environ.values()
