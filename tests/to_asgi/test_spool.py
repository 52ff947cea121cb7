"""A body on its way into a temporary file: what the disk raises, and what is left behind."""

import asyncio
import gc
import threading

import pytest

from bridge.threads.mailbox import Mailbox
from bridge.threads.pool import ThreadPool
from bridge.to_asgi.body import Spool, SpoolError
from tests.support.asgi import HANG
from tests.support.loop_thread import LoopThread, disk_pool, loop_threads

pytestmark = pytest.mark.usefixtures("no_bridge_threads")

looped = pytest.fixture(scope="module")(loop_threads)


def test_a_spool_raises_what_the_disk_raises(looped: LoopThread, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", full)

    async def main() -> None:
        spool = Spool(disk, looped.mailbox)
        await spool.write(b"a")
        with pytest.raises(SpoolError, match="No space"):
            await spool.write(b"b")
        spool.discard()

    with disk_pool() as disk:
        looped.run(main())


def test_a_discarded_spool_is_closed(looped: LoopThread) -> None:
    async def main() -> Spool:
        spool = Spool(disk, looped.mailbox)
        await spool.write(b"a" * 100_000)
        spool.discard()  # the block may still be on its way
        return spool

    with disk_pool() as disk:
        spool = looped.run(main())
        looped.run(asyncio.sleep(0))
        while spool._file is None or not spool._file.closed:
            looped.run(asyncio.sleep(0.001))


def test_a_spool_that_is_cancelled_in_a_write_can_be_discarded(looped: LoopThread) -> None:
    go = threading.Event()
    there = threading.Event()

    class Slow:
        def run(self) -> None:
            there.set()
            assert go.wait(HANG)

        def abandon(self, error: BaseException) -> None:
            raise AssertionError("it has a thread") from error

    async def main() -> Spool:
        spool = Spool(disk, looped.mailbox)
        await spool.write(b"a")
        writing = asyncio.ensure_future(spool.write(b"b"))
        await asyncio.sleep(0)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        spool.discard()
        go.set()
        return spool

    with disk_pool() as disk:
        disk.submit(Slow())
        disk.submit(Slow())  # both threads are busy: no write begins before the cancellation
        assert there.wait(HANG)
        spool = looped.run(main())
        while spool._file is None or not spool._file.closed:
            looped.run(asyncio.sleep(0.001))


async def written(disk: ThreadPool) -> None:
    """Return when the disk's threads have nothing to do."""
    while disk.unfinished():  # noqa: ASYNC110  # nobody is told of it
        await asyncio.sleep(0.001)


def test_the_loop_is_woken_only_if_it_waits_for_the_disk(looped: LoopThread) -> None:
    class Counting(Mailbox):
        posts = 0

        def post(self, future: "asyncio.Future[None]", error: BaseException | None = None) -> None:
            self.posts += 1
            super().post(future, error)

    go = threading.Event()

    class Slow:
        def run(self) -> None:
            assert go.wait(HANG)

        def abandon(self, error: BaseException) -> None:
            raise AssertionError("it has a thread") from error

    async def main() -> None:
        mailbox = Counting(looped.loop)
        spool = Spool(disk, mailbox)
        await spool.write(b"a")
        await written(disk)
        await spool.write(b"b")
        assert mailbox.posts == 0
        await written(disk)
        disk.submit(Slow())
        disk.submit(Slow())  # both threads are busy
        await spool.write(b"c")
        looped.loop.call_soon(go.set)
        with await spool.file() as whole:
            assert whole.read() == b"abc"
        assert mailbox.posts == 1

    with disk_pool() as disk:
        looped.run(main())


@pytest.mark.parametrize("late", [False, True])
def test_a_discarded_spool_has_no_error_that_nobody_asked_for(
    looped: LoopThread, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    """The client leaves while a write fails: asyncio would log a future's error when it is collected."""
    go = threading.Event()

    def full(**_: object) -> None:
        assert go.wait(HANG)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    told: list[dict[str, object]] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        spool = Spool(disk, looped.mailbox)
        await spool.write(b"a")
        if late:
            spool.discard()
        go.set()
        await written(disk)
        if not late:
            spool.discard()
        await written(disk)
        await asyncio.sleep(0)  # what was posted has been called

    with disk_pool() as disk:
        try:
            looped.run(main())
            gc.collect()
            looped.run(asyncio.sleep(0))
        finally:
            looped.mailbox.loop.set_exception_handler(None)
    assert not told
