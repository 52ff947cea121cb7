"""A short soak of an ASGI app on gunicorn: with a seed that stays, and with a new one, which a failure prints."""

from pathlib import Path

import pytest
from rich.console import Console

import tests.soak.__main__ as soak
from tests.soak import checks
from tests.soak.chaos import Chaos
from tests.soak.model import Complaint, Loss
from tests.soak.run import Life, live
from tests.soak.scenarios import App
from tests.soak.short import FIXED, nothing_is_lost, plan


def test_nothing_is_lost(tmp_path: Path) -> None:
    nothing_is_lost("gunicorn-gthread", "bridge", Chaos.KILL, tmp_path, fixed=True)


def test_nothing_is_lost_on_the_shared_loop(tmp_path: Path) -> None:
    nothing_is_lost("gunicorn-gthread", "bridge-shared", Chaos.RELOAD, tmp_path, fixed=False)


def test_what_is_lost_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An adapter with faults of each kind, which the soak has to find."""
    # For what is left, 3 seconds: it stays. A client has as long as ever: of a server that is slow nothing is lost.
    monkeypatch.setattr(checks, "_SETTLE", 0.15)
    life = live(plan("gunicorn-gthread", "faulty", FIXED, 120), tmp_path)
    found = life.losses()
    assert found.keys() >= {Loss.LEFT, Loss.LOG}, found
    blamed = {(what.scenario.work.app, what.loss) for what in life.complaints if what.scenario is not None}
    assert blamed >= {
        (App.SIZED, Loss.WRONG_BYTES),
        (App.CHUNKS, Loss.WRONG_HEAD),
        (App.SHORT, Loss.LOOKS_WHOLE),
        (App.DIGEST, Loss.WRONG_ERROR),
    }
    assert {app for app, _ in blamed} == {App.SIZED, App.CHUNKS, App.SHORT, App.DIGEST}, blamed


def test_a_fault_that_the_warm_up_shows_makes_no_request_guilty(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A life without any request is played, and loses the same."""
    # The process of the tests has other children as well, which are not the soak's to end.
    monkeypatch.setattr(soak, "end_children", lambda: None)
    asked = plan("gunicorn-gthread", "faulty", FIXED, 1)
    soak._explain(Life(asked, [Complaint(Loss.WRONG_HEAD, "of the warm-up")]), Console(width=200), 10)
    said = capsys.readouterr().out
    assert "its warm-up alone, without any request of the plan: another head than the app's:" in said
    assert said.endswith("--indices none\n")
    assert "again, with" not in said
