"""Counts of what happens rarely."""

import threading

from bridge.threads.fork import _after_fork_in_child
from bridge.threads.tally import Tally


def test_each_thread_is_counted() -> None:
    tally = Tally()
    together = threading.Barrier(8)

    def count() -> None:
        together.wait(30)
        for _ in range(1000):
            tally.add("refused")
            tally.add("bytes_spooled", 3)

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (tally.count("refused"), tally.count("bytes_spooled"), tally.count("rejected")) == (8000, 24000, 0)


def test_a_forked_child_begins_at_zero() -> None:
    tally = Tally()
    tally.add("refused")
    tally._lock.acquire()  # as by a thread that a child doesn't have
    _after_fork_in_child()
    assert tally.count("refused") == 0
