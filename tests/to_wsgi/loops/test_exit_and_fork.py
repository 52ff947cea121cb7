"""Loops at the interpreter's exit, and in a forked child."""

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]


def test_a_forked_child_leaves_the_parents_loops_alone() -> None:
    """Closing one there would take the pipe that wakes it out of the epoll set, which the two share."""
    script = """
import asyncio, gc, os, threading
from bridge.to_wsgi.loops.pool import LoopPool
from bridge.to_wsgi.loops.shared import SharedLoop

pool = LoopPool(None)
kept = pool.take()
pool.give_back(kept)
shared = SharedLoop.acquire(None)
if (pid := os.fork()) == 0:
    status = 1
    try:
        del pool
        gc.collect()
        assert not kept.loop.is_closed()
        new = SharedLoop.acquire(None)
        assert new is not shared and new.pid == os.getpid()
        done = threading.Event()
        new.call_soon(done.set)
        assert done.wait(30)
        new.release()
        status = 0
    finally:
        os._exit(status)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
loop = pool.take().loop
timer = threading.Timer(0.01, loop.call_soon_threadsafe, (loop.stop,))
timer.start()
loop.call_later(30, os._exit, 3)
loop.run_forever()
timer.join()
done = threading.Event()
shared.call_soon(done.set)
assert done.wait(30)
shared.release()
loop.close()
"""
    subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", script],
        cwd=REPOSITORY,
        check=True,
        timeout=100,
    )


@pytest.mark.parametrize(
    "early",
    [
        pytest.param(
            True,
            marks=pytest.mark.skipif(
                (3, 12) <= sys.version_info < (3, 12, 3),
                reason="it starts no thread at exit, at whatever moment (python/cpython#113964)",
            ),
        ),
        False,
    ],
)
def test_what_is_registered_for_the_exit_can_use_threads_if_at_all_possible(early: bool) -> None:
    script = """
import asyncio, concurrent.futures.thread, threading
if not EARLY:
    del threading._register_atexit
from bridge.to_wsgi.loops.exit_and_fork import at_exit

called = []
def end():
    if not called:
        called.append(asyncio.run(asyncio.to_thread(int)) if EARLY else 0)
        print("ended", called)
at_exit(end)
""".replace("EARLY", str(early))
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=REPOSITORY,
        check=True,
        timeout=100,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "ended [0]\n"
    assert done.stderr == ""
