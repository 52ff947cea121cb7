"""A body on its way into a temporary file: what the disk raises, and what is left behind."""

import asyncio
import threading

import pytest

from bridge.to_asgi.body import Spool
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
        with pytest.raises(OSError, match="No space"):
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
