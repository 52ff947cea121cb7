"""A soak that is ended, as ``timeout`` and process managers do it, leaves no server, no folder, and no mount."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.soak.chaos import small_disk_missing
from tests.support.processes import ended_while_it_begins, with_temporary_files
from tests.support.servers import REPOSITORY, poll


@pytest.mark.skipif(small_disk_missing() is not None, reason=str(small_disk_missing()))
def test_a_soak_that_is_terminated_leaves_nothing(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "tests.soak",
        "--server",
        "gunicorn-sync",
        "--chaos",
        "space",
        "--seed",
        "1",
    ]
    soak = subprocess.Popen(
        command,
        cwd=REPOSITORY,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        poll(lambda: bool(servers_of(tmp_path)), 60, lambda: "it starts no server")
        assert mounts_below(tmp_path)
        soak.terminate()
        said, _ = soak.communicate(timeout=100)
    finally:
        soak.kill()
    assert soak.returncode == 128 + signal.SIGTERM, said
    assert not servers_of(tmp_path)
    assert not mounts_below(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_signal_that_comes_while_a_server_is_begun_leaves_none(tmp_path: Path) -> None:
    done, left = ended_while_it_begins(
        "tests.soak.__main__", "gunicorn", "--server", "gunicorn-sync", "--seed", "1", directory=tmp_path
    )
    assert "begun\n" in done.stdout
    assert done.returncode == 128 + signal.SIGTERM, done.stdout
    assert not left
    assert not list(tmp_path.iterdir())


def servers_of(directory: Path) -> list[psutil.Process]:
    """The processes whose temporary files are below it, but for the soak itself."""
    return with_temporary_files(lambda place: place.startswith(f"{directory}/"))


def mounts_below(directory: Path) -> list[str]:
    lines = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if str(directory) in line]
