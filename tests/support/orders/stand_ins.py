"""What stands in place of ``threading``, ``time`` and an event loop: each use is a step, see ``scheduler``."""

import asyncio
import contextlib
import contextvars
import functools
import heapq
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from .scheduler import Order, _Actor

__all__ = ["Condition", "Event", "Gate", "Lock", "Loop", "Thread", "Threading", "Time"]


class Lock:
    """A ``threading.Lock``; ``reentrant``: a ``threading.RLock``."""

    def __init__(self, order: Order, *, reentrant: bool = False) -> None:
        self._order = order
        self._reentrant = reentrant
        # Nobody else can have seen it in the step that made it: to take it there is no step of its own.
        self._made = len(order.steps)
        self._depth = 0
        self.holder: _Actor | None = None

    def locked(self) -> bool:
        return self._depth > 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        assert timeout == -1, "not in use"
        if self._reentrant and self._depth and self.holder is self._order.actor():
            self._depth += 1
            return True
        if not blocking:
            self._order.pause()
            if self._depth:
                return False
        elif self._depth or self._made != len(self._order.steps):
            self._order.pause(lambda: not self._depth)
        self._depth = 1
        self.holder = self._order.actor()
        return True

    def release(self) -> None:
        assert self._depth, "nobody holds this lock"
        self._depth -= 1
        if not self._depth:
            self.holder = None

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class _Waiter:
    notified = False


class Condition:
    """A ``threading.Condition``. A thread whose time is over may still be the one that ``notify()`` finds."""

    def __init__(self, order: Order, lock: Lock | None = None) -> None:
        self._order = order
        self.lock = lock or Lock(order, reentrant=True)
        self.acquire = self.lock.acquire
        self.release = self.lock.release
        self._waiters: list[_Waiter] = []

    def __enter__(self) -> bool:
        return self.lock.acquire()

    def __exit__(self, *_: object) -> None:
        self.lock.release()

    def wait(self, timeout: float | None = None) -> bool:
        lock, waiter = self.lock, _Waiter()
        assert lock.holder is self._order.actor()
        self._waiters.append(waiter)
        depth, lock._depth, lock.holder = lock._depth, 0, None
        if timeout is None:
            notified = self._order.sleep(lambda: waiter.notified and not lock._depth)
        else:
            notified = self._order.sleep(lambda: waiter.notified, timeout)
        self._order.pause(lambda: not lock._depth)
        lock._depth, lock.holder = depth, self._order.actor()
        if not notified and waiter in self._waiters:
            self._waiters.remove(waiter)
        return notified

    def wait_for(self, predicate: Callable[[], Any], timeout: float | None = None) -> Any:
        deadline = None if timeout is None else self._order.now + timeout
        while not (result := predicate()):
            remaining = None if deadline is None else deadline - self._order.now
            if remaining is not None and remaining <= 0:
                break
            self.wait(remaining)
        return result

    def notify(self, n: int = 1) -> None:
        assert self.lock.holder is self._order.actor()
        for waiter in self._waiters[:n]:
            waiter.notified = True
        del self._waiters[:n]

    def notify_all(self) -> None:
        self.notify(len(self._waiters))


class Event:
    """A ``threading.Event``."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._set = False

    def is_set(self) -> bool:
        self._order.pause()
        return self._set

    def set(self) -> None:
        self._order.pause()
        self._set = True

    def wait(self, timeout: float | None = None) -> bool:
        if timeout is None:
            self._order.pause(lambda: self._set)
            return True
        return self._set or self._order.sleep(lambda: self._set, timeout)


class Gate:
    """A ``queue.SimpleQueue``."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._items: list[Any] = []

    def put(self, item: Any, /) -> None:
        self._items.append(item)

    def get(self) -> Any:
        if not self._items:
            self._order.sleep(lambda: bool(self._items))
        return self._items.pop(0)


class Thread:
    """A ``threading.Thread``, which is one of the order's from its start on."""

    def __init__(
        self, order: Order, *, target: Callable[[], object], name: str, daemon: bool | None = None
    ) -> None:
        self._order = order
        self._target = target
        self._name = name
        self._actor: _Actor | None = None

    @property
    def ident(self) -> int | None:
        return None if self._actor is None else id(self._actor)

    def start(self) -> None:
        self._order.pause()
        self._actor = self._order.spawn(self._target, self._name)

    def is_alive(self) -> bool:
        return self._actor is not None and not self._actor.finished

    def join(self, timeout: float | None = None) -> None:
        assert self._actor is not None, "cannot join thread before it is started"
        if self.is_alive():
            self._order.sleep(lambda: not self.is_alive(), timeout)


class Threading:
    """In place of the module ``threading``; what is not here is the real one's."""

    def __init__(self, order: Order) -> None:
        self.Lock = functools.partial(Lock, order)
        self.RLock = functools.partial(Lock, order, reentrant=True)
        self.Thread = functools.partial(Thread, order)
        self.Condition = functools.partial(Condition, order)
        self.Event = functools.partial(Event, order)

    def __getattr__(self, name: str) -> Any:
        return getattr(threading, name)


class Time:
    """In place of the module ``time``."""

    def __init__(self, order: Order) -> None:
        self._order = order

    def monotonic(self) -> float:
        return self._order.now


class Loop:
    """An event loop, whose thread is one of the order's. Its futures and tasks are asyncio's own.

    A callback is no step of its own: others see of it what it does to locks, or to another loop. Once closed, the loop
    refuses callbacks as asyncio's do.
    """

    def __init__(self, order: Order) -> None:
        self._order = order
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: list[asyncio.TimerHandle] = []
        self._closed = False
        self._stopping = False

    def _self(self) -> Any:
        """It has what the code under test calls, and no more of what a loop has."""
        return self

    def run(self, main: Coroutine[Any, Any, object]) -> None:
        """Run it to its end, and then what is ready; the loop is closed then. To be called by the loop's thread."""
        asyncio._set_running_loop(self._self())
        try:
            task = self.create_task(main)
            while not task.done():
                self._step()
            while self._ready:
                self._step()
            self._order.pause()
            self._closed = True
            task.result()
        finally:
            asyncio._set_running_loop(None)

    def run_until_complete(self, main: Coroutine[Any, Any, Any] | asyncio.Future[Any]) -> Any:
        """As asyncio's loops do it, and what is ready by then is left to the next run."""
        future = self.create_task(main) if asyncio.iscoroutine(main) else main
        asyncio._set_running_loop(self._self())
        try:
            while not future.done():
                self._step()
        finally:
            asyncio._set_running_loop(None)
        return future.result()

    def run_forever(self) -> None:
        """Run it until a callback has stopped it, and what is ready by then is left to the next run."""
        asyncio._set_running_loop(self._self())
        try:
            while not self._stopping:
                self._step()
        finally:
            self._stopping = False
            asyncio._set_running_loop(None)

    def stop(self) -> None:
        self._stopping = True

    def close(self) -> None:
        self._order.pause()
        self._closed = True

    def _step(self) -> None:
        while self._timers and self._timers[0].cancelled():
            heapq.heappop(self._timers)
        if not self._ready:
            limit = self._timers[0].when() - self._order.now if self._timers else None
            if not self._order.sleep(lambda: bool(self._ready), limit):
                self._ready.append(heapq.heappop(self._timers))
        handle = self._ready.popleft()
        if not handle.cancelled():
            handle._run()

    def tell(self, callback: Any, *args: Any) -> None:
        """As ``call_soon_threadsafe()``, of somebody who does not care if the loop is closed by then."""
        with contextlib.suppress(RuntimeError):
            self.call_soon_threadsafe(callback, *args)

    # What futures, tasks and the code under test call.

    def call_soon(
        self, callback: Any, *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self._self(), context)
        self._ready.append(handle)
        return handle

    def call_soon_threadsafe(
        self, callback: Any, *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        self._order.pause()
        if self._closed:
            raise RuntimeError("Event loop is closed")
        return self.call_soon(callback, *args, context=context)

    def call_later(
        self, delay: float, callback: Any, *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(self.time() + delay, callback, args, self._self(), context)
        heapq.heappush(self._timers, timer)
        return timer

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It is dropped when its time comes."""

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self._self())

    def create_task(self, coro: Any, **kwargs: Any) -> asyncio.Task[Any]:
        return asyncio.Task(coro, loop=self._self(), **kwargs)

    async def shutdown_asyncgens(self) -> None:
        """Nobody has any."""

    async def shutdown_default_executor(self, *_: object) -> None:
        """It has none."""

    def time(self) -> float:
        return self._order.now

    def get_debug(self) -> bool:
        return False

    def is_closed(self) -> bool:
        self._order.pause()
        return self._closed

    def is_running(self) -> bool:
        return not self._closed

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        # A scenario that is over leaves tasks; what else comes here is a fault.
        if not self._order.over:
            self._order.errors.append(context.get("exception") or AssertionError(context["message"]))
