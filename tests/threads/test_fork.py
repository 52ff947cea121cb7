"""What starts empty in a child made by ``fork()``; the tests of the adapters fork for real."""

import gc
import weakref

from bridge.threads.fork import _after_fork_in_child, _all, reset_after_fork


class Thing:
    def __init__(self) -> None:
        self.resets = 0
        reset_after_fork(self)

    def _reset(self) -> None:
        self.resets += 1


def test_all_that_live_are_reset() -> None:
    things = [Thing() for _ in range(3)]
    _after_fork_in_child()
    assert [thing.resets for thing in things] == [1, 1, 1]


def test_nothing_is_kept_for_it() -> None:
    thing = Thing()
    count = len(_all)
    reference = weakref.ref(thing)
    del thing
    assert reference() is None
    gc.collect()
    assert len(_all) < count


def test_what_one_makes_while_it_is_reset_does_no_harm() -> None:
    class Maker(Thing):
        def _reset(self) -> None:
            super()._reset()
            made.append(Thing())

    made: list[Thing] = []
    maker = Maker()
    _after_fork_in_child()
    assert maker.resets == 1
    assert len(made) == 1
