"""What several files of this folder ask for."""

from pathlib import Path

import pytest

from tests.check.written import Written


@pytest.fixture
def written(tmp_path: Path) -> Written:
    return Written(tmp_path / "events")
