"""The process forks at any point of another thread's first requests and ``close()``: the adapter serves in the child.

What the threads of the parent hold at that moment nobody in the child gives back: locks, and loops that are half made.
"""

import os
import subprocess
import sys

import pytest

from bridge.to_wsgi.loops.mode import LoopMode
from tests.support.servers import REPOSITORY

#: A thread serves and closes; its loops have threads of theirs. Each thread is held before each line that nobody has
#: come to, of the modules that know of forks, and the process forks there.
SCRIPT = """
import asyncio, inspect, os, queue, signal, sys, threading, traceback
from bridge import AsgiToWsgi
from bridge.to_wsgi import adapter, attempts, lifespan_loop, runtime
from bridge.to_wsgi.loops import exit_and_fork, pool, shared
from tests.support.wsgi import call, environ_for
from tests.to_wsgi.apps import START, last

MODULES = (adapter, attempts, lifespan_loop, runtime, exit_and_fork, pool, shared)
FILES = {inspect.getfile(module): module.__name__ for module in MODULES}

async def app(scope, receive, send):
    # By a thread, which has to wake the loop: a child must not have taken the parent's pipe out of it.
    await asyncio.to_thread(int)
    if scope["type"] == "http":
        await send(START)
        await send(last(b"%d" % scope["state"]["pid"]))
        return
    await receive()
    scope["state"]["pid"] = os.getpid()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await asyncio.to_thread(int)
    await send({"type": "lifespan.shutdown.complete"})

def serve():
    assert call(adapted, environ_for()).body == b"%d" % os.getpid()
    adapted.close()

def work():
    try:
        for _ in range(2):
            serve()
    finally:
        held.put(None)

def hold(frame, event, argument):
    module = FILES.get(frame.f_code.co_filename)
    if module is None:
        return None
    place = f"{module}:{frame.f_lineno}"
    if event == "line" and place not in places:
        places.add(place)
        held.put(place)
        go.get()
    return hold

def be_the_child():
    threading.settrace(None)
    signal.alarm(30)  # it ends, and hangs nowhere
    try:
        if len(places) % 2:
            adapted.close()  # of what is the parent's nothing
        serve()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)

adapted = AsgiToWsgi(app, loop=sys.argv[1], lifespan="on")
held, go, places = queue.SimpleQueue(), queue.SimpleQueue(), set()
threading.settrace(hold)
worker = threading.Thread(target=work)
worker.start()
while (place := held.get(timeout=60)) is not None:
    if (child := os.fork()) == 0:
        be_the_child()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status:
        print(f"the child of {place} ended by {status}", flush=True)
        os._exit(1)  # the threads are held
    go.put(None)
worker.join()
print(len(places))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_at_each_line(mode: LoopMode) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, mode],
        cwd=REPOSITORY,
        check=False,
        timeout=100,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert int(done.stdout) > 150
