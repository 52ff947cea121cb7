"""The lines in the log when all threads are busy: when they come, how often, what they say."""

import asyncio
import concurrent.futures
import contextvars
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import pytest

from bridge import Overloaded, WsgiToAsgi, compat
from bridge.threads.fork import _after_fork_in_child
from bridge.threads.jobs import After, Job, Load
from bridge.threads.pool import ThreadPool
from bridge.to_asgi import busy
from bridge.to_asgi.busy import BusyLog
from tests.support.asgi import HANG
from tests.support.jobs import Work, drain
from tests.support.served import Served, wait_for_jobs
from tests.support.wsgi_apps import Visitor, get, hello

pytestmark = pytest.mark.usefixtures("no_bridge_threads")


class Pool:
    """A queue that is as long as the test says."""

    def __init__(self) -> None:
        self.come = 0
        self.begun = 0

    def load(self) -> Load:
        return Load(40, self.come - self.begun, self.begun, self.come)

    def submit(self, job: Job) -> bool: ...  # type: ignore[empty-body]  # nobody calls these
    def withdraw(self, job: Job) -> bool: ...  # type: ignore[empty-body]
    def open(self) -> None: ...
    def drain(self, drained: After) -> None: ...
    def unfinished(self) -> int: ...  # type: ignore[empty-body]


class Clock:
    """Time that passes when the test says so, with the timers of one loop."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self.running = True
        monkeypatch.setattr(busy, "monotonic", lambda: self.now)

    def is_running(self) -> bool:
        return self.running

    def call_later(
        self, delay: float, callback: Callable[..., None], *args: Any, context: contextvars.Context
    ) -> None:
        assert not len(context), "it is of no request, and keeps none"
        self.timers.append((self.now + delay, lambda: context.run(callback, *args)))

    def second(self) -> None:
        self.now += 1
        due = [callback for when, callback in self.timers if when <= self.now]
        self.timers = [timer for timer in self.timers if timer[0] > self.now]
        for callback in due:
            callback()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_a_queue_that_nobody_takes_from_is_told_of_again_and_again(
    clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    busy, pool = BusyLog("raise threads= (now 40)"), Pool()
    lines: list[int] = []
    for second in range(31):
        if second < 3:
            pool.come += 1
            busy.waits(clock, pool)
        assert len(clock.timers) == 1
        clock.second()
        if len(caplog.messages) > len(lines):
            lines.append(second + 1)
    assert lines == [5, 15, 25]
    assert caplog.messages[0] == (
        "40 requests run and no thread is free: 3 wait for one, the first for 5 seconds or more; "
        "look at what the threads wait for, or raise threads= (now 40)"
    )
    assert "the first for 25 seconds" in caplog.messages[2]
    pool.begun = 3
    clock.second()
    assert not clock.timers


@pytest.mark.parametrize(("wait", "lines"), [(0, 0), (3, 0), (6, 4), (9, 4)])
def test_requests_that_each_wait_so_many_seconds(
    clock: Any, caplog: pytest.LogCaptureFixture, wait: int, lines: int
) -> None:
    """One comes each second, and the look is a second later; the queue is never empty."""
    busy, pool = BusyLog("do something"), Pool()
    for second in range(40):
        pool.come += 1
        pool.begun = max(0, second - wait)
        busy.waits(clock, pool)
        clock.second()
        assert len(busy._marks) <= wait + 2
    assert len(caplog.messages) == lines


def test_a_wait_is_seen_though_later_requests_are_withdrawn(
    clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Their clients leave, and others come; the first request waits all the time."""
    busy, pool = BusyLog("do something"), ThreadPool(1, 100, name="bridge-test")
    running, waiting = Work(), Work()
    pool.submit(running)
    running.wait_for_arrival()
    pool.submit(waiting)
    busy.waits(clock, pool)
    for _ in range(16):
        job = Work()
        pool.submit(job)
        clock.second()
        assert pool.withdraw(job)
    assert [message.split("the first for ")[1].split(" seconds")[0] for message in caplog.messages] == [
        "5",
        "15",
    ]
    running.finish()
    waiting.finish()
    drain(pool)


def test_another_loop_takes_over_where_the_first_has_stopped(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first: Any = Clock(monkeypatch)
    second: Any = Clock(monkeypatch)
    busy, pool = BusyLog("do something"), Pool()
    pool.come = 1
    busy.waits(first, pool)
    busy.waits(second, pool)
    assert not second.timers
    first.running = False
    busy.waits(second, pool)
    assert len(second.timers) == 1
    first.second()
    assert not first.timers
    for _ in range(6):
        second.second()
    assert len(caplog.messages) == 1


def test_a_request_of_another_loop_begins_to_wait_as_the_last_look_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It finds that somebody has the timer, who has just seen that nobody waits."""
    first: Any = Clock(monkeypatch)
    second: Any = Clock(monkeypatch)

    class Meeting(Pool):
        def load(self) -> Load:
            load = super().load()
            if self.come == self.begun == 1:
                self.come = 2
                log.waits(second, self)
            return load

    log, pool = BusyLog("do something"), Meeting()
    pool.come = 1
    log.waits(first, pool)
    pool.begun = 1
    first.second()
    assert len(first.timers + second.timers) == 1


def test_refusals_are_counted_by_their_cause(clock: Any, caplog: pytest.LogCaptureFixture) -> None:
    busy = BusyLog("do something")
    threads, sockets = Overloaded("the threads are busy"), Overloaded("many WebSockets are open")
    for _ in range(5):
        busy.refused(threads)
    busy.refused(sockets)
    clock.second()
    for _ in range(3):
        busy.refused(sockets)
    busy.refused(threads)
    assert caplog.messages == [
        "refused a request for now: the threads are busy",
        "refused a request for now: many WebSockets are open",
        "refused a request for now: many WebSockets are open",
        "refused 5 requests for now: the threads are busy",
    ]


def test_a_child_made_by_fork_begins_anew(
    clock: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What the hook does in the child, where the parent's loop seems to run; test_to_asgi_threads forks for real."""
    busy, pool = BusyLog("do something"), Pool()
    pool.come = 1
    busy.waits(clock, pool)
    clock.timers.clear()
    lock = busy._lock
    with lock:  # another thread held it while the parent forked
        _after_fork_in_child()
        assert busy._lock is not lock
    child: Any = Clock(monkeypatch)
    busy.waits(child, pool)
    assert len(child.timers) == 1
    busy.refused(Overloaded("mine"))
    assert caplog.messages == ["refused a request for now: mine"]


def test_requests_that_wait_for_a_thread(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As above, with the adapter; and with an executor."""
    monkeypatch.setattr(busy, "_LOOK", 0.001)
    monkeypatch.setattr(busy, "_PATIENCE", 0.001)
    monkeypatch.setattr(busy, "_AGAIN", 0.001)
    visitor = Visitor()

    async def main(**options: Any) -> str:
        caplog.clear()
        async with Served(visitor, **options) as adapter:
            tasks = [asyncio.create_task(get(adapter).run()) for _ in range(3)]
            await visitor.wait_for_arrival()
            await wait_for_jobs(adapter, 3)
            async with asyncio.timeout(HANG):
                while not any("2 wait for one" in line for line in caplog.messages):  # noqa: ASYNC110
                    await asyncio.sleep(0.001)
            for _ in tasks:
                visitor.go.release()
            for task in tasks:
                assert (await task).status == 200
            return caplog.messages[-1]

    line = asyncio.run(main(threads=1))
    assert line.startswith("1 requests run and no thread is free: ")
    assert line.endswith("raise threads= (now 1; bridge serve: --threads)")
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        assert asyncio.run(main(executor=executor)).endswith("give executor= more threads")


def test_a_request_that_finds_a_free_thread_knows_nothing_of_it() -> None:
    async def main() -> None:
        async with Served(hello, threads=2) as adapter:
            with patch.object(BusyLog, "waits", side_effect=AssertionError):
                for _ in range(5):
                    assert (await get(adapter).run()).status == 200

    asyncio.run(main())


@pytest.mark.parametrize(
    ("adapter", "remedy"),
    [
        (WsgiToAsgi(hello, threads=7), "raise threads= (now 7; bridge serve: --threads)"),
        (compat.WSGIMiddleware(hello, workers=7), "raise workers= (now 7)"),
        (compat.WsgiToAsgi(hello), "use bridge.WsgiToAsgi, which runs requests side by side"),
    ],
)
def test_what_to_do_is_said_in_the_adapters_own_words(adapter: WsgiToAsgi, remedy: str) -> None:
    assert adapter._busy._remedy == remedy
