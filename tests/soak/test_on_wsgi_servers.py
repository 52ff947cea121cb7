"""A short soak of an ASGI app on gunicorn: with a seed that stays, and with a new one, which a failure prints."""

from collections import Counter
from pathlib import Path

from tests.soak.chaos import Chaos
from tests.soak.model import Loss
from tests.soak.run import live
from tests.soak.scenarios import App
from tests.soak.short import FIXED, nothing_is_lost, plan


def test_nothing_is_lost(tmp_path: Path) -> None:
    nothing_is_lost("gunicorn-gthread", "bridge", Chaos.KILL, tmp_path, fixed=True)


def test_nothing_is_lost_on_the_shared_loop(tmp_path: Path) -> None:
    nothing_is_lost("gunicorn-gthread", "bridge-shared", Chaos.RELOAD, tmp_path, fixed=False)


def test_what_is_lost_is_seen(tmp_path: Path) -> None:
    """An adapter with faults of each kind, which the soak has to find."""
    life = live(plan("gunicorn-gthread", "faulty", FIXED, 120, patience=3.0), tmp_path)
    found = life.losses()
    assert found.keys() >= {Loss.WRONG_BYTES, Loss.LOOKS_WHOLE, Loss.LEFT, Loss.LOG, Loss.WRONG_ERROR}, found
    blamed = Counter(what.scenario.work.app for what in life.complaints if what.scenario is not None)
    assert set(blamed) == {App.SIZED, App.DIGEST, App.SHORT}, blamed
