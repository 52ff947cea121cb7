"""A short soak of a WSGI app on uvicorn: with a seed that stays, and with a new one, which a failure prints."""

from pathlib import Path

from tests.soak.chaos import Chaos
from tests.soak.short import nothing_is_lost


def test_nothing_is_lost(tmp_path: Path) -> None:
    nothing_is_lost("uvicorn", "bridge", Chaos.TERMINATE, tmp_path, fixed=True)


def test_nothing_is_lost_in_stream_mode(tmp_path: Path) -> None:
    nothing_is_lost("uvicorn", "bridge-stream", Chaos.DESCRIPTORS, tmp_path, fixed=False)
