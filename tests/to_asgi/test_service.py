"""``WsgiToAsgi`` and its threads: how many there are, what waits for them, and when they end."""

import asyncio
import concurrent.futures
import gc
import pickle
import subprocess
import sys
import textwrap
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import cloudpickle
import pytest

from bridge import Dispatcher, WebSocket, WsgiToAsgi
from bridge.types import Environ, StartResponse
from tests.support.asgi import HANG, Exchange, http_scope, request
from tests.support.loop_thread import LoopThread, loop_threads
from tests.support.served import Served, call, fail, wait_for_jobs
from tests.support.threads import bridge_threads, wait_for_no_bridge_threads
from tests.support.validation import validated
from tests.support.websockets import websocket_scope
from tests.support.wsgi_apps import TEXT, Visitor, echo, get, hello

pytestmark = pytest.mark.usefixtures("no_bridge_threads")

second = pytest.fixture(loop_threads)

REPOSITORY = Path(__file__).resolve().parents[2]


# Threads.


def test_one_thread_serialises() -> None:
    visitor = Visitor()

    async def main() -> None:
        async with Served(visitor, threads=1) as adapter:
            tasks = [asyncio.create_task(get(adapter).run()) for _ in range(5)]
            await visitor.wait_for_arrival()
            await wait_for_jobs(adapter, 5)
            assert visitor.inside == 1
            assert len(bridge_threads()) == 1
            for _ in range(5):
                visitor.go.release()
            for task in tasks:
                assert (await task).body == b"done"

    asyncio.run(main())
    assert visitor.most_inside == 1


def test_the_app_runs_on_as_many_threads_as_it_may() -> None:
    barrier = threading.Barrier(4)
    flags: list[bool] = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        flags.append(environ["wsgi.multithread"])
        barrier.wait(HANG)  # breaks unless four are here at once
        return hello(environ, start_response)

    async def main() -> None:
        async with Served(app, threads=4) as adapter:
            await asyncio.gather(*(get(adapter).run() for _ in range(8)))
            assert len(bridge_threads()) == 4

    asyncio.run(main())
    assert flags == [True] * 8
    flags.clear()
    with patch.object(barrier, "wait"):
        call(app, options={"threads": 1})
    assert flags == [False]


def test_more_than_the_backlog_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    visitor = Visitor()

    async def main() -> None:
        async with Served(visitor, threads=1, backlog=2) as adapter:
            tasks = [asyncio.create_task(get(adapter).run()) for _ in range(3)]
            await visitor.wait_for_arrival()
            await wait_for_jobs(adapter, 3)
            for _ in range(3):
                refused = await get(adapter).run()
                assert refused.status == 503
                assert refused.header(b"retry-after") == b"1"
                assert refused.complete
            for _ in range(3):
                visitor.go.release()
            for task in tasks:
                assert (await task).status == 200
            visitor.go.release()
            assert (await get(adapter).run()).status == 200

    asyncio.run(main())
    assert visitor.served == 4
    messages = [record.getMessage() for record in caplog.records]
    assert messages
    assert "refused a request for now: 1 threads are busy and 2 requests wait" in messages[0]


def test_a_thousand_requests_leave_no_thread() -> None:
    async def main() -> None:
        async with Served(validated(echo), threads=8) as adapter:
            for _ in range(10):
                bodies = [b"%d" % number for number in range(100)]
                exchanges = [Exchange(adapter, http_scope("POST"), [request(body)]) for body in bodies]
                await asyncio.gather(*(exchange.run() for exchange in exchanges))
                assert [exchange.body.partition(b"|")[2] for exchange in exchanges] == bodies
            assert 1 <= len(bridge_threads()) <= 8

    asyncio.run(main())


def test_threads_of_a_dropped_adapter_end() -> None:
    """Tests make many and shut none down; daphne has no lifespan. Nor do threads hold the app."""

    def make() -> WsgiToAsgi:
        def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
            websocket: WebSocket | None = environ.get("wsgi.websocket")
            if websocket is None:
                return echo(environ, start_response)
            websocket.send("hello")
            return []

        return WsgiToAsgi(app, request_buffer=4)

    async def serve(app: WsgiToAsgi | Dispatcher) -> None:
        async def one() -> None:
            body = [request(b"a large ", more_body=True), request(b"body")]  # by way of the disk
            exchange = Exchange(app, http_scope("POST"), body)
            assert (await exchange.run()).body.endswith(b"|a large body")

        await asyncio.gather(*(one() for _ in range(4)))
        await Exchange(app, websocket_scope(), [{"type": "websocket.connect"}]).run()

    async def main() -> None:
        for _ in range(5):
            app = make()
            references: list[weakref.ref[Any]] = [weakref.ref(app), weakref.ref(app.app)]
            await serve(app)
            await serve(Dispatcher({"/": app}))
            names = {thread.name.rpartition("-")[0] for thread in bridge_threads()}
            assert names == {"bridge-wsgi", "bridge-disk", "bridge-websocket"}
            del app
            for _ in range(100):
                await asyncio.sleep(0)  # what the WebSockets had scheduled
            gc.collect()
            assert [reference() for reference in references] == [None, None]
            await asyncio.to_thread(wait_for_no_bridge_threads)

    asyncio.run(main())


def test_an_executor_of_the_users_own() -> None:
    names: list[str] = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        names.append(threading.current_thread().name)
        return hello(environ, start_response)

    with concurrent.futures.ThreadPoolExecutor(2, thread_name_prefix="mine") as executor:

        async def main() -> None:
            async with Served(validated(app), executor=executor) as adapter:
                for exchange in await asyncio.gather(*(get(adapter).run() for _ in range(20))):
                    assert exchange.body == b"hello"
                    assert exchange.complete
                assert not bridge_threads()

        asyncio.run(main())
        assert executor.submit(int, "5").result() == 5  # not shut down
    assert len(names) == 20
    assert all(name.startswith("mine") for name in names)


def test_an_executor_that_is_shut_down_is_an_error_of_the_request() -> None:
    executor = concurrent.futures.ThreadPoolExecutor(1)
    executor.shutdown()
    exchange, _ = fail(hello, RuntimeError, options={"executor": executor})
    assert exchange.messages == []


def test_an_executor_that_drops_its_jobs_leaves_no_request_hanging() -> None:
    visitor = Visitor()

    async def main() -> None:
        executor = concurrent.futures.ThreadPoolExecutor(1)
        async with Served(visitor, executor=executor) as adapter:
            first = asyncio.create_task(get(adapter).run())
            await visitor.wait_for_arrival()
            second = asyncio.create_task(get(adapter).run())
            await wait_for_jobs(adapter, 2)
            executor.shutdown(wait=False, cancel_futures=True)
            async with asyncio.timeout(HANG):
                with pytest.raises(RuntimeError, match="shut down before"):
                    await second
            visitor.go.release()
            assert (await first).body == b"done"
        executor.shutdown()

    asyncio.run(main())


def test_an_executors_backlog() -> None:
    visitor = Visitor()

    async def main() -> None:
        with concurrent.futures.ThreadPoolExecutor(1) as executor:
            async with Served(visitor, executor=executor, backlog=0) as adapter:
                first = asyncio.create_task(get(adapter).run())
                await visitor.wait_for_arrival()
                second = asyncio.create_task(get(adapter).run())
                await wait_for_jobs(adapter, 2)
                assert (await get(adapter).run()).status == 503
                visitor.go.release()
                visitor.go.release()
                assert (await first).status == (await second).status == 200

    asyncio.run(main())


def test_two_loops_in_two_threads() -> None:
    barrier = threading.Barrier(2)

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        barrier.wait(HANG)  # a request of each loop is here
        start_response("200 OK", TEXT)
        return [environ["PATH_INFO"].encode()]

    adapter = WsgiToAsgi(app)
    results: dict[str, list[bytes]] = {}

    def run(path: str) -> None:
        async def main() -> None:
            results[path] = [(await get(adapter, path).run()).body for _ in range(50)]

        asyncio.run(main())

    threads = [threading.Thread(target=run, args=(path,)) for path in ("/a", "/b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG)
    assert results == {"/a": [b"/a"] * 50, "/b": [b"/b"] * 50}

    async def shut_down() -> None:
        async with Served(adapter):
            pass

    asyncio.run(shut_down())


class SecondServer:
    """Serves the adapter on a loop of its own, from ``start()`` to ``stop()``."""

    def __init__(self, adapter: WsgiToAsgi, thread: LoopThread) -> None:
        self._adapter = adapter
        self._thread = thread

    def start(self) -> None:
        self._thread.run(self._start())

    async def _start(self) -> None:
        self._served = Served(self._adapter)
        await self._served.__aenter__()

    def stop(self) -> None:
        self._thread.run(self._served.__aexit__(None, None, None))


@pytest.mark.parametrize("own", [False, True], ids=["executor", "threads"])
def test_a_server_that_starts_while_the_last_one_shuts_down(
    own: bool, second: LoopThread, caplog: pytest.LogCaptureFixture
) -> None:
    """It keeps the threads, and what the one before would wait for may never come."""
    visitor = Visitor()

    async def main(executor: concurrent.futures.Executor | None) -> None:
        adapter = WsgiToAsgi(visitor, executor=executor, shutdown_timeout=5)
        other = SecondServer(adapter, second)
        lifespan = Exchange(adapter, {"type": "lifespan"}, [{"type": "lifespan.startup"}])
        async with lifespan:
            await lifespan.wait_for("lifespan.startup.complete")
            task = asyncio.create_task(get(adapter).run())
            await visitor.wait_for_arrival()
            lifespan.feed({"type": "lifespan.shutdown"})
            pool: Any = adapter._pool
            async with asyncio.timeout(HANG):
                while not pool._drained:  # noqa: ASYNC110  # nobody is told of it
                    await asyncio.sleep(0)
            assert len(lifespan.messages) == 1
            await asyncio.to_thread(other.start)
            await lifespan.wait_for("lifespan.shutdown.complete")
            assert not task.done(), "the last one waits for it now"
            visitor.go.release()
            await task
        await asyncio.to_thread(other.stop)

    if own:
        asyncio.run(main(None))
    else:
        with concurrent.futures.ThreadPoolExecutor(1) as executor:
            asyncio.run(main(executor))
    assert caplog.messages == []


def test_a_server_that_starts_before_the_last_one_has_drained_the_pool(second: LoopThread) -> None:
    """Its threads stay."""

    async def main() -> None:
        adapter = WsgiToAsgi(hello)
        other = SecondServer(adapter, second)
        lifespan = Exchange(adapter, {"type": "lifespan"}, [{"type": "lifespan.startup"}])
        async with lifespan:
            await lifespan.wait_for("lifespan.startup.complete")
            await get(adapter).run()
            pool: Any = adapter._pool
            drain = pool.drain

            def start_and_drain(drained: Callable[[], None]) -> None:
                other.start()
                drain(drained)

            with patch.object(pool, "drain", start_and_drain):
                lifespan.feed({"type": "lifespan.shutdown"})
                await lifespan.wait_for("lifespan.shutdown.complete")
        assert not pool._closing
        await asyncio.to_thread(other.stop)
        assert pool._closing

    asyncio.run(main())


def test_one_loop_after_the_other() -> None:
    adapter = WsgiToAsgi(validated(hello))

    async def main() -> None:
        async with Served(adapter):
            assert (await get(adapter).run()).body == b"hello"

    for _ in range(3):
        asyncio.run(main())


# Pickle and fork.


def test_the_adapter_pickles() -> None:
    async def main(adapter: WsgiToAsgi) -> None:
        async with Served(adapter):
            assert (await get(adapter).run()).body == b"hello"

    adapter = WsgiToAsgi(lambda environ, start: hello(environ, start), threads=3, backlog=7)  # noqa: PLW0108
    for _ in range(2):  # before its first request, and after it
        copy = pickle.loads(cloudpickle.dumps(adapter))
        assert (copy.threads, copy.backlog, copy.response_buffer) == (3, 7, 262144)
        assert copy._pool is None
        asyncio.run(main(copy))
        asyncio.run(main(adapter))


FORK = """
import asyncio, os, sys
from bridge import WsgiToAsgi
from tests.support.asgi import call_asgi
from tests.support.threads import bridge_threads

def app(environ, start_response):
    start_response("200 OK", [])
    return [environ["wsgi.input"].read(), b" in %d" % os.getpid()]

adapter = WsgiToAsgi(app, threads=2, request_buffer=4)
before = sys.argv[1] == "used"
if before:
    assert call_asgi(adapter, "POST", body=b"hello").body == b"hello in %d" % os.getpid()
    assert bridge_threads()
pid = os.fork()
if pid == 0:
    try:
        assert not bridge_threads()
        assert not adapter._loops.wires
        for _ in range(3):
            assert call_asgi(adapter, "POST", body=b"hello").body == b"hello in %d" % os.getpid()
        assert bridge_threads()
    except BaseException:
        sys.excepthook(*sys.exc_info())
        os._exit(1)
    os._exit(0)
_, status = os.waitpid(pid, 0)
assert status == 0, status
assert call_asgi(adapter, "POST", body=b"hello").body == b"hello in %d" % os.getpid()
print("well")
"""


@pytest.mark.parametrize("before", ["used", "fresh"])
def test_the_adapter_survives_a_fork(before: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FORK), before],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "well\n"


# Lifespan.


def test_lifespan_without_a_request() -> None:
    async def main() -> None:
        async with Served(hello) as adapter:
            assert adapter._pool is None

    asyncio.run(main())


def test_shutdown_lets_running_and_waiting_requests_finish() -> None:
    visitor = Visitor()

    async def main() -> None:
        adapter = WsgiToAsgi(visitor, threads=1)
        lifespan = Exchange(adapter, {"type": "lifespan"}, [{"type": "lifespan.startup"}])
        async with lifespan:
            tasks = [asyncio.create_task(get(adapter).run()) for _ in range(2)]
            await visitor.wait_for_arrival()
            await wait_for_jobs(adapter, 2)
            lifespan.feed({"type": "lifespan.shutdown"})
            for _ in range(100):
                await asyncio.sleep(0)
            assert [message["type"] for message in lifespan.messages] == ["lifespan.startup.complete"]
            visitor.go.release()
            visitor.go.release()
            for task in tasks:
                assert (await task).body == b"done"
        assert lifespan.messages[-1]["type"] == "lifespan.shutdown.complete"

    asyncio.run(main())


def test_shutdown_waits_no_longer_than_it_may(caplog: pytest.LogCaptureFixture) -> None:
    visitor = Visitor()

    async def main() -> None:
        adapter = WsgiToAsgi(visitor, shutdown_timeout=0.01)
        lifespan = Exchange(adapter, {"type": "lifespan"}, [{"type": "lifespan.startup"}])
        async with lifespan:
            task = asyncio.create_task(get(adapter).run())
            await visitor.wait_for_arrival()
            lifespan.feed({"type": "lifespan.shutdown"})
            await lifespan.wait_for("lifespan.shutdown.complete")
            visitor.go.release()
            await task

    asyncio.run(main())
    assert [r.getMessage() for r in caplog.records] == [
        "left a request behind: the app still works on it after the 0.01 s of shutdown_timeout"
    ]
