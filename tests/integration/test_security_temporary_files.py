"""Uploads that are too large for memory: nobody else can read them, and nothing is left of them, come what may.

Each place that keeps one has it in a file without a name, in ``TMPDIR``: so there is no name to guess or to open, and
the kernel frees it with the process.
"""

import os
import signal
import stat
from pathlib import Path

import psutil
import pytest

from tests.conftest import StartServer
from tests.support.raw import RawConnection
from tests.support.servers import RunningServer, poll

SENT = 600_000

#: The server, the app, and a path of it, where the upload is kept.
KEPT = {
    "to_asgi": ("uvicorn-h11", "tests.integration.apps.echo_bridged:app", "/upload"),
    # It would throw away what is not read when the response begins.
    "to_wsgi on cheroot": ("cheroot", "tests.integration.apps.wsgi_contract:app", "/answer_first"),
    "dispatch on an ASGI server": ("uvicorn-h11", "tests.integration.apps.listed:app", "/upload"),
    "dispatch on a WSGI server": ("gunicorn-gthread", "tests.integration.apps.listed:app", "/upload"),
}


def open_files(server: RunningServer, directory: Path) -> dict[Path, str]:
    """The descriptors of the server's processes that lead into the directory, and where they lead."""
    found = {}
    for process in server.processes():
        for descriptor in Path(f"/proc/{process.pid}/fd").iterdir():
            try:
                target = os.readlink(descriptor)  # noqa: PTH115  # it says "(deleted)"
            except FileNotFoundError:
                continue
            # Not the heartbeat of a worker of gunicorn.
            if target.startswith(f"{directory}/") and descriptor.stat().st_size >= SENT // 2:
                found[descriptor] = target
    return found


@pytest.mark.parametrize("name", KEPT)
def test_an_upload_has_no_name_and_is_gone_with_its_process(
    name: str, start_server: StartServer, tmp_path: Path
) -> None:
    kind, app, path = KEPT[name]
    arguments = ("--worker-tmp-dir", "/dev/shm") if kind.startswith("gunicorn") else ()  # of its own
    server = start_server(kind, app, arguments=arguments, environ={"TMPDIR": str(tmp_path)})
    with RawConnection(server.connect()) as connection:
        head = f"POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {2 * SENT}\r\n\r\n"
        connection.send(head.encode() + b"secret" * (SENT // 6))
        poll(
            lambda: bool(open_files(server, tmp_path)), 20.0, lambda: f"no file in {tmp_path}: {server.log()}"
        )
        ((descriptor, target),) = open_files(server, tmp_path).items()
        assert target.endswith(" (deleted)")
        assert stat.S_IMODE(descriptor.stat().st_mode) & 0o077 == 0, "others could read it"
        assert list(tmp_path.iterdir()) == []
        killed = server.processes()
        for process in killed:
            process.send_signal(signal.SIGKILL)
        server.process.wait(20)
        _, alive = psutil.wait_procs(killed, 20)
        assert not alive
        assert list(tmp_path.iterdir()) == []
