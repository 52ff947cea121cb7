"""``to_asgi.websocket.inbox``: the messages of a WebSocket client on their way to the app's threads."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator

import pytest

from bridge import ConnectionClosed
from bridge.to_asgi.websocket.inbox import Inbox
from tests.support.asgi import HANG
from tests.support.loop_thread import LoopThread, loop_threads

loop_thread = pytest.fixture(loop_threads)


@pytest.fixture
def inbox(loop_thread: LoopThread) -> Iterator[Inbox]:
    """An inbox for 1000 bytes, whose loop runs in another thread: the test is the app."""
    inbox = Inbox(loop_thread.mailbox, 1000)
    yield inbox
    inbox.close(1006, "")


def test_messages_come_in_order_and_the_end_after_them(inbox: Inbox, loop_thread: LoopThread) -> None:
    for message in ("one", b"two", ""):
        loop_thread.run(inbox.put(message))
    inbox.close(4000, "bye")
    assert [inbox.get(), inbox.get(), inbox.get()] == ["one", b"two", ""]
    for _ in range(2):
        with pytest.raises(ConnectionClosed) as raised:
            inbox.get()
        assert (raised.value.code, raised.value.reason) == (4000, "bye")


def test_the_first_close_counts_and_what_comes_after_it_is_dropped(
    inbox: Inbox, loop_thread: LoopThread
) -> None:
    inbox.close(1001, "")
    inbox.close(1006, "")
    loop_thread.run(inbox.put("late"))
    assert inbox.closed().code == 1001
    with pytest.raises(ConnectionClosed, match="1001"):
        inbox.get()


def test_a_message_that_does_not_come_in_time(inbox: Inbox) -> None:
    with pytest.raises(TimeoutError, match=r"0\.01 s"):
        inbox.get(0.01)
    with pytest.raises(TimeoutError):
        inbox.get(0)


def test_a_message_ends_the_wait(inbox: Inbox, loop_thread: LoopThread) -> None:
    got: list[str | bytes] = []
    thread = threading.Thread(target=lambda: got.append(inbox.get(HANG)))
    thread.start()
    loop_thread.run(inbox.put("here"))
    thread.join(HANG)
    assert got == ["here"]


def test_a_close_ends_every_wait(inbox: Inbox) -> None:
    codes: list[int] = []

    def wait() -> None:
        try:
            inbox.get()
        except ConnectionClosed as exc:
            codes.append(exc.code)

    threads = [threading.Thread(target=wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    inbox.close(1012, "")
    for thread in threads:
        thread.join(HANG)
    assert codes == [1012] * 3


def test_each_message_ends_one_of_several_waits(inbox: Inbox, loop_thread: LoopThread) -> None:
    """Also where another thread has just given up, and may have been told of a message."""
    got: list[str | bytes] = []

    def wait() -> None:
        with contextlib.suppress(ConnectionClosed):
            got.append(inbox.get(HANG))

    def give_up() -> None:
        # On a busy machine it may come to its look after the close.
        with contextlib.suppress(TimeoutError, ConnectionClosed):
            got.append(inbox.get(0.001))

    messages = [str(number) for number in range(50)]
    threads = [threading.Thread(target=target) for _ in messages for target in (wait, give_up)]
    for thread in threads:
        thread.start()
    for message in messages:
        loop_thread.run(inbox.put(message))
    # What was taken by those that wait for a moment only is missing for the others.
    inbox.close(1000, "")
    for thread in threads:
        thread.join(HANG)
    assert not any(thread.is_alive() for thread in threads)
    assert sorted(map(str, got)) == sorted(messages)


@pytest.mark.parametrize("message", ["x" * 2000, b"x" * 2000])
def test_the_loop_waits_while_too_much_is_there(
    inbox: Inbox, loop_thread: LoopThread, message: str | bytes
) -> None:
    future = asyncio.run_coroutine_threadsafe(inbox.put(message), loop_thread.loop)
    # Until the loop has come to the wait, and then some more of its turns: it waits.
    for _ in range(10):
        loop_thread.run(asyncio.sleep(0))
    assert not future.done()
    assert inbox.get() == message
    future.result(HANG)


def test_many_empty_messages_fill_it_too(inbox: Inbox, loop_thread: LoopThread) -> None:
    async def fill() -> None:
        for _ in range(100):
            await inbox.put("")

    future = asyncio.run_coroutine_threadsafe(fill(), loop_thread.loop)
    for _ in range(200):
        loop_thread.run(asyncio.sleep(0))
    assert not future.done()
    assert [inbox.get() for _ in range(100)] == [""] * 100
    future.result(HANG)


def test_a_close_lets_the_loop_go_on(inbox: Inbox, loop_thread: LoopThread) -> None:
    future = asyncio.run_coroutine_threadsafe(inbox.put("x" * 2000), loop_thread.loop)
    for _ in range(10):
        loop_thread.run(asyncio.sleep(0))
    inbox.close(1000, "")
    future.result(HANG)


def test_a_cancelled_put_leaves_its_message(inbox: Inbox, loop_thread: LoopThread) -> None:
    future = asyncio.run_coroutine_threadsafe(inbox.put("x" * 2000), loop_thread.loop)
    for _ in range(10):
        loop_thread.run(asyncio.sleep(0))
    future.cancel()
    assert inbox.get() == "x" * 2000
    loop_thread.run(inbox.put("next"))
    assert inbox.get() == "next"


def test_what_is_known_of_an_app_that_takes_nothing(inbox: Inbox, loop_thread: LoopThread) -> None:
    assert inbox.stuck() is None
    loop_thread.run(inbox.put("small"))
    assert inbox.stuck() is None
    future = asyncio.run_coroutine_threadsafe(inbox.put("x" * 2000), loop_thread.loop)
    for _ in range(10):
        loop_thread.run(asyncio.sleep(0))
    assert inbox.stuck() == 0
    assert inbox.get() == "small"
    assert inbox.stuck() == 1
    assert inbox.get() == "x" * 2000
    future.result(HANG)
    assert inbox.stuck() is None
