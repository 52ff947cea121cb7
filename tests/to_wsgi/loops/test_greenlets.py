"""Processes in which greenlets have replaced threads; each test has one of its own, with gevent."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from bridge import AsgiToWsgi
from bridge.to_wsgi.loops.greenlets import patched_by
from tests.to_wsgi.apps import hello

REPOSITORY = Path(__file__).resolve().parents[3]


def run(script: str) -> str:
    if find_spec("gevent") is None:
        pytest.skip("gevent is not installed")
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", script],
        cwd=REPOSITORY,
        check=False,
        timeout=60,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_this_process_has_threads() -> None:
    assert patched_by() is None
    assert AsgiToWsgi(hello).loop is None


@pytest.mark.parametrize(
    ("patch", "expected"),
    [
        ("patch_all()", "gevent"),
        ("patch_thread()", "gevent"),
        ("patch_all(thread=False)", "gevent"),
        ("patch_socket()", "None"),
    ],
)
def test_what_is_patched_is_seen_without_an_import(patch: str, expected: str) -> None:
    script = "import sys; from bridge.to_wsgi.loops.greenlets import patched_by"
    script += "; assert 'gevent' not in sys.modules; patched_by()"
    assert run(f"{script}; from gevent import monkey; monkey.{patch}; print(patched_by())") == f"{expected}\n"


REQUESTS = """
from gevent import monkey
monkey.PATCH
import asyncio, gevent, threading
from bridge import AsgiToWsgi
from tests.support.wsgi import call, environ_for
from tests.to_wsgi.apps import hello

all_there = asyncio.Event()
seen = []

async def app(scope, receive, send):
    seen.append(None)
    if len(seen) == 20:
        all_there.set()
    await all_there.wait()
    await hello(scope, receive, send)

adapter = AsgiToWsgi(app, lifespan="off")
jobs = [gevent.spawn(call, adapter, environ_for()) for _ in range(20)]
gevent.joinall(jobs, timeout=30)
print({job.value.body for job in jobs})
adapter.close()
"""


def test_requests_that_wait_for_each_other() -> None:
    output = run(REQUESTS.replace("PATCH", "patch_all()"))
    assert output.splitlines()[-1] == "{b'Hello'}"
    assert output.count("gevent has replaced the threads of this process") == 1


YIELDING_LOG = """
import faulthandler
import bridge.to_wsgi.adapter
from gevent import monkey
monkey.patch_all()
import gevent, logging
from bridge import AsgiToWsgi
from tests.support.wsgi import call, environ_for
from tests.to_wsgi.apps import hello

class Yields(logging.Handler):
    records = 0

    # Not emit(), which is called with the handler's lock.
    def handle(self, record):
        Yields.records += 1
        gevent.sleep(0)

# A thread that waits for a lock of its own would wait for ever.
faulthandler.dump_traceback_later(10, exit=True)
logging.getLogger("bridge").addHandler(Yields())
adapter = AsgiToWsgi(hello, lifespan="off")
jobs = [gevent.spawn(call, adapter, environ_for()) for _ in range(3)]
gevent.joinall(jobs, timeout=30)
print(Yields.records, {job.value.body for job in jobs})
adapter.close()
"""


def test_a_log_that_lets_another_request_run() -> None:
    """With locks that were made before threads were replaced, as in a preloaded application."""
    assert run(YIELDING_LOG).splitlines()[-1] == "1 {b'Hello'}"


EXPLICIT = """
from gevent import monkey
monkey.patch_all()
import asyncio
from bridge import AsgiToWsgi
from tests.support.wsgi import call, environ_for

async def app(scope, receive, send):
    raise AssertionError("nothing is run")

def ask():
    try:
        call(adapter, environ_for())
    except RuntimeError as error:
        print(error)

async def within():
    ask()

adapter = AsgiToWsgi(app, loop="request", lifespan="on")
ask()
ask()
asyncio.run(within())
adapter.close()
"""


def test_who_asks_for_a_loop_for_each_request_is_told() -> None:
    """At the first request, and not when two of them meet, where a close() would never end."""
    lines = run(EXPLICIT).splitlines()
    assert len(lines) == 3
    assert all("gevent runs several requests in one thread by turns" in line for line in lines)


TURNS = """
from gevent import monkey
monkey.patch_all()
import asyncio, threading, time
import greenlet
from bridge.to_wsgi.loops.shared import SharedLoop

def looks():
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None

others = []
traced = []
greenlet.settrace(lambda event, args: traced.append(event))
before = greenlet.gettrace()
shared = SharedLoop.acquire(None)

async def work():
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert loop is shared.loop and task is not None
    for _ in range(3):
        # Lets others run in the middle of a step.
        thread = threading.Thread(target=lambda: others.append(looks()))
        thread.start()
        time.sleep(0.001)
        thread.join()
        assert (asyncio.current_task(), asyncio.get_running_loop()) == (task, loop)
        await asyncio.sleep(0.001)

async def own():
    await asyncio.sleep(0.02)
    return asyncio.get_running_loop()

asyncio.run_coroutine_threadsafe(work(), shared.loop).result()
assert others == [None] * 3, others
# A loop of this greenlet's own, whose waits and the shared loop's take turns.
job = asyncio.run_coroutine_threadsafe(work(), shared.loop)
assert asyncio.run(own()) is not shared.loop
job.result()
assert looks() is None
shared.release()
assert traced and greenlet.gettrace() is before
print("done")
"""


def test_the_loop_and_its_task_are_those_of_its_own_greenlet() -> None:
    assert run(TURNS) == "done\n"


@pytest.mark.parametrize("factory", ["asyncio.new_event_loop", "uvloop.new_event_loop"])
def test_a_loop_that_would_stop_all_greenlets_is_refused(factory: str) -> None:
    output = run(f"""
from gevent import monkey
monkey.patch_all()
import asyncio, uvloop
from bridge.to_wsgi.loops.shared import SharedLoop
try:
    SharedLoop.acquire({factory}).release()
except RuntimeError as error:
    print(error)
print("done")
""")
    assert ("would stop everything else" in output) == ("uvloop" in factory)
    assert output.endswith("done\n")
