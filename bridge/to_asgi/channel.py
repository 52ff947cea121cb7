"""The bounded hand-over between a worker thread and an event loop, abort from either end.

A ``Channel`` carries one response from its worker to its loop, or what several threads of an app send on a WebSocket.

What it guarantees:

- What the worker puts is there for the loop at once, and in order. The loop is woken only if it waits; all that is
  there when it looks goes out together.
- At most ``limit`` bytes, or ``_ITEMS`` items, and one item more of each thread, are between the threads and the
  server's ``send()``; then ``put()`` waits.
- Every wait ends. The loop's ends by an item, by ``finish()``, by ``abort()``, or by cancellation; a worker's ends when
  the loop has sent enough, and by ``abort()``, which the loop's side calls on whatever way it leaves. All that wait
  stand at one gate, so that none is forgotten: whoever passes it leaves it open for the next.
- The loop can wait for the end of the call, by ``until_ended()``: its job tells of it by ``end()`` on any way out, if
  ``begin()`` let it run. Whoever of the two comes first, ``_work`` and ``_wanted`` change under one lock, so that
  either the loop sees that the call has ended, or ``end()`` sees that the loop waits, and wakes it.
- After ``finish()`` nothing is added, and nobody goes to stand at the gate: what is put is dropped, for the loop does
  not look again.

The loop waits for one future at a time. It is in ``_wanted`` until somebody has a reason to wake the loop, and whoever
takes it out of there settles it. A thread may lose its turn between the two, and the loop be woken by ``abort()``
meanwhile, and wait for another future by then: the late one is done, and nobody hears of it.

Who owns what: ``_waiter`` and ``_quiet`` are the loop's. All other fields are guarded by ``_lock``, which either side
holds for a few operations on them. Nothing is called under it. Two things are done without it:

- ``aborted`` is read. It becomes true once, and never false again, so that who reads it may see it late, and does no
  more than what ``put()`` then says no to.
- ``close()``, where it comes last. A usual response is a start, a chunk and the end, put by ``finish(ends=True)``. When
  the loop takes these, the worker is done with the channel, and no thread stands at the gate. Others that the app
  may have started can put, ask and flush as before: that changes nothing, for the response has its end. So all that
  ``close()`` has to do is to say that it is over, in ``_aborted``, and to take the error out. A request takes the lock
  three times so: to begin, to finish, and to take.
"""

from __future__ import annotations  # threading.Lock is no type before 3.13

import asyncio
import contextvars
import enum
import functools
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ..errors import ClientDisconnected
from ..log import adopt
from ..threads.mailbox import Mailbox, settle
from ..threads.waiting import until_done
from ..types import Message

__all__ = ["Batch", "Channel", "End", "Item"]

#: Items that may be on their way before the worker waits, however small they are. Each of them was made by the app, and
#: for nobody if the client has left: that is what bytes don't count. Fewer make whole downloads slower, more make
#: clients that leave dearer: ``python -m benchmarks --only leaving`` prints both.
_ITEMS = 256

#: A piece of the body, or a message that goes to ``send()`` as it is.
Item = bytes | Message


class End(enum.Enum):
    """What comes after a batch."""

    MORE = enum.auto()
    COMPLETE = enum.auto()
    #: ``Channel.close()`` gives the app's error; with none there, the client left.
    BROKEN = enum.auto()


@dataclass(slots=True)
class Batch:
    """What a channel held at one moment."""

    items: list[Item]
    end: End


class _Work(enum.Enum):
    """What the worker does for a channel."""

    #: Its job waits for a thread, or will not run at all.
    AHEAD = enum.auto()
    #: It is between ``begin()`` and ``end()``.
    RUNNING = enum.auto()
    OVER = enum.auto()


# An enum's members are looked up by a function on Python 3.11, at the price of a lock, and a request does so ten times.
_MORE, _COMPLETE, _BROKEN = End
_AHEAD, _RUNNING, _OVER = _Work


class Channel:
    """One response on its way from the worker that makes it to the loop that sends it."""

    __slots__ = (
        "_aborted",
        "_asked",
        "_context",
        "_end",
        "_gate",
        "_heard",
        "_items",
        "_left",
        "_limit",
        "_lock",
        "_mailbox",
        "_pending",
        "_quiet",
        "_sending",
        "_taken",
        "_waiter",
        "_wanted",
        "_work",
        "error",
    )

    def __init__(self, mailbox: Mailbox, limit: int) -> None:
        """Loop side. ``limit``: bytes that may be on their way before the worker waits; so may ``_ITEMS`` items."""
        self._mailbox = mailbox
        self._limit = limit
        self._lock = threading.Lock()
        self._items: list[Item] = []
        self._pending = 0  # bytes in _items
        self._sending = 0  # bytes that the loop has taken and not yet sent, and 1 for having taken anything
        self._taken = 0  # items of those
        self._end = _MORE
        self._aborted = False
        self._left = False  # aborted because the client left, or the server gave the request up
        self._asked = False  # somebody wants to know when the client leaves,
        self._heard = False  # and the loop has been told
        self._work = _AHEAD
        #: The app's, after a batch that is ``BROKEN``, until ``close()``.
        self.error: BaseException | None = None
        # The app's, when it failed with that error.
        self._context: contextvars.Context | None = None
        # The closed gate at which workers wait, however many; whoever takes it out of here opens it.
        self._gate: threading.Lock | None = None
        self._quiet = False  # close() has nothing to end
        # What the loop waits for; in _wanted too, until somebody settles it.
        self._waiter: asyncio.Future[None] = mailbox.loop.create_future()
        self._wanted: asyncio.Future[None] | None = self._waiter

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that takes."""
        return self._mailbox.loop

    # The worker's side.

    def begin(self) -> bool:
        """Worker side: the call begins. ``False``: it must not, for nobody waits for its response any more."""
        with self._lock:
            if self._aborted:
                return False
            self._work = _RUNNING
            return True

    def end(self) -> None:
        """Worker side: the call has ended, ``close()`` included, and its thread is free."""
        with self._lock:
            self._work = _OVER
            waiter, self._wanted = self._wanted, None
        if waiter is not None:
            self._mailbox.post(waiter)

    def ask(self) -> bool:
        """Any thread: whether the client is known to have left. Never waits.

        The first call has the loop begin to listen, by an empty batch. After the end of the response nobody listens,
        and the answer stays what it was.
        """
        with self._lock:
            if self._asked or self._aborted or self._end is not _MORE:
                return self._left
            self._asked = True
            waiter, self._wanted = self._wanted, None
        if waiter is not None:
            self._mailbox.post(waiter)
        return False

    @property
    def aborted(self) -> bool:
        """Nobody takes any more what is put here: the client has left, the request was given up, or has its response.

        It may be seen late by another thread than the loop's.
        """
        return self._aborted

    @property
    def broken(self) -> bool:
        """Worker side: the error of its ``finish()`` counted, and the loop has it."""
        with self._lock:
            return self._end is _BROKEN

    def put(self, items: Iterable[Item], size: int) -> None:
        """Worker side, any thread: hands ``items`` over, ``size`` bytes in all; waits while too much is on its way.

        After the end of the response they are dropped.

        Raises:
            ClientDisconnected: nobody takes it any more.
        """
        with self._lock:
            if self._aborted:
                raise _left()
            if self._end is not _MORE:
                return
            self._items.extend(items)
            self._pending += size
            waiter, self._wanted = self._wanted, None
            full = self._pending + self._sending > self._limit or len(self._items) + self._taken > _ITEMS
            gate = self._close_gate() if full else None
        if waiter is not None:
            self._mailbox.post(waiter)
        if gate is not None:
            self._pass(gate)

    def flush(self) -> None:
        """Worker side, any thread: waits until everything that was put has gone to ``send()``.

        Also what other threads put meanwhile: it waits for a moment in which nothing is on its way.

        Raises:
            ClientDisconnected: that won't happen.
        """
        while True:
            with self._lock:
                if self._aborted or self._end is not _MORE:
                    raise _left()
                if not self._items and not self._sending:
                    return
                gate = self._close_gate()
            self._pass(gate)

    def finish(
        self,
        items: Iterable[Item] = (),
        size: int = 0,
        error: BaseException | None = None,
        *,
        ends: bool = False,
    ) -> Callable[[], None] | None:
        """Worker side: the last items, or the error in their place. Never waits; the first call counts.

        It is called in the app's context, where it is an error.

        ``ends``: the app has nothing more to do, and it is as good as ``end()``.

        Returns what wakes the loop, where it has to be woken: the caller calls it, at once or when it has nothing
        more to do. Until then the loop does not see the end.
        """
        with self._lock:
            if self._end is not _MORE or self._aborted:
                return None
            self._items.extend(items)
            self._pending += size
            self._end = _COMPLETE if error is None else _BROKEN
            if error is not None:
                self.error = error
                self._context = contextvars.copy_context()
            if ends:
                self._work = _OVER
            waiter, self._wanted = self._wanted, None
        return None if waiter is None else functools.partial(self._mailbox.post, waiter)

    def _close_gate(self) -> threading.Lock:
        """Under the lock: the gate to wait at, the one that is closed already where another thread waits there."""
        gate = self._gate
        if gate is None:
            gate = self._gate = threading.Lock()
            gate.acquire()
        return gate

    def _pass(self, gate: threading.Lock) -> None:
        with gate:
            pass  # it stays open behind this thread, for the next one that stands there
        if self._aborted:  # set before the gate was opened
            raise _left()

    # The loop's side.

    async def take(self) -> Batch:
        """Loop side: waits until there is something, and takes all of it.

        A batch with ``MORE`` and no items says that somebody asks whether the client is there: see ``ask()``.
        """
        await self._waiter
        with self._lock:
            return self._take()

    def more(self) -> Batch | None:
        """Loop side: counts what ``take()`` gave as sent, and takes what has come since.

        ``None``: nothing; the next ``take()`` waits for it.
        """
        with self._lock:
            self._sending = 0
            self._taken = 0
            gate = None
            # Half the limit: a worker that is let go on for each few bytes would do nothing but wake and sleep. One in
            # flush() may pass early; it looks again, and waits at a new gate.
            if (
                self._gate is not None
                and self._pending <= self._limit // 2
                and len(self._items) <= _ITEMS // 2
            ):
                gate, self._gate = self._gate, None
            batch = None
            if self._items or self._end is not _MORE or self._aborted or self._asked is not self._heard:
                batch = self._take()
            else:
                self._waiter = self._wanted = self._mailbox.loop.create_future()
        if gate is not None:
            gate.release()
        return batch

    def _take(self) -> Batch:
        items, self._items = self._items, []
        self._sending = self._pending + 1
        self._taken = len(items)
        self._pending = 0
        self._heard = self._asked
        self._quiet = self._work is _OVER and self._end is not _MORE and self._gate is None
        return Batch(items, _BROKEN if self._aborted else self._end)

    def close(self) -> tuple[BaseException | None, bool]:
        """Loop side: ``abort()``; returns the app's error, and whether the call has still to end.

        The channel has the error no more: its traceback leads to the frames of the call, and those to this channel, and
        that must not become a circle. The same for the app's context, which the caller's own adopts with the error.
        """
        # The error was set before, and not after, by the worker: finish() does nothing after abort().
        if self._quiet:
            self._aborted = True
            error, self.error = self.error, None
            context, self._context = self._context, None
            running = False
        else:
            with self._lock:
                gate = self._abort()
                error, self.error = self.error, None
                context, self._context = self._context, None
                running = self._work is _RUNNING
            self._wake(gate)
        if context is not None:
            adopt(context)
        return error, running

    async def until_ended(self, seconds: float | None = None) -> None:
        """Loop side, after ``abort()``: waits until the call has ended, at most for ``seconds``.

        A call that has not begun by now never will, and is not waited for.
        """
        with self._lock:
            if self._work is not _RUNNING:
                return
            # Nobody but end() takes it: put() and finish() do nothing after abort().
            waiter = self._wanted = self._mailbox.loop.create_future()
        await until_done(waiter, seconds)

    def leave(self) -> None:
        """Loop side: ``abort()``, for the client has left, or the server has given the request up."""
        with self._lock:
            self._left = True
            gate = self._abort()
        self._wake(gate)

    def abort(self) -> None:
        """Loop side: nobody takes anything any more. Ends both waits; only the first call counts."""
        with self._lock:
            gate = self._abort()
        self._wake(gate)

    def _abort(self) -> threading.Lock | None:
        """Under the lock. Returns the gate, to be opened outside it."""
        if self._aborted:
            return None  # until_ended() may wait by now, and _wanted is its own
        self._aborted = True
        self._wanted = None
        gate, self._gate = self._gate, None
        return gate

    def _wake(self, gate: threading.Lock | None) -> None:
        if gate is not None:
            gate.release()
        settle(self._waiter)


def _left() -> ClientDisconnected:
    return ClientDisconnected("the client left before the end of the response")
