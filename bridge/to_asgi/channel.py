"""The bounded hand-over between the threads of an app and an event loop; either end can break it off.

A ``Channel`` carries one response from its worker to its loop, or what the threads of an app send on a WebSocket. Both
need the same: bounds, order, and an end that nobody misses.

What it guarantees:

- What is put is there for the loop at once, and in order. The loop is woken only if it waits. All that is there when
  it looks goes out together.
- At most ``limit`` bytes, or ``_ITEMS`` items, and one item more of each thread, are between the threads and the
  server's ``send()``. Then ``put()`` waits.
- Every wait ends. The loop's ends by an item, by ``finish()``, by ``abort()``, or by cancellation. A thread's ends when
  the loop has sent enough, and by ``abort()``, which the loop's side calls on whatever way it leaves. All threads that
  wait stand at one gate, so that none is forgotten: whoever passes it leaves it open for the next.
- The loop can wait for the end of the call. Each job that ``begin()`` let run calls ``end()``, whatever happens to it.
  ``end()`` and ``until_ended()`` look at ``_work`` and ``_wanted`` under one lock. So either the loop sees that the
  call has ended, or ``end()`` sees that the loop waits, and wakes it.
- After ``finish()`` what is put is dropped, and nobody goes to stand at the gate: the loop does not look again.

The loop waits for one future at a time. It is in ``_wanted`` until somebody has a reason to wake the loop. A thread
takes it out of there, and posts it. It may be held up between the two. Meanwhile ``abort()`` may wake the loop, which
then waits for another future. That does no harm: what the late thread posts is a future that is done.

Who owns what: ``_waiter`` and ``_quiet`` are the loop's, ``_told`` is of the worker that calls ``finish()``. All other
fields are guarded by ``_lock``, which either side holds for a few operations on them. Nothing is called under it. Three
things are done without the lock:

- ``aborted`` reads ``_aborted``, which becomes true once and stays so. A thread that sees it late puts something more,
  and ``put()`` refuses that.
- ``take()`` skips it where what is there is *whole*: ``finish(ends=True)`` found the loop waiting, which has taken all
  that came before; and nothing that comes after changes anything. ``_whole`` becomes true once, together with all that
  it stands for. The loop sees it when the worker's post has woken it, for the mailbox has a lock of its own; or when it
  has had the channel's lock since, in ``abort()``. If it sees it late, it takes the lock.
- ``close()`` skips it where the channel is *quiet*: when the loop took the end, the worker had made its last call,
  and no thread stood at the gate. A usual response, all of which comes with the end of the call, is so. Threads that
  the app has started may still put, ask and flush. They change nothing, for the response has its end. What is left to
  do is to set ``_aborted`` and to take the error out, which only the loop does. Such a request takes the lock twice:
  to begin, and to finish.
"""

from __future__ import annotations  # threading.Lock is no type before 3.13

import asyncio
import contextvars
import enum
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from ..errors import ClientDisconnected
from ..log import adopt
from ..threads.mailbox import Mailbox, settle
from ..threads.waiting import until_done
from ..types import Message

__all__ = ["Batch", "Channel", "End", "Item"]

#: Items that may be on their way before the worker waits, however small they are. If the client has left, the app has
#: made each of them for nobody, and many small ones cost more than their bytes say. Fewer make whole downloads slower,
#: more make clients that leave dearer: ``python -m benchmarks --only leaving`` prints both.
_ITEMS = 256

#: A piece of the body, or a message that goes to ``send()`` as it is.
Item = bytes | Message
#: What a channel holds when it holds nothing; never changed, but replaced.
_NOTHING: list[Item] = []


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
    #: Bytes of the body in it.
    size: int = field(default=0, compare=False)


class _Work(enum.Enum):
    """How far the job of a channel has come."""

    #: It waits for a thread, or will not run at all.
    AHEAD = enum.auto()
    RUNNING = enum.auto()
    #: It has made its last call to the channel.
    OVER = enum.auto()


# On Python 3.11 the look-up of an enum's member costs as much as a lock, and each request needs ten.
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
        "_told",
        "_waiter",
        "_wanted",
        "_whole",
        "_work",
        "error",
    )

    def __init__(self, mailbox: Mailbox, limit: int) -> None:
        """Loop side. ``limit``: bytes that may be on their way before the worker waits; so may ``_ITEMS`` items."""
        self._mailbox = mailbox
        self._limit = limit
        self._lock = threading.Lock()
        self._items = _NOTHING
        self._pending = 0  # bytes in _items
        # What the loop has taken and not yet sent: bytes, and 1 for having taken anything; items.
        self._sending = 0
        self._taken = 0
        self._end = _MORE
        self._aborted = False
        self._left = False  # aborted by leave()
        # Somebody wants to know when the client leaves; the loop has been told so.
        self._asked = False
        self._heard = False
        self._work = _AHEAD
        #: The app's, after a batch that is ``BROKEN``, until ``close()``.
        self.error: BaseException | None = None
        # The app's, when it failed with that error.
        self._context: contextvars.Context | None = None
        # The closed gate at which threads wait, however many. Whoever takes it out of here opens it.
        self._gate: threading.Lock | None = None
        # No thread can change anything any more; see the module's text.
        self._quiet = False
        # What is here is the rest of the response, and the call has ended with it; see the module's text.
        self._whole = False
        # What _tell() has to post.
        self._told: asyncio.Future[None] | None = None
        # What the loop waits for. It is in _wanted too, until somebody settles it.
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
        """Nobody takes what is put here: the client has left, the request was given up, or it has its response.

        A thread of the app may see it late.
        """
        return self._aborted

    @property
    def broken(self) -> bool:
        """Worker side: the loop gets the error that ``finish()`` was given, for nothing else had ended it before."""
        with self._lock:
            return self._end is _BROKEN

    def put(self, items: list[Item], size: int) -> None:
        """Worker side, any thread: hands ``items`` over, ``size`` bytes in all; waits while too much is on its way.

        The list is the channel's from then on. After the end of the response it is dropped.

        Raises:
            ClientDisconnected: nobody takes it any more.
        """
        with self._lock:
            if self._aborted:
                raise _gone()
            if self._end is not _MORE:
                return
            if self._items:
                self._items += items
            else:
                self._items = items
            self._pending += size
            waiter, self._wanted = self._wanted, None
            full = self._pending + self._sending > self._limit or len(self._items) + self._taken > _ITEMS
            gate = self._close_gate() if full else None
        if waiter is not None:
            self._mailbox.post(waiter)
        if gate is not None:
            self._pass(gate)

    def flush(self) -> None:
        """Worker side, any thread: waits until nothing is on its way to ``send()``, of other threads either.

        Raises:
            ClientDisconnected: that won't happen, or it is after the end of the response.
        """
        while True:
            with self._lock:
                if self._aborted or self._end is not _MORE:
                    raise _gone()
                if not self._items and not self._sending:
                    return
                gate = self._close_gate()
            self._pass(gate)

    def finish(
        self,
        items: list[Item] = _NOTHING,
        size: int = 0,
        error: BaseException | None = None,
        *,
        ends: bool = False,
    ) -> Callable[[], None] | None:
        """Worker side: the last items, or the error in their place. Never waits; the first call counts.

        The list is the channel's from then on. It is called in the app's context, where it is an error.

        ``ends``: this is the last call of the job, and does what ``end()`` does.

        Returns what wakes the loop, if it waits. The caller has to call it, at once or when its thread is free; the
        loop does not see the end before.
        """
        with self._lock:
            if self._end is not _MORE or self._aborted:
                return None
            if self._items:
                self._items += items
            else:
                self._items = items
            self._pending += size
            self._end = _COMPLETE if error is None else _BROKEN
            if error is not None:
                self.error = error
                self._context = contextvars.copy_context()
            waiter, self._wanted = self._wanted, None
            if ends:
                self._work = _OVER
                self._whole = waiter is not None and self._gate is None
        if waiter is None:
            return None
        self._told = waiter
        return self._tell

    def _tell(self) -> None:
        """Worker side: wakes the loop, for ``finish()``."""
        waiter, self._told = self._told, None
        if waiter is not None:
            self._mailbox.post(waiter)

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
            raise _gone()

    # The loop's side.

    @property
    def waiter(self) -> asyncio.Future[None]:
        """Loop side: what to wait for before ``take()``. It is for this one to wait for, and no other."""
        return self._waiter

    def take(self) -> Batch:
        """Loop side, when ``waiter`` is done: takes all that there is.

        A batch with ``MORE`` and no items says that somebody asks whether the client is there: see ``ask()``.
        """
        if self._whole:
            self._quiet = True
            return Batch(self._items, _BROKEN if self._aborted else self._end, self._pending)
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
            # At half of the limit. A thread that may go on for each few bytes would do nothing but wake and sleep. One
            # that is in flush() may pass too early; it looks again, and waits at a new gate.
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

    async def following(self) -> Batch:
        """Loop side: ``more()``, or, when something has come, ``take()``."""
        batch = self.more()
        if batch is None:
            await self._waiter
            batch = self.take()
        return batch

    def _take(self) -> Batch:
        items, self._items = self._items, _NOTHING
        size, self._pending = self._pending, 0
        self._sending = size + 1
        self._taken = len(items)
        self._heard = self._asked
        self._quiet = self._work is _OVER and self._end is not _MORE and self._gate is None
        return Batch(items, _BROKEN if self._aborted else self._end, size)

    def close(self) -> tuple[BaseException | None, bool]:
        """Loop side: ``abort()``. Returns the app's error, and whether the call has still to end.

        The channel forgets the error. Its traceback leads to the frames of the call, and they lead to this channel.
        It forgets the app's context as well, which the caller's own adopts with the error.
        """
        # No error can come later: finish() does nothing after abort().
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

    def leave(self) -> bool:
        """Loop side: ``abort()``, because the client has left, or the server has given the request up.

        ``True``: nothing had ended the response before.
        """
        with self._lock:
            self._left = True
            first = not self._aborted and self._end is _MORE
            gate = self._abort()
        self._wake(gate)
        return first

    def abort(self) -> None:
        """Loop side: nobody takes anything any more. Ends all waits. Only the first call counts."""
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


def _gone() -> ClientDisconnected:
    return ClientDisconnected("the client left before the end of the response")
