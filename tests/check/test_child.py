"""A child of the check ends with it, wherever a signal comes."""

import signal
import subprocess
import sys
from typing import Any

import pytest

from bridge.check.child import ENDINGS, child


@pytest.mark.parametrize("number", ENDINGS)
def test_a_signal_inside_popen_leaves_no_process(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    class EndedError(Exception):
        pass

    def end(*_: object) -> None:
        raise EndedError

    started: list[subprocess.Popen[bytes]] = []

    class Interrupted(subprocess.Popen[bytes]):
        def __init__(self, words: list[str], **options: Any) -> None:
            super().__init__(words, **options)
            started.append(self)
            signal.raise_signal(number)

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    before = signal.signal(number, end)
    try:
        with pytest.raises(EndedError), child([sys.executable, "-c", "import time; time.sleep(60)"]):
            pytest.fail("the signal was lost")
        assert signal.getsignal(number) is end
    finally:
        signal.signal(number, before)
        for process in started:
            left = process.poll() is None
            process.kill()
            process.wait()
            assert not left
    assert len(started) == 1
